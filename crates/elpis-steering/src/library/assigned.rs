//! Assigns vectors of files to emotions.

use std::collections::BTreeMap;

use super::{LibraryError, LibraryFile, MAX_EMOTIONS, vector_name};
use crate::format::{NamedLayer, VectorFile, VectorFormat, layer_in_stem, parse_file};
use crate::manifest::{EmotionEntry, Manifest, check_emotion_name, is_emotion_name};
use crate::vector::SteeringVector;

/// The vector of an emotion, with its origin.
pub(super) struct Assigned<'a> {
    pub(super) file: &'a LibraryFile,
    pub(super) vector: SteeringVector,
    /// The layer in the file's name.
    pub(super) named: NamedLayer,
}

type Emotions<'a> = BTreeMap<String, Assigned<'a>>;

/// Reads all vector files and assigns one vector to every emotion.
pub(super) fn assign<'a>(
    files: &'a [LibraryFile],
    manifest: &Manifest,
) -> Result<Emotions<'a>, LibraryError> {
    for (emotion, entry) in &manifest.emotions {
        let Some(name) = &entry.file else { continue };
        let is_there = |file: &LibraryFile| file.name == *name && vector_name(name).is_some();
        if !files.iter().any(is_there) {
            return Err(LibraryError::MissingFile {
                emotion: emotion.clone(),
                file: name.clone(),
            });
        }
    }
    let mut emotions = Emotions::new();
    for file in files {
        let Some((stem, format)) = vector_name(&file.name) else {
            continue;
        };
        let mapped: Vec<_> = manifest
            .emotions
            .iter()
            .filter(|(_, entry)| entry.file.as_ref() == Some(&file.name))
            .collect();
        let axes = manifest.reading.as_ref();
        if mapped.is_empty() && axes.is_some_and(|axes| axes.file == file.name) {
            continue;
        }
        let (named, rest) = layer_in_stem(stem);
        let found = if mapped.is_empty() {
            by_itself(file, format, || emotion_of_stem(file, stem, rest, manifest))?
        } else {
            as_mapped(file, format, &mapped)?
        };
        for (emotion, vector) in found {
            if let Some(first) = emotions.get(&emotion) {
                return Err(LibraryError::DuplicateEmotion {
                    first: first.file.name.clone(),
                    second: file.name.clone(),
                    emotion,
                });
            }
            emotions.insert(
                emotion,
                Assigned {
                    file,
                    vector,
                    named,
                },
            );
            if emotions.len() > MAX_EMOTIONS {
                return Err(LibraryError::TooManyEmotions {
                    count: emotions.len(),
                });
            }
        }
    }
    match manifest
        .emotions
        .keys()
        .find(|name| !emotions.contains_key(name.as_str()))
    {
        Some(emotion) => Err(LibraryError::MissingFile {
            emotion: emotion.clone(),
            file: format!("{emotion}.{}", extensions()),
        }),
        None => Ok(emotions),
    }
}

pub(super) fn read(file: &LibraryFile, format: VectorFormat) -> Result<VectorFile, LibraryError> {
    parse_file(format, &file.bytes).map_err(|source| LibraryError::Format {
        file: file.name.clone(),
        source,
    })
}

/// The vectors of a file that the manifest does not name.
fn by_itself(
    file: &LibraryFile,
    format: VectorFormat,
    emotion: impl FnOnce() -> Result<String, LibraryError>,
) -> Result<Vec<(String, SteeringVector)>, LibraryError> {
    Ok(match read(file, format)? {
        VectorFile::One(vector) => vec![(emotion()?, vector)],
        VectorFile::Pack(vectors) => vectors.into_iter().collect(),
    })
}

/// The vectors that the manifest takes from a file.
fn as_mapped(
    file: &LibraryFile,
    format: VectorFormat,
    mapped: &[(&String, &EmotionEntry)],
) -> Result<Vec<(String, SteeringVector)>, LibraryError> {
    let read = read(file, format)?;
    mapped
        .iter()
        .map(|&(emotion, entry)| {
            let vector = match (&read, &entry.vector) {
                (VectorFile::One(vector), None) => vector,
                (VectorFile::One(_), Some(_)) => {
                    return Err(LibraryError::NoPack {
                        file: file.name.clone(),
                        emotion: emotion.clone(),
                    });
                }
                (VectorFile::Pack(vectors), vector) => {
                    let name = vector.as_ref().unwrap_or(emotion);
                    vectors.get(name).ok_or_else(|| LibraryError::NotInPack {
                        file: file.name.clone(),
                        vector: name.clone(),
                        has: vectors.keys().cloned().collect(),
                    })?
                }
            };
            Ok((emotion.clone(), vector.clone()))
        })
        .collect()
}

/// The emotion that a file's stem names: the whole stem, or the part without the layer.
fn emotion_of_stem(
    file: &LibraryFile,
    stem: &str,
    rest: String,
    manifest: &Manifest,
) -> Result<String, LibraryError> {
    if rest != stem && is_emotion_name(&rest) && !manifest.emotions.contains_key(stem) {
        return Ok(rest);
    }
    check_emotion_name("the file's stem", stem).map_err(|source| LibraryError::Manifest {
        file: file.name.clone(),
        source,
    })?;
    Ok(stem.to_owned())
}

/// `safetensors, .pt, … or .gguf`.
fn extensions() -> String {
    let all: Vec<_> = VectorFormat::ALL.iter().map(|f| f.extension()).collect();
    match all.split_last() {
        Some((last, rest)) => format!("{} or .{last}", rest.join(", .")),
        None => String::new(),
    }
}
