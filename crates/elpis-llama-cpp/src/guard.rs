//! Guards calls of llama.cpp that may throw an exception or fail an assertion (`guard.cpp`).
//!
//! An assertion that fails while a model is loaded or a context created becomes an error. While a
//! batch is evaluated, this only applies to the calling thread outside of OpenMP teams. A thread
//! that left a team would block the others forever, so in a team it ends the process.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;

use llama_cpp_sys_2 as sys;

use elpis_backend::BackendError;
use elpis_files::printable::printable;

/// Maximum length of a message, in bytes.
const CAPACITY: usize = 1024;
/// The guard's return value for an assertion.
const ASSERTION: c_int = 2;

/// The assertions that become errors instead of ending the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertions {
    /// All assertions of the calling thread, for calls that compute nothing.
    All = 1,
    /// Only assertions outside of OpenMP teams.
    OutsideTeams = 2,
}

/// An exception or failed assertion that ended a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Thrown {
    /// An assertion failed: the sources' file, line and condition.
    Assertion(String),
    /// An exception, by its message.
    Exception(String),
}

impl Thrown {
    /// Converts it to an error of a call for the model of a file.
    pub(super) fn of(self, path: &Path, call: &'static str) -> BackendError {
        match self {
            Self::Assertion(reason) => BackendError::Assertion {
                path: path.to_owned(),
                call,
                reason,
            },
            Self::Exception(reason) => BackendError::Native { call, reason },
        }
    }

    /// Its message.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Assertion(reason) | Self::Exception(reason) => reason,
        }
    }
}

type Work = unsafe extern "C-unwind" fn(*mut c_void);

unsafe extern "C" {
    fn elpis_guard(
        work: Work,
        data: *mut c_void,
        assertions: c_int,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn elpis_on_abort(message: *const c_char);
    fn elpis_install_terminate_handler();
}

/// The functions that are called under the guard, declared as functions that may unwind.
pub(super) mod throwing {
    use super::{c_char, sys};

    unsafe extern "C-unwind" {
        pub(in super::super) fn llama_model_load_from_file(
            path: *const c_char,
            params: sys::llama_model_params,
        ) -> *mut sys::llama_model;
        pub(in super::super) fn llama_init_from_model(
            model: *mut sys::llama_model,
            params: sys::llama_context_params,
        ) -> *mut sys::llama_context;
        pub(in super::super) fn llama_decode(
            context: *mut sys::llama_context,
            batch: sys::llama_batch,
        ) -> i32;
        pub(in super::super) fn llama_tokenize(
            vocab: *const sys::llama_vocab,
            text: *const c_char,
            text_len: i32,
            tokens: *mut sys::llama_token,
            n_tokens_max: i32,
            add_special: bool,
            parse_special: bool,
        ) -> i32;
        pub(in super::super) fn llama_state_seq_set_data(
            context: *mut sys::llama_context,
            source: *const u8,
            size: usize,
            sequence: sys::llama_seq_id,
        ) -> usize;
    }
}

/// Makes ggml call the guard before it aborts, and keeps it from attaching a debugger.
pub(super) fn install() {
    // SAFETY: both are static functions; ggml keeps the one, the C++ library the other.
    unsafe {
        sys::ggml_set_abort_callback(Some(elpis_on_abort));
        elpis_install_terminate_handler();
    }
}

/// Runs the work, which calls one of [`throwing`]'s functions and nothing that may panic.
///
/// # Errors
/// [`Thrown`] with the exception or assertion. The object of the call is then in an unknown state
/// and must neither be used nor freed.
pub(super) fn guarded<T>(assertions: Assertions, work: impl FnOnce() -> T) -> Result<T, Thrown> {
    let mut slot = Slot {
        work: Some(work),
        result: None,
    };
    let mut message = [0; CAPACITY];
    // SAFETY: the data is the slot that `run` of these types is written for, and outlives the call;
    // the capacity is the buffer's.
    let code = unsafe {
        elpis_guard(
            runner(&slot),
            (&raw mut slot).cast(),
            assertions as c_int,
            message.as_mut_ptr(),
            message.len(),
        )
    };
    match slot.result {
        Some(result) if code == 0 => Ok(result),
        _ => {
            // SAFETY: the guard ends the text with a zero; the buffer is full of them.
            let message = unsafe { CStr::from_ptr(message.as_ptr()) };
            let message = message.to_string_lossy();
            let message = printable(&message).into_owned();
            Err(if code == ASSERTION {
                Thrown::Assertion(message)
            } else {
                Thrown::Exception(message)
            })
        }
    }
}

struct Slot<F, T> {
    work: Option<F>,
    result: Option<T>,
}

/// Returns the function that runs the work of a slot of these types.
fn runner<T, F: FnOnce() -> T>(_: &Slot<F, T>) -> Work {
    run::<T, F>
}

unsafe extern "C-unwind" fn run<T, F: FnOnce() -> T>(data: *mut c_void) {
    // SAFETY: `guarded` passes its slot of these very types, which nobody else holds meanwhile.
    let slot = unsafe { &mut *data.cast::<Slot<F, T>>() };
    if let Some(work) = slot.work.take() {
        slot.result = Some(work());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C-unwind" {
        fn ggml_abort(file: *const c_char, line: c_int, format: *const c_char, ...) -> !;
    }

    #[test]
    fn an_assertion_of_a_guarded_call_is_an_error() {
        install();
        assert_eq!(guarded(Assertions::All, || 7), Ok(7));
        for assertions in [Assertions::All, Assertions::OutsideTeams] {
            // Captured values are dropped while unwinding.
            let counted = std::sync::Arc::new(());
            let held = std::sync::Arc::clone(&counted);
            let failed: Result<(), _> = guarded(assertions, move || {
                let _ = &held;
                // SAFETY: static texts.
                unsafe {
                    ggml_abort(
                        c"/a/b/c.cpp".as_ptr(),
                        12,
                        c"it %s".as_ptr(),
                        c"failed".as_ptr(),
                    )
                }
            });
            if cfg!(any(target_os = "macos")) && assertions == Assertions::OutsideTeams {
                continue;
            }
            let expected = Thrown::Assertion("c.cpp:12: it failed".to_owned());
            assert_eq!(failed, Err(expected));
            assert_eq!(std::sync::Arc::strong_count(&counted), 1);
        }
        // The next call works as before.
        assert_eq!(guarded(Assertions::All, || 8), Ok(8));
    }
}
