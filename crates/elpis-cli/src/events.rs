//! Events on the command line.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};

use elpis::emotion::{EmotionConfig, EmotionEvent, KNOWN_EVENTS, KnownEvent, READ_EVENTS};

/// An event with its intensity. The settings decide whether its name is known.
#[derive(Debug, Clone)]
pub(super) struct Felt(pub(super) EmotionEvent);

/// The events that every session knows by name.
pub(super) fn known() -> impl Iterator<Item = &'static KnownEvent> {
    KNOWN_EVENTS.iter().chain(&READ_EVENTS)
}

/// A list of all events that can be applied by name, with their shifts.
pub(super) fn listed(config: &EmotionConfig) -> String {
    let known = known().map(|known| (known.name, known.valence, known.arousal));
    let own = config.events.iter().map(|own| {
        let (valence, arousal) = own.shift();
        (own.name(), valence, arousal)
    });
    let line = |(name, valence, arousal): (&str, f64, f64)| {
        format!("  {name:<16} valence {valence:+.2}, arousal {arousal:+.2}\n")
    };
    let lines: String = known.chain(own).map(line).collect();
    format!(
        "events, with their effect at intensity 1:\n{}",
        lines.trim_end()
    )
}

/// Parses events on the command line, and lists them for completions.
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
            known().map(|known| PossibleValue::new(known.name)),
        ))
    }
}

/// Parses `EVENT` or `EVENT=INTENSITY`.
pub(super) fn parse(text: &str) -> Result<Felt, String> {
    let (name, intensity) = match text.split_once('=') {
        None => (text, None),
        Some((name, intensity)) => {
            let number = intensity.trim().parse::<f64>();
            let number =
                number.map_err(|_| format!("the intensity `{intensity}` is not a number"))?;
            (name, Some(number))
        }
    };
    let event = EmotionEvent::named(name.trim()).and_then(|event| match intensity {
        None => Ok(event),
        Some(intensity) => event.with_intensity(intensity),
    });
    event.map(Felt).map_err(|error| error.to_string())
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
        assert!(parse("").is_err());
        assert!(parse("success=much").unwrap_err().contains("`much`"));
        assert!(parse("success=-1").unwrap_err().contains("intensity"));
    }

    #[test]
    fn events_are_listed_with_those_of_ones_own() {
        let config = EmotionConfig::default().events(vec!["praised 0.5 0.3".parse().unwrap()]);
        let listed = listed(&config);
        for line in ["success          valence +0.20", "sadness  ", "praised  "] {
            assert!(listed.contains(line), "{listed}");
        }
    }
}
