//! No file imports, by whatever way, one that imports it. A file and the folder of its parts count
//! as one another's own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// The modules of a crate with their files.
fn modules(root: &Path) -> BTreeMap<Module, PathBuf> {
    fn visit(folder: &Path, of: &[String], found: &mut BTreeMap<Module, PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut module = of.to_vec();
            if path.is_dir() {
                module.push(name);
                visit(&path, &module, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                if !["lib", "main"].contains(&name.as_str()) {
                    module.push(name);
                }
                found.insert(module, path);
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(root, &[], &mut found);
    found
}

/// What the `use` lines of a file name, outside of its tests and comments.
fn uses(text: &str) -> Vec<Module> {
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let code: Vec<_> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].lines().next_back().unwrap_or_default();
        let begins = code[..at].ends_with('\n') || before.trim_start().starts_with("pub");
        let Some((tree, _)) = code[at + 4..].split_once(';') else {
            continue;
        };
        if begins || before.trim().is_empty() {
            flatten(&[], tree, &mut found);
        }
    }
    found
}

/// The paths of a tree of imports.
fn flatten(before: &[String], tree: &str, found: &mut Vec<Module>) {
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, Some(group.trim_end().trim_end_matches('}'))),
        None => (tree, None),
    };
    let mut whole = before.to_vec();
    let names = path
        .split("::")
        .map(str::trim)
        .filter(|name| !name.is_empty());
    whole.extend(names.map(|name| {
        name.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    }));
    let Some(group) = group else {
        found.push(whole);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flatten(&whole, &group[start..at], found);
                start = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
}

/// The module that a path leads to from another.
fn resolved(from: &[String], path: &[String], known: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let mut path = path.iter().map(String::as_str).peekable();
    let mut at: Module = match path.peek().copied()? {
        "crate" => {
            path.next();
            Vec::new()
        }
        "self" => {
            path.next();
            from.to_vec()
        }
        "super" => {
            let mut at = from.to_vec();
            while path.next_if_eq(&"super").is_some() {
                at.pop()?;
            }
            at
        }
        _ => return None,
    };
    for name in path {
        at.push(name.to_owned());
        if !known.contains_key(&at) {
            at.pop();
            break;
        }
    }
    known.contains_key(&at).then_some(at)
}

/// A circle, if there is one.
fn circle(graph: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    fn visit<'g>(
        at: &'g Module,
        graph: &'g BTreeMap<Module, BTreeSet<Module>>,
        way: &mut Vec<&'g Module>,
        done: &mut BTreeSet<&'g Module>,
    ) -> Option<Vec<String>> {
        if let Some(begin) = way.iter().position(|module| *module == at) {
            return Some(
                way[begin..]
                    .iter()
                    .map(|module| module.join("::"))
                    .collect(),
            );
        }
        if done.contains(at) {
            return None;
        }
        way.push(at);
        for next in graph.get(at).into_iter().flatten() {
            if let Some(found) = visit(next, graph, way, done) {
                return Some(found);
            }
        }
        way.pop();
        done.insert(at);
        None
    }
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|at| visit(at, graph, &mut Vec::new(), &mut done))
}

#[test]
fn no_crate_imports_in_a_circle() {
    let mut edges = 0;
    let crates = super::crates::CRATES.iter().map(|(name, _)| *name);
    let folders = crates.map(super::crates::folder).chain(
        ["benches/engine", "xtask"].map(|folder| super::crates::folder("elpis").join(folder)),
    );
    for folder in folders {
        let known = modules(&folder.join("src"));
        let mut graph: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, file) in &known {
            if module.last().is_some_and(|last| last == "tests") {
                continue;
            }
            let text = fs::read_to_string(file).unwrap();
            let targets = uses(&text);
            let targets = targets
                .iter()
                .filter_map(|path| resolved(module, path, &known));
            let own = |target: &Module| target.starts_with(module) || module.starts_with(target);
            let targets: BTreeSet<_> = targets.filter(|target| !own(target)).collect();
            edges += targets.len();
            graph.insert(module.clone(), targets);
        }
        assert_eq!(circle(&graph), None, "in {}", folder.display());
    }
    assert!(edges > 500, "only {edges} imports were found");
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(module(from)).or_default().insert(module(to));
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(found, ["b", "c"]);
    let mut found = Vec::new();
    flatten(&[], "crate::{a::{self, b::C}, d as e}", &mut found);
    let found: Vec<_> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a::self", "crate::a::b::C", "crate::d"]);
}
