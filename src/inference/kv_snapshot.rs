//! A conversation's cached sequence as bytes, to be kept outside of the engine.
//!
//! The container is safetensors. It holds the tokens, the steering under which each was evaluated,
//! and the keys and values in the backend's own format. The metadata name the model and hold a
//! checksum.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::steering::PlanKey;

/// Identifies the format in the metadata.
const FORMAT: &str = "elpis-kv/1";

/// Consecutive positions that were evaluated under one steering plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSpan {
    /// The position after the last.
    pub end: u32,
    /// Content hash of the plan; `None` if not steered.
    pub key: Option<PlanKey>,
}

/// A conversation's cached sequence.
///
/// The bytes must come from a trusted source. A checksum detects damage, but native code reads the
/// keys and values, so never restore bytes from strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvSnapshot {
    /// Identifies the model, backend and cache layout that the state belongs to.
    pub model: String,
    /// The evaluated tokens.
    pub tokens: Vec<u32>,
    /// The steering of the tokens; the last span ends with the last token.
    pub spans: Vec<KvSpan>,
    /// Keys and values in the backend's own format.
    pub state: Vec<u8>,
}

/// Why a snapshot cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvSnapshotError {
    /// The bytes are not a snapshot, or one of a different version.
    #[error("this is not a snapshot of a conversation (version {FORMAT}): {reason}")]
    Format {
        /// The reason.
        reason: String,
    },
    /// The bytes were damaged.
    #[error("the snapshot is damaged: its checksum is {found}, expected {expected}")]
    Checksum {
        /// Checksum of the data.
        found: String,
        /// Checksum stored in the snapshot.
        expected: String,
    },
    /// It belongs to another model.
    #[error("the snapshot belongs to {found}, but {expected} is loaded")]
    OtherModel {
        /// The loaded model.
        expected: String,
        /// The model of the snapshot.
        found: String,
    },
    /// The context is too short for it.
    #[error("the snapshot holds {tokens} tokens, but the context holds {limit}")]
    TooLong {
        /// Tokens of the snapshot.
        tokens: usize,
        /// Maximum number of tokens.
        limit: usize,
    },
    /// It exceeds the memory of the prefix cache.
    #[error("the snapshot takes {bytes} bytes, but runtime.prefix_cache_mib allows {limit}")]
    NoMemory {
        /// Its size in bytes.
        bytes: usize,
        /// Memory of the whole prefix cache, in bytes.
        limit: usize,
    },
}

