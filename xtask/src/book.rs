//! The guide as a book, through mdBook.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process;
use crate::tool::Tool;
use crate::workspace::Workspace;

const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: (0, 5, 4),
    // Serving and watching are not needed.
    features: &["--no-default-features", "--features=search"],
};

/// The build takes about a second.
const LIMIT: Duration = Duration::from_mins(1);

/// Builds the book from `docs/`. mdBook only warns about most errors, so a warning fails.
pub fn build(workspace: &Workspace) -> Result<()> {
    let mdbook = MDBOOK.provide(workspace)?;
    let folder = workspace.own_folder().join("book");
    let mut build = workspace.command(&mdbook);
    build.args(["build", "docs", "--dest-dir"]).arg(&folder);
    let told = process::run_limited(&mut build, LIMIT, false)?;
    ensure!(
        told.success && !told.output.contains("WARN") && !told.output.contains("ERROR"),
        "`{}` failed or warned:\n{}",
        process::describe(&build),
        told.output
    );
    let first = folder.join("introduction.html");
    ensure!(first.is_file(), "{} is not there", first.display());
    Ok(())
}
