//! Turns the arrays and metadata of a file into steering vectors.

mod vectors;

use super::array::Array;
use super::naming::{NamedLayer, layer_in_name, layer_of_number};
use super::{FormatError, shown, within};
use crate::manifest::is_emotion_name;
use crate::vector::MAX_LAYERS;
pub(super) use vectors::unique;

/// Maximum number of arrays of a file.
pub(super) const MAX_ARRAYS: u64 = MAX_LAYERS as u64;

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
