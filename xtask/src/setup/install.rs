//! Installs what is missing, with the system's package manager or from `PyPI`.

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::find::{Host, Need};
use crate::process;
use crate::workspace::Workspace;

/// How to get root's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// This process is root.
    Root,
    /// `sudo` works without a password.
    Sudo,
    /// `sudo` may ask for a password: there is a terminal.
    Asking,
    /// Root's rights are not available.
    None,
}

impl Rights {
    fn current(host: &Host) -> Self {
        let id = host.program("id");
        let id = id.and_then(|path| process::capture(Command::new(path).arg("-u")).ok());
        if id.is_some_and(|id| id.trim() == "0") {
            return Self::Root;
        }
        let Some(sudo) = host.program("sudo") else {
            return Self::None;
        };
        if process::capture(Command::new(sudo).args(["-n", "true"])).is_ok() {
            Self::Sudo
        } else if std::io::stdin().is_terminal() {
            Self::Asking
        } else {
            Self::None
        }
    }
}

/// A known package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu.
    Apt,
    /// macOS.
    Brew,
    /// Fedora.
    Dnf,
    /// Arch.
    Pacman,
    /// None of these.
    Unknown,
}

impl Manager {
    /// The package manager of a host.
    pub fn of(host: &Host) -> Self {
        let has = |name| host.program(name).is_some();
        match () {
            () if host.macos && has("brew") => Self::Brew,
            () if has("apt-get") => Self::Apt,
            () if has("dnf") => Self::Dnf,
            () if has("pacman") => Self::Pacman,
            () if host.macos || has("brew") => Self::Brew,
            () => Self::Unknown,
        }
    }

    fn package(self, need: Need) -> &'static str {
        match (self, need) {
            (Self::Apt, Need::Compiler) => "g++",
            (Self::Apt, Need::Libclang) => "libclang-dev",
            (Self::Dnf, Need::Compiler) => "gcc-c++",
            (Self::Dnf, Need::Libclang) => "clang-devel",
            (Self::Brew, Need::Libclang) => "llvm",
            (_, Need::Compiler) => "gcc",
            (_, Need::Libclang) => "clang",
            (_, Need::BuildTool) => "make",
            (_, Need::Cmake) => "cmake",
        }
    }

    fn packages(self, missing: &[Need]) -> Vec<&'static str> {
        missing.iter().map(|need| self.package(*need)).collect()
    }

    /// The command that the user can type.
    pub fn advice(self, missing: &[Need]) -> String {
        let packages = self.packages(missing).join(" ");
        match self {
            Self::Apt => format!("sudo apt-get update && sudo apt-get install -y {packages}"),
            Self::Brew => format!("brew install {packages}"),
            Self::Dnf => format!("sudo dnf install -y {packages}"),
            Self::Pacman => format!("sudo pacman -S --needed {packages}"),
            Self::Unknown => {
                let names: Vec<_> = missing.iter().map(|need| need.name()).collect();
                format!(
                    "(install with this system's packages: {})",
                    names.join(", ")
                )
            }
        }
    }
}

/// A way to install missing tools.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Run `apt-get` with these rights.
    Apt(Rights),
    /// Run `brew`.
    Brew,
    /// Let the user run the package manager.
    Hand,
}

/// Chooses among the ways that a system offers.
pub fn plan(manager: Manager, brew: bool, rights: Rights) -> Plan {
    match manager {
        Manager::Apt if rights != Rights::None => Plan::Apt(rights),
        Manager::Brew if brew => Plan::Brew,
        _ => Plan::Hand,
    }
}

/// Installs with the package manager, if that is possible without a prompt.
///
/// Returns whether anything was tried; the caller must look for the tools again.
pub fn with_manager(workspace: &Workspace, host: &Host, missing: &[Need]) -> bool {
    let manager = Manager::of(host);
    let plan = plan(
        manager,
        host.program("brew").is_some(),
        Rights::current(host),
    );
    let packages = manager.packages(missing);
    let result = match &plan {
        Plan::Apt(rights) => apt(workspace, host, *rights, &packages),
        Plan::Brew => {
            println!("   brew install {}", packages.join(" "));
            let mut command = workspace.command("brew");
            process::run(command.arg("install").args(&packages))
        }
        Plan::Hand => return false,
    };
    if let Err(error) = result {
        println!("   note: {error:#}");
    }
    true
}

fn apt(workspace: &Workspace, host: &Host, rights: Rights, packages: &[&str]) -> Result<()> {
    let install = || {
        let args = ["install", "-y", "--no-install-recommends"];
        apt_get(workspace, rights, &[&args[..], packages].concat())
    };
    println!("   apt-get install {}", packages.join(" "));
    if has_package_lists(&host.root) && install().is_ok() {
        return Ok(());
    }
    apt_get(workspace, rights, &["update"])?;
    install()
}

