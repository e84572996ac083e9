//! `vectors.toml`, which describes how the files of a folder are used.

mod error;
mod reading;

use std::collections::BTreeMap;

pub use error::ManifestError;
pub use reading::ReadingEntry;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::vector::MAX_LAYERS;
use elpis_files::printable::printable_start;

/// Name of the manifest among a library's files.
pub const MANIFEST_FILE: &str = "vectors.toml";

/// Maximum length of a manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;

/// Maximum cap of an emotion.
pub const MAX_CAP: f64 = 100.0;

/// Maximum scale of a manifest.
pub const MAX_SCALE: f64 = 1e6;

/// The emotions whose place on the valence–arousal plane is fixed: its corners.
pub const BASE_EMOTIONS: [&str; 4] = ["excited", "calm", "frustrated", "depleted"];

const MAX_NAME_BYTES: usize = 64;
/// Maximum length of a displayed reason of the TOML parser, in characters.
const MAX_REASON: usize = 200;
const TOP_KEYS: [&str; 5] = ["layer", "layers", "scale", "emotions", "reading"];
const EMOTION_KEYS: [&str; 5] = ["file", "vector", "cap", "valence", "arousal"];

/// A point on the valence–arousal plane, both in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Unpleasant −1 to pleasant +1.
    pub valence: f64,
    /// Sleepy −1 to activated +1.
    pub arousal: f64,
}

/// The entry of a manifest for one emotion.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EmotionEntry {
    /// The file of its vector, if not the emotion's name with an extension.
    pub file: Option<String>,
    /// The vector within that file, if it is a pack that uses another name.
    pub vector: Option<String>,
    /// Factor on the emotion's coefficient, in [0, [`MAX_CAP`]], by default 1: moods break text at
    /// different strengths.
    pub cap: f64,
    /// Whether the file has a cap for this emotion. If so, no strength adds more than the cap.
    pub is_capped: bool,
    /// The emotion's place on the plane; `None` for one of [`BASE_EMOTIONS`].
    pub place: Option<Place>,
}

impl Default for EmotionEntry {
    fn default() -> Self {
        Self {
            file: None,
            vector: None,
            cap: 1.0,
            is_capped: false,
            place: None,
        }
    }
}

/// A parsed `vectors.toml`.
///
/// ```toml
/// layer = 4              # or layers = [3, 4]
/// scale = 1.0
///
/// [emotions.depleted]
/// cap = 0.8
///
/// [emotions.curious]
/// file = "curiosity-v2.gguf"
/// valence = 0.6
/// arousal = 0.2
///
/// [emotions.excited]
/// file = "emotions.npz"  # a pack
/// vector = "joy"
///
/// [reading]              # optional: what replies express is read from the residual stream
/// file = "reading.safetensors"
/// layer = 8
/// mean = [0.31, -0.12]   # of valence and of arousal
/// deviation = [0.2, 0.17]
/// span = [4.1, 3.8]
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The steered layers in ascending order: those of a bare vector, and the used rows of a
    /// layered one. `None` leaves a layered vector's rows as they are.
    pub layers: Option<Vec<usize>>,
    /// Factor on every vector, above 0 and at most [`MAX_SCALE`], by default 1.
    pub scale: f64,
    /// Emotions by name.
    pub emotions: BTreeMap<String, EmotionEntry>,
    /// How replies are read; `None` if they are not.
    pub reading: Option<ReadingEntry>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            layers: None,
            scale: 1.0,
            emotions: BTreeMap::new(),
            reading: None,
        }
    }
}

impl Manifest {
    /// Parses the bytes of a `vectors.toml`.
    ///
    /// # Errors
    ///
    /// [`ManifestError`], which names the key, its value and what is allowed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| ManifestError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
        known_keys("", &table, &TOP_KEYS)?;

        let mut manifest = Self {
            layers: layers(&table)?,
            ..Self::default()
        };
        if let Some(value) = table.get("scale") {
            manifest.scale = number("scale", value)?;
            if !(manifest.scale > 0.0 && manifest.scale <= MAX_SCALE) {
                return Err(out_of_range(
                    "scale",
                    manifest.scale,
                    format!("above 0 and at most {MAX_SCALE}"),
                ));
            }
        }
        if let Some(value) = table.get("emotions") {
            for (name, value) in table_of("emotions", value)? {
                let field = format!("emotions.{name}");
                check_emotion_name(&field, name)?;
                let entry = emotion(&field, name, table_of(&field, value)?)?;
                manifest.emotions.insert(name.clone(), entry);
            }
        }
        if let Some(value) = table.get("reading") {
            manifest.reading = Some(reading::parse(table_of("reading", value)?)?);
        }
        Ok(manifest)
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> ManifestError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|&b| b == b'\n').count() + 1;
    ManifestError::Syntax {
        line,
        reason: printable_start(error.message(), MAX_REASON),
    }
}

fn known_keys(path: &str, table: &Table, known: &[&str]) -> Result<(), ManifestError> {
    let unknown = table.keys().find(|key| !known.contains(&key.as_str()));
    let Some(key) = unknown else {
        return Ok(());
    };
    // Comparing takes time proportional to the product of the lengths.
    let nearest = known
        .iter()
        .filter(|_| key.len() <= MAX_NAME_BYTES)
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .min()
        .filter(|&(distance, candidate)| distance <= candidate.len() / 2)
        .map(|(_, candidate)| join(path, candidate));
    Err(ManifestError::UnknownKey {
        field: join(path, &short(key)),
        nearest,
    })
}

