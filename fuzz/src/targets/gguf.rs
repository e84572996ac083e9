use super::memory;
use elpis::steering::{VectorFormat, parse, write};

const FORMAT: VectorFormat = VectorFormat::Gguf;

pub fn run(bytes: &[u8]) {
    if let Ok(vector) = memory::bounded(bytes.len(), || parse(FORMAT, bytes)) {
        let written = write(FORMAT, &vector).expect("what was read can be written");
        let again = parse(FORMAT, &written).expect("what was written can be read");
        assert!(vector.rows().eq(again.rows()));
    }
}
