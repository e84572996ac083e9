//! Shows a mood as text and bars.

use std::fmt::Write as _;

use console::{Style, measure_text_width};

use elpis::emotion::{Coefficients, EmotionSnapshot, Mood, Spiral, Trajectory};
use elpis::steering::SteeringLibrary;

/// Cells on either side of a bar's middle.
const HALF: usize = 5;

/// Coefficients below this are left out of the blend.
const MIN: f64 = 0.01;

/// Change per minute below which a trend is level.
const LEVEL: f64 = 0.01;

/// The coefficients that act on a reply: the emotions with vectors, the strongest first.
#[derive(Debug, Default)]
pub(in crate::chat) struct Acting(Vec<(String, f64)>);

impl Acting {
    pub fn new(mood: &EmotionSnapshot, library: &SteeringLibrary) -> Self {
        let strength = mood.modulation.strength;
        let coefficients = library.coefficients(mood.valence, mood.arousal, strength);
        Self::of(&coefficients, |name| {
            library.emotions().any(|emotion| emotion.name == name)
        })
    }

    fn of(coefficients: &Coefficients, has_vectors: impl Fn(&str) -> bool) -> Self {
        let acts = |(name, value): &(&str, f64)| value.abs() >= MIN && has_vectors(name);
        let mut acting: Vec<_> = coefficients
            .iter()
            .filter(acts)
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        acting.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        Self(acting)
    }

    fn parts(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|(name, value)| format!("{name} {value:.2}"))
    }
}

/// How much of the context a conversation has used, and how fast the last reply was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::chat) struct Meter {
    pub tokens: u32,
    pub context: u32,
    /// Tokens per second of the reply.
    pub rate: f64,
}

impl Meter {
    /// `context 412/4096`.
    pub fn context(&self) -> String {
        format!("context {}/{}", self.tokens, self.context)
    }

    /// `41 tokens/s`.
    pub fn rate(&self) -> String {
        let digits = usize::from(self.rate < 10.0);
        format!("{:.digits$} tokens/s", self.rate)
    }
}

/// A mood on a line of `width` columns. Its parts are shown whole or not at all.
pub(super) fn line(
    mood: &EmotionSnapshot,
    acting: &Acting,
    meter: Option<Meter>,
    width: usize,
    unicode: bool,
) -> String {
    let axis = |name: &str, value: f64| format!("{name} {} {value:+.2}", bar(value, unicode));
    let mut parts = vec![
        format!("{:<10}", mood.mood.as_str()),
        axis("valence", mood.valence),
        axis("arousal", mood.arousal),
    ];
    parts.extend(meter.map(|meter| meter.context()));
    parts.extend(acting.parts());
    parts.extend(
        meter
            .filter(|meter| meter.rate > 0.0)
            .map(|meter| meter.rate()),
    );
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { "  " };
        if measure_text_width(&line) + gap.len() + measure_text_width(&part) + 1 > width {
            break;
        }
        line.push_str(gap);
        line.push_str(&part);
    }
    if line.is_empty() {
        // The name without padding, if nothing else fits.
        mood.mood
            .as_str()
            .chars()
            .take(width.saturating_sub(1))
            .collect()
    } else {
        line
    }
}

/// A value in [-1, 1] as a bar from its middle.
fn bar(value: f64, unicode: bool) -> String {
    let (full, empty, middle) = if unicode {
        ('█', '·', '│')
    } else {
        ('#', '.', '|')
    };
    let reach = (value.abs() * HALF as f64).round() as usize;
    let side = |filled: bool, from_middle: usize| {
        if filled && from_middle < reach {
            full
        } else {
            empty
        }
    };
    let left = (0..HALF).rev().map(|cell| side(value < 0.0, cell));
    let right = (0..HALF).map(|cell| side(value > 0.0, cell));
    left.chain([middle]).chain(right).collect()
}

pub(super) fn colour(mood: Mood) -> Style {
    match mood {
        Mood::Neutral => Style::new(),
        Mood::Excited => Style::new().yellow(),
        Mood::Frustrated => Style::new().red(),
        Mood::Calm => Style::new().green(),
        Mood::Depleted => Style::new().blue(),
    }
}

/// A full description of a mood, in sentences.
pub(in crate::chat) fn state(mood: &EmotionSnapshot, acting: &Acting) -> String {
    let modulation = &mood.modulation;
    let mut told = format!(
        "{}: valence {:+.2} (unpleasant -1 to pleasant +1), arousal {:+.2} (sleepy -1 to activated +1)",
        mood.mood, mood.valence, mood.arousal,
    );
    let _ = write!(told, "\nlately: {}", course(&mood.trajectory));
    if let Some(spiral) = spiral(mood.trajectory.spiral) {
        let _ = write!(told, "; the last events all point {spiral}");
    }
    let vectors: Vec<_> = acting.parts().collect();
    let _ = write!(
        told,
        "\na reply: temperature {:.2}, top-p {:.2}, strength {:.2}; {}",
        modulation.temperature,
        modulation.top_p,
        modulation.strength,
        if vectors.is_empty() {
            "no active vectors".to_owned()
        } else {
            format!("vectors {}", vectors.join(", "))
        },
    );
    let events = mood.events_applied;
    let plural = if events == 1 { "" } else { "s" };
    let _ = write!(
        told,
        "\n{events} event{plural} so far, dynamics {}",
        mood.dynamics
    );
    told
}

