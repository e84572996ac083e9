//! Child processes: run, capture, run under a time limit.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a command with the console as its output; a failure names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs a command quietly and returns what it wrote to standard output.
pub fn capture(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({})\n{}", output.status, errors.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The result of a command that ran under a time limit.
#[derive(Debug)]
pub struct Limited {
    /// Whether the command ended by itself with status 0.
    pub success: bool,
    /// Whether the limit passed and the command was killed.
    pub timed_out: bool,
    /// Standard output and standard error, line by line in order of arrival.
    pub output: String,
}

/// Runs a command, kills it after `limit` and returns all its output.
///
/// With `echo` the lines also appear on the console immediately.
pub fn run_limited(command: &mut Command, limit: Duration, echo: bool) -> Result<Limited> {
    let line = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let text = Arc::new(Mutex::new(String::new()));
    let mut readers = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        readers.push(collect(pipe, Arc::clone(&text), echo));
    }
    if let Some(pipe) = child.stderr.take() {
        readers.push(collect(pipe, Arc::clone(&text), echo));
    }

    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            child.kill().ok();
            child.wait().ok();
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    // A grandchild of a killed command may hold the pipes open: do not wait for it.
    if status.is_some() {
        for reader in readers {
            reader.join().ok();
        }
    }
    let output = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Limited {
        success: status.is_some_and(|status| status.success()),
        timed_out: status.is_none(),
        output,
    })
}

fn collect(
    pipe: impl Read + Send + 'static,
    text: Arc<Mutex<String>>,
    echo: bool,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(lines.read_until(b'\n', &mut bytes), Ok(read) if read > 0) {
            let line = String::from_utf8_lossy(&bytes);
            if echo {
                print!("{line}");
            }
            text.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&line);
            bytes.clear();
        }
    })
}

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit(['/', '\\']).next().unwrap_or(&program);
    let mut line = name.to_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        if arg.is_empty() || arg.contains([' ', '"', '$', '*']) {
            let _ = write!(line, " '{arg}'");
        } else {
            let _ = write!(line, " {arg}");
        }
    }
    line
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn collects_both_streams_and_the_status() {
        let limit = Duration::from_secs(20);
        let done = run_limited(&mut shell("echo out; echo err >&2"), limit, false).unwrap();
        assert!(done.success && !done.timed_out);
        assert!(done.output.contains("out\n") && done.output.contains("err\n"));
        let failed = run_limited(&mut shell("exit 3"), limit, false).unwrap();
        assert!(!failed.success && !failed.timed_out);
    }

    #[test]
    fn kills_what_takes_too_long() {
        let start = Instant::now();
        let limit = Duration::from_millis(100);
        let done = run_limited(&mut shell("echo early; sleep 30"), limit, false).unwrap();
        assert!(done.timed_out && !done.success);
        assert!(done.output.contains("early"));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(&mut shell("exit 3")).unwrap_err().to_string();
        assert!(error.contains("sh -c 'exit 3'"), "{error}");
    }
}
