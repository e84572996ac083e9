#![no_main]

mod memory;

use elpis::steering::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = memory::bounded(bytes.len(), || Manifest::parse(bytes));
});
