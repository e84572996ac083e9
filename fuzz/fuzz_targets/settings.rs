#![no_main]

mod memory;

use libfuzzer_sys::fuzz_target;

// A settings file, a NUL byte, then lines of an environment.
fuzz_target!(|bytes: &[u8]| {
    memory::bounded(bytes.len(), || elpis::settings::read_settings(bytes));
});
