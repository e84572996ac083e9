use super::memory;
use elpis::steering::Manifest;

pub fn run(bytes: &[u8]) {
    let _ = memory::bounded(bytes.len(), || Manifest::parse(bytes));
}
