//! libtorch for the feature `transformers`, and a Python that the tests compare with.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::find::Host;
use super::install;
use crate::process;
use crate::workspace::Workspace;

/// The libtorch that the pinned version of `tch` is built for.
const VERSION: &str = "2.11.0";

/// The parts of CUDA that libtorch needs to be loaded, even without a GPU.
const CUDA_PARTS: &str = "cuda-toolkit[cudart,cupti]==13.0.2";

/// The Python packages that tests compare with, pinned.
const REQUIREMENTS: &str = "tests/support/requirements.txt";

/// Prints the folder of torch without importing torch, which takes seconds.
const ASK_PYTHON: &str = "\
import importlib.metadata, importlib.util
print(importlib.metadata.version('torch'))
print(importlib.util.find_spec('torch').submodule_search_locations[0])";

/// An installed libtorch.
#[derive(Debug, PartialEq, Eq)]
pub struct Torch {
    /// The folder with `include` and `lib`.
    pub folder: PathBuf,
    /// Its origin.
    pub origin: Origin,
}

/// The origin of a libtorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The environment names it.
    Named,
    /// It was installed here.
    Ours,
    /// It belongs to the Python on the path.
    Python,
}

/// Looks for libtorch: the one that `LIBTORCH` names, our own, or that of Python.
///
/// # Errors
/// `LIBTORCH` does not name a libtorch of this version.
pub fn find(host: &Host, venv: &Path) -> Result<Option<Torch>> {
    if let Some(named) = host.var("LIBTORCH") {
        let folder = PathBuf::from(named);
        check(&folder, host.macos).context("LIBTORCH does not help")?;
        return Ok(Some(Torch {
            folder,
            origin: Origin::Named,
        }));
    }
    if is_complete(venv, LIBRARY)
        && let Some(folder) = site_packages(venv).map(|site| site.join("torch"))
        && check(&folder, host.macos).is_ok()
    {
        return Ok(Some(Torch {
            folder,
            origin: Origin::Ours,
        }));
    }
    let answer = host
        .program("python3")
        .and_then(|python| process::capture(Command::new(python).args(["-c", ASK_PYTHON])).ok());
    let folder = answer.as_deref().and_then(python_torch);
    Ok(folder
        .filter(|folder| check(folder, host.macos).is_ok())
        .map(|folder| Torch {
            folder,
            origin: Origin::Python,
        }))
}

/// Finds or installs libtorch.
pub fn provide(workspace: &Workspace, host: &Host, venv: &Path) -> Result<Torch> {
    if let Some(torch) = find(host, venv)? {
        return Ok(torch);
    }
    println!("-- setup: missing libtorch {VERSION}; installing it from PyPI (1.3 GB on disk)");
    install_library(workspace, host, venv).with_context(|| {
        format!(
            "libtorch {VERSION} could not be installed; unpack it somewhere and set LIBTORCH to its \
             folder, or leave the feature `transformers` out"
        )
    })?;
    find(host, venv)?.context("libtorch was installed, but is not there")
}

fn install_library(workspace: &Workspace, host: &Host, venv: &Path) -> Result<()> {
    let torch = format!("torch=={VERSION}");
    install::pip(workspace, host, venv, &["--no-deps".into(), torch.into()])?;
    if !host.macos {
        // The wheels for Linux are linked against these.
        install::pip(workspace, host, venv, &[CUDA_PARTS.into()])?;
    }
    mark_complete(venv, LIBRARY, VERSION)
}

/// The Python that tests compare with, if it is installed.
pub fn find_python(workspace: &Workspace, host: &Host, venv: &Path) -> Option<OsString> {
    if let Some(named) = host.var("ELPIS_TEST_PYTHON") {
        return Some(named.to_owned());
    }
    let wanted = fs::read_to_string(workspace.root.join(REQUIREMENTS)).ok()?;
    let installed = fs::read_to_string(mark(venv, PYTHON)).ok()?;
    (installed == wanted).then(|| venv.join("bin/python").into())
}

/// Finds or installs the Python that tests compare with.
pub fn provide_python(workspace: &Workspace, host: &Host, venv: &Path) -> Result<OsString> {
    if let Some(python) = find_python(workspace, host, venv) {
        return Ok(python);
    }
    println!("-- setup: installing the Python packages that tests compare with (5 GB on disk)");
    let requirements = workspace.root.join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    install::pip(workspace, host, venv, &["-r".into(), requirements.into()])?;
    mark_complete(venv, PYTHON, &wanted)?;
    find_python(workspace, host, venv)
        .context("the Python packages were installed, but are not there")
}

/// The part that a marker file records as installed.
const LIBRARY: &str = "libtorch";
const PYTHON: &str = "python";

fn mark(venv: &Path, part: &str) -> PathBuf {
    venv.join(format!("{part}.installed"))
}

