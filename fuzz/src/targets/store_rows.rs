/// Lines: a session's name, its state, its settings, then its journal.
pub fn run(bytes: &[u8]) {
    elpis::store::read_rows(bytes);
}
