//! Graceful handling of Ctrl-C and SIGTERM.

use tokio::sync::watch;

use super::Failure;

/// The signal that ended the command. It is not reported as an error.
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
    /// Waits for a signal, or forever if none can be received.
    pub(super) async fn asked(&self) {
        let signal = Signals::listen().next().await;
        self.signal.send_replace(Some(signal));
        second_ends_at_once::<()>(&Err(signal.into()));
    }

    /// The received signal.
    pub(super) fn signal(&self) -> Option<Signal> {
        *self.signal.borrow()
    }

    /// Waits until another call of [`asked`](Self::asked) has received a signal.
    pub(super) async fn came(&self) -> Signal {
        let mut signal = self.signal.subscribe();
        match signal.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            _ => std::future::pending().await,
        }
    }
}

/// Runs some work until a signal arrives, which then becomes its error.
pub(super) async fn unless<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        signal = signals.next() => Err(signal.into()),
    }
}

/// During a graceful exit, the second signal of the process ends it immediately. `result` tells
/// whether one has been received.
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

/// Receives signals from its creation on, including those that arrive before the wait.
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

    /// Also handles a closed terminal, which a program started with `nohup` ignores.
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

    /// Waits for the next signal, or forever if none can be received.
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
