//! Turns the arrays and metadata of a file into steering vectors.

use std::collections::{BTreeMap, BTreeSet};

use super::array::Array;
use super::naming::{NamedLayer, layer_in_name, layer_of_number};
use super::{FormatError, VectorFile, shown, within};
use crate::manifest::is_emotion_name;
use crate::vector::{MAX_LAYERS, SteeringVector, VectorError};

/// Maximum number of arrays of a file.
pub(super) const MAX_ARRAYS: u64 = MAX_LAYERS as u64;

/// Allowed shapes of a single array, as text.
const ONE_ARRAY: &str = "[n], or [layers, n]; a pack of [emotions, layers, n] needs `emotions`, the list of \
                         their names, beside it";
const ONE_ROW: &str = "[n] or [1, n]";

/// The name of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// The array is the whole file.
    Whole,
    Number(i64),
    Text(String),
}

impl Name {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Whole => "the file".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(name) => shown(name),
        }
    }

    fn layer(&self) -> NamedLayer {
        match self {
            Self::Whole => NamedLayer::Unnamed,
            Self::Number(number) => layer_of_number(*number),
            Self::Text(name) => layer_in_name(name),
        }
    }

    /// The emotion that is named so.
    fn emotion(&self) -> Option<String> {
        match self {
            Self::Text(name) => emotion_name(name),
            Self::Whole | Self::Number(_) => None,
        }
    }
}

/// A value of a file, with or without a name.
#[derive(Debug, Clone)]
pub(super) enum Entry<'a> {
    Array(Array<'a>),
    Integers {
        values: Vec<i64>,
        /// The type as the format calls it.
        dtype: String,
    },
    Integer(i64),
    Texts(Vec<String>),
    Text(String),
    /// A description that does not affect the vectors: true, false, none.
    Remark,
    /// A value that cannot be read, with its noun.
    Other(&'static str),
}

/// The parsed contents of a file.
#[derive(Debug, Default)]
pub(super) struct Contents<'a> {
    pub(super) arrays: Vec<(Name, Array<'a>)>,
    /// The emotions of a pack, in the order of its first dimension.
    pub(super) emotions: Option<Vec<String>>,
    /// The layers of the rows.
    pub(super) layers: Option<Vec<i64>>,
    /// The layer of the only row.
    pub(super) layer: Option<i64>,
    pub(super) model_hint: Option<String>,
    /// Declared numbers of layers or values, by their keys.
    pub(super) sizes: Vec<(String, i64)>,
}

/// The meaning of a metadata key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Emotions,
    Layers,
    Layer,
    ModelHint,
    Size,
    Unknown,
}

impl Meaning {
    pub(super) fn of(key: &str) -> Self {
        match key.to_ascii_lowercase().as_str() {
            "emotions" | "emotion_names" | "labels" | "names" | "concepts" => Self::Emotions,
            "layers" | "layer_ids" | "layer_indices" | "layer_idxs" | "target_layers" => {
                Self::Layers
            }
            "layer" | "layer_id" | "layer_idx" | "layer_index" | "layer_num" | "target_layer" => {
                Self::Layer
            }
            "model" | "model_hint" | "model_name" | "model_id" | "model_type" | "base_model" => {
                Self::ModelHint
            }
            "n_layers" | "num_layers" | "layer_count" | "n_layer" | "num_hidden_layers"
            | "hidden_size" | "hidden_dim" | "n_embd" | "d_model" | "width" | "dim"
            | "n_emotions" | "num_emotions" => Self::Size,
            _ => Self::Unknown,
        }
    }
}

/// An emotion's name as the library spells it. Published sets also write `Joy` or `at ease`.
pub(super) fn emotion_name(text: &str) -> Option<String> {
    let name = text.trim().to_lowercase().replace(' ', "_");
    is_emotion_name(&name).then_some(name)
}

impl<'a> Contents<'a> {
    /// Adds an entry that is the whole file.
    pub(super) fn add_whole(&mut self, entry: Entry<'a>) -> Result<(), FormatError> {
        match entry {
            Entry::Array(array) => {
                self.arrays.push((Name::Whole, array));
                Ok(())
            }
            other => Err(refused(&Name::Whole, &other)),
        }
    }

