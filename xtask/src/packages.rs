//! The published crates, in the order of publication.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// A crate that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub folder: PathBuf,
    /// Whether it has a library, and so a public API.
    pub library: bool,
    /// Cargo's arguments for its features on docs.rs.
    pub docs_rs: Vec<String>,
    /// Published crates of the workspace that it depends on.
    needs: BTreeSet<String>,
}

impl Package {
    /// The name under which Rust code imports it.
    pub fn import_name(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// Asks cargo for all published crates; each one follows its dependencies.
pub fn published(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut command = workspace.command(&workspace.cargo);
    command.args(["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut command)?)?;
    in_order(read(&metadata)?)
}

fn read(metadata: &Value) -> Result<Vec<Package>> {
    let all = metadata["packages"].as_array().context("no packages")?;
    // An empty list of registries is `publish = false`.
    let published: Vec<_> = all
        .iter()
        .filter(|package| package["publish"].as_array().is_none_or(|r| !r.is_empty()))
        .collect();
    let names: BTreeSet<_> = published
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    published
        .iter()
        .map(|package| {
            let text = |key: &str| {
                let value = package[key].as_str();
                value.with_context(|| format!("cargo metadata has no `{key}` of a package"))
            };
            let manifest = PathBuf::from(text("manifest_path")?);
            Ok(Package {
                name: text("name")?.to_owned(),
                version: text("version")?.to_owned(),
                folder: manifest
                    .parent()
                    .context("a manifest has no folder")?
                    .into(),
                library: list(&package["targets"])
                    .any(|target| list(&target["kind"]).any(|kind| kind == "lib")),
                docs_rs: docs_rs(&package["metadata"]["docs"]["rs"]),
                needs: list(&package["dependencies"])
                    .filter(|dependency| dependency["kind"].is_null())
                    .filter_map(|dependency| dependency["name"].as_str())
                    .filter(|name| names.contains(name))
                    .map(str::to_owned)
                    .collect(),
            })
        })
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Cargo's arguments for `[package.metadata.docs.rs]`.
fn docs_rs(metadata: &Value) -> Vec<String> {
    let mut args = Vec::new();
    if metadata["no-default-features"] == true {
        args.push("--no-default-features".to_owned());
    }
    if metadata["all-features"] == true {
        args.push("--all-features".to_owned());
    }
    let features: Vec<_> = list(&metadata["features"])
        .filter_map(Value::as_str)
        .collect();
    if !features.is_empty() {
        args.push(format!("--features={}", features.join(",")));
    }
    args
}

fn in_order(mut packages: Vec<Package>) -> Result<Vec<Package>> {
    let mut ordered: Vec<Package> = Vec::new();
    while !packages.is_empty() {
        let known = |name: &String| ordered.iter().any(|package| package.name == *name);
        let Some(next) = packages.iter().position(|p| p.needs.iter().all(known)) else {
            let names: Vec<_> = packages.iter().map(|p| p.name.as_str()).collect();
            bail!("these crates need one another: {}", names.join(", "));
        };
        ordered.push(packages.remove(next));
    }
    Ok(ordered)
}

/// Packs every crate without building it and checks the contents of each package.
pub fn pack(workspace: &Workspace, packages: &[Package]) -> Result<()> {
    let mut command = workspace.cargo("package");
    // Only a release checks for uncommitted changes.
    command.args(["--no-verify", "--offline", "--allow-dirty"]);
    for package in packages {
        command.arg(format!("--package={}", package.name));
    }
    // Cargo warns about every test and benchmark that is left out.
    process::capture(&mut command)?;
    for package in packages {
        let mut list = workspace.command(&workspace.cargo);
        list.args([
            "package",
            "--list",
            "--offline",
            "--allow-dirty",
            "--package",
        ]);
        let files = process::capture(list.arg(&package.name))?;
        let files: Vec<_> = files.lines().collect();
        check(package, &files)?;
    }
    Ok(())
}

/// Checks the files of a package: its README and both licences must be there, and files that only a
/// checkout needs must not.
fn check(package: &Package, files: &[&str]) -> Result<()> {
    for needed in ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
        ensure!(
            files.contains(&needed),
            "the package {} lacks {needed}",
            package.name
        );
    }
    let folders = ["benches/", "deploy/", "fuzz/", "tests/", "tools/", "xtask/"];
    let pictures = [".svg", ".png"];
    for file in files {
        let stray = folders.iter().any(|folder| file.starts_with(folder))
            || pictures.iter().any(|ending| file.ends_with(ending));
        ensure!(!stray, "the package {} holds {file}", package.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> Value {
        let dependency = |name: &str, kind: Value| json!({"name": name, "kind": kind});
        let package = |name: &str, dependencies: Vec<Value>, publish: Value| {
            json!({
                "name": name,
                "version": "0.1.0",
                "manifest_path": format!("/w/{name}/Cargo.toml"),
                "publish": publish,
                "targets": [{"kind": ["lib"]}, {"kind": ["test"]}],
                "dependencies": dependencies,
                "metadata": {"docs": {"rs": {"features": ["a", "b"]}}},
            })
        };
        let on = |name: &str| dependency(name, Value::Null);
        let dev = |name: &str| dependency(name, json!("dev"));
        json!({"packages": [
            package("top", vec![on("middle"), on("serde"), dev("kit")], Value::Null),
            package("middle", vec![on("base"), dev("top")], Value::Null),
            package("base", vec![], Value::Null),
            package("kit", vec![on("top")], json!([])),
        ]})
    }

    #[test]
    fn crates_follow_what_they_need() {
        let packages = in_order(read(&metadata()).unwrap()).unwrap();
        let names: Vec<_> = packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["base", "middle", "top"]);
        assert!(packages[0].library);
        assert_eq!(packages[0].docs_rs, ["--features=a,b"]);
        assert_eq!(packages[0].folder, PathBuf::from("/w/base"));
    }

    #[test]
    fn crates_that_need_one_another_are_refused() {
        let mut packages = read(&metadata()).unwrap();
        packages[2].needs.insert("top".to_owned());
        let error = in_order(packages).unwrap_err().to_string();
        assert!(error.contains("top, middle, base"), "{error}");
    }

    #[test]
    fn packages_hold_what_they_must_and_nothing_else() {
        let package = &read(&metadata()).unwrap()[0];
        let files = [
            "Cargo.toml",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "src/lib.rs",
        ];
        check(package, &files).unwrap();
        assert!(check(package, &files[1..]).is_err());
        for stray in ["tests/a.rs", "docs/a.svg"] {
            let error = check(package, &[&files[..], &[stray]].concat()).unwrap_err();
            assert!(error.to_string().contains(stray), "{error}");
        }
    }
}
