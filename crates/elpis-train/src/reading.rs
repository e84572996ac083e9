//! Axes along which replies are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::capture::{Mean, Reader, render};
use super::error::TrainingError;
use super::generate::Speaker;
use super::pairs::{ContrastPairs, EmotionalReply, Form, NEUTRAL};
use super::quality::spread;
use super::rows::{REPLY_QUESTIONS, Rows};
use super::{OnProgress, ProgressReporter};
use elpis_backend::{Backend, Token};
use elpis_inference::{ChatMessage, ChatTemplate, SamplingParams};
use elpis_steering::contrast::ContrastError;
use elpis_steering::discriminant::{PlacedRows, plane_axes};
use elpis_steering::{AxisScale, Place, Projection, Reading, ReadingAxes};

/// The layer that is read, as a share of the model's depth. From about a quarter on, moods are told
/// apart equally well; an early layer is little changed by steering, which acts on later ones.
const DEPTH: f64 = 0.3;

/// Number of questions that each reply is read after.
const QUESTIONS: usize = REPLY_QUESTIONS;

/// Number of the model's own neutral replies, at least.
const OWN_REPLIES: usize = 24;

/// Maximum number of tokens of each of them.
const OWN_TOKENS: usize = 40;

const SEED: u64 = 7;

/// The layer at which a model's replies are read: none above the first that is steered, because
/// steering would be taken for an expression there.
fn layer_of(n_layers: usize, steered: &[usize]) -> usize {
    let wanted = (n_layers as f64 * DEPTH) as usize;
    let limit = steered.iter().min().copied().unwrap_or(n_layers);
    wanted.min(limit).min(n_layers.saturating_sub(2))
}

/// Trains the axes on the replies of the pairs, and scales them by replies that the model itself
/// gives to the questions. There are none without replies, or if the emotions do not span the
/// plane. What `rows` have read already is not read again.
pub(super) fn train_reading(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    pairs: &ContrastPairs,
    rows: &Rows<'_>,
    steered: &[usize],
    on_progress: OnProgress<'_>,
) -> Result<Option<Reading>, TrainingError> {
    let layer = layer_of(backend.facts().n_layers, steered);
    let own = OWN_REPLIES.div_ceil(pairs.questions.len().max(1));
    let asked = pairs.questions.len().min(QUESTIONS);
    let prompts = prompts(backend, template, pairs, own)?;
    let groups = prompts
        .len()
        .div_ceil(backend.facts().n_sequences.max(1) as usize);
    let unread = |reply: &&EmotionalReply| rows.mean_of_reply(&reply.reply, layer).is_none();
    let unread = pairs.replies.iter().filter(unread).count();
    let steps = unread * asked + groups;
    let mut progress = ProgressReporter::new(on_progress, steps);

    progress.begin("reading replies")?;
    let mut classes: BTreeMap<&str, Vec<Vec<f32>>> = BTreeMap::new();
    let mut reader = Reader::at_layers(backend, template, vec![layer]);
    for reply in &pairs.replies {
        let own = classes.entry(&reply.emotion).or_default();
        if let Some(mean) = rows.mean_of_reply(&reply.reply, layer) {
            own.push(mean.to_vec());
            continue;
        }
        let mut found = Mean::default();
        for question in pairs.questions.iter().take(asked) {
            reader.read(Form::Replies, &reply.reply, question, |activation| {
                found.add(&activation);
                Ok(())
            })?;
            progress.step()?;
        }
        own.extend(found.take());
    }
    let Some(axes) = axes(layer, &classes, &pairs.places)? else {
        return Ok(None);
    };

    progress.begin("scaling by the model's own replies")?;
    let sampling = SamplingParams {
        temperature: 0.8,
        top_p: 0.95,
        seed: SEED,
        ..SamplingParams::default()
    };
    let mut speaker = Speaker::new(backend, false);
    let found = speaker.replies(&prompts, None, &sampling, OWN_TOKENS, &mut progress)?;
    let axes = Arc::new(axes);
    let judged = speaker.judge(&found, Some(&axes), &mut progress)?;
    let projections: Vec<Projection> = judged
        .iter()
        .filter_map(|judged| judged.projection)
        .collect();
    Ok(scaled(axes, &projections, &classes, &pairs.places))
}

/// The prompts for the model's own replies: every question, `times` times.
fn prompts(
    backend: &dyn Backend,
    template: &ChatTemplate,
    pairs: &ContrastPairs,
    times: usize,
) -> Result<Vec<Vec<Token>>, TrainingError> {
    let tokenizer = backend.tokenizer();
    let rendered = pairs.questions.iter().map(|question| {
        let text = render(template, &[ChatMessage::user(question)])?;
        Ok(tokenizer.encode(&text, true)?)
    });
    let rendered = rendered.collect::<Result<Vec<_>, TrainingError>>()?;
    Ok((0..times).flat_map(|_| rendered.clone()).collect())
}