/// Updates apt's lists of packages.
pub fn update_apt(workspace: &Workspace, host: &Host) -> Result<()> {
    apt_get(workspace, Rights::current(host), &["update"])
}

fn apt_get(workspace: &Workspace, rights: Rights, args: &[&str]) -> Result<()> {
    let mut command = if rights == Rights::Root {
        workspace.command("apt-get")
    } else {
        let mut command = workspace.command("sudo");
        if rights != Rights::Asking {
            command.arg("-n");
        }
        // sudo drops the environment.
        command.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    };
    if rights == Rights::Asking {
        command.stdin(Stdio::inherit());
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
        .args(["-qq", "-o", "DPkg::Lock::Timeout=120"])
        .args(args);
    // dpkg prints each file; errors are still shown.
    command.stdout(Stdio::null());
    process::run(&mut command)
}

/// Returns whether apt knows any package; images are often shipped without its lists.
fn has_package_lists(root: &Path) -> bool {
    fs::read_dir(root.join("var/lib/apt/lists"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

/// The `PyPI` package for a tool, in a tested version; `None` for a compiler.
fn python_package(need: Need) -> Option<&'static str> {
    match need {
        Need::Compiler => None,
        Need::BuildTool => Some("ninja==1.13.*"),
        Need::Cmake => Some("cmake>=3.28,<5"),
        Need::Libclang => Some("libclang==18.1.1"),
    }
}

/// Installs into our own Python environment, which needs no special rights.
pub fn with_python(
    workspace: &Workspace,
    host: &Host,
    venv: &Path,
    missing: &[Need],
) -> Result<()> {
    let Some(packages) = missing
        .iter()
        .map(|need| python_package(*need))
        .collect::<Option<Vec<_>>>()
    else {
        bail!("PyPI has no C++ compiler");
    };
    let packages: Vec<OsString> = packages.into_iter().map(Into::into).collect();
    pip(workspace, host, venv, &packages)
}

/// Runs `pip install` in our own Python environment, which is created if necessary.
pub fn pip(workspace: &Workspace, host: &Host, venv: &Path, arguments: &[OsString]) -> Result<()> {
    let python = host
        .program("python3")
        .context("there is no python3 to install from PyPI with")?;
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.display().to_string())
        .collect();
    println!("   pip install {}", words.join(" "));
    if !venv.join("bin/pip").is_file() {
        let mut create = workspace.command(python);
        create.args(["-m", "venv", "--clear"]).arg(venv);
        process::capture(&mut create)?;
    }
    let mut pip = workspace.command(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    process::capture(pip.args(arguments))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Need] = &[Need::Compiler, Need::BuildTool, Need::Cmake, Need::Libclang];

    #[test]
    fn only_apt_with_rights_and_brew_are_run() {
        let cases = [
            (Manager::Apt, Rights::Root, Plan::Apt(Rights::Root)),
            (Manager::Apt, Rights::Asking, Plan::Apt(Rights::Asking)),
            (Manager::Apt, Rights::None, Plan::Hand),
            (Manager::Dnf, Rights::Root, Plan::Hand),
            (Manager::Pacman, Rights::Sudo, Plan::Hand),
            (Manager::Unknown, Rights::Root, Plan::Hand),
        ];
        for (manager, rights, expected) in cases {
            assert_eq!(plan(manager, false, rights), expected, "{manager:?}");
        }
        assert_eq!(plan(Manager::Brew, true, Rights::None), Plan::Brew);
        assert_eq!(plan(Manager::Brew, false, Rights::None), Plan::Hand);
    }

    #[test]
    fn the_advice_names_only_what_is_missing() {
        let advice = Manager::Apt.advice(&[Need::Cmake, Need::Libclang]);
        assert!(
            advice.ends_with("install -y cmake libclang-dev"),
            "{advice}"
        );
        let advice = Manager::Dnf.advice(ALL);
        assert!(
            advice.ends_with("gcc-c++ make cmake clang-devel"),
            "{advice}"
        );
        assert!(Manager::Unknown.advice(ALL).contains("C++ compiler"));
    }

    #[test]
    fn package_lists_are_looked_for() {
        let root = tempfile::tempdir().unwrap();
        assert!(!has_package_lists(root.path()));
        let lists = root.path().join("var/lib/apt/lists");
        fs::create_dir_all(lists.join("partial")).unwrap();
        assert!(!has_package_lists(root.path()));
        fs::write(lists.join("main_binary-amd64_Packages.lz4"), "").unwrap();
        assert!(has_package_lists(root.path()));
    }

    #[test]
    fn a_compiler_cannot_come_from_pypi() {
        assert!(python_package(Need::Compiler).is_none());
        assert!(ALL[1..].iter().all(|need| python_package(*need).is_some()));
    }
}
