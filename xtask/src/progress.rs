//! Reports the progress of a long build where cargo's own progress bar is not shown.

use std::io::{IsTerminal, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// The longest time without a line.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs `cargo build` with some arguments. On a terminal cargo shows its progress bar; elsewhere a
/// line every ten seconds shows the crates being compiled and the progress.
pub fn build(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let mut command = workspace.command(&workspace.cargo);
    command.arg("build").args(args);
    if std::io::stderr().is_terminal() {
        return process::run(&mut command);
    }
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "200")
        .env("CARGO_TERM_COLOR", "never");
    let line = process::describe(&command);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let kept = match child.stderr.take() {
        Some(pipe) => follow(pipe, Instant::now()),
        None => String::new(),
    };
    let status = child.wait()?;
    if !status.success() {
        eprint!("{kept}");
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Prints the progress of the build, and returns the other output for the case that it fails.
fn follow(mut pipe: impl Read, start: Instant) -> String {
    let mut kept = String::new();
    let mut line = Vec::new();
    let mut bytes = [0; 4096];
    let mut last = start.checked_sub(PAUSE).unwrap_or(start);
    loop {
        let read = match pipe.read(&mut bytes) {
            Ok(0) | Err(_) => return kept,
            Ok(read) => read,
        };
        for &byte in &bytes[..read] {
            // The progress bar rewrites its line with carriage returns.
            if byte != b'\r' && byte != b'\n' {
                line.push(byte);
                continue;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if let Some(step) = Step::read(&text) {
                if last.elapsed() >= PAUSE {
                    last = Instant::now();
                    println!("   {step}, after {} s", start.elapsed().as_secs());
                }
            } else if !is_noise(&text) {
                kept.push_str(&text);
                kept.push('\n');
            }
        }
    }
}

/// One state of cargo's bar.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    done: usize,
    all: usize,
    crates: String,
}

impl Step {
    /// Reads `Building [==>  ] 12/310: serde, llama-cpp-sys-2(build)`.
    fn read(line: &str) -> Option<Self> {
        let (_, after) = line.trim().strip_prefix("Building [")?.split_once(']')?;
        let (counts, crates) = after.trim().split_once(':').unwrap_or((after.trim(), ""));
        let (done, all) = counts.split_once('/')?;
        Some(Self {
            done: done.parse().ok()?,
            all: all.parse().ok()?,
            crates: crates.trim().to_owned(),
        })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "built {} of {}", self.done, self.all)?;
        if self.crates.contains("llama-cpp-sys-2(build)") {
            write!(f, ", compiling llama.cpp (C++, takes some minutes)")
        } else if self.crates.is_empty() {
            Ok(())
        } else {
            write!(f, ", compiling {}", self.crates)
        }
    }
}

fn is_noise(line: &str) -> bool {
    let words = [
        "Compiling ",
        "Downloaded ",
        "Downloading ",
        "Blocking ",
        "Updating ",
        "Finished ",
    ];
    let line = line.trim();
    line.is_empty() || words.iter().any(|word| line.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_read_and_the_rest_is_kept() {
        let bar = "    Building [====>      ] 12/310: serde, llama-cpp-sys-2(build)";
        let step = Step::read(bar).unwrap();
        assert_eq!((step.done, step.all), (12, 310));
        let said = "built 12 of 310, compiling llama.cpp (C++, takes some minutes)";
        assert_eq!(step.to_string(), said);
        assert_eq!(Step::read("   Compiling serde v1.0.0"), None);
        let output = format!("   Compiling a v1\n{bar}\r\nerror: it broke\n  --> here\n");
        let kept = follow(output.as_bytes(), Instant::now());
        assert_eq!(kept, "error: it broke\n  --> here\n");
    }
}
