//! The crates and what they may depend on, read off the manifests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Each crate of the library with the crates of the library that it is made of.
pub const CRATES: &[(&str, &[&str])] = &[
    ("elpis-emotion", &[]),
    ("elpis-files", &[]),
    ("elpis-inference", &[]),
    ("elpis-hub", &["files"]),
    ("elpis-steering", &["emotion", "files"]),
    ("elpis-store", &["emotion", "inference"]),
    ("elpis-backend", &["files", "inference", "steering"]),
    ("elpis-llama-cpp", &["backend", "files", "steering"]),
    ("elpis-transformers", &["backend", "files", "steering"]),
    ("elpis-worker", &["backend", "steering"]),
    ("elpis-train", &["backend", "inference", "steering"]),
    (
        "elpis",
        &[
            "backend",
            "emotion",
            "files",
            "hub",
            "inference",
            "llama-cpp",
            "steering",
            "store",
            "train",
            "transformers",
            "worker",
        ],
    ),
    (
        "elpis-testkit",
        &["backend", "emotion", "steering", "store"],
    ),
    ("elpis-server", &[""]),
    ("elpis-cli", &["", "files", "server", "worker"]),
];

/// Libraries that only these crates know.
const ROOMS: &[(&str, &[&str])] = &[
    ("llama-cpp-2", &["elpis-llama-cpp"]),
    ("llama-cpp-sys-2", &["elpis-llama-cpp"]),
    ("tch", &["elpis-transformers"]),
    ("torch-sys", &["elpis-transformers"]),
    ("tokenizers", &["elpis-transformers"]),
    ("rusqlite", &["elpis-store"]),
    ("ureq", &["elpis-hub"]),
    ("minijinja", &["elpis-inference"]),
    ("llguidance", &["elpis-inference"]),
    ("ractor", &["elpis"]),
    ("notify", &["elpis"]),
    ("axum", &["elpis-server"]),
];

/// The crates that may hold `unsafe` code.
const UNSAFE: &[&str] = &[
    "elpis-cli",
    "elpis-llama-cpp",
    "elpis-testkit",
    "elpis-transformers",
    "elpis-worker",
];

/// The whole name of a part; the root has none.
fn named(part: &str) -> String {
    if part.is_empty() {
        return "elpis".to_owned();
    }
    format!("elpis-{part}")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn folder(name: &str) -> PathBuf {
    if name == "elpis" {
        root().to_owned()
    } else {
        root().join("crates").join(name)
    }
}

/// The names of a manifest's dependencies; those of tests are not looked at.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(folder(name).join("Cargo.toml")).unwrap();
    let manifest: Table = manifest.parse().unwrap();
    let mut tables: Vec<&Table> = vec![&manifest];
    let targets = manifest.get("target").and_then(Value::as_table);
    tables.extend(
        targets
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table),
    );
    tables
        .iter()
        .filter_map(|table| table.get("dependencies")?.as_table())
        .flat_map(Table::keys)
        .cloned()
        .collect()
}

#[test]
fn every_crate_is_made_of_what_the_architecture_says() {
    let mut found: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.push("elpis".to_owned());
    found.sort();
    let mut known: Vec<_> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(found, known);

    let mut below = BTreeSet::new();
    for (name, parts) in CRATES {
        let expected: BTreeSet<String> = parts.iter().map(|part| named(part)).collect();
        let own = |name: &String| name.starts_with("elpis");
        let actual: BTreeSet<String> = dependencies(name).into_iter().filter(own).collect();
        assert_eq!(actual, expected, "{name}");
        for part in &expected {
            assert!(below.contains(part), "{name} stands above {part}");
        }
        below.insert((*name).to_owned());
    }
}

#[test]
fn foreign_libraries_stay_in_their_rooms() {
    for (name, _) in CRATES {
        let dependencies = dependencies(name);
        for (library, rooms) in ROOMS {
            let known = dependencies.contains(*library);
            assert_eq!(known, rooms.contains(name), "{library} in {name}");
        }
    }
}

#[test]
fn unsafe_code_lives_in_the_backends() {
    for (name, _) in CRATES {
        let lib = fs::read_to_string(folder(name).join("src/lib.rs")).unwrap();
        let refuses = ["#![forbid(unsafe_code)]", "#![deny(unsafe_code)]"]
            .iter()
            .any(|line| lib.contains(line));
        let allows = sources(&folder(name).join("src"))
            .iter()
            .any(|source| source.contains("allow(unsafe_code"));
        let may = UNSAFE.contains(name);
        assert!(refuses || may, "{name} does not refuse unsafe code");
        assert!(!allows || may, "{name} allows unsafe code");
    }
}

fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn every_crate_says_what_it_is_for() {
    for (name, _) in CRATES {
        let folder = folder(name);
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        let lines = readme.lines().count();
        assert!(lines >= 3, "{name} has no README");
        assert!(
            *name == "elpis" || lines <= 60,
            "the README of {name} is more than a screen"
        );
    }
}
