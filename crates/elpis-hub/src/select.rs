//! Chooses the files of a repository that a backend needs.

#![cfg_attr(not(feature = "client"), allow(dead_code))]

use std::path::Path;

use super::{HubError, ModelFormat};
use elpis_files::shard::Shard;

/// The quantisations that are taken, in this order, when a repository has several GGUF files and none is named.
pub const QUANTISATION_PREFERENCE: [&str; 4] = ["Q4_K_M", "Q5_K_M", "Q8_0", "F16"];

/// Chooses the files to fetch. The first is the one that a backend opens, or one in its folder.
pub(super) fn select(
    repo: &str,
    files: &[String],
    wanted: Option<&str>,
    format: ModelFormat,
) -> Result<Vec<String>, HubError> {
    match (format, wanted) {
        (ModelFormat::Gguf, Some(file)) if files.iter().any(|known| known == file) => {
            Ok(with_parts(file, files))
        }
        (ModelFormat::Gguf, Some(file)) => Err(HubError::FileNotFound {
            repo: repo.to_owned(),
            file: file.to_owned(),
            choices: models(files),
        }),
        (ModelFormat::Gguf, None) => Ok(with_parts(&preferred(repo, models(files))?, files)),
        (ModelFormat::Transformers, None) => folder(repo, files),
        (ModelFormat::Transformers, Some(file)) => Err(HubError::WholeRepository {
            repo: repo.to_owned(),
            file: file.to_owned(),
        }),
    }
}

/// Returns the GGUF models: only the first shard of a split one, and no image projectors.
fn models(files: &[String]) -> Vec<String> {
    let is_model = |file: &&String| {
        let extension = Path::new(file).extension();
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
            && !file_name(file).to_ascii_lowercase().starts_with("mmproj")
            && Shard::of(file).is_none_or(|part| part.number == 1)
    };
    files.iter().filter(is_model).cloned().collect()
}

fn preferred(repo: &str, mut choices: Vec<String>) -> Result<String, HubError> {
    for quantisation in QUANTISATION_PREFERENCE {
        if choices.len() < 2 {
            break;
        }
        let with_it: Vec<String> = choices
            .iter()
            .filter(|file| has_quantisation(file, quantisation))
            .cloned()
            .collect();
        if !with_it.is_empty() {
            choices = with_it;
            break;
        }
    }
    match choices.len() {
        0 => Err(HubError::NoModel {
            repo: repo.to_owned(),
            wanted: "GGUF file",
        }),
        1 => Ok(choices.remove(0)),
        _ => Err(HubError::Ambiguous {
            repo: repo.to_owned(),
            choices,
        }),
    }
}

fn has_quantisation(file: &str, quantisation: &str) -> bool {
    file_name(file)
        .split(['-', '.'])
        .any(|word| word.eq_ignore_ascii_case(quantisation))
}

/// Adds the other shards of a split model.
fn with_parts(file: &str, files: &[String]) -> Vec<String> {
    let mut chosen = vec![file.to_owned()];
    if let Some(own) = Shard::of(file) {
        let sibling = |other: &&String| {
            *other != file
                && Shard::of(other)
                    .is_some_and(|other| other.stem == own.stem && other.count == own.count)
        };
        chosen.extend(files.iter().filter(sibling).cloned());
    }
    chosen
}

fn folder(repo: &str, files: &[String]) -> Result<Vec<String>, HubError> {
    let no_model = |wanted| HubError::NoModel {
        repo: repo.to_owned(),
        wanted,
    };
    let weights = |file: &&String| file.ends_with(".safetensors") && !file.contains('/');
    // Some repositories hold the same weights a second time in the original format.
    let original = |file: &str| file.starts_with("consolidated");
    let only_original = files.iter().filter(weights).all(|file| original(file));

    let mut chosen = vec!["config.json".to_owned()];
    if !files.contains(&chosen[0]) {
        return Err(no_model(
            "config.json, which the transformers backend needs",
        ));
    }
    if !files.iter().any(|file| weights(&file)) {
        return Err(no_model(
            "safetensors, which the transformers backend needs",
        ));
    }
    let belongs = |file: &&String| {
        !file.contains('/')
            && (is_companion(file)
                || (file.ends_with(".safetensors") && (only_original || !original(file))))
    };
    chosen.extend(files.iter().filter(belongs).cloned());
    Ok(chosen)
}

fn is_companion(file: &str) -> bool {
    const NAMES: [&str; 7] = [
        "generation_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
    ];
    NAMES.contains(&file)
        || file.starts_with("tokenizer")
        || file.ends_with(".safetensors.index.json")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn gguf(names: &[&str]) -> Result<Vec<String>, HubError> {
        select("org/name", &files(names), None, ModelFormat::Gguf)
    }

    #[test]
    fn one_model_needs_no_name() {
        let chosen = gguf(&["README.md", "mmproj-f16.gguf", "model.iq3.gguf"]).unwrap();
        assert_eq!(chosen, ["model.iq3.gguf"]);
    }

    #[test]
    fn quantisations_are_taken_in_order() {
        let table: [(&[&str], &str); 4] = [
            (
                &["m-Q8_0.gguf", "m-q4_k_m.gguf", "m-Q5_K_M.gguf"],
                "m-q4_k_m.gguf",
            ),
            (
                &["m.Q8_0.gguf", "m.Q5_K_M.gguf", "m.Q4_K_S.gguf"],
                "m.Q5_K_M.gguf",
            ),
            (&["m-F16.gguf", "m-Q8_0.gguf"], "m-Q8_0.gguf"),
            (&["m-Q2_K.gguf", "m-f16.gguf", "m-BF16.gguf"], "m-f16.gguf"),
        ];
        for (names, expected) in table {
            assert_eq!(gguf(names).unwrap(), [expected], "{names:?}");
        }
    }

    #[test]
    fn equally_good_models_are_listed() {
        for names in [
            &["a-Q2_K.gguf", "a-Q3_K.gguf"],
            &["a-Q4_K_M.gguf", "b-Q4_K_M.gguf"],
        ] {
            let error = gguf(names).unwrap_err();
            assert!(
                matches!(&error, HubError::Ambiguous { choices, .. } if choices == names),
                "{error}"
            );
            assert!(error.to_string().contains(names[1]));
        }
        assert_eq!(gguf(&["README.md"]).unwrap_err().kind(), "no-model");
    }

    #[test]
    fn a_split_model_comes_whole() {
        let names = [
            "x/m-00002-of-00002.gguf",
            "x/m-00001-of-00002.gguf",
            "x/m-00001-of-00003.gguf.txt",
        ];
        assert_eq!(
            gguf(&names).unwrap(),
            ["x/m-00001-of-00002.gguf", "x/m-00002-of-00002.gguf"]
        );
    }

    #[test]
    fn a_folder_has_what_transformers_reads() {
        let all = files(&[
            ".gitattributes",
            "README.md",
            "chat_template.jinja",
            "config.json",
            "consolidated.safetensors",
            "generation_config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "onnx/model.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
            "tokenizer_config.json",
        ]);
        let chosen = select("org/name", &all, None, ModelFormat::Transformers).unwrap();
        let expected = [
            "config.json",
            "chat_template.jinja",
            "generation_config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(chosen, expected);
        let without = files(&["config.json", "pytorch_model.bin"]);
        assert_eq!(
            select("o/n", &without, None, ModelFormat::Transformers)
                .unwrap_err()
                .kind(),
            "no-model"
        );
        let named = select("o/n", &all, Some("x.gguf"), ModelFormat::Transformers).unwrap_err();
        assert_eq!(named.kind(), "whole-repository");
    }
}
