//! Default settings of `chat` and `ask`, which suit people.

use elpis::emotion::{EmotionEvent, EventSource};
use elpis::settings::{LoadedSettings, Origin};

/// Decay per second: half of an excitement is left after two hours. The library's default suits an
/// agent whose tests fail every minute.
pub(super) const DECAY_RATE: f64 = 0.0001;

/// Applies defaults for people: moods last for hours, the user's messages are appraised, and
/// silence and a slow machine have no effect. Explicit settings stay.
pub(super) fn settle(loaded: &mut LoadedSettings) {
    let LoadedSettings {
        settings, origins, ..
    } = loaded;
    let is_default = |name| origins.get(name) == Some(&Origin::Default);
    let emotion = &mut settings.emotion;
    if is_default("emotion.decay_rate") {
        emotion.decay_rate = DECAY_RATE;
    }
    if is_default("emotion.message_analysis_enabled") {
        emotion.message_analysis_enabled = true;
    }
    if is_default("emotion.behavioral_monitoring_enabled") {
        emotion.behavioral_monitoring_enabled = false;
    }
}

/// An event with its cause, on one line: `felt frustration 0.5: its own reply, "stuck"`.
pub(super) fn felt(event: &EmotionEvent, source: EventSource) -> String {
    let intensity = format!("{:.2}", event.intensity());
    let intensity = intensity.trim_end_matches('0').trim_end_matches('.');
    let name = event.name();
    let cause = match (source, event.words()) {
        (EventSource::Behavior, Some(done)) => done.to_owned(),
        (source, None) => origin(source).to_owned(),
        (source, Some(words)) => format!("{}, \"{words}\"", origin(source)),
    };
    format!("felt {name} {intensity}: {cause}")
}

fn origin(source: EventSource) -> &'static str {
    match source {
        EventSource::Caller => "told to",
        EventSource::Reply => "its own reply",
        EventSource::Message => "your message",
        EventSource::Behavior => "what it did",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis::emotion::known;
    use elpis::settings::SettingsLoader;

    #[test]
    fn an_event_is_told_with_its_cause() {
        let event = EmotionEvent::from(known::FRUSTRATION)
            .with_intensity(0.5)
            .unwrap();
        for (event, source, line) in [
            (
                event.clone().with_words("stuck"),
                EventSource::Reply,
                "felt frustration 0.5: its own reply, \"stuck\"",
            ),
            (
                event.clone().with_words("nothing happened for 120 s"),
                EventSource::Behavior,
                "felt frustration 0.5: nothing happened for 120 s",
            ),
            (
                event.clone(),
                EventSource::Caller,
                "felt frustration 0.5: told to",
            ),
            (
                event.with_intensity(1.0).unwrap().with_words("hate, awful"),
                EventSource::Message,
                "felt frustration 1: your message, \"hate, awful\"",
            ),
        ] {
            assert_eq!(felt(&event, source), line);
        }
    }

    #[test]
    fn what_was_set_stays() {
        let load = |env: &[(&str, &str)]| {
            let loader = SettingsLoader::new()
                .without_files()
                .env(env.iter().copied());
            let mut loaded = loader.load().unwrap();
            settle(&mut loaded);
            loaded.settings.emotion
        };
        let people = load(&[]);
        assert!((people.decay_rate - DECAY_RATE).abs() < 1e-12);
        assert!(people.message_analysis_enabled && !people.behavioral_monitoring_enabled);
        let own = load(&[
            ("ELPIS_EMOTION_DECAY_RATE", "0.1"),
            ("ELPIS_EMOTION_MESSAGE_ANALYSIS_ENABLED", "false"),
            ("ELPIS_EMOTION_BEHAVIORAL_MONITORING_ENABLED", "true"),
        ]);
        assert!((own.decay_rate - 0.1).abs() < 1e-12);
        assert!(!own.message_analysis_enabled && own.behavioral_monitoring_enabled);
    }
}