fn layers(table: &Table) -> Result<Option<Vec<usize>>, ManifestError> {
    match (table.get("layer"), table.get("layers")) {
        (Some(_), Some(_)) => Err(ManifestError::LayerAndLayers),
        (Some(value), None) => Ok(Some(vec![layer("layer", value)?])),
        (None, Some(Value::Array(values))) => {
            let mut layers = values
                .iter()
                .map(|value| layer("layers", value))
                .collect::<Result<Vec<_>, _>>()?;
            layers.sort_unstable();
            let twice = layers.windows(2).any(|pair| pair.first() == pair.last());
            if layers.is_empty() || twice {
                return Err(ManifestError::InvalidList {
                    field: "layers".to_owned(),
                    value: short(&format!("{layers:?}")),
                    limit: "a list of different layers, at least one",
                });
            }
            Ok(Some(layers))
        }
        (None, Some(other)) => Err(wrong_type("layers", other, "a list of integers")),
        (None, None) => Ok(None),
    }
}

fn layer(field: &str, value: &Value) -> Result<usize, ManifestError> {
    let &Value::Integer(number) = value else {
        return Err(wrong_type(field, value, "an integer"));
    };
    usize::try_from(number)
        .ok()
        .filter(|&layer| layer < MAX_LAYERS)
        .ok_or_else(|| {
            out_of_range(
                field,
                number as f64,
                format!("from 0 to {}", MAX_LAYERS - 1),
            )
        })
}

fn emotion(path: &str, name: &str, table: &Table) -> Result<EmotionEntry, ManifestError> {
    known_keys(path, table, &EMOTION_KEYS)?;
    let file = table
        .get("file")
        .map(|value| file_name(&join(path, "file"), value))
        .transpose()?;
    let vector = match table.get("vector") {
        None => None,
        Some(_) if file.is_none() => {
            return Err(ManifestError::VectorWithoutFile {
                field: join(path, "vector"),
            });
        }
        Some(Value::String(vector)) => {
            let field = join(path, "vector");
            check_emotion_name(&field, vector)?;
            Some(vector.clone())
        }
        Some(other) => return Err(wrong_type(&join(path, "vector"), other, "text")),
    };
    let cap = match table.get("cap") {
        Some(value) => ranged(&join(path, "cap"), value, 0.0, MAX_CAP)?,
        None => 1.0,
    };
    let coordinate = |key: &str| {
        table
            .get(key)
            .map(|value| ranged(&join(path, key), value, -1.0, 1.0))
            .transpose()
    };
    let place = match (coordinate("valence")?, coordinate("arousal")?) {
        (None, None) if is_base(name) => None,
        (valence, _) if is_base(name) => {
            let key = if valence.is_some() {
                "valence"
            } else {
                "arousal"
            };
            return Err(ManifestError::FixedPlace {
                field: join(path, key),
            });
        }
        (Some(valence), Some(arousal)) => Some(Place { valence, arousal }),
        (valence, _) => {
            let key = if valence.is_some() {
                "arousal"
            } else {
                "valence"
            };
            return Err(ManifestError::Missing {
                field: join(path, key),
            });
        }
    };
    Ok(EmotionEntry {
        file,
        vector,
        cap,
        is_capped: table.contains_key("cap"),
        place,
    })
}

/// Whether an emotion is one of [`BASE_EMOTIONS`].
pub(super) fn is_base(name: &str) -> bool {
    BASE_EMOTIONS.contains(&name)
}

/// Whether an emotion can have this name: 1 to 64 of a-z, 0-9, `_` and `-`.
pub fn is_emotion_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed)
}

/// Refuses names that could not be a bare TOML key or a file stem everywhere.
pub(super) fn check_emotion_name(field: &str, name: &str) -> Result<(), ManifestError> {
    if !is_emotion_name(name) {
        return Err(ManifestError::InvalidName {
            field: short(field),
            value: short(name),
            limit: "be 1 to 64 of a-z, 0-9, _ and -",
        });
    }
    Ok(())
}

fn file_name(field: &str, value: &Value) -> Result<String, ManifestError> {
    let Value::String(name) = value else {
        return Err(wrong_type(field, value, "text"));
    };
    if name.is_empty() || name.len() > 255 || name.contains(['/', '\\', '\0']) {
        return Err(ManifestError::InvalidName {
            field: field.to_owned(),
            value: short(name),
            limit: "be the name of a file in the same folder",
        });
    }
    Ok(name.clone())
}

fn number(field: &str, value: &Value) -> Result<f64, ManifestError> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Integer(number) => Ok(*number as f64),
        other => Err(wrong_type(field, other, "a number")),
    }
}

fn ranged(field: &str, value: &Value, low: f64, high: f64) -> Result<f64, ManifestError> {
    let number = number(field, value)?;
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    Err(out_of_range(field, number, format!("from {low} to {high}")))
}

fn out_of_range(field: &str, value: f64, limit: String) -> ManifestError {
    ManifestError::OutOfRange {
        field: field.to_owned(),
        value,
        limit,
    }
}

fn table_of<'a>(field: &str, value: &'a Value) -> Result<&'a Table, ManifestError> {
    value
        .as_table()
        .ok_or_else(|| wrong_type(field, value, "a table"))
}

fn wrong_type(field: &str, value: &Value, expected: &'static str) -> ManifestError {
    ManifestError::WrongType {
        field: short(field),
        found: match value {
            Value::String(_) => "text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a bool",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        },
        expected,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn short(text: &str) -> String {
    printable_start(text, MAX_NAME_BYTES + 16)
}
