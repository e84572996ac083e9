//! Axes along which replies are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::capture::{Reader, render};
use super::error::TrainingError;
use super::generate::replies;
use super::pairs::{ContrastPairs, EmotionalReply, Form, NEUTRAL};
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

/// The layer at which a model's replies are read.
fn layer_of(n_layers: usize) -> usize {
    ((n_layers as f64 * DEPTH) as usize).min(n_layers.saturating_sub(2))
}

/// Trains the axes on the replies of the pairs, and scales them by replies that the model itself
/// gives to the questions. There are none without replies, or if the emotions do not span the
/// plane. What `rows` have read already is not read again.
pub(super) fn train_reading(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    pairs: &ContrastPairs,
    rows: &Rows<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Option<Reading>, TrainingError> {
    let layer = layer_of(backend.facts().n_layers);
    let own = OWN_REPLIES.div_ceil(pairs.questions.len().max(1));
    let asked = pairs.questions.len().min(QUESTIONS);
    let prompts = prompts(backend, template, pairs, own)?;
    let groups = prompts
        .len()
        .div_ceil(backend.facts().n_sequences.max(1) as usize);
    let unread = |reply: &&EmotionalReply| rows.mean_of_reply(&reply.reply, layer).is_none();
    let unread = pairs.replies.iter().filter(unread).count();
    let steps = unread * asked + groups + prompts.len();
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
        let mut mean = Mean::default();
        for question in pairs.questions.iter().take(asked) {
            reader.read(Form::Replies, &reply.reply, question, |activation| {
                mean.add(activation.first().map_or(&[], Vec::as_slice));
                Ok(())
            })?;
            progress.step()?;
        }
        own.push(mean.take());
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
    let found = replies(
        backend,
        &prompts,
        None,
        &sampling,
        OWN_TOKENS,
        &mut progress,
    )?;
    let mut projections = Vec::with_capacity(found.len());
    for reply in found.iter().filter(|reply| !reply.tokens.is_empty()) {
        let tokens = [&reply.prompt[..], &reply.tokens[..]].concat();
        let stream = backend.residual_stream(&tokens, &[layer])?;
        let mut mean = Mean::default();
        let rows = stream.first().map_or(&[][..], Vec::as_slice);
        for row in rows.get(reply.prompt.len()..).unwrap_or_default() {
            mean.add(row);
        }
        projections.push(axes.project(&mean.take()));
        progress.step()?;
    }
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
    axes: ReadingAxes,
    own: &[Projection],
    classes: &BTreeMap<&str, Vec<Vec<f32>>>,
    places: &BTreeMap<String, Place>,
) -> Option<Reading> {
    let mean_of = |rows: &[Vec<f32>], of: fn(&Projection) -> f32| {
        let projections: Vec<f64> = rows
            .iter()
            .map(|row| f64::from(of(&axes.project(row))))
            .collect();
        moments(&projections).0
    };
    let scale = |of: fn(&Projection) -> f32, at: fn(&Place) -> f64| {
        let own: Vec<f64> = own.iter().map(|found| f64::from(of(found))).collect();
        let (mean, deviation) = moments(&own);
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
    Some(Reading::new(Arc::new(axes), valence, arousal))
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    let degrees = (count - 1.0).max(1.0);
    (mean, (squares.sum::<f64>() / degrees).sqrt())
}

/// A running mean of rows.
#[derive(Debug, Default)]
struct Mean {
    sum: Vec<f64>,
    count: usize,
}

impl Mean {
    fn add(&mut self, row: &[f32]) {
        self.sum.resize(row.len(), 0.0);
        for (total, &x) in self.sum.iter_mut().zip(row) {
            *total += f64::from(x);
        }
        self.count += 1;
    }

    fn take(self) -> Vec<f32> {
        let count = self.count.max(1) as f64;
        let means = self.sum.into_iter().map(|total| (total / count) as f32);
        means.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_in_the_first_half_is_read() {
        for (n_layers, layer) in [(1, 0), (2, 0), (4, 1), (8, 2), (18, 5), (30, 9), (80, 24)] {
            assert_eq!(layer_of(n_layers), layer, "{n_layers}");
        }
    }

    #[test]
    fn an_axis_is_scaled_by_the_models_own_replies() {
        let axes = || ReadingAxes::new(1, vec![1.0, 0.0].into(), vec![0.0, 1.0].into());
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
        assert_eq!(reading.valence, AxisScale::new(3.0, 2.0, 2.0));
        assert!((reading.arousal.mean - 11.0).abs() < 1e-9);
        assert!((reading.arousal.deviation - 3.0_f64.sqrt()).abs() < 1e-9);
        // All replies alike tell nothing about the scale.
        assert_eq!(scaled(axes(), &own[..1], &classes, &BTreeMap::new()), None);
    }
}
