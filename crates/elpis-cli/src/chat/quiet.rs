//! Turns off the terminal's echo while input is not read.
//!
//! Keys that are typed ahead wait in the terminal until the next prompt reads them. They are not
//! echoed into a reply, and no change of modes between lines and single keys loses them, since the
//! terminal is in the mode of single keys all the time. Ctrl-C and Ctrl-Z stay signals.

#[cfg(unix)]
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// Has lines that are pasted come as one, also while no prompt reads them; and no more.
const PASTE: &str = "\x1b[?2004h";
const NO_PASTE: &str = "\x1b[?2004l";

/// How the terminal was, to which it returns however the program ends.
#[derive(Debug, Clone)]
pub(super) struct Quiet {
    #[cfg(unix)]
    original: Option<Termios>,
    /// Whether a prompt edits its line by itself; else the terminal does.
    edited: bool,
}

/// The terminal as it was, once this goes.
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
    /// Of a standard input that is a terminal.
    pub fn of_terminal() -> Self {
        Self {
            #[cfg(unix)]
            original: rustix::termios::tcgetattr(std::io::stdin()).ok(),
            edited: !console::is_dumb(),
        }
    }

    /// Quiet from now on, where prompts show what is typed themselves; restored in the end.
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

    /// Stops the program as Ctrl-Z does, with the terminal as it was; returns when it goes on.
    #[cfg(unix)]
    pub fn suspend(&self) {
        self.restore();
        // Where nobody could let it go on, the system does not stop it.
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
            // Ctrl-C does not throw away what was typed ahead.
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
    // Now: whatever else is waited for, keys would be lost or shown meanwhile.
    let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, attributes);
}
