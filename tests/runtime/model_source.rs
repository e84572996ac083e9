//! Which model paths are files, folders, ids of the Hugging Face Hub, or mistakes.

use std::fs;
use std::path::Path;

use elpis::settings::{ModelSource, SettingsError, parse_model_source};

#[test]
fn model_paths_and_ids_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    fs::write(&file, b"GGUF").unwrap();
    let parse = |text: &str| parse_model_source(text);
    assert_eq!(
        parse(file.to_str().unwrap()).unwrap(),
        ModelSource::File(file.clone())
    );
    let path = folder.path().to_str().unwrap();
    assert_eq!(
        parse(path).unwrap(),
        ModelSource::Folder(folder.path().to_owned())
    );
    // A folder of this crate that reads like an id.
    assert!(Path::new("src/settings").is_dir());
    assert_eq!(
        parse("src/settings").unwrap(),
        ModelSource::Folder("src/settings".into())
    );

    let hub = |repo: &str, file: Option<&str>| ModelSource::Hub {
        repo: repo.to_owned(),
        file: file.map(str::to_owned),
    };
    assert_eq!(parse("org/name").unwrap(), hub("org/name", None));
    assert_eq!(
        parse("Org-1/na.me_2:q/file-Q8_0.gguf").unwrap(),
        hub("Org-1/na.me_2", Some("q/file-Q8_0.gguf"))
    );
    assert_eq!(
        parse("org/name:f.gguf").unwrap().to_string(),
        "org/name:f.gguf"
    );

    for missing in [
        "./x/y",
        "../x/y",
        "/x/y",
        "~/x.gguf",
        "models/x.gguf",
        "a/b/c",
        "x.gguf",
    ] {
        let error = parse(missing).unwrap_err();
        assert!(
            matches!(&error, SettingsError::MissingModel { .. }),
            "{missing}: {error}"
        );
        assert_eq!(error.to_string(), format!("there is no model at {missing}"));
    }
    for invalid in [
        "",
        " ",
        "name",
        "org/",
        "org/na me",
        "org/name:",
        "org/name:../x.gguf",
        "org/name:/x",
        "a/b/c:d",
    ] {
        assert!(parse(invalid).is_err(), "{invalid}");
    }
    assert_eq!(parse("name").unwrap_err().kind(), "invalid-model");
}
