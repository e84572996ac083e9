#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| elpis_fuzz::targets::settings::run(bytes));
