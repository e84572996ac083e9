//! Edits lines on a terminal.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, Helper, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

use super::super::commands;
use super::super::quiet::Quiet;
use super::{Asked, Typed};

/// Maximum number of lines in the history.
const HISTORY: usize = 1000;

/// Begins and ends a message of several lines.
const BLOCK: &str = "\"\"\"";

type LineEditor = Editor<Words, FileHistory>;

/// Answers each prompt with the typed line.
pub(super) fn edit(
    asked: &Receiver<Asked>,
    quiet: &Quiet,
    history: Option<&Path>,
    words: Vec<String>,
) {
    let keys = Keys::default();
    let mut editor = match editor(words, &keys) {
        Ok(editor) => editor,
        Err(error) => {
            if let Ok((_, answer)) = asked.recv() {
                let _ = answer.send(Err(format!("cannot edit lines here: {error}")));
            }
            return;
        }
    };
    if let Some(file) = history {
        // There is no history the first time.
        let _ = editor.load_history(file);
    }
    for (prompt, answer) in asked {
        let typed = line(&mut editor, &prompt, &keys, quiet);
        if let Ok(Typed::Line(line)) = &typed
            // Save immediately, because a signal may end the program.
            && editor.add_history_entry(line).unwrap_or(false)
            && let Some(file) = history
        {
            save(&mut editor, file);
        }
        if answer.send(typed).is_err() {
            return;
        }
    }
}

fn editor(words: Vec<String>, keys: &Keys) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .completion_type(CompletionType::List)
        .build();
    let mut editor = LineEditor::with_config(config)?;
    editor.set_helper(Some(Words(words)));
    let watched = |key: Key| EventHandler::Conditional(Box::new(Watch(key, keys.clone())));
    editor.bind_sequence(Event::Any, watched(Key::Any));
    editor.bind_sequence(KeyEvent::ctrl('C'), watched(Key::Interrupt));
    editor.bind_sequence(KeyEvent::ctrl('Z'), watched(Key::Suspend));
    let another_line = KeyEvent(KeyCode::Enter, Modifiers::ALT);
    editor.bind_sequence(another_line, EventHandler::Simple(Cmd::Newline));
    Ok(editor)
}

/// Reads a line, even if the program is suspended meanwhile.
fn line(
    editor: &mut LineEditor,
    prompt: &str,
    keys: &Keys,
    quiet: &Quiet,
) -> Result<Typed, String> {
    let mut initial = (String::new(), String::new());
    keys.with(|pressed| *pressed = Pressed::default());
    loop {
        match editor.readline_with_initial(prompt, (&initial.0, &initial.1)) {
            Ok(line) => return Ok(Typed::Line(unquoted(&line))),
            Err(ReadlineError::Interrupted) => {
                let pressed = keys.with(std::mem::take);
                let Some(line) = pressed.suspended else {
                    let typing = pressed.typing;
                    return Ok(Typed::Interrupted { typing });
                };
                quiet.suspend();
                initial = line;
                keys.with(|now| now.typing = pressed.typing);
            }
            Err(ReadlineError::Eof) => return Ok(Typed::End),
            // The prompt is shown again.
            Err(ReadlineError::Signal(_)) => {}
            Err(error) => return Err(format!("cannot read a line: {error}")),
        }
    }
}

/// A message of several lines without its quotation marks.
fn unquoted(line: &str) -> String {
    let inner = line
        .trim()
        .strip_prefix(BLOCK)
        .and_then(|rest| rest.strip_suffix(BLOCK));
    inner.unwrap_or(line).trim_matches('\n').to_owned()
}

fn save(editor: &mut LineEditor, file: &Path) {
    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(error) = folder {
        tracing::warn!(%error, "cannot read the input history");
    } else if let Err(error) = editor.save_history(file) {
        tracing::warn!(%error, "cannot save the input history");
    }
}

/// The keys pressed at a prompt.
#[derive(Debug, Default)]
struct Pressed {
    typing: bool,
    /// The line on either side of the cursor when Ctrl-Z was pressed.
    suspended: Option<(String, String)>,
}

#[derive(Debug, Clone, Default)]
struct Keys(Arc<Mutex<Pressed>>);

impl Keys {
    fn with<T>(&self, work: impl FnOnce(&mut Pressed) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Any,
    Interrupt,
    Suspend,
}

/// Records pressed keys.
struct Watch(Key, Keys);

impl ConditionalEventHandler for Watch {
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        let (line, at) = (context.line(), context.pos());
        self.1.with(|pressed| match self.0 {
            Key::Any => {
                pressed.typing = true;
                None
            }
            Key::Interrupt => {
                pressed.typing |= !line.is_empty();
                None
            }
            Key::Suspend => {
                let (before, after) = line.split_at(at.min(line.len()));
                pressed.suspended = Some((before.to_owned(), after.to_owned()));
                Some(Cmd::Interrupt)
            }
        })
    }
}

/// Words that Tab completes.
struct Words(Vec<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(commands::completions(&line[..at], &self.0))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let open = context.input().matches(BLOCK).count() % 2 == 1;
        let block = context.input().trim_start().starts_with(BLOCK);
        Ok(if open && block {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_lines_loses_its_quotation_marks() {
        for (line, message) in [
            ("hello", "hello"),
            ("\"\"\"one\ntwo\"\"\"", "one\ntwo"),
            ("\"\"\"\none\n\ntwo\n\"\"\"", "one\n\ntwo"),
            ("say \"hi\"", "say \"hi\""),
            ("\"\"\"", "\"\"\""),
        ] {
            assert_eq!(unquoted(line), message, "{line:?}");
        }
    }
}
