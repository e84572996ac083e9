//! Turns off the terminal's echo while input is not read.
//!
//! Keys typed ahead wait in the terminal until the next prompt reads them. They are not echoed into
//! a reply, and no mode change loses them, because the terminal stays in single-key mode. Ctrl-C
//! and Ctrl-Z remain signals.

#[cfg(unix)]
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// Enables bracketed paste, so that pasted lines arrive as one even while no prompt reads them.
const PASTE: &str = "\x1b[?2004h";
const NO_PASTE: &str = "\x1b[?2004l";

/// The original state of the terminal, which is restored however the program ends.
#[derive(Debug, Clone)]
pub(super) struct Quiet {
    #[cfg(unix)]
    original: Option<Termios>,
    /// Whether a prompt edits its line by itself instead of the terminal.
    edited: bool,
}

/// Restores the terminal when it is dropped.
#[derive(Debug)]
pub(super) struct Restored(Quiet);

impl Drop for Restored {
    fn drop(&mut self) {
        self.0.restore();
        if self.0.edited {
            use std::io::Write as _;
            let mut out = std::io::stdout();
            let _ = out
                .write_all(NO_PASTE.as_bytes())
                .and_then(|()| out.flush());
        }
    }
}

impl Quiet {
    /// Reads the state of standard input, if it is a terminal.
    pub fn of_terminal() -> Self {
        Self {
            #[cfg(unix)]
            original: rustix::termios::tcgetattr(std::io::stdin()).ok(),
            edited: !console::is_dumb(),
        }
    }

    /// Turns echo off if prompts echo input themselves. Dropping the result restores it.
    pub fn begin(&self) -> Restored {
        if self.edited {
            self.hush();
        }
        Restored(self.clone())
    }

    /// A reply begins.
    pub fn reply_begins(&self) -> std::io::Result<()> {
        if self.edited {
            use std::io::Write as _;
            let mut out = std::io::stdout();
            out.write_all(PASTE.as_bytes()).and_then(|()| out.flush())
        } else {
            self.hush();
            Ok(())
        }
    }

    /// A reply is over.
    pub fn reply_ends(&self) {
        if !self.edited {
            self.restore();
        }
    }

    /// Suspends the program like Ctrl-Z, with the terminal restored. Returns when it continues.
    #[cfg(unix)]
    pub fn suspend(&self) {
        self.restore();
        // The system ignores this if no process could continue the program.
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        // Another thread may have taken the signal.
        std::thread::sleep(std::time::Duration::from_millis(20));
        if self.edited {
            self.hush();
        }
    }

    #[cfg(not(unix))]
    pub fn suspend(&self) {}

    fn hush(&self) {
        #[cfg(unix)]
        if let Some(original) = &self.original {
            let mut quiet = original.clone();
            quiet
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON);
            // Ctrl-C must not discard keys typed ahead.
            quiet
                .local_modes
                .insert(LocalModes::ISIG | LocalModes::NOFLSH);
            if self.edited {
                quiet.input_modes.remove(InputModes::ICRNL);
            }
            quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
            quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
            set(&quiet);
        }
    }

    fn restore(&self) {
        #[cfg(unix)]
        if let Some(original) = &self.original {
            set(original);
        }
    }
}

#[cfg(unix)]
fn set(attributes: &Termios) {
    // Apply immediately; waiting would lose or echo keys.
    let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, attributes);
}
