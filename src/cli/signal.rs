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
        let signal = received().await;
        let _ = self.signal.set(signal);
    }

    /// The signal that came.
    pub(super) fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }
}

/// Waits for a signal; for ever where none can be received.
pub(super) async fn received() -> Signal {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    };
    tokio::select! {
        signal = interrupt => signal,
        signal = terminate() => signal,
    }
}

#[cfg(unix)]
async fn terminate() -> Signal {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            terminated.recv().await;
            Signal::Terminate
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() -> Signal {
    std::future::pending().await
}
