//! `cargo xtask release`: all checks before a version is published.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::*;

use crate::packages::{self, Package};
use crate::workspace::Workspace;
use crate::{api, process};

/// Shown by `cargo xtask help release`.
pub const HELP: &str = "\
Usage: cargo xtask release [--no-verify]

  --no-verify   pack the crates without building them from their packages

Checks that a version can be published: the tree is clean, all crates have one version that has
no tag yet, CHANGELOG.md has a dated section for it, the public API is the committed one and
breaks nothing that the version promises, and every crate can be packed and published (a dry
run). Publishes nothing: it prints the commands that do, in the order of the dependencies.";

/// Runs the checks.
pub fn command(workspace: &mut Workspace, args: &[OsString]) -> Result<()> {
    let mut verify = true;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("no-verify") => verify = false,
            _ => return Err(arg.unexpected().into()),
        }
    }

    println!("-- the tree is clean");
    let changes = git(workspace, &["status", "--porcelain"])?;
    ensure!(
        changes.is_empty(),
        "there are uncommitted changes:\n{}",
        changes.trim_end()
    );

    let packages = packages::published(workspace)?;
    let version = one_version(&packages)?;
    println!("-- version {version}");
    let tag = format!("v{version}");
    let tags = git(workspace, &["tag", "--list", "v*"])?;
    ensure!(
        !tags.lines().any(|known| known == tag),
        "the tag {tag} is there already"
    );
    let changelog = fs::read_to_string(workspace.root.join("CHANGELOG.md"))?;
    check_changelog(&changelog, version)?;

    println!("-- the public API");
    api::check(workspace)?;
    match newest(&tags) {
        Some(last) => compare(workspace, &packages, &last, version)?,
        None => println!("   no version is tagged: nothing to compare with"),
    }

    println!("-- packages");
    packages::pack(workspace, &packages)?;
    let mut dry_run = workspace.cargo("publish");
    dry_run.arg("--dry-run");
    if !verify {
        dry_run.arg("--no-verify");
    }
    for package in &packages {
        dry_run.arg(format!("--package={}", package.name));
    }
    process::run(&mut dry_run)?;

    println!(
        "\n{version} can be published. What is left to do:\n\n  git tag {tag} && git push origin {tag}"
    );
    for package in &packages {
        println!("  cargo publish --package {}", package.name);
    }
    Ok(())
}

fn git(workspace: &Workspace, args: &[&str]) -> Result<String> {
    process::capture(workspace.command("git").args(args))
}

fn one_version(packages: &[Package]) -> Result<&str> {
    let first = packages.first().context("no crate is published")?;
    for package in packages {
        ensure!(
            package.version == first.version,
            "{} has version {}, {} has {}",
            package.name,
            package.version,
            first.name,
            first.version
        );
    }
    Ok(&first.version)
}

/// Requires a non-empty section `## [1.2.3] - 2026-01-31`.
fn check_changelog(text: &str, version: &str) -> Result<()> {
    let head = format!("## [{version}] - ");
    let Some((_, section)) = text.split_once(&head) else {
        bail!("CHANGELOG.md has no section `{head}DATE`: rename `## [Unreleased]`");
    };
    let (date, section) = section.split_once('\n').unwrap_or((section, ""));
    let shape: String = date
        .trim()
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    ensure!(
        shape == "0000-00-00",
        "the date of {version} in CHANGELOG.md is `{date}`"
    );
    let section = section.split("\n## ").next().unwrap_or_default();
    ensure!(
        section.contains("\n- "),
        "CHANGELOG.md says nothing of {version}"
    );
    Ok(())
}

/// The numbers of a version; a suffix after a hyphen is ignored.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let release = version.split('-').next()?;
    let mut parts = release.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The newest version among tags such as `v1.2.3`.
fn newest(tags: &str) -> Option<String> {
    let versions = tags.lines().filter_map(|tag| tag.strip_prefix('v'));
    versions
        .filter(|version| numbers(version).is_some())
        .max_by_key(|version| numbers(version))
        .map(str::to_owned)
}

/// Compares each crate's API with that of the last tag.
fn compare(workspace: &Workspace, packages: &[Package], last: &str, version: &str) -> Result<()> {
    if breaks_allowed(last, version)? {
        return Ok(());
    }
    let mut gone = Vec::new();
    for package in packages.iter().filter(|package| package.library) {
        let path = format!("{}/{}.txt", api::FOLDER, package.name);
        // A new crate has no API to break.
        let Ok(before) = git(workspace, &["show", &format!("v{last}:{path}")]) else {
            continue;
        };
        let now = fs::read_to_string(workspace.root.join(&path)).unwrap_or_default();
        let lines = api::difference(&before, &now);
        gone.extend(lines.into_iter().filter(|line| line.starts_with('-')));
    }
    ensure!(
        gone.is_empty(),
        "{version} takes away what {last} promised:\n  {}",
        gone.join("\n  ")
    );
    Ok(())
}

/// Returns whether a version may break the API of an earlier one: the leftmost number that is not 0
/// must have increased.
fn breaks_allowed(last: &str, version: &str) -> Result<bool> {
    let parse = |text: &str| numbers(text).with_context(|| format!("`{text}` is no version"));
    let (last, version) = (parse(last)?, parse(version)?);
    ensure!(
        version > last,
        "the last version was {}.{}.{}",
        last[0],
        last[1],
        last[2]
    );
    let leading = last.iter().position(|number| *number != 0).unwrap_or(2);
    Ok(version[..=leading] != last[..=leading])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_needs_a_dated_section_with_entries() {
        let good =
            "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n### Added\n\n- A.\n";
        check_changelog(good, "0.2.0").unwrap();
        for bad in [
            "# Changelog\n\n## [Unreleased]\n\n- A.\n",
            "## [0.2.0] - soon\n\n- A.\n",
            "## [0.2.0] - 2026-01-31\n\n## [0.1.0] - 2026-01-01\n\n- A.\n",
        ] {
            assert!(check_changelog(bad, "0.2.0").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_newest_tag_is_found_by_number() {
        assert_eq!(
            newest("v0.9.0\nv0.10.0\nvector\n").as_deref(),
            Some("0.10.0")
        );
        assert_eq!(newest(""), None);
    }

    #[test]
    fn only_a_leading_number_that_rises_allows_breaks() {
        for (last, version, allowed) in [
            ("0.1.0", "0.1.1", false),
            ("0.1.0", "0.2.0", true),
            ("1.2.3", "1.3.0", false),
            ("1.2.3", "2.0.0", true),
            ("0.0.1", "0.0.2", true),
        ] {
            assert_eq!(
                breaks_allowed(last, version).unwrap(),
                allowed,
                "{last} {version}"
            );
        }
        assert!(breaks_allowed("0.2.0", "0.1.9").is_err());
    }
}
