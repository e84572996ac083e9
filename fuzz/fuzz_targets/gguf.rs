#![no_main]

use elpis::steering::{VectorFormat, parse, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(vector) = parse(VectorFormat::Gguf, bytes) {
        let written = write(VectorFormat::Gguf, &vector).expect("what was read can be written");
        let again = parse(VectorFormat::Gguf, &written).expect("what was written can be read");
        assert!(vector.rows().eq(again.rows()));
    }
});
