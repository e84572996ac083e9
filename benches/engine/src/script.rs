//! A process that is asked line by line.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

/// Names the interpreter that has torch and transformers.
pub const TORCH: &str = "ELPIS_TEST_PYTHON";
/// Names the interpreter that has llama-cpp-python.
pub const LLAMA: &str = "ELPIS_BENCH_LLAMA_PYTHON";

/// The interpreter, where the environment names one.
pub fn interpreter(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|python| !python.is_empty())
}

/// A process that answers each line of JSON with another. It sleeps while it is not asked.
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

    /// Starts any command that keeps to the same manners; errors call it `name`.
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

    /// The number that the system gave the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, ask: &Value) -> Result<Value> {
        let mut line = ask.to_string();
        line.push('\n');
        let asks = self.asks.as_mut().context("the process is closed")?;
        // Should it be gone, the missing answer tells.
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
        // It ends with its input.
        self.asks = None;
        let _ = self.process.wait();
    }
}
