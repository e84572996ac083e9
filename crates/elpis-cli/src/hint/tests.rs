mod cases;

use super::*;
use crate::{Failure, told};
use cases::cases;
use elpis::settings::SettingsLoader;

fn wrong_settings(variables: &[(&str, &str)]) -> SettingsError {
    let loader = SettingsLoader::new().without_files();
    loader.env(variables.iter().copied()).load().unwrap_err()
}

fn text(words: &str) -> String {
    words.to_owned()
}

#[test]
fn every_error_that_does_not_say_it_itself_has_a_hint() {
    for (error, expected) in cases() {
        let found = hints(error.as_ref());
        match expected {
            None => assert!(found.is_empty(), "{error}: {found:?}"),
            Some(words) => {
                let [hint] = found.as_slice() else {
                    panic!("{error}: {found:?}");
                };
                assert!(hint.contains(words), "{error}: {hint}");
                assert!(
                    !error.to_string().contains(hint.as_str()),
                    "{error} says it twice"
                );
                assert!(!hint.contains('\n') && !hint.ends_with('.'), "{hint}");
            }
        }
    }
}

#[test]
fn several_wrong_settings_have_a_hint_each_and_none_twice() {
    let error = wrong_settings(&[
        ("ELPIS_MODEL_TEMPRATURE", "1"),
        ("ELPIS_STORE_PTH", "moods.db"),
        ("ELPIS_MODEL_TOP_P", "7"),
    ]);
    assert_eq!(error.all().len(), 3, "{error}");
    let found = hints(&Error::from(error));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn one_message_is_told_as_one() {
    for (count, words) in [
        (1, "a message was not answered"),
        (2, "2 messages were not answered"),
    ] {
        assert_eq!(CliError::Unanswered { count }.to_string(), words);
    }
}

#[test]
fn a_hint_stands_on_a_line_of_its_own() {
    let error: Failure = StoreError::ReadOnly {
        file: text("moods.db"),
    }
    .into();
    let told = told(error.as_ref());
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0], "store moods.db is read-only");
    assert!(lines[1].starts_with("hint: ") && lines.len() == 2, "{told}");
}

#[test]
fn what_a_model_path_holds_decides_what_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("checkpoint")).unwrap();
    std::fs::write(at("checkpoint/config.json"), "{}").unwrap();
    std::fs::write(at("whole.gguf"), b"GGUF...").unwrap();
    std::fs::write(at("cut.gguf"), b"<html>").unwrap();
    std::fs::write(at("notes.txt"), b"hello").unwrap();
    for (name, words) in [
        ("checkpoint", "\"transformers\""),
        ("", "the .gguf file itself"),
        ("whole.gguf", "\"llama-cpp\""),
        ("cut.gguf", "damaged"),
        ("notes.txt", "name a .gguf file"),
    ] {
        let error = BackendError::NotAModel {
            path: at(name),
            expected: "other",
            found: text("something"),
        };
        let found = hints(&error);
        assert!(found[0].contains(words), "{name}: {found:?}");
    }
}
