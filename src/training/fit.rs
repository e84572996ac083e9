//! From activations to vectors.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use super::capture::{Activation, ReadAt, Reader, mean_activation};
use super::error::TrainingError;
use super::pairs::ContrastPairs;
use super::{OnProgress, report};
use crate::backend::Backend;
use crate::inference::ChatTemplate;
use crate::steering::contrast::{self, ContrastError};
use crate::steering::{LibraryFile, MANIFEST_FILE, Place, SteeringVector, VectorFormat, write};

/// Every fourth pair of an emotion is held out when layers are judged.
const HELD_OUT: usize = 4;
/// Layers whose separation differs by less count as equal.
const EQUAL_AUC: f64 = 0.005;

/// How a direction is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Method {
    /// Mean of the positive activations minus mean of the negative ones.
    #[default]
    Mean,
    /// First principal component of the paired differences.
    Pca,
}

impl Method {
    /// The names of all values.
    pub const NAMES: [&'static str; 2] = ["mean", "pca"];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Pca => "pca",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Mean, Self::Pca]
            .into_iter()
            .find(|method| method.as_str() == name)
            .ok_or_else(|| format!("{name:?} is none of {}", Self::NAMES.join(", ")))
    }
}

/// How vectors are trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// The layer; `None`: the one where held-out sentences separate best.
    pub layer: Option<usize>,
    /// How a direction is found.
    pub method: Method,
    /// Where activations are read.
    pub at: ReadAt,
    /// Mean norm of the vectors, in units of the median norm of the residual
    /// stream at their layer.
    pub strength: f32,
    /// Keeps what all emotions have in common. By default it is removed, so
    /// that a neutral state, which feels a bit of each, steers nothing.
    pub keep_common: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            layer: None,
            method: Method::default(),
            at: ReadAt::default(),
            strength: Self::DEFAULT_STRENGTH,
            keep_common: false,
        }
    }
}

impl TrainOptions {
    /// Mean norm of the vectors when nothing else is asked.
    pub const DEFAULT_STRENGTH: f32 = 0.6;
}

/// How well held-out sentences separate at a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerScore {
    /// The layer.
    pub layer: usize,
    /// For each emotion, the probability that one of its sentences lies
    /// further along its direction than a neutral one or one of another
    /// emotion; 0.5 is chance.
    pub auc: Vec<(String, f64)>,
    /// Their mean.
    pub mean: f64,
}

/// Trained vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The layer they belong to.
    pub layer: usize,
    /// Every layer's separation.
    pub scores: Vec<LayerScore>,
    /// The vectors, by emotion.
    pub vectors: BTreeMap<String, SteeringVector>,
    /// Where emotions beyond the four stand.
    pub places: BTreeMap<String, Place>,
}

impl Trained {
    /// The files of a library: one for each vector, and the manifest.
    ///
    /// # Errors
    /// [`TrainingError::Format`] if the format cannot hold a vector (GGUF has
    /// no layer 0).
    pub fn files(&self, format: VectorFormat) -> Result<Vec<LibraryFile>, TrainingError> {
        let mut files = Vec::new();
        let mut manifest = format!("layer = {}\nscale = 1.0\n", self.layer);
        for (emotion, vector) in &self.vectors {
            let bytes = write(format, vector).map_err(|source| TrainingError::Format {
                emotion: emotion.clone(),
                source,
            })?;
            files.push(LibraryFile {
                name: format!("{emotion}.{}", format.extension()),
                bytes,
            });
            // Writing to a string cannot fail.
            let _ = write!(manifest, "\n[emotions.{emotion}]\ncap = 1.0\n");
            if let Some(place) = self.places.get(emotion) {
                let Place { valence, arousal } = place;
                let _ = write!(manifest, "valence = {valence:?}\narousal = {arousal:?}\n");
            }
        }
        files.push(LibraryFile {
            name: MANIFEST_FILE.to_owned(),
            bytes: manifest.into_bytes(),
        });
        Ok(files)
    }
}

/// The activations of an emotion's pairs.
#[derive(Debug, Default)]
struct Rows {
    /// Per pair, the mean over all its prompts.
    positive: Vec<Activation>,
    negative: Vec<Activation>,
    /// Of the held-out pairs, each prompt by itself.
    held_out_positive: Vec<Activation>,
    held_out_negative: Vec<Activation>,
}

