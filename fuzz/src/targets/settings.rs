use super::memory;

/// A settings file, a NUL byte, then lines of an environment.
pub fn run(bytes: &[u8]) {
    memory::bounded(bytes.len(), || elpis::settings::read_settings(bytes));
}