fn mark_complete(venv: &Path, part: &str, what: &str) -> Result<()> {
    let path = mark(venv, part);
    fs::write(&path, what).with_context(|| format!("cannot write {}", path.display()))
}

fn is_complete(venv: &Path, part: &str) -> bool {
    fs::read_to_string(mark(venv, part)).is_ok_and(|what| what == VERSION)
}

pub fn site_packages(venv: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(venv.join("lib")).ok()?;
    folders
        .flatten()
        .map(|python| python.path().join("site-packages"))
        .find(|site| site.is_dir())
}

/// Reads Python's answer: the version, then the folder.
fn python_torch(answer: &str) -> Option<PathBuf> {
    let (version, folder) = answer.trim().split_once('\n')?;
    (release(version) == VERSION).then(|| folder.trim().into())
}

/// A version without its build suffix: `2.11.0+cu130` is 2.11.0.
fn release(version: &str) -> &str {
    version.trim().split('+').next().unwrap_or_default()
}

/// Checks that a folder contains the required libtorch.
fn check(folder: &Path, macos: bool) -> Result<()> {
    let library = if macos {
        "lib/libtorch_cpu.dylib"
    } else {
        "lib/libtorch_cpu.so"
    };
    for part in ["include", library] {
        if !folder.join(part).exists() {
            bail!("{} has no {part}", folder.display());
        }
    }
    match version(folder) {
        Some(version) if release(&version) != VERSION => bail!(
            "{} is libtorch {version}; this version of elpis needs {VERSION}",
            folder.display()
        ),
        _ => Ok(()),
    }
}

/// The version of a folder, from a plain libtorch or a Python package.
fn version(folder: &Path) -> Option<String> {
    if let Ok(version) = fs::read_to_string(folder.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split(['\'', '"']).nth(1)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libtorch(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("include")).unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/libtorch_cpu.so"), "").unwrap();
        fs::write(folder.path().join("build-version"), version).unwrap();
        folder
    }

    fn host(libtorch: Option<&Path>) -> Host {
        let vars = libtorch.map(|path| ("LIBTORCH".to_owned(), path.into()));
        Host {
            root: "/".into(),
            vars: vars.into_iter().collect(),
            macos: false,
        }
    }

    #[test]
    fn a_named_libtorch_wins_if_it_is_the_right_one() {
        let nowhere = Path::new("/nowhere");
        let right = libtorch("2.11.0+cpu\n");
        let found = find(&host(Some(right.path())), nowhere).unwrap().unwrap();
        assert_eq!(found.origin, Origin::Named);
        let old = libtorch("2.4.1");
        let error = find(&host(Some(old.path())), nowhere).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("2.4.1") && error.contains(VERSION),
            "{error}"
        );
        fs::remove_file(right.path().join("lib/libtorch_cpu.so")).unwrap();
        let error = find(&host(Some(right.path())), nowhere).unwrap_err();
        assert!(format!("{error:#}").contains("libtorch_cpu.so"));
    }

    #[test]
    fn an_installation_of_ours_counts_when_it_is_complete() {
        let venv = tempfile::tempdir().unwrap();
        let site = venv.path().join("lib/python3.13/site-packages");
        fs::create_dir_all(&site).unwrap();
        let torch = libtorch("2.11.0");
        fs::rename(torch.path(), site.join("torch")).unwrap();
        assert_eq!(find(&host(None), venv.path()).unwrap(), None);
        mark_complete(venv.path(), LIBRARY, VERSION).unwrap();
        let found = find(&host(None), venv.path()).unwrap().unwrap();
        assert_eq!(found.origin, Origin::Ours);
        assert_eq!(found.folder, site.join("torch"));
        mark_complete(venv.path(), LIBRARY, "2.10.0").unwrap();
        assert_eq!(find(&host(None), venv.path()).unwrap(), None);
    }

    #[test]
    fn pythons_torch_counts_if_the_version_is_right() {
        for (answer, expected) in [
            ("2.11.0\n/site/torch\n", Some("/site/torch")),
            ("2.11.0+cu130\n/site/torch", Some("/site/torch")),
            ("2.11.1\n/site/torch", None),
            ("2.11.0", None),
            ("", None),
        ] {
            assert_eq!(
                python_torch(answer),
                expected.map(PathBuf::from),
                "{answer}"
            );
        }
    }

    #[test]
    fn the_version_is_read_from_either_file() {
        let folder = libtorch("2.11.0");
        assert_eq!(version(folder.path()).as_deref(), Some("2.11.0"));
        fs::remove_file(folder.path().join("build-version")).unwrap();
        assert_eq!(version(folder.path()), None);
        let text = "from typing import Optional\n__version__ = '2.11.0+cu130'\ndebug = False\n";
        fs::write(folder.path().join("version.py"), text).unwrap();
        assert_eq!(version(folder.path()).as_deref(), Some("2.11.0+cu130"));
    }
}
