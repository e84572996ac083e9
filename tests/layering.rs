//! The layers of `ARCHITECTURE.md`, read off the `use` lines of the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module's layer; a module may use its own layer and those below.
const LAYERS: &[(&str, u32)] = &[
    ("cursor", 0),
    ("gguf", 0),
    ("lfs", 0),
    ("printable", 0),
    ("emotion", 0),
    ("steering", 0),
    ("inference", 0),
    ("appraisal", 1),
    ("clock", 1),
    ("settings", 1),
    ("hub", 1),
    ("backend", 1),
    ("store", 1),
    ("error", 1),
    ("event", 1),
    ("scheduler", 2),
    ("telemetry", 2),
    ("training", 2),
    ("bus", 3),
    ("actors", 4),
    ("runtime", 5),
    ("soak", 6),
    ("cli", 6),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The module of a source file, and its path below `src`.
fn module_of(path: &Path) -> Option<(String, String)> {
    let relative = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = relative.iter().next()?.to_str()?;
    let module = first.trim_end_matches(".rs");
    let known = LAYERS.iter().any(|(name, _)| *name == module);
    known.then(|| (module.to_owned(), relative.display().to_string()))
}

fn layer(module: &str) -> Option<u32> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// The crate modules that a line names, in `use` lines and in paths.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, found)| {
        let rest = &line[at + found.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn code_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 30, "the sources are found");
    found
}

#[test]
fn imports_run_downwards() {
    let mut wrong = Vec::new();
    for path in all_sources() {
        let Some((module, file)) = module_of(&path) else {
            continue;
        };
        for line in code_lines(&path) {
            for name in named(&line) {
                if layer(name) > layer(&module) {
                    wrong.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_runtimes_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 5] = [
        ("llama_cpp_2", &["backend"]),
        ("llama_cpp_sys_2", &["backend"]),
        ("ractor", &["actors", "runtime"]),
        ("notify::", &["actors"]),
        ("rusqlite", &["store"]),
    ];
    let mut wrong = Vec::new();
    for path in all_sources() {
        let Some((module, file)) = module_of(&path) else {
            continue;
        };
        for line in code_lines(&path) {
            for (name, allowed) in rooms {
                if line.contains(name) && !allowed.contains(&module.as_str()) {
                    wrong.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_lives_in_the_backends() {
    for path in all_sources() {
        let allows = code_lines(&path)
            .iter()
            .any(|line| line.contains("allow(unsafe_code)"));
        let file = path.display().to_string();
        assert!(!allows || file.contains("/backend/"), "{file}");
    }
}
