//! Turns activations into vectors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::OnProgress;
use super::capture::Reader;
use super::error::TrainingError;
use super::options::{Evidence, LayerScore, TrainOptions};
use super::pairs::{ContrastPairs, Form};
use super::reading::train_reading;
use super::rows::Rows;
use elpis_backend::{Backend, ModelFacts};
use elpis_inference::ChatTemplate;
use elpis_steering::{
    LibraryFile, MANIFEST_FILE, Place, Reading, SteeringVector, VectorFormat, write,
};

/// Number of layers at which vectors are added by default. Vectors at several layers that are small
/// at each move a text further, at the same perplexity, than a large one at a single layer.
const SPREAD: usize = 4;

/// The layers among which these are chosen, as shares of the model's depth. Before them, the
/// residual stream hardly tells moods apart; after them, a vector changes words rather than what is
/// meant, although moods are still told apart.
const DEPTHS: std::ops::Range<f64> = 0.25..0.75;

/// The file with the axes of reading.
const AXES_FILE: &str = "reading.safetensors";

/// A layer is not chosen if it separates the emotions by this much less than the best.
const WORSE_AUC: f64 = 0.03;

/// Trained vectors.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trained {
    /// The layers at which they are added, in ascending order.
    pub layers: Vec<usize>,
    /// The sentences that they were trained on.
    pub form: Form,
    /// Every layer's separation.
    pub scores: Vec<LayerScore>,
    /// The vectors, by emotion.
    pub vectors: BTreeMap<String, SteeringVector>,
    /// The places on the plane of emotions beyond the four.
    pub places: BTreeMap<String, Place>,
    /// The evidence for each emotion's separation.
    pub evidence: BTreeMap<String, Evidence>,
    /// How replies are read; `None` if the pairs have no replies, or none that span the plane.
    pub reading: Option<Reading>,
}

impl Trained {
    /// Number of pairs of an emotion below which its separation is unreliable.
    pub const FEW_PAIRS: usize = 10;

    /// Separation at the chosen layer below which a vector hardly represents its mood.
    pub const WEAK_AUC: f64 = 0.8;

    /// The reasons to doubt the vectors, as text: too few pairs, or little separation.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let few = |evidence: &Evidence| evidence.pairs < Self::FEW_PAIRS;
        for (emotion, evidence) in self.evidence.iter().filter(|(_, evidence)| few(evidence)) {
            let Evidence { pairs, held_out } = evidence;
            let sentences = if *held_out == 1 {
                "sentence"
            } else {
                "sentences"
            };
            doubts.push(format!(
                "{emotion}: {pairs} pairs; its AUC is from {held_out} held-out {sentences} and says little, \
                 give {} pairs or more",
                Self::FEW_PAIRS
            ));
        }
        for (emotion, auc) in self.separation() {
            if auc < Self::WEAK_AUC {
                doubts.push(format!(
                    "{emotion}: an AUC of {auc:.3} at {} is below {}; the vector hardly tells the mood, \
                     give clearer pairs or try another --layer or --at",
                    layer_list(&self.layers),
                    Self::WEAK_AUC
                ));
            }
        }
        doubts
    }

    /// For each emotion, the mean separation of held-out sentences at the layers of the vectors.
    pub fn separation(&self) -> BTreeMap<String, f64> {
        let chosen = self.scores.iter();
        let chosen = chosen.filter(|score| self.layers.contains(&score.layer));
        let mut sums: BTreeMap<String, (f64, usize)> = BTreeMap::new();
        for (emotion, auc) in chosen.flat_map(|score| &score.auc) {
            let (sum, count) = sums.entry(emotion.clone()).or_default();
            *sum += auc;
            *count += 1;
        }
        let means = sums.into_iter();
        means
            .map(|(emotion, (sum, count))| (emotion, sum / count as f64))
            .collect()
    }

    /// The files of a library: one for each vector, the axes of reading, and the manifest.
    ///
    /// # Errors
    /// [`TrainingError::Format`] if the format has no names for layers (`.npy`).
    pub fn files(&self, format: VectorFormat) -> Result<Vec<LibraryFile>, TrainingError> {
        let mut files = Vec::new();
        let mut manifest = format!("layers = {:?}\nscale = 1.0\n", self.layers);
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
            let _ = write!(manifest, "\n[emotions.{emotion}]\n");
            if let Some(place) = self.places.get(emotion) {
                let Place { valence, arousal } = place;
                let _ = write!(manifest, "valence = {valence:?}\narousal = {arousal:?}\n");
            }
        }
        if let Some(reading) = &self.reading {
            let axes = reading.axes.to_safetensors();
            files.push(LibraryFile {
                name: AXES_FILE.to_owned(),
                bytes: axes.map_err(|source| TrainingError::Format {
                    emotion: "reading".to_owned(),
                    source,
                })?,
            });
            manifest.push_str(&reading_table(reading));
        }
        files.push(LibraryFile {
            name: MANIFEST_FILE.to_owned(),
            bytes: manifest.into_bytes(),
        });
        Ok(files)
    }
}

