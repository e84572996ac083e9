//! Files of JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;

use super::Failure;
use super::error::CliError;

/// Maximum length of a line, in bytes.
const LINE_LIMIT: u64 = 64 << 20;

/// The non-empty lines of a file or of standard input.
pub(super) struct Lines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    number: u64,
    line: String,
}

/// A line with its place, `file:number`.
pub(super) struct Named<'a> {
    pub(super) place: String,
    pub(super) text: &'a str,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(file: &Path) -> Result<Self, Failure> {
        let name = file.display().to_string();
        let reader: Box<dyn Read> = if file == Path::new("-") {
            Box::new(stdin().lock())
        } else {
            Box::new(File::open(file).map_err(CliError::unreadable(file))?)
        };
        Ok(Self {
            reader: BufReader::new(reader),
            name,
            number: 0,
            line: String::new(),
        })
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Result<Option<Named<'_>>, Failure> {
        let name = &self.name;
        loop {
            self.line.clear();
            self.number += 1;
            let read = (&mut self.reader)
                .take(LINE_LIMIT)
                .read_line(&mut self.line)
                .map_err(CliError::unreadable(Path::new(name)))?;
            if read == 0 {
                return Ok(None);
            }
            let place = format!("{name}:{}", self.number);
            if read as u64 == LINE_LIMIT && !self.line.ends_with('\n') {
                return Err(format!("{place}: longer than {LINE_LIMIT} bytes").into());
            }
            if !self.line.trim().is_empty() {
                return Ok(Some(Named {
                    place,
                    text: &self.line,
                }));
            }
        }
    }
}