fn course(trajectory: &Trajectory) -> String {
    let one = |name: &str, velocity: f64| {
        if velocity.abs() < LEVEL {
            return format!("{name} level");
        }
        let way = if velocity > 0.0 { "up" } else { "down" };
        format!("{name} {way} by {:.2} a minute", velocity.abs())
    };
    format!(
        "{}, {}",
        one("valence", trajectory.valence_velocity),
        one("arousal", trajectory.arousal_velocity),
    )
}

fn spiral(spiral: Spiral) -> Option<&'static str> {
    match spiral {
        Spiral::None => None,
        Spiral::Positive => Some("toward pleasant"),
        Spiral::Negative => Some("toward unpleasant"),
        Spiral::Escalating => Some("toward activated"),
        Spiral::Withdrawing => Some("toward sleepy"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use elpis::emotion::{EmotionConfig, EmotionTracker, known};

    fn felt() -> EmotionSnapshot {
        let mut tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
        for at in [0.0, 30.0, 60.0] {
            tracker.apply(&known::BLOCKED.into(), at).unwrap();
        }
        tracker.snapshot_at(60.0)
    }

    #[test]
    fn bars_reach_from_the_middle() {
        for (value, expected, plain) in [
            (0.0, "·····│·····", ".....|....."),
            (0.41, "·····│██···", ".....|##..."),
            (-1.0, "█████│·····", "#####|....."),
            (1.0, "·····│█████", ".....|#####"),
            (-0.05, "·····│·····", ".....|....."),
        ] {
            assert_eq!(bar(value, true), expected, "{value}");
            assert_eq!(bar(value, false), plain, "{value}");
        }
    }

    #[test]
    fn what_acts_has_vectors_and_the_strongest_comes_first() {
        let mood = felt();
        let all = Acting::of(&mood.modulation.coefficients, |_| true);
        assert_eq!(all.0[0].0, "frustrated");
        assert!(all.0.is_sorted_by(|a, b| a.1 >= b.1));
        let calm = Acting::of(&mood.modulation.coefficients, |name| name == "calm");
        assert_eq!(calm.0.len(), 1);
        let none = Acting::new(&mood, &SteeringLibrary::empty());
        assert!(none.0.is_empty());
        let wide = line(&mood, &none, None, 200, true);
        assert!(
            !wide.contains("excited")
                && wide.trim_end().ends_with(&format!("{:+.2}", mood.arousal)),
            "{wide}"
        );
        assert!(state(&mood, &none).contains("no active vectors"));
    }

    #[test]
    fn parts_of_a_line_are_whole_or_not_there() {
        let mood = felt();
        let acting = Acting::of(&mood.modulation.coefficients, |_| true);
        let meter = Some(Meter {
            tokens: 412,
            context: 4096,
            rate: 41.2,
        });
        let whole = line(&mood, &acting, meter, 300, true);
        assert!(
            whole.contains("context 412/4096") && whole.ends_with("41 tokens/s"),
            "{whole}"
        );
        for width in 0..200 {
            let line = line(&mood, &acting, meter, width, true);
            assert!(measure_text_width(&line) < width.max(1), "{width}: {line}");
            let last = line.rsplit("  ").next().unwrap_or_default().trim();
            assert!(whole.contains(last), "{line}");
            let rest = whole.strip_prefix(line.trim_end());
            assert!(
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                    || line.len() < 10,
                "{width}: {line}"
            );
        }
    }

    #[test]
    fn a_state_is_told_in_plain_words() {
        let told = state(&felt(), &Acting::default());
        for words in [
            "frustrated: valence -0.",
            "valence down by 0.",
            "arousal up by",
            "3 events so far, dynamics 2",
        ] {
            assert!(told.contains(words), "{told}");
        }
        for jargon in ["trend", "momentum", "spiral none"] {
            assert!(!told.contains(jargon), "{told}");
        }
        let tracker = EmotionTracker::new(Arc::new(EmotionConfig::default()), 0.0).unwrap();
        let told = state(&tracker.snapshot_at(0.0), &Acting::default());
        assert!(told.starts_with("neutral: valence +0.00"), "{told}");
        assert!(told.contains("valence level, arousal level"), "{told}");
    }
}
