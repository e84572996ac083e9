//! Reads the text files of a folder without libtorch, for fuzzing.

use std::path::Path;

use elpis_backend::Tokenizer as _;

use crate::CONFIG;
use crate::checkpoint::Files;
use crate::config::DecoderConfig;
use crate::fields::Fields;
use crate::tokenizer::FolderTokenizer;

/// Reads the configuration of a folder, then its tokenizer, and tokenises a text.
pub fn read_folder(folder: &Path) {
    let files = Files::Folder(folder.to_owned());
    let Ok(Some(value)) = files.json(CONFIG) else {
        return;
    };
    let path = files.path(CONFIG);
    let Ok(fields) = Fields::new(&path, &value) else {
        return;
    };
    let _ = DecoderConfig::read(&fields);
    if let Ok((tokenizer, _)) = FolderTokenizer::read(&files, &fields)
        && let Ok(tokens) = tokenizer.encode("a text, <|im_start|> and more\n", true)
    {
        let mut text = Vec::new();
        for token in tokens {
            tokenizer.append_piece(token, &mut text);
            let _ = tokenizer.is_end(token);
        }
    }
}