impl KvSnapshot {
    /// Serialises the snapshot.
    ///
    /// # Errors
    /// [`KvSnapshotError::Format`] if its parts do not fit together.
    pub fn to_bytes(&self) -> Result<Vec<u8>, KvSnapshotError> {
        self.check()?;
        let words = |values: &mut dyn Iterator<Item = u32>| -> Vec<u8> {
            values.flat_map(u32::to_le_bytes).collect()
        };
        let tokens = words(&mut self.tokens.iter().copied());
        let ends = words(&mut self.spans.iter().map(|span| span.end));
        let steered: Vec<u8> = self.spans.iter().map(|s| s.key.is_some().into()).collect();
        let keys: Vec<u8> = self
            .spans
            .iter()
            .flat_map(|span| span.key.map_or([0; 32], |key| *key.as_bytes()))
            .collect();
        let spans = self.spans.len();
        let parts = [
            ("tokens", Dtype::U32, vec![self.tokens.len()], &tokens),
            ("span_ends", Dtype::U32, vec![spans], &ends),
            ("span_steered", Dtype::U8, vec![spans], &steered),
            ("span_keys", Dtype::U8, vec![spans, 32], &keys),
            ("state", Dtype::U8, vec![self.state.len()], &self.state),
        ];
        let checksum = checksum(&self.model, parts.iter().map(|part| part.3.as_slice()));
        let views = parts
            .iter()
            .map(|(name, kind, shape, data)| {
                Ok((*name, TensorView::new(*kind, shape.clone(), data)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| format(&error))?;
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("model".to_owned(), self.model.clone()),
            ("checksum".to_owned(), checksum),
        ]);
        serialize(views, Some(metadata)).map_err(|error| format(&error))
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// [`KvSnapshotError::Format`] or [`KvSnapshotError::Checksum`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KvSnapshotError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| format(&error))?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        let field = |name: &str| {
            metadata
                .get(name)
                .cloned()
                .ok_or_else(|| format(&format!("it names no {name}")))
        };
        let version = field("format")?;
        if version != FORMAT {
            return Err(format(&format!("its version is {version:?}")));
        }
        let (model, expected) = (field("model")?, field("checksum")?);
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| format(&error))?;
        let part = |name: &str, kind: Dtype| {
            let tensor = tensors.tensor(name).map_err(|error| format(&error))?;
            if tensor.dtype() == kind {
                Ok(tensor.data())
            } else {
                Err(format(&format!("{name} has type {:?}", tensor.dtype())))
            }
        };
        let tokens = part("tokens", Dtype::U32)?;
        let ends = part("span_ends", Dtype::U32)?;
        let steered = part("span_steered", Dtype::U8)?;
        let keys = part("span_keys", Dtype::U8)?;
        let state = part("state", Dtype::U8)?;
        let found = checksum(&model, [tokens, ends, steered, keys, state].into_iter());
        if found != expected {
            return Err(KvSnapshotError::Checksum { found, expected });
        }
        let (ends, keys) = (words(ends), keys.as_chunks::<32>().0);
        if ends.len() != steered.len() || ends.len() != keys.len() {
            return Err(format(&"its spans have different lengths"));
        }
        let snapshot = Self {
            model,
            tokens: words(tokens),
            spans: ends
                .into_iter()
                .zip(steered.iter().zip(keys))
                .map(|(end, (&steered, key))| KvSpan {
                    end,
                    key: (steered != 0).then(|| PlanKey::from_bytes(*key)),
                })
                .collect(),
            state: state.to_vec(),
        };
        snapshot.check()?;
        Ok(snapshot)
    }

    fn check(&self) -> Result<(), KvSnapshotError> {
        let ascending = self.spans.windows(2).all(|pair| pair[0].end < pair[1].end);
        let last = self.spans.last().map_or(0, |span| span.end);
        if ascending && last as usize == self.tokens.len() {
            return Ok(());
        }
        Err(format(&"its spans do not cover its tokens"))
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let chunks = bytes.as_chunks::<4>().0.iter();
    chunks.map(|word| u32::from_le_bytes(*word)).collect()
}

fn format(reason: &impl ToString) -> KvSnapshotError {
    KvSnapshotError::Format {
        reason: reason.to_string(),
    }
}

fn checksum<'a>(model: &'a str, parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(model.as_bytes()).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> KvSnapshot {
        KvSnapshot {
            model: "tiny".into(),
            tokens: vec![5, 6, 7],
            spans: vec![
                KvSpan { end: 1, key: None },
                KvSpan {
                    end: 3,
                    key: Some(PlanKey::from_bytes([9; 32])),
                },
            ],
            state: vec![1, 2, 3, 4, 5],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = snapshot().to_bytes().unwrap();
        assert_eq!(KvSnapshot::from_bytes(&bytes).unwrap(), snapshot());
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let bytes = snapshot().to_bytes().unwrap();
        for index in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[index] ^= 1;
            let read = KvSnapshot::from_bytes(&bad);
            assert!(
                read.is_err() || read.is_ok_and(|read| read == snapshot()),
                "byte {index}"
            );
            assert!(KvSnapshot::from_bytes(&bytes[..index]).is_err());
        }
    }

    #[test]
    fn spans_must_cover_the_tokens() {
        let mut bad = snapshot();
        bad.spans.pop();
        assert!(matches!(
            bad.to_bytes(),
            Err(KvSnapshotError::Format { .. })
        ));
    }
}
