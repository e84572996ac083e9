//! An immutable set of steering vectors, validated against one model.

mod assigned;
mod axes;
mod context;
mod error;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::LibraryError;

use assigned::{Assigned, assign};

use super::format::{NamedLayer, VectorFormat};
use super::manifest::{EmotionEntry, MANIFEST_FILE, Manifest, Place, is_base};
use super::reading::Reading;
use super::vector::{SteeringVector, norm};
pub use context::LibraryContext;
use elpis_emotion::{Coefficients, place_coefficients};

/// Maximum number of emotions of a library.
pub const MAX_EMOTIONS: usize = 256;

/// A row whose norm, times scale and cap, is more than this many residual norms is refused.
pub const MAX_RESIDUAL_MULTIPLE: f64 = 8.0;

/// A file of a steering folder, read by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryFile {
    /// Name without a folder, such as `calm.safetensors`.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// One layer of a loaded emotion.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LayerInfo {
    /// The layer, from 0.
    pub layer: usize,
    /// Euclidean norm of scale × row, without the cap.
    pub norm: f64,
    /// `norm` over the residual stream's norm at this layer, if that is known.
    pub residual_fraction: Option<f64>,
}

/// A loaded emotion.
#[derive(Debug, Clone, PartialEq)]
pub struct EmotionInfo {
    /// Its name.
    pub name: String,
    /// The file that it was read from.
    pub file: String,
    /// Its place on the plane; `None` for a base emotion, whose place is fixed.
    pub place: Option<Place>,
    /// Factor on its coefficient.
    pub cap: f64,
    /// Whether `vectors.toml` has a cap for it, which no strength exceeds.
    pub is_capped: bool,
    /// Its layers, ascending.
    pub layers: Vec<LayerInfo>,
    /// The architecture that the file says it was made for.
    pub model_hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Emotion {
    pub(super) info: EmotionInfo,
    /// cap × scale.
    pub(super) gain: f64,
    pub(super) vector: SteeringVector,
}

/// An immutable set of steering vectors for one model.
#[derive(Debug, Clone, PartialEq)]
pub struct SteeringLibrary {
    version: String,
    /// Sorted by name.
    pub(super) emotions: Vec<Emotion>,
    residual_norms: Option<Vec<f32>>,
    reading: Option<Arc<Reading>>,
}

impl SteeringLibrary {
    /// A library without emotions, whose blends are all `None`.
    pub fn empty() -> Self {
        Self {
            version: version(&[], None),
            emotions: Vec::new(),
            residual_norms: None,
            reading: None,
        }
    }

    /// Builds a library from the files of a folder, in any order.
    ///
    /// A file with the extension of a [`VectorFormat`] is the vector of the emotion that its stem
    /// names (`calm.pt`, or with the layer `calm_layer-10.pt`), or a pack of the emotions that it
    /// names itself, unless [`MANIFEST_FILE`] maps it to others, or has it as the axes of reading.
    /// Other files, and names that begin with a dot, are ignored. Without vectors the library is
    /// empty.
    ///
    /// # Errors
    ///
    /// [`LibraryError`], which names the file and the reason: a file that cannot be parsed, a width
    /// other than `n_embd`, a layer that the model does not have or on which names disagree, a
    /// matrix whose rows are neither the model's layers nor its hidden states, a row above
    /// [`MAX_RESIDUAL_MULTIPLE`] residual norms, two files for an emotion, a custom emotion without
    /// a place, a manifest that names a file that is not there, any vector for a model that cannot
    /// be steered.
    pub fn build(files: Vec<LibraryFile>, context: &LibraryContext) -> Result<Self, LibraryError> {
        context.check()?;
        let mut files: Vec<LibraryFile> = files.into_iter().filter(is_relevant).collect();
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for pair in files.windows(2) {
            if let [a, b] = pair
                && a.name == b.name
            {
                return Err(LibraryError::DuplicateFile {
                    file: a.name.clone(),
                });
            }
        }

        let manifest = match files.iter().find(|file| file.name == MANIFEST_FILE) {
            Some(file) => manifest(file)?,
            None => Manifest::default(),
        };
        if let (Some(reason), Some(file)) = (
            &context.unsteerable,
            files.iter().find(|file| vector_name(&file.name).is_some()),
        ) {
            return Err(LibraryError::Unsteerable {
                file: file.name.clone(),
                reason: reason.clone(),
            });
        }
        let reading = axes::load(&files, &manifest, context)?.map(Arc::new);
        let emotions = assign(&files, &manifest)?
            .into_iter()
            .map(|(name, assigned)| load(name, assigned, &manifest, context))
            .collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            return Ok(Self::empty());
        }
        Ok(Self {
            version: version(&files, Some(context)),
            emotions,
            residual_norms: context.residual_norms.clone(),
            reading,
        })
    }

