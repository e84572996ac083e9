#![no_main]

mod memory;

use libfuzzer_sys::fuzz_target;

// Four lines of headers, then a page of a listing.
fuzz_target!(|bytes: &[u8]| {
    memory::bounded(bytes.len(), || elpis::hub::read_answers(bytes));
});
