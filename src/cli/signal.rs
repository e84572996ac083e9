//! Ctrl-C and SIGTERM: what runs ends in good order.

use std::sync::OnceLock;

/// Why the command ends before its time; nothing more is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Signal {
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
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Whether the user asked to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    signal: OnceLock<Signal>,
}

impl Stop {
    /// Waits for a signal; for ever where none can be received.
    pub(super) async fn asked(&self) {
        let signal = Signals::listen().next().await;
        let _ = self.signal.set(signal);
    }

    /// The signal that came.
    pub(super) fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }
}

/// Receives signals from now on, those included that come while nobody waits.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    interrupts: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    terminations: Option<tokio::signal::unix::Signal>,
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
        }
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
