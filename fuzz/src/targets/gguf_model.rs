use super::memory;
use elpis::backend::check_gguf_bytes;

/// Size that the whole file would have; its weights are never read.
const LENGTH: u64 = 1 << 40;

pub fn run(bytes: &[u8]) {
    let refused = memory::bounded(bytes.len(), || check_gguf_bytes(bytes, LENGTH));
    if let Err(error) = refused {
        // Text from a file contains no control sequences and is short.
        let text = error.to_string();
        assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
        assert!(text.len() < 4096, "{} bytes", text.len());
    }
}
