//! Finds libclang and the headers that it needs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Host, children, file_name};
use crate::process;

/// The libclang that bindgen loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libclang {
    /// The folder that contains it.
    pub folder: PathBuf,
    /// Whether bindgen finds it without a change to `LIBCLANG_PATH`.
    pub by_itself: bool,
}

/// Folders that clang-sys searches, in the same order.
const FOLDERS_LINUX: &[&str] = &[
    "/usr/local/llvm*/lib*",
    "/usr/local/lib*/*/*",
    "/usr/local/lib*/*",
    "/usr/local/lib*",
    "/usr/lib*/*/*",
    "/usr/lib*/*",
    "/usr/lib*",
];

const FOLDERS_MACOS: &[&str] = &[
    "/usr/local/opt/llvm*/lib/llvm*/lib",
    "/Library/Developer/CommandLineTools/usr/lib",
    "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    "/usr/local/opt/llvm*/lib",
];

/// Folders that packages install to, but clang-sys does not search.
const FOLDERS_MORE: &[&str] = &[
    "/opt/homebrew/opt/llvm*/lib",
    "/home/linuxbrew/.linuxbrew/opt/llvm*/lib",
    "/opt/local/libexec/llvm*/lib",
    "/opt/llvm*/lib",
];

pub(super) fn find_libclang(host: &Host, venv: &Path) -> Option<Libclang> {
    let here = |folder: &Path| holds_libclang(folder, host.macos);
    let set = host.var("LIBCLANG_PATH").map(Path::new);
    if let Some(path) = set {
        if here(path) {
            return Some(Libclang {
                folder: path.into(),
                by_itself: true,
            });
        }
        if path.is_file() && file_name(path).is_some_and(|n| is_libclang(n, host.macos)) {
            return Some(Libclang {
                folder: path.parent()?.into(),
                by_itself: true,
            });
        }
    }

    let mut usual = llvm_config_folders(host);
    for variable in ["LD_LIBRARY_PATH", "LIBRARY_PATH"] {
        usual.extend(host.var(variable).into_iter().flat_map(env::split_paths));
    }
    let patterns = if host.macos {
        FOLDERS_MACOS
    } else {
        FOLDERS_LINUX
    };
    let searched = patterns.iter().flat_map(|pattern| host.expand(pattern));
    if let Some(folder) = usual.into_iter().chain(searched).find(|path| here(path)) {
        // If the variable names another folder, bindgen does not search this one.
        return Some(Libclang {
            folder,
            by_itself: set.is_none(),
        });
    }
    let more = FOLDERS_MORE.iter().flat_map(|pattern| host.expand(pattern));
    let own = children(&venv.join("lib"), "python");
    let own = own
        .into_iter()
        .map(|python| python.join("site-packages/clang/native"));
    let folder = more.chain(own).find(|path| here(path))?;
    Some(Libclang {
        folder,
        by_itself: false,
    })
}

fn llvm_config_folders(host: &Host) -> Vec<PathBuf> {
    let name = host
        .var("LLVM_CONFIG_PATH")
        .unwrap_or(OsStr::new("llvm-config"));
    let prefix = host
        .program(name)
        .and_then(|path| process::capture(Command::new(path).arg("--prefix")).ok());
    let Some(prefix) = prefix.as_deref().map(str::trim) else {
        return Vec::new();
    };
    ["bin", "lib", "lib64"]
        .iter()
        .map(|folder| Path::new(prefix).join(folder))
        .collect()
}

fn holds_libclang(folder: &Path, macos: bool) -> bool {
    children(folder, "libclang")
        .iter()
        // An incomplete removal may leave a dangling link.
        .any(|path| file_name(path).is_some_and(|n| is_libclang(n, macos)) && path.exists())
}

/// Whether bindgen would load a file of this name.
pub(super) fn is_libclang(name: &str, macos: bool) -> bool {
    if macos {
        return name == "libclang.dylib";
    }
    // `libclang-cpp.so` is another library.
    name.strip_prefix("libclang")
        .filter(|rest| rest.starts_with(['.', '-']) && !rest.contains("-cpp."))
        .is_some_and(|rest| format!("{rest}.").contains(".so."))
}

/// Whether clang's own headers (such as `stddef.h`) are where libclang looks for them.
///
/// Some packages of libclang come without headers. Those of the C compiler can replace them.
pub(super) fn has_clang_headers(host: &Host, folder: &Path) -> bool {
    let beside = [folder.join("clang"), folder.join("../lib/clang")];
    let mut versions: Vec<_> = beside.iter().flat_map(|path| children(path, "")).collect();
    if folder.starts_with(host.root.join("usr")) {
        for pattern in ["/usr/lib*/clang/*", "/usr/lib/llvm*/lib/clang/*"] {
            versions.extend(host.expand(pattern));
        }
    }
    host.macos
        || versions
            .iter()
            .any(|version| version.join("include/stddef.h").is_file())
}

/// The folder of the C compiler's headers.
pub(super) fn gcc_headers(host: &Host) -> Option<PathBuf> {
    ["gcc", "cc"].iter().find_map(|name| {
        let mut command = Command::new(host.program(name)?);
        let answer = process::capture(command.arg("-print-file-name=include")).ok()?;
        Some(PathBuf::from(answer.trim())).filter(|path| path.join("stddef.h").is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_those_that_bindgen_loads() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so.14.0.6",
            "libclang-14.so",
        ] {
            assert!(is_libclang(name, false), "{name}");
        }
        for name in [
            "libclang-cpp.so.14",
            "libclang.a",
            "libclangBasic.so",
            "libclang.dylib",
        ] {
            assert!(!is_libclang(name, false), "{name}");
        }
        assert!(is_libclang("libclang.dylib", true));
    }
}
