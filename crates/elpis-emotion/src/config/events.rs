//! The events that a configuration knows, and their shifts.

use super::EmotionConfig;
use crate::declared::DeclaredEvent;
use crate::error::EmotionError;
use crate::event::{EmotionEvent, KNOWN_EVENTS, READ_EVENTS};

impl EmotionConfig {
    /// Resolves an event under these settings. A declared event, or one of [`READ_EVENTS`], gets
    /// its shift; an event with its own shift, or one of [`KNOWN_EVENTS`], is unchanged.
    ///
    /// # Errors
    ///
    /// [`EmotionError::UnknownEvent`] for any other name, with the nearest one that is known;
    /// unless [`allow_unknown_events`](Self::allow_unknown_events) is set.
    pub fn declared(&self, event: EmotionEvent) -> Result<EmotionEvent, EmotionError> {
        if event.is_custom() {
            return Ok(event);
        }
        if let Some(declared) = self.events.iter().find(|own| own.name() == event.name()) {
            return Ok(event.with_shift(declared.shift()));
        }
        if let Some(read) = READ_EVENTS.iter().find(|read| read.name == event.name()) {
            return Ok(event.with_shift((read.valence, read.arousal)));
        }
        if self.allow_unknown_events || is_known(event.name()) {
            return Ok(event);
        }
        Err(EmotionError::UnknownEvent {
            nearest: self.nearest_event(event.name()).map(str::to_owned),
            name: event.name().to_owned(),
        })
    }

    /// The known or declared event whose name is nearest to a word, if one is similar.
    pub fn nearest_event(&self, word: &str) -> Option<&str> {
        let word = word.to_lowercase().replace([' ', '-'], "_");
        let known = KNOWN_EVENTS
            .iter()
            .chain(&READ_EVENTS)
            .map(|known| known.name);
        let own = self.events.iter().map(DeclaredEvent::name);
        let (distance, name) = known
            .chain(own)
            .map(|name| (strsim::damerau_levenshtein(&word, name), name))
            .min()?;
        (distance <= name.chars().count() / 3).then_some(name)
    }
}

fn is_known(name: &str) -> bool {
    KNOWN_EVENTS.iter().any(|known| known.name == name)
}
