//! A process that answers requests line by line.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

/// The variable that names a Python interpreter with torch and transformers.
pub const TORCH: &str = "ELPIS_TEST_PYTHON";
/// The variable that names a Python interpreter with llama-cpp-python.
pub const LLAMA: &str = "ELPIS_BENCH_LLAMA_PYTHON";

/// The interpreter that a variable names, if it is set.
pub fn interpreter(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|python| !python.is_empty())
}

/// A process that answers each line of JSON with another one. It sleeps between requests.
pub struct Script {
    name: String,
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a Python script with the interpreter that a variable names.
    pub fn python(variable: &str, path: &str) -> Result<Self> {
        let python = interpreter(variable).with_context(|| format!("{variable} is not set"))?;
        Self::start(path, Command::new(python).arg(path))
    }

    /// Starts a command that follows the same protocol. Errors refer to it as `name`.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let asks = process.stdin.take();
        let answers = process.stdout.take().context("no output to read")?;
        Ok(Self {
            name: name.to_owned(),
            process,
            asks,
            answers: BufReader::new(answers),
        })
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a request and waits for the answer.
    pub fn ask(&mut self, ask: &Value) -> Result<Value> {
        let mut line = ask.to_string();
        line.push('\n');
        let asks = self.asks.as_mut().context("the process is closed")?;
        // If the process has ended, reading the answer fails.
        let _ = asks.write_all(line.as_bytes());
        line.clear();
        self.answers.read_line(&mut line)?;
        let name = &self.name;
        if line.is_empty() {
            let status = self.process.wait()?;
            anyhow::bail!("{name} ended without an answer ({status}); its message is above");
        }
        serde_json::from_str(&line).with_context(|| format!("{name} answered {line:?}"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // The process ends when its input is closed.
        self.asks = None;
        let _ = self.process.wait();
    }
}