    /// Adds an entry under a key.
    pub(super) fn add(&mut self, key: &str, entry: Entry<'a>) -> Result<(), FormatError> {
        let name = Name::Text(key.to_owned());
        match (Meaning::of(key), entry) {
            (_, Entry::Array(array)) => self.arrays.push((name, array)),
            (Meaning::Emotions, Entry::Texts(texts)) => {
                within("number of emotions", texts.len() as u64, MAX_ARRAYS)?;
                self.emotions = Some(texts);
            }
            (Meaning::Layers, Entry::Integers { values, .. }) => {
                within("number of layers", values.len() as u64, MAX_ARRAYS)?;
                self.layers = Some(values);
            }
            (Meaning::Layers, Entry::Texts(texts)) => {
                let layers = texts.iter().map(|text| layer_or_number(text));
                self.layers = Some(layers.collect::<Result<_, _>>()?);
            }
            // A number of layers.
            (Meaning::Layers | Meaning::Size, Entry::Integer(size)) => {
                self.sizes.push((key.to_owned(), size));
            }
            (Meaning::Layer, Entry::Integer(layer)) => self.layer = Some(layer),
            (Meaning::Layer | Meaning::Size, Entry::Integers { values, dtype }) => {
                match (values.as_slice(), Meaning::of(key)) {
                    ([layer], Meaning::Layer) => self.layer = Some(*layer),
                    ([size], _) => self.sizes.push((key.to_owned(), *size)),
                    _ => return Err(refused(&name, &Entry::Integers { values, dtype })),
                }
            }
            (Meaning::Layer, Entry::Text(text)) => self.layer = Some(layer_or_number(&text)?),
            (Meaning::Layer, Entry::Texts(texts)) if texts.len() == 1 => {
                self.layer = texts
                    .first()
                    .map(|text| layer_or_number(text))
                    .transpose()?;
            }
            (Meaning::ModelHint, Entry::Text(text)) => self.model_hint = Some(text),
            (Meaning::ModelHint, Entry::Texts(mut texts)) if texts.len() == 1 => {
                self.model_hint = texts.pop();
            }
            (Meaning::Layer | Meaning::Layers | Meaning::Emotions, Entry::Remark)
            | (
                Meaning::Unknown | Meaning::ModelHint | Meaning::Size,
                Entry::Text(_) | Entry::Texts(_) | Entry::Remark,
            ) => {}
            (_, other) => return Err(refused(&name, &other)),
        }
        Ok(())
    }

    /// Adds an entry under a number.
    pub(super) fn add_numbered(
        &mut self,
        number: i64,
        entry: Entry<'a>,
    ) -> Result<(), FormatError> {
        match entry {
            Entry::Array(array) => {
                self.arrays.push((Name::Number(number), array));
                Ok(())
            }
            other => Err(refused(&Name::Number(number), &other)),
        }
    }

    /// Converts the contents to vectors.
    pub(super) fn finish(mut self) -> Result<VectorFile, FormatError> {
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

/// Collects vectors by emotion, each of which must occur once.
pub(super) fn unique(
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

/// The layer that a text names, or the number that it is.
fn layer_or_number(text: &str) -> Result<i64, FormatError> {
    match layer_in_name(text) {
        NamedLayer::Layer(layer) => Ok(layer as i64),
        NamedLayer::Unclear(reason) => Err(FormatError::UnclearLayer {
            tensor: shown(text),
            reason,
        }),
        NamedLayer::Unnamed => Err(FormatError::NotALayer {
            tensor: shown(text),
        }),
    }
}

fn refused(name: &Name, entry: &Entry<'_>) -> FormatError {
    let found = match entry {
        Entry::Integers { dtype, .. } => {
            return FormatError::UnsupportedType {
                tensor: name.shown(),
                dtype: dtype.clone(),
            };
        }
        Entry::Array(_) => "an array",
        Entry::Integer(_) => "an integer",
        Entry::Texts(_) => "a list of texts",
        Entry::Text(_) => "text",
        Entry::Remark => "None or a bool",
        Entry::Other(noun) => noun,
    };
    FormatError::RefusedEntry {
        entry: name.shown(),
        found,
    }
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

fn list(layers: BTreeSet<usize>) -> String {
    let mut layers: Vec<String> = layers.into_iter().map(|layer| layer.to_string()).collect();
    if layers.len() > 8 {
        layers.truncate(8);
        layers.push("…".to_owned());
    }
    layers.join(", ")
}
