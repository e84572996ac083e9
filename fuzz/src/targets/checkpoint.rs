use std::cell::OnceCell;

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// A configuration, a NUL byte, then a tokenizer.
pub fn run(bytes: &[u8]) {
    let middle = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let (config, tokenizer) = bytes.split_at(middle);
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            // Panics of the tokenizers library are caught and are not findings; libFuzzer reports all others.
            std::panic::set_hook(Box::new(|_| {}));
            tempfile::tempdir().expect("a folder")
        });
        let folder = folder.path();
        std::fs::write(folder.join("config.json"), config).expect("written");
        let tokenizer = tokenizer.get(1..).unwrap_or_default();
        std::fs::write(folder.join("tokenizer.json"), tokenizer).expect("written");
        elpis_transformers::read_folder(folder);
    });
}
