//! Turns the arrays of a file into steering vectors.

use std::collections::{BTreeMap, BTreeSet};

use super::{Contents, MAX_ARRAYS, Name, emotion_name};
use crate::format::array::Array;
use crate::format::naming::{NamedLayer, layer_of_number};
use crate::format::{FormatError, VectorFile, shown, within};
use crate::vector::{SteeringVector, VectorError};

/// Allowed shapes of a single array, as text.
const ONE_ARRAY: &str = "[n], or [layers, n]; a pack of [emotions, layers, n] needs `emotions`, the list of \
                         their names, beside it";

const ONE_ROW: &str = "[n] or [1, n]";

/// Collects vectors by emotion, each of which must occur once.
pub(in crate::format) fn unique(
    vectors: impl Iterator<Item = Result<(String, SteeringVector), FormatError>>,
) -> Result<BTreeMap<String, SteeringVector>, FormatError> {
    let mut found = BTreeMap::new();
    for vector in vectors {
        let (emotion, vector) = vector?;
        if found.contains_key(&emotion) {
            return Err(FormatError::DuplicateEmotion { emotion });
        }
        found.insert(emotion, vector);
    }
    Ok(found)
}

fn checked_name(emotion: &str) -> Result<String, FormatError> {
    emotion_name(emotion).ok_or_else(|| FormatError::EmotionName {
        name: shown(emotion),
    })
}

fn only_row(name: &Name, array: &Array<'_>) -> Result<Vec<f32>, FormatError> {
    let rows = match *array.squeezed().as_slice() {
        [] if !array.shape.is_empty() => array.rows(1)?,
        [width] => array.rows(width)?,
        _ => return Err(shape_of(name, array, ONE_ROW)),
    };
    rows.into_iter()
        .next()
        .ok_or(FormatError::Vector(VectorError::Empty))
}

fn shape_of(name: &Name, array: &Array<'_>, expected: &'static str) -> FormatError {
    FormatError::Shape {
        tensor: name.shown(),
        shape: array.shape.clone(),
        expected,
    }
}

pub(super) fn list(layers: BTreeSet<usize>) -> String {
    let mut layers: Vec<String> = layers.into_iter().map(|layer| layer.to_string()).collect();
    if layers.len() > 8 {
        layers.truncate(8);
        layers.push("…".to_owned());
    }
    layers.join(", ")
}

