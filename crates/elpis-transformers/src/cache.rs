//! Keys and values of all sequences.
//!
//! Each sequence has room for a whole context from the start, so nothing moves while it grows. A
//! layer's keys are `[sequences × context, heads × width]`: the row of a position needs no look-up,
//! a prefix is contiguous, and memory that was never written is never allocated by the system.

use memmap2::MmapMut;
use tch::{Device, Kind, Tensor};

use super::native::native;
use elpis_backend::{BackendError, SequenceId, sized};

/// Keys and values of one layer.
#[derive(Debug)]
pub(super) struct LayerCache {
    /// `[sequences × context, heads × width]`.
    pub keys: Tensor,
    /// The values, with the shape of the keys.
    pub values: Tensor,
}

/// Keys and values of all layers.
#[derive(Debug)]
pub(super) struct KvCache {
    layers: Vec<LayerCache>,
    lengths: Vec<u32>,
    context: usize,
    width: usize,
    kind: Kind,
    // The CPU tensors point into this memory, so it must be dropped last.
    _memory: Vec<MmapMut>,
}

impl KvCache {
    /// Creates an empty cache. `devices` are those of the layers.
    pub fn new(
        devices: &[Device],
        sequences: usize,
        context: usize,
        width: usize,
        kind: Kind,
    ) -> Result<Self, BackendError> {
        let rows = sequences * context;
        let mut memory = Vec::new();
        let mut zeros = |device: Device| -> Result<Tensor, BackendError> {
            let size = [rows as i64, width as i64];
            if device != Device::Cpu {
                return Tensor::f_zeros(size, (kind, device))
                    .map_err(|error| native("allocating the key-value cache", &error));
            }
            let bytes = rows * width * kind.elt_size_in_bytes();
            // Zeroed pages take no memory until they are written. A plain allocation would have to
            // be cleared, because masked values must still be finite.
            let mut map = MmapMut::map_anon(bytes).map_err(|error| BackendError::Native {
                call: "allocating the key-value cache",
                reason: format!("{bytes} bytes: {error}"),
            })?;
            // SAFETY: the map holds exactly this shape, is aligned to pages, and lives as long as
            // the cache that owns both.
            let tensor = unsafe { Tensor::f_from_blob(map.as_mut_ptr(), &size, &[], kind, device) }
                .map_err(|error| native("allocating the key-value cache", &error))?;
            memory.push(map);
            Ok(tensor)
        };
        let layers = devices
            .iter()
            .map(|&device| {
                Ok(LayerCache {
                    keys: zeros(device)?,
                    values: zeros(device)?,
                })
            })
            .collect::<Result<_, BackendError>>()?;
        Ok(Self {
            layers,
            lengths: vec![0; sequences],
            context,
            width,
            kind,
            _memory: memory,
        })
    }

    /// Keys and values of a layer.
    pub fn layer(&mut self, layer: usize) -> Option<&mut LayerCache> {
        self.layers.get_mut(layer)
    }

    /// Positions that a sequence can hold.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Positions that each sequence holds.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Records the positions that a batch has written.
    pub fn grow(&mut self, sequence: SequenceId, length: u32) {
        if let Some(known) = self.lengths.get_mut(sequence as usize) {
            *known = length;
        }
    }

    /// Removes the positions `from..` of a sequence.
    pub fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        let known = self.length_mut(sequence)?;
        *known = (*known).min(from);
        Ok(())
    }

    fn length_mut(&mut self, sequence: SequenceId) -> Result<&mut u32, BackendError> {
        let sequences = self.lengths.len();
        self.lengths
            .get_mut(sequence as usize)
            .ok_or_else(|| BackendError::Limit {
                field: "sequence",
                value: sequence.to_string(),
                limit: format!("sequences 0 to {}", sequences.saturating_sub(1)),
            })
    }

    fn rows(
        &self,
        tensor: &Tensor,
        sequence: SequenceId,
        length: u32,
    ) -> Result<Tensor, tch::TchError> {
        let first = i64::from(sequence) * self.context as i64;
        tensor.f_narrow(0, first, i64::from(length))
    }

    /// Copies the first positions of a sequence to an empty one.
    pub fn share(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        let held = *self.length_mut(from)?;
        self.length_mut(to)?;
        if length > held || from == to {
            return Err(BackendError::Limit {
                field: "length",
                value: length.to_string(),
                limit: format!("the {held} positions of sequence {from}, for another sequence"),
            });
        }
        let copy = || -> Result<(), tch::TchError> {
            for layer in &self.layers {
                for tensor in [&layer.keys, &layer.values] {
                    self.rows(tensor, to, length)?
                        .f_copy_(&self.rows(tensor, from, length)?)?;
                }
            }
            Ok(())
        };
        copy().map_err(|error| native("copying a prefix", &error))?;
        self.grow(to, length);
        Ok(())
    }

    /// The bytes of a sequence: for each layer its keys, then its values.
    pub fn save(&mut self, sequence: SequenceId, memory: Vec<u8>) -> Result<Vec<u8>, BackendError> {
        let length = *self.length_mut(sequence)?;
        let piece = length as usize * self.width * self.kind.elt_size_in_bytes();
        let mut bytes = sized(memory, piece * 2 * self.layers.len());
        if piece == 0 {
            return Ok(bytes);
        }
        let tensors = self.layers.iter().flat_map(|l| [&l.keys, &l.values]);
        for (out, tensor) in bytes.chunks_exact_mut(piece).zip(tensors) {
            self.rows(tensor, sequence, length)
                .and_then(|rows| rows.f_to_device(Device::Cpu))
                .and_then(|rows| rows.f_copy_data_u8(out, length as usize * self.width))
                .map_err(|error| native("saving a sequence", &error))?;
        }
        Ok(bytes)
    }

    /// Fills an empty sequence with the result of [`save`](Self::save).
    pub fn restore(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.length_mut(sequence)?;
        let piece = length as usize * self.width * self.kind.elt_size_in_bytes();
        let wanted = piece * 2 * self.layers.len();
        if length as usize > self.context || bytes.len() != wanted {
            return Err(BackendError::Native {
                call: "restoring a sequence",
                reason: format!(
                    "{} bytes for {length} positions; this model has {wanted} for them and room for {}",
                    bytes.len(),
                    self.context
                ),
            });
        }
        if piece > 0 {
            let size = [i64::from(length), self.width as i64];
            let tensors = self.layers.iter().flat_map(|l| [&l.keys, &l.values]);
            for (part, tensor) in bytes.chunks_exact(piece).zip(tensors) {
                Tensor::f_from_data_size(part, &size, self.kind)
                    .and_then(|part| self.rows(tensor, sequence, length)?.f_copy_(&part))
                    .map_err(|error| native("restoring a sequence", &error))?;
            }
        }
        self.grow(sequence, length);
        Ok(())
    }
}