    /// How replies are read from the residual stream; `None` if the folder has no axes.
    pub fn reading(&self) -> Option<&Arc<Reading>> {
        self.reading.as_ref()
    }

    /// Sixteen hexadecimal digits of a hash over the names and contents of the files that count
    /// and over the model's description; the order of the files does not matter.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Iterates over the loaded emotions by name.
    pub fn emotions(&self) -> impl ExactSizeIterator<Item = &EmotionInfo> {
        self.emotions.iter().map(|emotion| &emotion.info)
    }

    /// A loaded emotion.
    pub fn emotion(&self, name: &str) -> Option<&EmotionInfo> {
        self.index(name)
            .and_then(|index| self.emotions.get(index))
            .map(|emotion| &emotion.info)
    }

    /// Whether no emotion is loaded.
    pub fn is_empty(&self) -> bool {
        self.emotions.is_empty()
    }

    /// The coefficients of a state: the bilinear ones of the four emotions, and if the library has
    /// custom emotions with places, those blended in ([`place_coefficients`]).
    pub fn coefficients(&self, valence: f64, arousal: f64, strength: f64) -> Coefficients {
        place_coefficients(valence, arousal, strength, self.custom_places())
            .unwrap_or_else(|_| Coefficients::bilinear(valence, arousal, strength))
    }

    /// Iterates over the custom emotions as (name, valence, arousal).
    pub fn custom_places(&self) -> impl Iterator<Item = (&str, f64, f64)> {
        self.emotions().filter_map(|info| {
            info.place
                .map(|place| (info.name.as_str(), place.valence, place.arousal))
        })
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.emotions
            .binary_search_by(|emotion| emotion.info.name.as_str().cmp(name))
            .ok()
    }

    pub(super) fn residual(&self, layer: usize) -> Option<f32> {
        self.residual_norms.as_ref()?.get(layer).copied()
    }
}

impl Default for SteeringLibrary {
    fn default() -> Self {
        Self::empty()
    }
}

/// Stem and format of a vector's file name.
fn vector_name(name: &str) -> Option<(&str, VectorFormat)> {
    let (stem, extension) = name.rsplit_once('.')?;
    if name.starts_with('.') {
        return None;
    }
    Some((stem, VectorFormat::from_extension(extension)?))
}

fn is_relevant(file: &LibraryFile) -> bool {
    file.name == MANIFEST_FILE || vector_name(&file.name).is_some()
}

fn manifest(file: &LibraryFile) -> Result<Manifest, LibraryError> {
    Manifest::parse(&file.bytes).map_err(|source| LibraryError::Manifest {
        file: file.name.clone(),
        source,
    })
}

fn load(
    name: String,
    assigned: Assigned<'_>,
    manifest: &Manifest,
    context: &LibraryContext,
) -> Result<Emotion, LibraryError> {
    let default = EmotionEntry::default();
    let entry = manifest.emotions.get(&name).unwrap_or(&default);
    let file = assigned.file;
    if entry.place.is_none() && !is_base(&name) {
        return Err(LibraryError::NoPlace {
            file: file.name.clone(),
            emotion: name,
        });
    }
    if assigned.vector.width() != context.n_embd {
        return Err(LibraryError::Width {
            file: file.name.clone(),
            width: assigned.vector.width(),
            n_embd: context.n_embd,
        });
    }
    let vector = place(assigned, manifest, context)?;
    let gain = entry.cap * manifest.scale;
    let mut layers = Vec::new();
    for (layer, row) in vector.rows() {
        let layer = layer.unwrap_or_default();
        layers.push(check_row(file, layer, row, entry, manifest, context)?);
    }
    Ok(Emotion {
        info: EmotionInfo {
            name,
            file: file.name.clone(),
            place: entry.place,
            cap: entry.cap,
            is_capped: entry.is_capped,
            layers,
            model_hint: vector.model_hint().map(str::to_owned),
        },
        gain,
        vector,
    })
}

