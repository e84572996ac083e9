#![no_main]

use libfuzzer_sys::fuzz_target;

// Lines: a session's name, its state, its settings, then its journal.
fuzz_target!(|bytes: &[u8]| elpis::store::read_rows(bytes));
