//! The parts of the transformers backend that read a folder's texts, without libtorch: for fuzzing.
#![allow(dead_code, reason = "the backend itself uses the rest")]
#![allow(unsafe_code, reason = "its files are mapped")]

mod checkpoint;
mod config;
mod family;
mod fields;
mod rope;
mod tokenizer;

use std::path::Path;

use checkpoint::Files;
use config::DecoderConfig;
use fields::Fields;
use tokenizer::FolderTokenizer;

use super::Tokenizer;

const CONFIG: &str = "config.json";

/// Reads the configuration of a folder, then its tokenizer, which is tried on a text.
pub(super) fn read_folder(folder: &Path) {
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