fn place_of(emotion: &str, places: &BTreeMap<String, Place>) -> Option<Place> {
    let corner = |valence, arousal| Some(Place { valence, arousal });
    match emotion {
        NEUTRAL => corner(0.0, 0.0),
        "excited" => corner(1.0, 1.0),
        "calm" => corner(1.0, -1.0),
        "frustrated" => corner(-1.0, 1.0),
        "depleted" => corner(-1.0, -1.0),
        other => places.get(other).copied(),
    }
}

fn axes(
    layer: usize,
    classes: &BTreeMap<&str, Vec<Vec<f32>>>,
    places: &BTreeMap<String, Place>,
) -> Result<Option<ReadingAxes>, TrainingError> {
    let placed: Vec<PlacedRows<&[f32]>> = classes
        .iter()
        .filter_map(|(emotion, rows)| {
            let place = place_of(emotion, places)?;
            let rows = rows.iter().map(Vec::as_slice).collect();
            Some(PlacedRows { place, rows })
        })
        .collect();
    match plane_axes(&placed) {
        Ok([valence, arousal]) => Ok(Some(ReadingAxes::new(
            layer,
            valence.into(),
            arousal.into(),
        ))),
        Err(ContrastError::NoDifference | ContrastError::Empty { .. }) => Ok(None),
        Err(source) => Err(TrainingError::Contrast {
            emotion: "reading".to_owned(),
            layer,
            source,
        }),
    }
}

/// Scales axes by the model's own replies, and by what the emotions' replies project to.
fn scaled(
    axes: Arc<ReadingAxes>,
    own: &[Projection],
    classes: &BTreeMap<&str, Vec<Vec<f32>>>,
    places: &BTreeMap<String, Place>,
) -> Option<Reading> {
    let mean_of = |rows: &[Vec<f32>], of: fn(&Projection) -> f32| {
        let projections: Vec<f64> = rows
            .iter()
            .map(|row| f64::from(of(&axes.project(row))))
            .collect();
        spread(&projections).0
    };
    let scale = |of: fn(&Projection) -> f32, at: fn(&Place) -> f64| {
        let own: Vec<f64> = own.iter().map(|found| f64::from(of(found))).collect();
        let (mean, deviation) = spread(&own);
        let neutral = classes.get(NEUTRAL).map(|rows| mean_of(rows, of))?;
        let (mut slope, mut squares) = (0.0, 0.0);
        for (emotion, rows) in classes {
            let place = place_of(emotion, places).map_or(0.0, |place| at(&place));
            slope += place * (mean_of(rows, of) - neutral);
            squares += place * place;
        }
        let span = slope / squares / deviation;
        let sound = deviation > 0.0 && span > 0.0 && span.is_finite();
        sound.then(|| AxisScale::new(mean, deviation, span))
    };
    let valence = scale(|found| found.valence, |place| place.valence)?;
    let arousal = scale(|found| found.arousal, |place| place.arousal)?;
    Some(Reading::new(axes, valence, arousal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_layer_is_read_that_no_steering_reaches() {
        for (n_layers, layer) in [(1, 0), (2, 0), (4, 1), (8, 2), (18, 5), (30, 9), (80, 24)] {
            assert_eq!(layer_of(n_layers, &[]), layer, "{n_layers}");
        }
        assert_eq!(layer_of(30, &[10, 13, 22]), 9);
        assert_eq!(
            layer_of(30, &[12, 4]),
            4,
            "not above the first that is steered"
        );
        assert_eq!(layer_of(30, &[0]), 0);
    }

    #[test]
    fn an_axis_is_scaled_by_the_models_own_replies() {
        let axes = || {
            Arc::new(ReadingAxes::new(
                1,
                vec![1.0, 0.0].into(),
                vec![0.0, 1.0].into(),
            ))
        };
        let own = [
            Projection::new(1.0, 10.0),
            Projection::new(3.0, 10.0),
            Projection::new(5.0, 13.0),
        ];
        let rows = |v: f32, a: f32| vec![vec![v, a], vec![v, a]];
        let classes = BTreeMap::from([
            ("excited", rows(10.0, 6.0)),
            ("calm", rows(10.0, 2.0)),
            ("frustrated", rows(2.0, 6.0)),
            ("depleted", rows(2.0, 2.0)),
            (NEUTRAL, rows(6.0, 4.0)),
        ]);
        let reading = scaled(axes(), &own, &classes, &BTreeMap::new()).unwrap();
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        let deviation = (8.0_f64 / 3.0).sqrt();
        let AxisScale {
            mean,
            deviation: found,
            span,
            ..
        } = reading.valence;
        assert!(near(mean, 3.0) && near(found, deviation) && near(span, 4.0 / deviation));
        let arousal = reading.arousal;
        assert!(near(arousal.mean, 11.0) && near(arousal.deviation, 2.0_f64.sqrt()));
        // All replies alike tell nothing about the scale.
        assert_eq!(scaled(axes(), &own[..1], &classes, &BTreeMap::new()), None);
    }
}
