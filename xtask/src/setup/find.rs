//! Finds the tools of the native build in the same way as its build script.

mod libclang;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

pub use libclang::Libclang;
use libclang::{find_libclang, gcc_headers, has_clang_headers};

/// The parts of the machine that the set-up reads. Tests use a fake one.
pub struct Host {
    /// `/`, or a folder that stands for it.
    pub root: PathBuf,
    /// Environment variables; an empty one counts as not set.
    pub vars: BTreeMap<String, OsString>,
    /// True where dynamic libraries end in `.dylib`.
    pub macos: bool,
}

impl Host {
    /// This machine.
    pub fn current() -> Self {
        let vars = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(_, value)| !value.is_empty());
        Self {
            root: "/".into(),
            vars: vars.collect(),
            macos: cfg!(target_os = "macos"),
        }
    }

    /// The value of an environment variable.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(name).map(OsString::as_os_str)
    }

    /// Finds a program on this host's `PATH`.
    pub fn program(&self, name: impl AsRef<OsStr>) -> Option<PathBuf> {
        which::which_in(name, self.var("PATH"), &self.root).ok()
    }

    fn expand(&self, pattern: &str) -> Vec<PathBuf> {
        pattern.split('/').filter(|part| !part.is_empty()).fold(
            vec![self.root.clone()],
            |folders, part| {
                folders
                    .iter()
                    .flat_map(|folder| match part.strip_suffix('*') {
                        None => vec![folder.join(part)],
                        Some(prefix) => children(folder, prefix),
                    })
                    .filter(|path| path.is_dir())
                    .collect()
            },
        )
    }
}

/// Entries of a folder that start with `prefix`, in order of their names.
fn children(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| file_name(path).is_some_and(|name| name.starts_with(prefix)))
        .collect();
    found.sort();
    found
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// A tool that the native build requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A C++ compiler.
    Compiler,
    /// `make` or `ninja`.
    BuildTool,
    /// `cmake`.
    Cmake,
    /// The library that bindgen uses to read llama.cpp's headers.
    Libclang,
}

impl Need {
    /// The name shown on the console.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compiler => "C++ compiler",
            Self::BuildTool => "make",
            Self::Cmake => "cmake",
            Self::Libclang => "libclang",
        }
    }
}

/// The tools that were found.
#[derive(Debug, Default)]
pub struct Tools {
    /// A C++ compiler, and whether build scripts use it by default.
    pub compiler: Option<(PathBuf, bool)>,
    /// `make`, `ninja`, and so on.
    pub build_tool: Option<PathBuf>,
    /// `cmake`.
    pub cmake: Option<PathBuf>,
    /// libclang.
    pub libclang: Option<Libclang>,
}

impl Tools {
    /// Searches a host, and then our own Python environment for the tools that the host lacks.
    pub fn find(host: &Host, venv: &Path) -> Self {
        let own = |name: &str| Some(venv.join("bin").join(name)).filter(|path| path.is_file());
        let named = |variable: &str| host.var(variable).and_then(|name| host.program(name));
        let usual = named("CXX").or_else(|| host.program("c++"));
        let other = || host.program("g++").or_else(|| host.program("clang++"));
        Self {
            compiler: usual
                .map(|path| (path, true))
                .or_else(|| Some((other()?, false))),
            build_tool: ["make", "gmake", "ninja"]
                .iter()
                .find_map(|name| host.program(name))
                .or_else(|| own("ninja")),
            cmake: named("CMAKE")
                .or_else(|| host.program("cmake"))
                .or_else(|| own("cmake")),
            libclang: find_libclang(host, venv),
        }
    }

    /// The missing tools.
    pub fn missing(&self) -> Vec<Need> {
        [
            (Need::Compiler, self.compiler.is_none()),
            (Need::BuildTool, self.build_tool.is_none()),
            (Need::Cmake, self.cmake.is_none()),
            (Need::Libclang, self.libclang.is_none()),
        ]
        .into_iter()
        .filter_map(|(need, missing)| missing.then_some(need))
        .collect()
    }