/// The table `reading` of a manifest.
fn reading_table(reading: &Reading) -> String {
    let Reading {
        valence, arousal, ..
    } = reading;
    format!(
        "\n[reading]\nfile = {AXES_FILE:?}\nlayer = {}\nmean = {:?}\ndeviation = {:?}\nspan = {:?}\n",
        reading.axes.layer,
        [valence.mean, arousal.mean],
        [valence.deviation, arousal.deviation],
        [valence.span, arousal.span],
    )
}

/// Trains a vector for each emotion of the pairs, and axes to read replies by if the pairs have
/// replies.
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
    check_layers(options, facts.n_layers)?;
    if !(options.strength > 0.0 && options.strength <= 10.0) {
        return Err(TrainingError::Limit {
            field: "strength",
            value: options.strength.to_string(),
            limit: "above 0 and at most 10".to_owned(),
        });
    }
    let mut reader = Reader::new(backend, template, options.at);
    let all = reader.layers().to_vec();
    let rows = Rows::read(&mut reader, pairs, options, on_progress)?;
    let scores = all
        .iter()
        .map(|&layer| rows.score(layer))
        .collect::<Result<Vec<_>, _>>()?;
    let mut layers = if options.layers.is_empty() {
        spread(&scores, facts.n_layers)
    } else {
        options.layers.clone()
    };
    layers.sort_unstable();
    layers.dedup();
    let vectors = vectors(&rows, &layers, &facts, options)?;
    let evidence = rows.evidence();
    let reading = train_reading(backend, template, pairs, &rows, &layers, on_progress)?;
    Ok(Trained {
        layers,
        form: options.form(pairs),
        scores,
        vectors,
        places: pairs.places.clone(),
        evidence,
        reading,
    })
}

/// The vectors of all emotions, scaled by one factor at each layer.
fn vectors(
    rows: &Rows<'_>,
    layers: &[usize],
    facts: &ModelFacts,
    options: &TrainOptions,
) -> Result<BTreeMap<String, SteeringVector>, TrainingError> {
    let share = f64::from(options.strength) / layers.len().max(1) as f64;
    let mut found: BTreeMap<String, BTreeMap<usize, Vec<f32>>> = BTreeMap::new();
    for &layer in layers {
        let directions = rows.directions(layer, options, true)?;
        let norms = directions.values().map(|row| norm(row));
        let mean = norms.sum::<f64>() / directions.len().max(1) as f64;
        let residual = facts.residual_norms.get(layer).copied().unwrap_or(1.0);
        let factor = share * f64::from(residual) / mean;
        for (emotion, row) in directions {
            let row = row.iter().map(|&x| (f64::from(x) * factor) as f32);
            found
                .entry(emotion)
                .or_default()
                .insert(layer, row.collect());
        }
    }
    let count = u32::try_from(facts.n_layers).ok();
    found
        .into_iter()
        .map(
            |(emotion, rows)| match SteeringVector::layered(rows.into_iter().collect()) {
                Ok(vector) => {
                    let hint = Some(facts.architecture.clone());
                    Ok((emotion, vector.described(hint, count)))
                }
                Err(source) => Err(TrainingError::Vector { emotion, source }),
            },
        )
        .collect()
}

fn norm(row: &[f32]) -> f64 {
    let squares = row.iter().map(|&x| f64::from(x).powi(2));
    squares.sum::<f64>().sqrt()
}

