//! The table of faults in `ARCHITECTURE.md` names tests that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const HEADING: &str = "## What breaks, and what survives";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tests of the files below a folder, by the file's name.
fn collect(folder: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let tests = found.entry(name).or_default();
        let mut is_test = false;
        for line in fs::read_to_string(&path).unwrap().lines() {
            let line = line.trim();
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if line.starts_with("fn ") || line.starts_with("async fn ") {
                let name = line.trim_start_matches("async ").trim_start_matches("fn ");
                if is_test {
                    tests.push(name.split('(').next().unwrap_or_default().to_owned());
                }
                is_test = false;
            }
        }
    }
}

/// The rows of the matrix, each with its cells.
fn rows() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once(HEADING).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

#[test]
fn every_test_that_the_fault_matrix_names_exists() {
    let mut tests = BTreeMap::new();
    collect(&root().join("tests"), &mut tests);
    collect(&root().join("src"), &mut tests);
    collect(&root().join("crates"), &mut tests);
    let rows = rows();
    assert!(rows.len() > 10, "the matrix is found");
    let mut wrong = Vec::new();
    for row in rows {
        let [fault, .., named] = &row[..] else {
            panic!("{row:?}");
        };
        assert_eq!(row.len(), 4, "{row:?}");
        let names: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            wrong.push(format!("{fault}: names no test"));
        }
        for name in names {
            let Some((file, test)) = name.split_once("::") else {
                wrong.push(format!("{fault}: {name} names no file"));
                continue;
            };
            let known = tests.get(file).into_iter().flatten();
            let mut known = known.map(String::as_str);
            let exists = match test.strip_suffix('…') {
                // Short enough to mean anything is no name.
                Some(start) => start.len() >= 8 && known.any(|known| known.starts_with(start)),
                None => known.any(|known| known == test),
            };
            if !exists {
                wrong.push(format!("{fault}: there is no test {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
