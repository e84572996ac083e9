//! Events declared in the settings, and unknown event names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::EmotionError;
use super::event::EmotionEvent;

/// Maximum number of events that settings may declare.
pub const MAX_DECLARED_EVENTS: usize = 256;

/// A custom event, with its shift at intensity 1.
///
/// Its text form is the name, valence and arousal, separated by spaces: `deploy rejected -0.3 0.2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct DeclaredEvent {
    name: String,
    valence: f64,
    arousal: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    valence: f64,
    arousal: f64,
}

impl TryFrom<Raw> for DeclaredEvent {
    type Error = EmotionError;

    fn try_from(raw: Raw) -> Result<Self, EmotionError> {
        Self::new(raw.name, raw.valence, raw.arousal)
    }
}

impl DeclaredEvent {
    /// Declares an event that shifts valence and arousal by these amounts at intensity 1.
    ///
    /// # Errors
    ///
    /// As [`EmotionEvent::custom`].
    pub fn new(name: impl Into<String>, valence: f64, arousal: f64) -> Result<Self, EmotionError> {
        let name = name.into();
        EmotionEvent::custom(name.clone(), valence, arousal)?;
        Ok(Self {
            name,
            valence,
            arousal,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shift of (valence, arousal), each in [-1, 1].
    pub fn shift(&self) -> (f64, f64) {
        (self.valence, self.arousal)
    }
}

impl fmt::Display for DeclaredEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.valence, self.arousal)
    }
}

impl FromStr for DeclaredEvent {
    type Err = EmotionError;

    fn from_str(text: &str) -> Result<Self, EmotionError> {
        let malformed = || EmotionError::Malformed {
            field: "events",
            reason: format!("{text:?} is not of the form `name valence arousal`"),
        };
        let (rest, arousal) = split_last(text).ok_or_else(malformed)?;
        let (name, valence) = split_last(rest).ok_or_else(malformed)?;
        let number = |text: &str| text.parse().map_err(|_| malformed());
        Self::new(name, number(valence)?, number(arousal)?)
    }
}

/// Checks that the declared events do not conflict.
pub(super) fn check(events: &[DeclaredEvent]) -> Result<(), EmotionError> {
    if events.len() > MAX_DECLARED_EVENTS {
        return Err(EmotionError::OutOfRange {
            field: "events",
            value: events.len() as f64,
            limit: format!("at most {MAX_DECLARED_EVENTS}").into(),
        });
    }
    let twice = |(index, event): (usize, &DeclaredEvent)| {
        let earlier = events[..index].iter().any(|other| other.name == event.name);
        earlier.then(|| event.name.clone())
    };
    match events.iter().enumerate().find_map(twice) {
        None => Ok(()),
        Some(value) => Err(EmotionError::InvalidName {
            field: "events",
            value,
            limit: "stand once",
        }),
    }
}

/// The last word, and the text before it.
fn split_last(text: &str) -> Option<(&str, &str)> {
    let (rest, last) = text.trim().rsplit_once(char::is_whitespace)?;
    Some((rest.trim_end(), last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EmotionConfig;

    #[test]
    fn an_event_is_declared_in_one_line() {
        let event: DeclaredEvent = " deploy rejected  -0.3 0.2 ".parse().unwrap();
        assert_eq!(
            (event.name(), event.shift()),
            ("deploy rejected", (-0.3, 0.2))
        );
        assert_eq!(event.to_string().parse::<DeclaredEvent>().unwrap(), event);
        for (text, words) in [
            ("", "of the form"),
            ("praised", "of the form"),
            ("praised 0.5", "of the form"),
            ("0.5 0.3", "of the form"),
            ("praised much 0.3", "of the form"),
            ("praised 0.5 NaN", "delta_arousal is NaN"),
            ("praised 1.5 0", "delta_valence is 1.5"),
            (&format!("{} 0 0", "x".repeat(65)), "1 to 64 characters"),
        ] {
            let told = text.parse::<DeclaredEvent>().unwrap_err().to_string();
            assert!(told.contains(words), "{text}: {told}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes under the interpreter")]
    fn each_event_is_declared_once_and_there_are_not_too_many() {
        let events = |names: &mut dyn Iterator<Item = String>| EmotionConfig {
            events: names
                .map(|name| DeclaredEvent::new(name, 0.1, 0.1).unwrap())
                .collect(),
            ..EmotionConfig::default()
        };
        let names = |count: usize| (0..count).map(|index| format!("e{index}"));
        events(&mut names(MAX_DECLARED_EVENTS)).validate().unwrap();
        for config in [
            events(&mut names(MAX_DECLARED_EVENTS + 1)),
            events(&mut ["a", "b", "a"].map(str::to_owned).into_iter()),
        ] {
            assert_eq!(config.validate().unwrap_err().field(), "events");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let mut config = EmotionConfig {
            events: vec!["deploy_rejected -0.3 0.2".parse().unwrap()],
            ..EmotionConfig::default()
        };
        let felt = |config: &EmotionConfig, name: &str| {
            config.declared(EmotionEvent::named(name).unwrap())
        };
        for (name, nearest) in [
            ("tset_failed", Some("test_failed")),
            ("test failed", Some("test_failed")),
            ("Succes", Some("success")),
            ("deploy-reject", Some("deploy_rejected")),
            ("weather", None),
        ] {
            let Err(EmotionError::UnknownEvent { nearest: found, .. }) = felt(&config, name) else {
                panic!("{name} is felt");
            };
            assert_eq!(found.as_deref(), nearest, "{name}");
        }
        let known = felt(&config, "blocked").unwrap();
        assert!(!known.is_custom());
        let own = felt(&config, "deploy_rejected").unwrap();
        assert_eq!((own.is_custom(), own.shift()), (true, (-0.3, 0.2)));
        let custom = EmotionEvent::custom("weather", 0.1, 0.1).unwrap();
        assert_eq!(config.declared(custom.clone()).unwrap(), custom);
        config.allow_unknown_events = true;
        assert_eq!(felt(&config, "weather").unwrap().shift(), (0.0, 0.05));
    }
}
