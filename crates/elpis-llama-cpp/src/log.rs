//! Forwards llama.cpp's log lines to `tracing`.
//!
//! llama.cpp only reports through its log why a model cannot be loaded, so warnings and errors of
//! the current thread can also be collected.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Once;

use llama_cpp_sys_2 as sys;

use elpis_files::printable::printable;

static INSTALL: Once = Once::new();

thread_local! {
    static LINE: RefCell<(sys::ggml_log_level, String)> =
        const { RefCell::new((sys::GGML_LOG_LEVEL_NONE, String::new())) };
    static COLLECTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Routes llama.cpp's log to `tracing` and initialises the library, once.
pub(super) fn install() {
    INSTALL.call_once(|| {
        // SAFETY: the callback is a static function that needs no user data.
        unsafe {
            sys::llama_log_set(Some(receive), std::ptr::null_mut());
            sys::ggml_log_set(Some(receive), std::ptr::null_mut());
            sys::llama_backend_init();
        }
        super::guard::install();
    });
}

/// Runs `work` and returns with its result the warnings and errors that
/// llama.cpp logged on this thread meanwhile.
pub(super) fn collecting<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    COLLECTED.with_borrow_mut(|lines| *lines = Some(Vec::new()));
    let result = work();
    let lines = COLLECTED.with_borrow_mut(Option::take).unwrap_or_default();
    (result, lines)
}

/// The reason for a failure, from llama.cpp's log.
pub(super) fn reason(lines: &[String]) -> String {
    if lines.is_empty() {
        "llama.cpp gave no reason".to_owned()
    } else {
        printable(&lines.join("; ")).into_owned()
    }
}

unsafe extern "C" fn receive(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a NUL-terminated string that lives for the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // A panic must not unwind into C; logging from a dying thread may fail.
    let _ = std::panic::catch_unwind(|| {
        let _ = LINE.try_with(|line| {
            let Ok(mut line) = line.try_borrow_mut() else {
                return;
            };
            if level != sys::GGML_LOG_LEVEL_CONT {
                line.0 = level;
            }
            line.1.push_str(&text);
            if line.1.ends_with('\n') {
                emit(line.0, line.1.trim_end());
                line.1.clear();
            }
        });
    });
}

fn emit(level: sys::ggml_log_level, line: &str) {
    // Names of tensors and keys are from the file.
    let line = &*printable(line);
    match level {
        sys::GGML_LOG_LEVEL_ERROR => tracing::error!(target: "elpis::llama_cpp", "{line}"),
        sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "elpis::llama_cpp", "{line}"),
        sys::GGML_LOG_LEVEL_INFO => tracing::debug!(target: "elpis::llama_cpp", "{line}"),
        _ => tracing::trace!(target: "elpis::llama_cpp", "{line}"),
    }
    if matches!(level, sys::GGML_LOG_LEVEL_ERROR | sys::GGML_LOG_LEVEL_WARN) {
        COLLECTED.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(line.to_owned());
            }
        });
    }
}
