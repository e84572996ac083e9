//! Turns activations into vectors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::OnProgress;
use super::capture::Reader;
use super::error::TrainingError;
use super::options::{Evidence, LayerScore, TrainOptions};
use super::pairs::ContrastPairs;
use super::rows::Rows;
use elpis_backend::Backend;
use elpis_inference::ChatTemplate;
use elpis_steering::{LibraryFile, MANIFEST_FILE, Place, SteeringVector, VectorFormat, write};

/// Layers whose separation differs by less than this count as equal.
const EQUAL_AUC: f64 = 0.005;

/// Trained vectors.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trained {
    /// The layer they belong to.
    pub layer: usize,
    /// Every layer's separation.
    pub scores: Vec<LayerScore>,
    /// The vectors, by emotion.
    pub vectors: BTreeMap<String, SteeringVector>,
    /// The places on the plane of emotions beyond the four.
    pub places: BTreeMap<String, Place>,
    /// The evidence for each emotion's separation.
    pub evidence: BTreeMap<String, Evidence>,
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
        let chosen = self.scores.iter().find(|score| score.layer == self.layer);
        for (emotion, auc) in chosen.into_iter().flat_map(|score| &score.auc) {
            if *auc < Self::WEAK_AUC {
                doubts.push(format!(
                    "{emotion}: an AUC of {auc:.3} at layer {} is below {}; the vector hardly tells the mood, \
                     give clearer pairs or try another --layer or --at",
                    self.layer,
                    Self::WEAK_AUC
                ));
            }
        }
        doubts
    }

    /// The files of a library: one for each vector, and the manifest.
    ///
    /// # Errors
    /// [`TrainingError::Format`] if the format has no names for layers (`.npy`).
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
    let rows = Rows::read(&mut reader, pairs, options, on_progress)?;
    let scores = layers
        .iter()
        .map(|&layer| rows.score(layer))
        .collect::<Result<Vec<_>, _>>()?;
    let layer = options.layer.unwrap_or_else(|| best(&scores));
    let directions = rows.directions(layer, options, true)?;
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
        evidence: rows.evidence(),
    })
}

/// The layer that separates best; of equal ones, the one nearest to the middle.
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
    fn few_pairs_and_little_separation_are_told() {
        let evidence = |pairs, held_out| Evidence { pairs, held_out };
        let trained = |pairs, auc| Trained {
            layer: 1,
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