/// Trains a vector for each emotion of the pairs.
///
/// # Errors
/// [`TrainingError`].
pub fn train(
    backend: &mut dyn Backend,
    template: &ChatTemplate,
    pairs: &ContrastPairs,
    options: &TrainOptions,
    on_progress: OnProgress<'_>,
) -> Result<Trained, TrainingError> {
    let facts = std::sync::Arc::clone(backend.facts());
    let last = facts.n_layers.saturating_sub(1);
    if let Some(layer) = options.layer.filter(|&layer| layer >= last) {
        return Err(TrainingError::Limit {
            field: "layer",
            value: layer.to_string(),
            limit: format!("from 0 to {} for this model", last.saturating_sub(1)),
        });
    }
    if !(options.strength > 0.0 && options.strength <= 10.0) {
        return Err(TrainingError::Limit {
            field: "strength",
            value: options.strength.to_string(),
            limit: "above 0 and at most 10".to_owned(),
        });
    }
    let mut reader = Reader::new(backend, template, options.at);
    let layers = reader.layers().to_vec();
    let rows = read_all(&mut reader, pairs, on_progress)?;
    let scores = layers
        .iter()
        .map(|&layer| score(&rows, layer, options))
        .collect::<Result<Vec<_>, _>>()?;
    let layer = options.layer.unwrap_or_else(|| best(&scores));
    let directions = directions(&rows, layer, options, |_| true)?;
    let norm = |row: &[f32]| {
        row.iter()
            .map(|&x| f64::from(x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let mean = directions.values().map(|row| norm(row)).sum::<f64>() / directions.len() as f64;
    let residual = facts.residual_norms.get(layer).copied().unwrap_or(1.0);
    let factor = f64::from(options.strength) * f64::from(residual) / mean;
    let vectors = directions
        .into_iter()
        .map(|(emotion, row)| {
            let row = row.iter().map(|&x| (f64::from(x) * factor) as f32);
            let vector = SteeringVector::layered([(layer, row.collect())].into());
            match vector {
                Ok(vector) => {
                    let count = u32::try_from(facts.n_layers).ok();
                    let hint = Some(facts.architecture.clone());
                    Ok((emotion, vector.described(hint, count)))
                }
                Err(source) => Err(TrainingError::Vector { emotion, source }),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Trained {
        layer,
        scores,
        vectors,
        places: pairs.places.clone(),
    })
}

/// Evaluates every sentence before every question. Sentences that several
/// pairs share are evaluated once.
fn read_all(
    reader: &mut Reader<'_>,
    pairs: &ContrastPairs,
    on_progress: OnProgress<'_>,
) -> Result<BTreeMap<String, Rows>, TrainingError> {
    let mut sentences: Vec<(&str, bool)> = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for pair in &pairs.pairs {
        let number = seen.entry(&pair.emotion).or_default();
        *number += 1;
        // The last of a short list, so that each emotion has one.
        let count = pairs
            .pairs
            .iter()
            .filter(|p| p.emotion == pair.emotion)
            .count();
        let held_out = number.is_multiple_of(HELD_OUT.min(count));
        places.push((pair, held_out));
        for sentence in [&pair.positive, &pair.negative] {
            match sentences.iter_mut().find(|(known, _)| known == sentence) {
                Some((_, keep)) => *keep |= held_out,
                None => sentences.push((sentence, held_out)),
            }
        }
    }
    let total = sentences.len() * pairs.questions.len();
    let mut done = 0;
    let mut read: BTreeMap<&str, (Activation, Vec<Activation>)> = BTreeMap::new();
    for (sentence, keep) in sentences {
        let mut all = Vec::new();
        for question in &pairs.questions {
            report(on_progress, "reading activations", done, total)?;
            all.extend(reader.read(sentence, question)?);
            done += 1;
        }
        let mean = mean_activation(&all);
        read.insert(sentence, (mean, if keep { all } else { Vec::new() }));
    }
    report(on_progress, "reading activations", done, total)?;
    let mut rows: BTreeMap<String, Rows> = BTreeMap::new();
    for (pair, held_out) in places {
        let emotion = rows.entry(pair.emotion.clone()).or_default();
        let (Some(positive), Some(negative)) = (
            read.get(pair.positive.as_str()),
            read.get(pair.negative.as_str()),
        ) else {
            continue;
        };
        emotion.positive.push(positive.0.clone());
        emotion.negative.push(negative.0.clone());
        if held_out {
            emotion.held_out_positive.extend(positive.1.iter().cloned());
            emotion.held_out_negative.extend(negative.1.iter().cloned());
        }
    }
    Ok(rows)
}

fn at(activations: &[Activation], layer: usize) -> Vec<&[f32]> {
    let rows = activations.iter();
    rows.filter_map(|a| a.get(layer).map(Vec::as_slice))
        .collect()
}

/// The direction of each emotion at a layer, from the pairs whose index `used`
/// allows.
fn directions(
    rows: &BTreeMap<String, Rows>,
    layer: usize,
    options: &TrainOptions,
    used: impl Fn(usize) -> bool,
) -> Result<BTreeMap<String, Vec<f32>>, TrainingError> {
    let failed = |emotion: &str, source: ContrastError| TrainingError::Contrast {
        emotion: emotion.to_owned(),
        layer,
        source,
    };
    let mut found = BTreeMap::new();
    for (emotion, rows) in rows {
        let part = |activations: &[Activation]| -> Vec<Vec<f32>> {
            let rows = at(activations, layer).into_iter().enumerate();
            rows.filter(|(index, _)| used(*index))
                .map(|(_, row)| row.to_vec())
                .collect()
        };
        let (positive, negative) = (part(&rows.positive), part(&rows.negative));
        let direction = match options.method {
            Method::Mean => contrast::mean_difference(&positive, &negative),
            Method::Pca => contrast::pca(&positive, &negative),
        };
        found.insert(
            emotion.clone(),
            direction.map_err(|error| failed(emotion, error))?,
        );
    }
    if options.keep_common || found.len() < 2 {
        return Ok(found);
    }
    let apart: Vec<&Vec<f32>> = found.values().collect();
    let apart = contrast::remove_common_mean(&apart).map_err(|error| failed("mean", error))?;
    Ok(found.into_keys().zip(apart).collect())
}

/// Separation of the held-out sentences along directions that were found
/// without them.
fn score(
    rows: &BTreeMap<String, Rows>,
    layer: usize,
    options: &TrainOptions,
) -> Result<LayerScore, TrainingError> {
    let fewest = rows.values().map(|rows| rows.positive.len()).min();
    let every = HELD_OUT.min(fewest.unwrap_or(HELD_OUT));
    let directions = directions(rows, layer, options, |index| {
        !(index + 1).is_multiple_of(every)
    })?;
    let mut auc = Vec::new();
    for (emotion, direction) in &directions {
        let failed = |source| TrainingError::Contrast {
            emotion: emotion.clone(),
            layer,
            source,
        };
        let scores = |rows: &[&[f32]]| contrast::scores(rows, direction).map_err(failed);
        let Some(own) = rows.get(emotion) else {
            continue;
        };
        let positive = scores(&at(&own.held_out_positive, layer))?;
        let mut negative = scores(&at(&own.held_out_negative, layer))?;
        for (_, other) in rows.iter().filter(|(name, _)| *name != emotion) {
            negative.extend(scores(&at(&other.held_out_positive, layer))?);
        }
        let value = contrast::auc(&positive, &negative).map_err(failed)?;
        auc.push((emotion.clone(), value));
    }
    let mean = auc.iter().map(|(_, value)| value).sum::<f64>() / auc.len().max(1) as f64;
    Ok(LayerScore { layer, auc, mean })
}

/// The layer that separates best; of equal ones the one nearest the middle.
fn best(scores: &[LayerScore]) -> usize {
    let most = scores.iter().map(|score| score.mean).fold(0.0, f64::max);
    let middle = scores.len() as f64 / 2.0;
    scores
        .iter()
        .filter(|score| score.mean >= most - EQUAL_AUC)
        .min_by(|a, b| {
            let off = |score: &LayerScore| (score.layer as f64 - middle).abs();
            off(a).total_cmp(&off(b))
        })
        .map_or(0, |score| score.layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_layers_go_to_the_middle() {
        let score = |layer, mean| LayerScore {
            layer,
            auc: Vec::new(),
            mean,
        };
        let scores = [0.7, 0.95, 0.949, 0.948, 0.9, 0.951]
            .into_iter()
            .enumerate()
            .map(|(layer, mean)| score(layer, mean))
            .collect::<Vec<_>>();
        assert_eq!(best(&scores), 3);
        assert_eq!(best(&scores[..2]), 1);
        assert_eq!(best(&[]), 0);
    }
}
