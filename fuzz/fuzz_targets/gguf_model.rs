#![no_main]

mod memory;

use elpis::backend::check_gguf_bytes;
use libfuzzer_sys::fuzz_target;

/// What the file would have in all: its weights are never looked at.
const LENGTH: u64 = 1 << 40;

fuzz_target!(|bytes: &[u8]| {
    let refused = memory::bounded(bytes.len(), || check_gguf_bytes(bytes, LENGTH));
    if let Err(error) = refused {
        // What a file says acts on no terminal and fills none.
        let text = error.to_string();
        assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
        assert!(text.len() < 4096, "{} bytes", text.len());
    }
});