impl Contents<'_> {
    /// Converts the contents to vectors.
    pub(in crate::format) fn finish(mut self) -> Result<VectorFile, FormatError> {
        if self.arrays.is_empty() {
            return Err(FormatError::NoTensors);
        }
        within("number of tensors", self.arrays.len() as u64, MAX_ARRAYS)?;
        let hint = self.model_hint.take();
        self.check_sizes()?;
        let file = match self.emotions.take() {
            Some(emotions) => self.pack(&emotions)?,
            None => self.by_names()?,
        };
        let describe = |vector: SteeringVector| vector.described(hint.clone(), None);
        Ok(match file {
            VectorFile::One(vector) => VectorFile::One(describe(vector)),
            VectorFile::Pack(vectors) => VectorFile::Pack(
                vectors
                    .into_iter()
                    .map(|(emotion, vector)| (emotion, describe(vector)))
                    .collect(),
            ),
        })
    }

    fn by_names(&self) -> Result<VectorFile, FormatError> {
        let mut layers = Vec::new();
        for (name, _) in &self.arrays {
            match name.layer() {
                NamedLayer::Layer(layer) => layers.push(Some(layer)),
                NamedLayer::Unnamed => layers.push(None),
                NamedLayer::Unclear(reason) => {
                    return Err(FormatError::UnclearLayer {
                        tensor: name.shown(),
                        reason,
                    });
                }
            }
        }
        if let [(name, array)] = self.arrays.as_slice()
            && layers.iter().all(Option::is_none)
        {
            return self.vector(name, array).map(VectorFile::One);
        }
        if layers.iter().all(Option::is_some) {
            let layers: Vec<usize> = layers.into_iter().flatten().collect();
            return self.layered(&layers).map(VectorFile::One);
        }
        if layers.iter().all(Option::is_none)
            && let Some(pack) = self.named_pack()
        {
            return pack;
        }
        let nameless = self.arrays.iter().zip(&layers).find(|(_, l)| l.is_none());
        Err(FormatError::NotALayer {
            tensor: nameless.map_or_else(String::new, |((name, _), _)| name.shown()),
        })
    }

    /// Arrays that each name a layer.
    fn layered(&self, layers: &[usize]) -> Result<SteeringVector, FormatError> {
        let mut rows = BTreeMap::new();
        for ((name, array), &layer) in self.arrays.iter().zip(layers) {
            if rows.insert(layer, only_row(name, array)?).is_some() {
                return Err(FormatError::DuplicateLayer { layer });
            }
        }
        let named: BTreeSet<usize> = rows.keys().copied().collect();
        if let Some(declared) = self.declared_layers()? {
            let declared: BTreeSet<usize> = declared.into_iter().collect();
            if declared != named {
                return Err(FormatError::LayerConflict {
                    declared: list(declared),
                    named: list(named),
                });
            }
        }
        Ok(SteeringVector::layered(rows)?)
    }

    /// The layers that `layer` or `layers` names.
    fn declared_layers(&self) -> Result<Option<Vec<usize>>, FormatError> {
        let numbers = match (&self.layers, self.layer) {
            (Some(layers), _) => layers.clone(),
            (None, Some(layer)) => vec![layer],
            (None, None) => return Ok(None),
        };
        let key = if self.layers.is_some() {
            "layers"
        } else {
            "layer"
        };
        let layers = numbers
            .into_iter()
            .map(|number| match layer_of_number(number) {
                NamedLayer::Layer(layer) => Ok(layer),
                NamedLayer::Unclear(reason) => Err(FormatError::UnclearLayer {
                    tensor: key.to_owned(),
                    reason,
                }),
                NamedLayer::Unnamed => Err(FormatError::NoLayer),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        match layers.iter().find(|&&layer| !seen.insert(layer)) {
            Some(&layer) => Err(FormatError::DuplicateLayer { layer }),
            None => Ok(Some(layers)),
        }
    }

    /// An array that names no layer: a row, or a matrix with a row for each layer.
    fn vector(&self, name: &Name, array: &Array<'_>) -> Result<SteeringVector, FormatError> {
        let rows = match *array.squeezed().as_slice() {
            [] if !array.shape.is_empty() => array.rows(1)?,
            [width] | [_, width] => array.rows(width)?,
            _ => return Err(shape_of(name, array, ONE_ARRAY)),
        };
        self.placed(rows)
    }

    /// Rows at the layers that the file declares, if it does.
    fn placed(&self, rows: Vec<Vec<f32>>) -> Result<SteeringVector, FormatError> {
        let Some(layers) = self.declared_layers()? else {
            return Ok(SteeringVector::stacked(rows)?);
        };
        if layers.len() != rows.len() {
            return Err(FormatError::LayerCount {
                layers: layers.len(),
                rows: rows.len(),
            });
        }
        Ok(SteeringVector::layered(
            layers.into_iter().zip(rows).collect(),
        )?)
    }

    /// One array for all emotions.
    fn pack(&self, emotions: &[String]) -> Result<VectorFile, FormatError> {
        let [(name, array)] = self.arrays.as_slice() else {
            return self.listed_pack(emotions);
        };
        let (count, layers, width) = match *array.shape.as_slice() {
            [count, width] => (count, 1, width),
            [count, layers, width] => (count, layers, width),
            _ => {
                return Err(shape_of(
                    name,
                    array,
                    "[emotions, layers, n] or [emotions, n]",
                ));
            }
        };
        if count != emotions.len() as u64 {
            return Err(FormatError::EmotionCount {
                emotions: emotions.len(),
                shape: array.shape.clone(),
            });
        }
        let mut rows = array.rows(width)?.into_iter();
        let mut vectors = BTreeMap::new();
        for emotion in emotions {
            let name = checked_name(emotion)?;
            let rows = rows.by_ref().take(layers as usize).collect();
            let vector = self.placed(rows)?;
            if vectors.insert(name, vector).is_some() {
                return Err(FormatError::DuplicateEmotion {
                    emotion: shown(emotion),
                });
            }
        }
        Ok(VectorFile::Pack(vectors))
    }

    /// An array for each of the emotions that the list names.
    fn listed_pack(&self, emotions: &[String]) -> Result<VectorFile, FormatError> {
        let listed = emotions
            .iter()
            .map(|emotion| checked_name(emotion))
            .collect::<Result<BTreeSet<_>, _>>()?;
        for (name, _) in &self.arrays {
            if !name.emotion().is_some_and(|name| listed.contains(&name)) {
                return Err(FormatError::NotAnEmotion {
                    tensor: name.shown(),
                });
            }
        }
        match self.named_pack() {
            Some(pack) if self.arrays.len() == listed.len() => pack,
            _ => Err(FormatError::EmotionCount {
                emotions: listed.len(),
                shape: vec![self.arrays.len() as u64],
            }),
        }
    }

    /// Arrays of one shape, each named after an emotion; `None` if the arrays are not such.
    fn named_pack(&self) -> Option<Result<VectorFile, FormatError>> {
        let shapes: BTreeSet<_> = self.arrays.iter().map(|(_, a)| a.squeezed()).collect();
        let names: Option<Vec<String>> = self.arrays.iter().map(|(n, _)| n.emotion()).collect();
        let names = names.filter(|_| shapes.len() == 1)?;
        let vectors = self
            .arrays
            .iter()
            .zip(names)
            .map(|((name, array), emotion)| Ok((emotion, self.vector(name, array)?)));
        Some(unique(vectors).map(VectorFile::Pack))
    }

    /// Checks that the declared numbers match the arrays.
    fn check_sizes(&self) -> Result<(), FormatError> {
        for (key, size) in &self.sizes {
            let fits = self.arrays.iter().all(|(_, array)| {
                let near = |n: u64| {
                    i64::try_from(n).is_ok_and(|n| n == *size || n == size.saturating_add(1))
                };
                array.shape.iter().any(|&n| near(n))
            });
            // Rows that name their layers may be for some of them only.
            let is_count =
                key.contains("layer") && self.arrays.iter().all(|(_, a)| a.squeezed().len() < 2);
            if !(fits || is_count) {
                return Err(FormatError::DeclaredSize {
                    key: shown(key),
                    size: *size,
                    shape: self
                        .arrays
                        .first()
                        .map(|(_, array)| array.shape.clone())
                        .unwrap_or_default(),
                });
            }
        }
        Ok(())
    }
}
