//! Ctrl-C and SIGTERM: what runs ends in good order.

use tokio::sync::watch;

use super::Failure;

/// Why the command ends before its time; nothing more is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Signal {
    /// The terminal is gone.
    #[error("the terminal was closed")]
    HangUp,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupt,
    /// SIGTERM.
    #[error("terminated")]
    Terminate,
}

impl Signal {
    /// 128 and the number of the signal, as shells report it.
    pub(super) const fn exit_code(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Whether the user asked to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    signal: watch::Sender<Option<Signal>>,
}

impl Stop {
    /// Waits for a signal; for ever where none can be received.
    pub(super) async fn asked(&self) {
        let signal = Signals::listen().next().await;
        self.signal.send_replace(Some(signal));
        second_ends_at_once::<()>(&Err(signal.into()));
    }

    /// The signal that came.
    pub(super) fn signal(&self) -> Option<Signal> {
        *self.signal.borrow()
    }

    /// Waits until [`asked`](Self::asked), which somebody else waits on, has met a signal.
    pub(super) async fn came(&self) -> Signal {
        let mut signal = self.signal.subscribe();
        match signal.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            _ => std::future::pending().await,
        }
    }
}

/// Does some work until a signal comes, which then is why it failed.
pub(super) async fn unless<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        signal = signals.next() => Err(signal.into()),
    }
}

/// Once the program is ending in good order, the signal that is the second of its life ends it in
/// whatever order; `result` tells whether one has come.
///
/// Must be called within a Tokio runtime, which receives the signal.
pub(super) fn second_ends_at_once<T>(result: &Result<T, Failure>) {
    let stopped = matches!(result, Err(failure) if failure.is::<Signal>());
    let mut signals = Signals::listen();
    tokio::spawn(async move {
        if !stopped {
            signals.next().await;
        }
        let signal = signals.next().await;
        std::process::exit(signal.exit_code().into());
    });
}

/// Receives signals from now on, including those that arrive before the wait.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    interrupts: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    terminations: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    hang_ups: Option<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    interrupts: Option<tokio::signal::windows::CtrlC>,
}

impl Signals {
    /// Must be called within a Tokio runtime.
    #[cfg(unix)]
    pub(super) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            interrupts: signal(SignalKind::interrupt()).ok(),
            terminations: signal(SignalKind::terminate()).ok(),
            hang_ups: None,
        }
    }

    /// Also that the terminal is closed, which others may be told to outlive (`nohup`).
    ///
    /// Must be called within a Tokio runtime.
    #[must_use]
    pub(super) fn and_hang_ups(self) -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hang_ups = signal(SignalKind::hangup()).ok();
            Self { hang_ups, ..self }
        }
        #[cfg(not(unix))]
        self
    }

    /// Must be called within a Tokio runtime.
    #[cfg(windows)]
    pub(super) fn listen() -> Self {
        Self {
            interrupts: tokio::signal::windows::ctrl_c().ok(),
        }
    }

    /// Must be called within a Tokio runtime.
    #[cfg(not(any(unix, windows)))]
    pub(super) fn listen() -> Self {
        Self {}
    }

    /// Waits for the next signal; for ever where none can be received.
    pub(super) async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        return tokio::select! {
            () = received(self.interrupts.as_mut()) => Signal::Interrupt,
            () = received(self.terminations.as_mut()) => Signal::Terminate,
            () = received(self.hang_ups.as_mut()) => Signal::HangUp,
        };
        #[cfg(windows)]
        if let Some(interrupts) = &mut self.interrupts
            && interrupts.recv().await.is_some()
        {
            return Signal::Interrupt;
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn received(signals: Option<&mut tokio::signal::unix::Signal>) {
    if let Some(signals) = signals
        && signals.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}