    /// The environment variables that the native build needs to find these tools.
    pub fn environment(&self, host: &Host, venv: &Path) -> Vec<(&'static str, OsString)> {
        let mut env = Vec::new();
        let bin = venv.join("bin");
        let ours = |tool: &Option<PathBuf>| {
            tool.as_ref()
                .is_some_and(|path| path.parent() == Some(&bin))
        };
        if ours(&self.cmake) || ours(&self.build_tool) {
            // Our folder comes last, so that it hides no tool of the host.
            let path = host.var("PATH").unwrap_or_default();
            let folders = env::split_paths(path).chain([bin.clone()]);
            if let Ok(path) = env::join_paths(folders) {
                env.push(("PATH", path));
            }
        }
        if let Some((path, false)) = &self.compiler {
            env.push(("CXX", path.into()));
        }
        let ninja = |path: &PathBuf| file_name(path).is_some_and(|name| name == "ninja");
        if self.build_tool.as_ref().is_some_and(ninja) && host.var("CMAKE_GENERATOR").is_none() {
            env.push(("CMAKE_GENERATOR", "Ninja".into()));
        }
        if let Some(libclang) = &self.libclang {
            if !libclang.by_itself {
                env.push(("LIBCLANG_PATH", libclang.folder.clone().into()));
            }
            let arguments = "BINDGEN_EXTRA_CLANG_ARGS";
            if host.var(arguments).is_none()
                && !has_clang_headers(host, &libclang.folder)
                && let Some(folder) = gcc_headers(host)
            {
                let mut include = OsString::from("-I");
                include.push(folder);
                env.push((arguments, include));
            }
        }
        env
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A host in a folder of its own, whose `PATH` is `bin`.
    fn fake(files: &[&str]) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = folder.path().join("bin").into_os_string();
        let host = Host {
            root: folder.path().into(),
            vars: [("PATH".to_owned(), path)].into(),
            macos: false,
        };
        (folder, host)
    }

    fn names(env: &[(&'static str, OsString)]) -> Vec<&'static str> {
        env.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn a_complete_host_needs_no_environment() {
        let (root, host) = fake(&[
            "bin/c++",
            "bin/make",
            "bin/cmake",
            "usr/lib/llvm-14/lib/libclang-14.so.1",
            "usr/lib/llvm-14/lib/clang/14.0.6/include/stddef.h",
        ]);
        let tools = Tools::find(&host, Path::new("none"));
        assert_eq!(tools.missing(), []);
        let folder = root.path().join("usr/lib/llvm-14/lib");
        assert_eq!(tools.libclang.as_ref().unwrap().folder, folder);
        assert_eq!(names(&tools.environment(&host, Path::new("none"))), [""; 0]);
    }

    #[test]
    fn an_empty_host_lacks_everything() {
        let (_root, host) = fake(&["usr/lib/llvm-14/lib/libclang-cpp.so.14"]);
        let missing = Tools::find(&host, Path::new("none")).missing();
        assert_eq!(
            missing,
            [Need::Compiler, Need::BuildTool, Need::Cmake, Need::Libclang]
        );
    }

    #[test]
    fn our_python_environment_fills_in_and_is_passed_on() {
        let (root, host) = fake(&[
            "bin/clang++",
            "venv/bin/cmake",
            "venv/bin/ninja",
            "venv/lib/python3.11/site-packages/clang/native/libclang.so",
        ]);
        let venv = root.path().join("venv");
        let tools = Tools::find(&host, &venv);
        assert_eq!(tools.missing(), []);
        let env = tools.environment(&host, &venv);
        assert_eq!(
            names(&env),
            ["PATH", "CXX", "CMAKE_GENERATOR", "LIBCLANG_PATH"]
        );
        assert!(Path::new(&env[3].1).ends_with("clang/native"));
        assert!(env[0].1.to_str().unwrap().ends_with("venv/bin"));
    }

    #[test]
    fn a_variable_that_leads_nowhere_is_replaced() {
        let (root, mut host) = fake(&["usr/lib/libclang.so", "elsewhere/libclang.so.17"]);
        host.vars
            .insert("LIBCLANG_PATH".into(), root.path().join("bin").into());
        let found = Tools::find(&host, Path::new("none")).libclang.unwrap();
        assert_eq!(found.folder, root.path().join("usr/lib"));
        assert!(!found.by_itself);

        for good in ["elsewhere", "elsewhere/libclang.so.17"] {
            host.vars
                .insert("LIBCLANG_PATH".into(), root.path().join(good).into());
            let found = Tools::find(&host, Path::new("none")).libclang.unwrap();
            assert_eq!(found.folder, root.path().join("elsewhere"));
            assert!(found.by_itself);
        }
    }

    #[test]
    fn homebrew_needs_the_variable() {
        let (root, mut host) = fake(&["opt/homebrew/opt/llvm/lib/libclang.dylib"]);
        host.macos = true;
        let tools = Tools::find(&host, Path::new("none"));
        let folder = root.path().join("opt/homebrew/opt/llvm/lib");
        let env = tools.environment(&host, Path::new("none"));
        assert_eq!(env, [("LIBCLANG_PATH", folder.into())]);
    }

    #[test]
    fn a_bare_libclang_takes_the_compilers_headers() {
        let (root, host) = fake(&["usr/lib/libclang.so", "inc/stddef.h", "bin/gcc"]);
        let include = root.path().join("inc");
        let script = format!("#!/bin/sh\necho {}\n", include.display());
        fs::write(root.path().join("bin/gcc"), script).unwrap();
        let env = Tools::find(&host, Path::new("none")).environment(&host, Path::new("none"));
        let expected = format!("-I{}", include.display());
        assert_eq!(env, [("BINDGEN_EXTRA_CLANG_ARGS", expected.into())]);
    }
}