fn check_layers(options: &TrainOptions, n_layers: usize) -> Result<(), TrainingError> {
    let usable = n_layers.saturating_sub(1);
    match options.layers.iter().find(|&&layer| layer >= usable) {
        None => Ok(()),
        Some(layer) => Err(TrainingError::Limit {
            field: "layer",
            value: layer.to_string(),
            limit: format!("from 0 to {} for this model", usable.saturating_sub(1)),
        }),
    }
}

/// Layers that are spread over those in the middle of the model that separate the emotions well.
fn spread(scores: &[LayerScore], n_layers: usize) -> Vec<usize> {
    let depth = |score: &LayerScore| score.layer as f64 / n_layers.max(1) as f64;
    let middle: Vec<&LayerScore> = scores
        .iter()
        .filter(|score| DEPTHS.contains(&depth(score)))
        .collect();
    let best = middle.iter().map(|score| score.mean).fold(0.0, f64::max);
    let good: Vec<usize> = middle
        .into_iter()
        .filter(|score| score.mean >= best - WORSE_AUC)
        .map(|score| score.layer)
        .collect();
    let Some(last) = good.len().checked_sub(1) else {
        return vec![0];
    };
    let at = |step: usize| good.get(step * last / (SPREAD - 1)).copied();
    let mut layers: Vec<usize> = (0..SPREAD).filter_map(at).collect();
    layers.dedup();
    layers
}

fn layer_list(layers: &[usize]) -> String {
    let numbers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    match &numbers[..] {
        [one] => format!("layer {one}"),
        several => format!("layers {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pairs_and_little_separation_are_told() {
        let evidence = |pairs, held_out| Evidence { pairs, held_out };
        let trained = |pairs, auc| Trained {
            layers: vec![1],
            form: Form::Statements,
            scores: [0.2, auc]
                .into_iter()
                .enumerate()
                .map(|(layer, auc)| LayerScore {
                    layer,
                    auc: vec![("calm".to_owned(), auc)],
                    mean: auc,
                })
                .collect(),
            vectors: BTreeMap::new(),
            places: BTreeMap::new(),
            evidence: [("calm".to_owned(), evidence(pairs, 1))].into(),
            reading: None,
        };
        assert!(trained(10, 0.8).doubts().is_empty());
        let [few] = &trained(2, 0.9).doubts()[..] else {
            panic!("one doubt");
        };
        assert!(few.contains("2 pairs; its AUC is from 1 held-out sentence and"));
        let [weak] = &trained(12, 0.719).doubts()[..] else {
            panic!("one doubt");
        };
        assert!(weak.contains("0.719 at layer 1 is below 0.8"), "{weak}");
        assert_eq!(trained(2, 0.0).doubts().len(), 2);
    }

    #[test]
    fn layers_are_spread_over_those_in_the_middle_that_separate() {
        let scores = |n_layers: usize, weak: &[usize]| -> Vec<LayerScore> {
            let score = |layer| LayerScore {
                layer,
                auc: Vec::new(),
                // The last layers separate best.
                mean: if weak.contains(&layer) {
                    0.7
                } else {
                    0.9 + 0.1 * (layer as f64 / n_layers as f64).powi(8)
                },
            };
            (0..n_layers.saturating_sub(1)).map(score).collect()
        };
        for (n_layers, weak, found) in [
            (1, &[][..], vec![0]),
            (2, &[], vec![0]),
            (3, &[], vec![1]),
            (8, &[], vec![2, 3, 4, 5]),
            (30, &[], vec![8, 12, 17, 22]),
            (30, &[8, 9], vec![10, 14, 18, 22]),
            (30, &[10, 11, 12, 22], vec![8, 14, 17, 21]),
            (80, &[], vec![20, 33, 46, 59]),
        ] {
            assert_eq!(
                spread(&scores(n_layers, weak), n_layers),
                found,
                "{n_layers} {weak:?}"
            );
        }
    }

    #[test]
    fn a_layer_that_the_model_lacks_is_refused() {
        let options = TrainOptions {
            layers: vec![3, 7],
            ..TrainOptions::default()
        };
        assert!(check_layers(&options, 9).is_ok());
        let error = check_layers(&options, 8).unwrap_err().to_string();
        assert_eq!(error, "layer is 7, but must be from 0 to 6 for this model");
    }
}
