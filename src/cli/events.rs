//! Events as they are typed.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};

use crate::emotion::{EmotionEvent, KNOWN_EVENTS};

/// An event with its intensity.
#[derive(Debug, Clone)]
pub(super) struct Felt(pub(super) EmotionEvent);

impl Felt {
    /// What there is to say of an event that the table does not know.
    pub(super) fn note(&self) -> Option<String> {
        let name = self.0.name();
        let known = KNOWN_EVENTS.iter().any(|known| known.name == name);
        (!known).then(|| {
            format!("`{name}` is not in the table of events: it is felt as a stir of arousal")
        })
    }
}

/// Reads events on the command line, and tells completions which there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeltParser;

impl TypedValueParser for FeltParser {
    type Value = Felt;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Felt, clap::Error> {
        let parser: fn(&str) -> Result<Felt, String> = parse;
        parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            KNOWN_EVENTS
                .iter()
                .map(|known| PossibleValue::new(known.name)),
        ))
    }
}

/// Reads `EVENT` or `EVENT=INTENSITY`.
pub(super) fn parse(text: &str) -> Result<Felt, String> {
    let (name, intensity) = match text.split_once('=') {
        None => (text, None),
        Some((name, intensity)) => {
            let number = intensity.trim().parse::<f64>();
            let number = number.map_err(|_| format!("the intensity `{intensity}` is no number"))?;
            (name, Some(number))
        }
    };
    let name = name.trim();
    if let Some(meant) = meant(name) {
        return Err(format!("no event `{name}`; did you mean `{meant}`?"));
    }
    let event = EmotionEvent::named(name).and_then(|event| match intensity {
        None => Ok(event),
        Some(intensity) => event.with_intensity(intensity),
    });
    event.map(Felt).map_err(|error| error.to_string())
}

/// The event that was probably meant by a name so near to it; others are events of one's own.
fn meant(name: &str) -> Option<&'static str> {
    let nearest = KNOWN_EVENTS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known.name), known.name))
        .min()?;
    let near = 1..=nearest.1.len() / 3;
    near.contains(&nearest.0).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_with_their_intensity() {
        assert!((parse("success").unwrap().0.intensity() - 1.0).abs() < 1e-12);
        let event = parse("failure = 1.5").unwrap().0;
        assert_eq!(event.name(), "failure");
        assert!((event.intensity() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_felt_is_refused() {
        assert!(
            parse("sucess")
                .unwrap_err()
                .contains("did you mean `success`")
        );
        let own = parse("weather=2").unwrap();
        assert!(own.note().unwrap().contains("`weather`"));
        assert!(parse("success").unwrap().note().is_none());
        assert!(parse("").is_err());
        assert!(parse("success=much").unwrap_err().contains("`much`"));
        assert!(parse("success=-1").unwrap_err().contains("intensity"));
    }
}
