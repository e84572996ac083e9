//! Processes that read models, and may end over one.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use elpis::backend::{Backend, BackendError, Batch, LoadOptions, create_backend};
use elpis::settings::{ModelSettings, ModelSource};

/// What a line of a reader begins with.
const MARK: &str = "READ\t";
/// How long one file may take.
const BOUND: Duration = Duration::from_mins(2);
const TEXT: &str = "Hello, w\u{f6}rld! 123\n<|im_end|>  \u{1} z \u{1f600}";

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It was loaded and computed with.
    Good,
    /// It was refused before llama.cpp read it.
    Checked(String),
    /// llama.cpp refused it, or to compute with it.
    Refused(String),
    /// It ended the process, or kept it for ever.
    Ended(String),
}

impl Read {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Checked(_) => "checked",
            Self::Refused(_) => "refused",
            Self::Ended(_) => "ended",
        }
    }
}

/// Has processes read all files, a new one after each that ended.
pub fn read_all(paths: &[PathBuf]) -> Vec<Read> {
    let mut all = Vec::new();
    while let Some(rest) = paths.get(all.len()..).filter(|rest| !rest.is_empty()) {
        let mut reader = Reader::start();
        for path in rest {
            match reader.read(path) {
                Ok(read) => all.push(read),
                Err(how) => {
                    all.push(Read::Ended(how));
                    break;
                }
            }
        }
    }
    all
}

struct Reader {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Reader {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "gguf_models::reads_files",
                "--ignored",
                "--nocapture",
            ])
            .env("GGML_NO_BACKTRACE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // What the test's own harness prints may stand before it.
                let told = line.find(MARK).and_then(|at| line.get(at + MARK.len()..));
                if told.is_some_and(|told| sender.send(told.to_owned()).is_err()) {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn read(&mut self, path: &Path) -> Result<Read, String> {
        let mut input = self.child.stdin.as_ref().unwrap();
        let asked = writeln!(input, "{}", path.display());
        match asked.map(|()| self.lines.recv_timeout(BOUND)) {
            Ok(Ok(line)) => {
                let (name, words) = line.split_once('\t').unwrap();
                let words = words.to_owned();
                Ok(match name {
                    "good" => Read::Good,
                    "checked" => Read::Checked(words),
                    "refused" => Read::Refused(words),
                    other => panic!("{other}"),
                })
            }
            Ok(Err(mpsc::RecvTimeoutError::Timeout)) => Err("no answer".to_owned()),
            _ => {
                let mut words = String::new();
                let mut errors = self.child.stderr.take().unwrap();
                std::io::Read::read_to_string(&mut errors, &mut words).unwrap();
                let last = words.trim_end().lines().next_back().unwrap_or_default();
                Err(format!("{}: {last}", self.child.wait().unwrap()))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the files that standard input names.
pub fn serve() {
    for path in std::io::stdin().lines() {
        let path = path.unwrap();
        let read = read(Path::new(&path));
        let words = match &read {
            Read::Good => "",
            Read::Checked(words) | Read::Refused(words) | Read::Ended(words) => words,
        };
        println!("{MARK}{}\t{}", read.name(), words.replace('\n', " "));
    }
}

fn read(path: &Path) -> Read {
    let options = LoadOptions::new(
        ModelSettings::default().batch_size(32).n_threads(1),
        ModelSource::File(path.to_owned()),
    )
    .n_sequences(2);
    let done = create_backend(&options).and_then(|mut backend| compute(&mut *backend));
    match done {
        Ok(()) => Read::Good,
        Err(
            error @ (BackendError::DamagedModel { .. }
            | BackendError::InvalidModel { .. }
            | BackendError::OtherKind { .. }
            | BackendError::NotAModel { .. }),
        ) => Read::Checked(error.to_string()),
        Err(error) => Read::Refused(error.to_string()),
    }
}

/// All that is done with a model.
fn compute(backend: &mut dyn Backend) -> Result<(), BackendError> {
    let facts = backend.facts().clone();
    let tokenizer = backend.tokenizer();
    let mut tokens = Vec::new();
    for parse_special in [true, false] {
        // A vocabulary without a token for some byte can do the rest.
        tokens.extend(tokenizer.encode(TEXT, parse_special).unwrap_or_default());
    }
    let n_vocab = facts.n_vocab as u32;
    let mut pieces = Vec::new();
    for token in 0..n_vocab {
        tokenizer.append_piece(token, &mut pieces);
    }
    tokens.extend([0, n_vocab / 2, n_vocab - 1]);
    tokens.truncate(facts.batch_size.min(facts.context_length as usize) / 2);
    let mut batch = Batch::default();
    let length = tokens.len() as u32;
    batch.push(0, 0, &tokens, true, None);
    backend.decode(&batch)?;
    backend.share_prefix(0, 1, length)?;
    for step in 0..2 {
        let mut batch = Batch::default();
        let token = [(step + 1) % n_vocab];
        batch.push(0, length + step, &token, true, None);
        batch.push(1, length + step, &token, true, None);
        backend.decode(&batch)?;
        backend.logits(1)?;
    }
    let kept = backend.save_sequence(0, Vec::new())?;
    backend.truncate(0, 0)?;
    backend.restore_sequence(0, length + 2, &kept)?;
    backend.truncate(0, 0)
}
