use super::memory;

/// Four lines of headers, then a page of a listing.
pub fn run(bytes: &[u8]) {
    memory::bounded(bytes.len(), || elpis::hub::read_answers(bytes));
}
