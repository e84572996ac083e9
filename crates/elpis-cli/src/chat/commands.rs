//! The slash commands of a chat.

use crate::events::{self, Felt};

/// The text of `/help`.
pub(super) const HELP: &str = "\
/feel EVENT [INTENSITY]  an event, such as `/feel success 1.5`; without one, lists all events
/state                   the mood, its trend, and its effect on replies
/events                  the last changes of the mood, and what caused them
/strength X              how strongly the mood steers, 0 to 3
/vectors                 the steering vectors in force
/new                     begins a new conversation; the mood stays
/save FILE               writes the conversation to a file
/load FILE               continues the conversation of a file; the mood stays
/reset                   resets the mood to its baseline; the conversation stays
/forget                  forgets the mood, its journal and the conversation
/system [TEXT]           shows the system message, or replaces it with the text
/regenerate              answers the last message again
/history                 the conversation so far
/model                   the model, and how much of its context is used
/help                    this list
/quit                    ends the chat, as Ctrl-D does
Ctrl-C stops a reply, Tab completes, Alt-Enter or \"\"\" continues on another line.";

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    Feel(Felt),
    /// Lists the events.
    Feelings,
    State,
    Events,
    Strength(f64),
    Vectors,
    New,
    Save(String),
    Load(String),
    Reset,
    Forget,
    System(Option<String>),
    Regenerate,
    History,
    Model,
    Help,
    Quit,
}

const NAMES: [&str; 17] = [
    "events",
    "exit",
    "feel",
    "forget",
    "help",
    "history",
    "load",
    "model",
    "new",
    "quit",
    "regenerate",
    "reset",
    "save",
    "state",
    "strength",
    "system",
    "vectors",
];

/// Parses a line; `None` means a message.
pub(super) fn parse(line: &str) -> Result<Option<Command>, String> {
    let Some(rest) = line.strip_prefix('/') else {
        return Ok(None);
    };
    let (name, text) = match rest.split_once(char::is_whitespace) {
        Some((name, text)) => (name, text.trim()),
        None => (rest, ""),
    };
    let arguments: Vec<_> = text.split_whitespace().collect();
    let command = match (name, arguments.as_slice()) {
        ("feel", []) => Command::Feelings,
        ("feel", [event]) => Command::Feel(events::parse(event)?),
        ("feel", [event, intensity]) => {
            Command::Feel(events::parse(&format!("{event}={intensity}"))?)
        }
        ("feel", _) => return Err("an event is missing, such as `/feel success 1.5`".to_owned()),
        ("strength", [strength]) => {
            let number = strength.parse();
            Command::Strength(number.map_err(|_| format!("`{strength}` is not a number"))?)
        }
        ("strength", _) => return Err("a strength is missing, such as `/strength 0.8`".to_owned()),
        ("system", []) => Command::System(None),
        ("system", _) => Command::System(Some(text.to_owned())),
        ("save" | "load", []) => {
            return Err(format!("a file is missing, such as `/{name} talk.json`"));
        }
        ("save", _) => Command::Save(text.to_owned()),
        ("load", _) => Command::Load(text.to_owned()),
        (known, [_, ..]) if NAMES.contains(&known) => {
            return Err(format!("`/{known}` takes no argument"));
        }
        ("state", _) => Command::State,
        ("events", _) => Command::Events,
        ("vectors", _) => Command::Vectors,
        ("new", _) => Command::New,
        ("reset", _) => Command::Reset,
        ("forget", _) => Command::Forget,
        ("regenerate", _) => Command::Regenerate,
        ("history", _) => Command::History,
        ("model", _) => Command::Model,
        ("help", _) => Command::Help,
        ("quit" | "exit", _) => Command::Quit,
        (unknown, _) => return Err(unknown_command(unknown)),
    };
    Ok(Some(command))
}

fn unknown_command(name: &str) -> String {
    let nearest = NAMES
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let hint = nearest.map_or_else(
        || "`/help` lists the commands".to_owned(),
        |(_, meant)| format!("did you mean `/{meant}`?"),
    );
    format!("no command `/{name}`; {hint}")
}

/// The start of the word before the cursor, and its completions: a command at the beginning of a
/// line, or an event after `/feel`.
pub(super) fn completions(line: &str, events: &[String]) -> (usize, Vec<String>) {
    let begin = |word: &str, known: &mut dyn Iterator<Item = String>| {
        let found: Vec<_> = known.filter(|name| name.starts_with(word)).collect();
        (line.len() - word.len(), found)
    };
    let Some(rest) = line.strip_prefix('/') else {
        return (line.len(), Vec::new());
    };
    match rest.split_once(' ') {
        None => begin(line, &mut NAMES.iter().map(|name| format!("/{name}"))),
        Some(("feel", event)) if !event.trim_start().contains(' ') => {
            begin(event.trim_start(), &mut events.iter().cloned())
        }
        Some(_) => (line.len(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_messages() {
        assert!(parse("hello /feel").unwrap().is_none());
        assert!(matches!(parse("/state"), Ok(Some(Command::State))));
        assert!(matches!(parse("/feel"), Ok(Some(Command::Feelings))));
        assert!(matches!(
            parse("/strength 0.5"),
            Ok(Some(Command::Strength(_)))
        ));
        let Ok(Some(Command::System(Some(text)))) = parse("/system  You are  terse. ") else {
            panic!("a system message");
        };
        assert_eq!(text, "You are  terse.");
        let Ok(Some(Command::Feel(felt))) = parse("/feel success 1.5") else {
            panic!("an event");
        };
        assert_eq!(felt.0.name(), "success");
        assert!((felt.0.intensity() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn every_command_is_known_and_explained() {
        for name in NAMES {
            assert!(!matches!(parse(&format!("/{name}")), Ok(None)), "{name}");
            let explained = HELP.contains(&format!("/{name}"));
            assert!(explained || name == "exit", "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, words) in [
            ("/stat", "did you mean `/state`?"),
            ("/", "`/help` lists the commands"),
            ("/feel a 1 2", "an event is missing"),
            ("/feel success much", "`much` is not a number"),
            ("/strength much", "`much` is not a number"),
            ("/strength", "a strength is missing"),
            ("/quit now", "takes no argument"),
            ("/save", "a file is missing"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(words), "{line}: {told}");
        }
    }

    #[test]
    fn commands_and_events_are_completed() {
        let events = ["success", "sadness", "own"].map(str::to_owned);
        for (line, start, words) in [
            ("/st", 0, &["/state", "/strength"][..]),
            ("/fee", 0, &["/feel"]),
            ("/feel s", 6, &["success", "sadness"]),
            ("/feel ", 6, &["success", "sadness", "own"]),
            ("/feel success 1", 15, &[]),
            ("/state s", 8, &[]),
            ("hello /st", 9, &[]),
            ("", 0, &[]),
        ] {
            assert_eq!(
                completions(line, &events),
                (start, words.iter().map(ToString::to_string).collect()),
                "{line}"
            );
        }
    }
}
