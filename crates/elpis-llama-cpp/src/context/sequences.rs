//! The sequences of the key–value cache: sharing, truncating, saving and restoring.

use llama_cpp_sys_2 as sys;

use super::super::guard::{Assertions, guarded, throwing};
use super::Context;
use elpis_backend::{BackendError, SequenceId, sized};

impl Context {
    fn check_sequence(&self, sequence: SequenceId) -> Result<(), BackendError> {
        self.check_whole()?;
        if sequence < self.n_seq_max {
            return Ok(());
        }
        Err(BackendError::Limit {
            field: "sequence",
            value: sequence.to_string(),
            limit: self.n_seq_max.to_string(),
        })
    }

    /// Checks that a sequence truncated to `length` positions can continue.
    ///
    /// llama.cpp reuses cells outside of a sequence's latest window for other sequences, and does
    /// not notice if the sequence is then truncated to a position whose window contains them.
    fn check_window(&self, sequence: SequenceId, length: u32) -> Result<(), BackendError> {
        let Some(n_window) = self.n_window else {
            return Ok(());
        };
        // SAFETY: the memory belongs to the live context; the id was checked.
        let first = unsafe { sys::llama_memory_seq_pos_min(self.memory, sequence as i32) };
        match u32::try_from(first) {
            Ok(first) if first > window_start(length, n_window) => {
                Err(BackendError::PrefixEvicted {
                    sequence,
                    length,
                    first,
                })
            }
            _ => Ok(()),
        }
    }

    /// Shares the first `length` positions of a sequence with another; in a
    /// unified cache no data moves.
    pub(in super::super) fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        self.check_sequence(from)?;
        self.check_sequence(to)?;
        self.check_window(from, length)?;
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        // SAFETY: the memory belongs to the live context; ids were checked.
        unsafe { sys::llama_memory_seq_cp(self.memory, from as i32, to as i32, 0, length) };
        Ok(())
    }

    /// The keys and values of a sequence in llama.cpp's format.
    pub(in super::super) fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        self.check_sequence(sequence)?;
        let id = sequence as i32;
        // SAFETY: the context is live; the buffer has the size that is passed.
        let (asked, written, bytes) = unsafe {
            let asked = sys::llama_state_seq_get_size(self.pointer.as_ptr(), id);
            let mut bytes = sized(memory, asked);
            let written = sys::llama_state_seq_get_data(
                self.pointer.as_ptr(),
                bytes.as_mut_ptr(),
                bytes.len(),
                id,
            );
            (asked, written, bytes)
        };
        if written == 0 || written != asked {
            return Err(BackendError::Native {
                call: "llama_state_seq_get_data",
                reason: format!("{written} of {asked} bytes of sequence {sequence}"),
            });
        }
        Ok(bytes)
    }

    /// Fills an empty sequence with `length` positions that were saved.
    pub(in super::super) fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.check_sequence(sequence)?;
        let id = sequence as i32;
        let context = self.pointer.as_ptr();
        // SAFETY: the context is live; the buffer has the size that is passed,
        // and llama.cpp checks what it reads against it.
        let read = guarded(Assertions::All, || unsafe {
            throwing::llama_state_seq_set_data(context, bytes.as_ptr(), bytes.len(), id)
        });
        let read = read.map_err(|thrown| self.broke(thrown.reason()))?;
        // SAFETY: the memory belongs to the live context; the id was checked.
        let last = unsafe { sys::llama_memory_seq_pos_max(self.memory, id) };
        if read == bytes.len() && i64::from(last) + 1 == i64::from(length) {
            return Ok(());
        }
        self.truncate(sequence, 0)?;
        Err(BackendError::Native {
            call: "llama_state_seq_set_data",
            reason: format!(
                "{read} of {} bytes were taken, up to position {last} of {length}",
                bytes.len()
            ),
        })
    }

    /// Removes positions `from..` of a sequence.
    pub(in super::super) fn truncate(
        &mut self,
        sequence: SequenceId,
        from: u32,
    ) -> Result<(), BackendError> {
        self.check_sequence(sequence)?;
        if from > 0 {
            self.check_window(sequence, from)?;
        }
        let from = i32::try_from(from).unwrap_or(i32::MAX);
        // SAFETY: the memory belongs to the live context; ids were checked.
        let removed = unsafe { sys::llama_memory_seq_rm(self.memory, sequence as i32, from, -1) };
        if removed {
            Ok(())
        } else {
            Err(BackendError::Native {
                call: "llama_memory_seq_rm",
                reason: format!("sequence {sequence} cannot be cut at position {from}"),
            })
        }
    }
}

/// The first position that a token at position `length` sees.
fn window_start(length: u32, n_window: u32) -> u32 {
    match n_window {
        0 => 0,
        seen => length.saturating_add(1).saturating_sub(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::window_start;

    #[test]
    fn a_window_holds_the_token_itself_and_those_before_it() {
        for (length, n_window, start) in [
            (0, 0, 0),
            (5000, 0, 0),
            (0, 512, 0),
            (511, 512, 0),
            (512, 512, 1),
            (5000, 512, 4489),
            (5, 1, 5),
        ] {
            assert_eq!(window_start(length, n_window), start, "{length} {n_window}");
        }
    }
}
