//! What begins with a slash.

use crate::cli::events::{self, Felt};

/// What `/help` tells.
pub(super) const HELP: &str = "\
/feel EVENT [INTENSITY]  an event, such as `/feel success 1.5`
/state                   the mood, where it is going, and what it does to a reply
/strength X              how strongly the mood steers, 0 to 3
/vectors                 the steering library in force
/reset                   back to the baseline, and a new conversation
/help                    this
/quit                    the end; so does Ctrl-D
Ctrl-C stops a reply.";

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    Feel(Felt),
    State,
    Strength(f64),
    Vectors,
    Reset,
    Help,
    Quit,
}

const NAMES: [&str; 7] = [
    "feel", "state", "strength", "vectors", "reset", "help", "quit",
];

/// Reads a line; `None` is a message.
pub(super) fn parse(line: &str) -> Result<Option<Command>, String> {
    let Some(rest) = line.strip_prefix('/') else {
        return Ok(None);
    };
    let mut words = rest.split_whitespace();
    let name = words.next().unwrap_or_default();
    let arguments: Vec<_> = words.collect();
    let command = match (name, arguments.as_slice()) {
        ("feel", [event]) => Command::Feel(events::parse(event)?),
        ("feel", [event, intensity]) => {
            Command::Feel(events::parse(&format!("{event}={intensity}"))?)
        }
        ("feel", _) => return Err("what is felt? such as `/feel success 1.5`".to_owned()),
        ("strength", [strength]) => {
            let number = strength.parse();
            Command::Strength(number.map_err(|_| format!("`{strength}` is no number"))?)
        }
        ("strength", _) => return Err("how strong? such as `/strength 0.8`".to_owned()),
        (known, [_, ..]) if NAMES.contains(&known) => {
            return Err(format!("`/{known}` stands alone"));
        }
        ("state", _) => Command::State,
        ("vectors", _) => Command::Vectors,
        ("reset", _) => Command::Reset,
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
        || "`/help` tells which there are".to_owned(),
        |(_, meant)| format!("did you mean `/{meant}`?"),
    );
    format!("no command `/{name}`; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_messages() {
        assert!(parse("hello /feel").unwrap().is_none());
        assert!(matches!(parse("/state"), Ok(Some(Command::State))));
        assert!(matches!(
            parse("/strength 0.5"),
            Ok(Some(Command::Strength(_)))
        ));
        let Ok(Some(Command::Feel(felt))) = parse("/feel success 1.5") else {
            panic!("an event");
        };
        assert_eq!(felt.0.name(), "success");
        assert!((felt.0.intensity() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, words) in [
            ("/stat", "did you mean `/state`?"),
            ("/", "`/help` tells"),
            ("/feel", "what is felt?"),
            ("/feel sucess", "did you mean `success`?"),
            ("/strength much", "`much` is no number"),
            ("/quit now", "stands alone"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(words), "{line}: {told}");
        }
    }
}
