//! Reads feelings from what a reply expressed in the model's residual stream.

use super::LexicalAppraiser;
use crate::emotion::{EmotionConfig, EmotionEvent, known};
use crate::event::EventSource;
use crate::steering::Expressed;

/// Smallest valence that is felt, in deviations of neutral replies. About one neutral reply in
/// twenty reaches it by chance.
const FELT: f64 = 2.0;

/// Valence at which an event has its full intensity.
const FULL: f64 = 4.0;

/// Appraises replies by what they expressed ([`GenerationReport::expressed`]), without word lists;
/// messages, and replies that were not read, by the words. Of replies that were read, outcomes of
/// tasks are not looked for.
///
/// [`GenerationReport::expressed`]: crate::GenerationReport::expressed
#[derive(Debug, Clone)]
pub struct ExpressedAppraiser {
    words: LexicalAppraiser,
}

impl ExpressedAppraiser {
    /// An appraiser with the thresholds of the configuration for what is read from words.
    pub fn new(config: &EmotionConfig) -> Self {
        Self {
            words: LexicalAppraiser::new(config),
        }
    }

    /// Appraises text by its words.
    pub(crate) fn words(&self) -> &LexicalAppraiser {
        &self.words
    }

    /// The event that a reply expressed: joy or contentment, frustration or sadness, by its
    /// arousal; none if its valence is within two deviations of neutral replies.
    pub fn appraise(&self, expressed: &Expressed) -> Option<EmotionEvent> {
        let strength = expressed.valence.abs();
        if strength < FELT || !strength.is_finite() {
            return None;
        }
        let event = match (expressed.valence > 0.0, expressed.arousal >= 0.0) {
            (true, true) => known::JOY,
            (true, false) => known::CONTENTMENT,
            (false, true) => known::FRUSTRATION,
            (false, false) => known::SADNESS,
        };
        let intensity = 0.4 + 0.6 * ((strength - FELT) / (FULL - FELT)).min(1.0);
        let cause = format!(
            "expressed valence {:+.1}, arousal {:+.1}",
            expressed.valence, expressed.arousal
        );
        let event = EmotionEvent::weighted(event, intensity);
        Some(event.with_source(EventSource::Reply).with_words(&cause))
    }
}

impl Default for ExpressedAppraiser {
    fn default() -> Self {
        Self::new(&EmotionConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steering::{AxisScale, ExpressionMeter, Projection, Reading, ReadingAxes};

    fn expressed(valence: f32, arousal: f32) -> Expressed {
        let axes = ReadingAxes::new(0, Box::default(), Box::default());
        let scale = AxisScale::new(0.0, 1.0, 4.0);
        let mut meter = ExpressionMeter::default();
        let projection = Projection::new(valence, arousal);
        meter.add(projection, &Reading::new(axes.into(), scale, scale));
        meter.expressed().unwrap()
    }

    #[test]
    fn a_reply_that_expresses_much_is_felt() {
        let appraiser = ExpressedAppraiser::default();
        for (valence, arousal, event, intensity) in [
            (2.0, 0.0, "joy", 0.4),
            (3.0, -1.0, "contentment", 0.7),
            (-9.0, 1.0, "frustration", 1.0),
            (-2.5, -0.1, "sadness", 0.55),
        ] {
            let found = appraiser.appraise(&expressed(valence, arousal)).unwrap();
            assert_eq!(found.name(), event);
            assert!((found.intensity() - intensity).abs() < 1e-9);
        }
        for (valence, arousal) in [(1.9, 5.0), (-1.9, -5.0), (0.0, 0.0)] {
            assert_eq!(appraiser.appraise(&expressed(valence, arousal)), None);
        }
    }
}
