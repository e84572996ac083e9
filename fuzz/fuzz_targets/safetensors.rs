#![no_main]

use elpis::steering::{VectorFormat, parse, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(vector) = parse(VectorFormat::Safetensors, bytes) {
        let written = write(VectorFormat::Safetensors, &vector).expect("what was read can be written");
        let again = parse(VectorFormat::Safetensors, &written).expect("what was written can be read");
        assert!(vector.rows().eq(again.rows()));
    }
});