/// Assigns layers to rows: those of their names, then those of the manifest, which also selects
/// among named ones. The two must agree.
fn place(
    assigned: Assigned<'_>,
    manifest: &Manifest,
    context: &LibraryContext,
) -> Result<SteeringVector, LibraryError> {
    let file = &assigned.file.name;
    let invalid = |source| LibraryError::Vector {
        file: file.clone(),
        source,
    };
    let vector = assigned
        .vector
        .for_layers(context.n_layers)
        .map_err(invalid)?;
    let named = match assigned.named {
        NamedLayer::Layer(layer) => Some(layer),
        NamedLayer::Unclear(reason) if vector.is_bare() => {
            return Err(LibraryError::UnclearLayer {
                file: file.clone(),
                reason,
            });
        }
        NamedLayer::Unclear(_) | NamedLayer::Unnamed => None,
    };
    let selected = match (&manifest.layers, named) {
        (Some(layers), _) => layers.clone(),
        (None, _) if !vector.is_bare() => vector.layers().collect(),
        (None, Some(layer)) => vec![layer],
        (None, None) => match context.default_layer {
            Some(layer) => vec![layer],
            None => return Err(LibraryError::NoLayer { file: file.clone() }),
        },
    };
    if let Some(named) = named.filter(|named| selected != [*named]) {
        return Err(LibraryError::LayerConflict {
            file: file.clone(),
            named,
            layers: selected,
        });
    }
    if manifest.layers.is_none() && !vector.is_bare() {
        return Ok(vector);
    }
    let rows = selected
        .into_iter()
        .map(|layer| {
            let row = vector.row(layer).ok_or_else(|| LibraryError::MissingRow {
                file: file.clone(),
                layer,
            })?;
            Ok((layer, row.to_vec()))
        })
        .collect::<Result<BTreeMap<_, _>, _>>()?;
    SteeringVector::layered(rows)
        .map(|placed| placed.described(vector.model_hint().map(str::to_owned), None))
        .map_err(invalid)
}

fn check_row(
    file: &LibraryFile,
    layer: usize,
    row: &[f32],
    entry: &EmotionEntry,
    manifest: &Manifest,
    context: &LibraryContext,
) -> Result<LayerInfo, LibraryError> {
    let limit = context.limit();
    if layer >= limit {
        return Err(LibraryError::LayerOutOfRange {
            file: file.name.clone(),
            layer,
            limit,
        });
    }
    let scaled = norm(row) * manifest.scale;
    let residual = context.residual(layer);
    if let Some(residual) = residual {
        let limit = MAX_RESIDUAL_MULTIPLE * f64::from(residual);
        let norm = scaled * entry.cap;
        if norm > limit {
            return Err(LibraryError::TooStrong {
                file: file.name.clone(),
                layer,
                norm,
                limit,
                residual,
            });
        }
    }
    Ok(LayerInfo {
        layer,
        norm: scaled,
        residual_fraction: residual.map(|residual| scaled / f64::from(residual)),
    })
}

/// Hashes every part with its length before it, so that different inputs never give the same bytes.
fn version(files: &[LibraryFile], context: Option<&LibraryContext>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&(files.len() as u64).to_le_bytes());
    for file in files {
        part(file.name.as_bytes());
        part(&file.bytes);
    }
    if let Some(context) = context {
        part(b"context");
        part(&(context.n_layers as u64).to_le_bytes());
        part(&(context.n_embd as u64).to_le_bytes());
        let default = context.default_layer.map(|layer| layer as u64);
        part(&default.map_or_else(Vec::new, |layer| layer.to_le_bytes().to_vec()));
        let norms = context.residual_norms.iter().flatten();
        part(&norms.flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}
