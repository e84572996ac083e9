//! Turns the checkpoint's bytes into tensors with the type and device used for computing.

use std::collections::BTreeSet;

use safetensors::Dtype;
use tch::{Device, Kind, Tensor};

use super::checkpoint::{Checkpoint, Entry};
use super::native::native;
use elpis_backend::{BackendError, heartbeat};

/// Prefixes of text models' tensors, plain and within multimodal models, with the prefix of the
/// output layer.
const PREFIXES: [(&str, &str); 3] = [
    ("model.", ""),
    ("language_model.model.", "language_model."),
    ("model.language_model.", ""),
];

/// A matrix with an optional bias.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[out, in]`, or `[in, out]` if it is transposed.
    weight: Tensor,
    /// `[out]`.
    bias: Option<Tensor>,
    transposed: bool,
    /// Number of parts that few rows are multiplied with in parallel; 1 for no parts.
    parts: i64,
}

/// Maximum number of rows that are multiplied in parts.
const FEW_ROWS: i64 = 64;
/// Minimum number of outputs of a part.
const MIN_OUTPUTS: usize = 64;

impl Linear {
    /// A matrix `[out, in]` without a bias.
    pub fn plain(weight: Tensor) -> Self {
        Self {
            weight,
            bias: None,
            transposed: false,
            parts: 1,
        }
    }

    /// `x` `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let rows = x.size().first().copied().unwrap_or(0);
        if self.parts > 1 && (2..=FEW_ROWS).contains(&rows) {
            return self.forward_in_parts(x, rows);
        }
        match (&self.bias, self.transposed) {
            (bias, false) => x.f_linear(&self.weight, bias.as_ref()),
            (None, true) => x.f_mm(&self.weight),
            (Some(bias), true) => bias.f_addmm(x, &self.weight),
        }
    }

    /// Computes a product for each part of the outputs. For few rows, a single product of the
    /// library hardly uses a second thread, but a batch of products does.
    fn forward_in_parts(&self, x: &Tensor, rows: i64) -> Result<Tensor, tch::TchError> {
        let (parts, width) = (self.parts, x.size().get(1).copied().unwrap_or(0));
        let product = if self.transposed {
            let weight = self
                .weight
                .f_view([width, parts, -1])?
                .f_permute([1, 0, 2])?;
            x.f_expand([parts, rows, width], false)?
                .f_bmm(&weight)?
                .f_transpose(0, 1)?
                .f_reshape([rows, -1])?
        } else {
            let x = x.f_transpose(0, 1)?;
            self.weight
                .f_view([parts, -1, width])?
                .f_bmm(&x.f_expand([parts, width, rows], false)?)?
                .f_view([-1, rows])?
                .f_transpose(0, 1)?
                .f_contiguous()?
        };
        match &self.bias {
            Some(bias) => product.f_add(bias),
            None => Ok(product),
        }
    }

    /// Copies matrices of one input into one, transposed or not.
    fn join(parts: &[Self], transposed: bool) -> Result<Self, tch::TchError> {
        let weights: Vec<&Tensor> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<&Tensor> = parts.iter().filter_map(|part| part.bias.as_ref()).collect();
        let weight = if transposed {
            transpose(&weights)?
        } else {
            Tensor::f_cat(&weights, 0)?
        };
        Ok(Self {
            weight,
            bias: if biases.is_empty() {
                None
            } else {
                Some(Tensor::f_cat(&biases, 0)?)
            },
            transposed,
            parts: 1,
        })
    }
}

/// Copies matrices `[out, in]` into one `[in, all outs]` without an intermediate copy.
fn transpose(parts: &[&Tensor]) -> Result<Tensor, tch::TchError> {
    let size = |part: &Tensor, axis| part.size().get(axis).copied().unwrap_or(0);
    let Some(first) = parts.first() else {
        return Ok(Tensor::new());
    };
    let out = parts.iter().map(|part| size(part, 0)).sum();
    let joined = Tensor::f_empty([size(first, 1), out], (first.kind(), first.device()))?;
    let mut start = 0;
    for part in parts {
        let width = size(part, 0);
        let turned = part.f_transpose(0, 1)?;
        joined.f_narrow(1, start, width)?.f_copy_(&turned)?;
        start += width;
    }
    Ok(joined)
}

/// Provides the tensors of a checkpoint by name.
#[derive(Debug)]
pub(super) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    prefix: &'static str,
    head_prefix: &'static str,
    kind: Kind,
    /// Whether unchanged weights stay in the mapped file.
    map: bool,
    /// Whether matrices are repacked into the fastest layout.
    repack: bool,
    threads: usize,
    /// Whether tensors are only checked and not loaded.
    checking: bool,
    borrowed: bool,
    used: BTreeSet<String>,
}

impl<'a> Loader<'a> {
    /// Creates a loader for a checkpoint with weights of `kind`.
    ///
    /// With `map`, unchanged weights stay in the mapped file. With `repack`, matrices are repacked
    /// into the fastest layout.
    pub fn new(
        checkpoint: &'a Checkpoint,
        kind: Kind,
        map: bool,
        repack: bool,
        threads: usize,
    ) -> Self {
        let (prefix, head_prefix) = PREFIXES
            .into_iter()
            .find(|(prefix, _)| {
                checkpoint
                    .entry(&format!("{prefix}embed_tokens.weight"))
                    .is_some()
            })
            .unwrap_or(PREFIXES[0]);
        Self {
            checkpoint,
            prefix,
            head_prefix,
            kind,
            map,
            repack,
            threads,
            checking: true,
            borrowed: false,
            used: BTreeSet::new(),
        }
    }

    /// Starts providing tensors. Until then, only their names and shapes are checked.
    pub fn begin(&mut self) {
        self.checking = false;
    }

    /// Whether tensors are only checked so far.
    pub fn checking(&self) -> bool {
        self.checking
    }

    /// Whether some tensors borrow the checkpoint's memory.
    pub fn borrowed(&self) -> bool {
        self.borrowed
    }

    /// Whether weights on a device are always copied.
    fn copies(&self, device: Device, name: &str) -> bool {
        let dtype = self.checkpoint.entry(&self.full(name)).map(|e| e.dtype);
        !self.map || device != Device::Cpu || dtype.and_then(kind_of) != Some(self.kind)
    }

    /// Whether a matrix is transposed. One row times a wide f32 matrix is up to twice as fast this
    /// way on a CPU, and several rows are equally fast.
    fn transposes(&self, (out, width): (usize, usize), device: Device) -> bool {
        self.repack && self.kind == Kind::Float && device == Device::Cpu && out >= 2 * width
    }

    /// The number of parts in which few rows are multiplied with a matrix.
    fn parts(&self, out: usize, device: Device) -> i64 {
        let fits = out.is_multiple_of(self.threads.max(1)) && out >= MIN_OUTPUTS * self.threads;
        let splits = self.kind == Kind::Float && device == Device::Cpu && fits;
        if splits { self.threads as i64 } else { 1 }
    }

    /// Names of tensors that the decoder does not use.
    pub fn unused(&self) -> Vec<&str> {
        self.checkpoint
            .names()
            .filter(|name| !self.used.contains(*name))
            .collect()
    }

    fn full(&self, name: &str) -> String {
        if name.starts_with("lm_head.") {
            format!("{}{name}", self.head_prefix)
        } else {
            format!("{}{name}", self.prefix)
        }
    }

    /// A tensor of the given shape, on a device.
    ///
    /// # Errors
    /// [`BackendError::Checkpoint`] if it is missing, of another shape or of a type that weights
    /// cannot have.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        device: Device,
    ) -> Result<Tensor, BackendError> {
        heartbeat::beat();
        let name = self.full(name);
        let wrong = |entry: Option<&Entry>, reason: String| BackendError::Checkpoint {
            path: self.checkpoint.path_of(entry),
            item: format!("tensor `{name}`"),
            reason,
        };
        let entry = self
            .checkpoint
            .entry(&name)
            .ok_or_else(|| wrong(None, "is missing".to_owned()))?;
        if entry.shape != shape {
            return Err(wrong(
                Some(entry),
                format!(
                    "has the shape {:?}; the configuration asks for {shape:?}",
                    entry.shape
                ),
            ));
        }
        let kind = kind_of(entry.dtype).ok_or_else(|| {
            wrong(
                Some(entry),
                format!(
                    "is of type {}; weights are F64, F32, F16 or BF16",
                    entry.dtype
                ),
            )
        })?;
        let tensor = if self.checking {
            Tensor::new()
        } else {
            self.read(entry, kind, shape, device)
                .map_err(|error| native("loading weights", &error))?
        };
        self.used.insert(name);
        Ok(tensor)
    }

    fn read(
        &mut self,
        entry: &Entry,
        kind: Kind,
        shape: &[usize],
        device: Device,
    ) -> Result<Tensor, tch::TchError> {
        let bytes = self.checkpoint.bytes(entry);
        let size: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let aligned = bytes.as_ptr().align_offset(kind.elt_size_in_bytes()) == 0;
        let there = if aligned {
            // SAFETY: the bytes hold exactly this shape of this type (safetensors checks lengths
            // against shapes), are aligned for it, and outlive the tensor: either it is copied below
            // or the decoder keeps the checkpoint. Nothing writes to weights.
            unsafe { Tensor::f_from_blob(bytes.as_ptr(), &size, &[], kind, Device::Cpu)? }
        } else {
            Tensor::f_from_data_size(bytes, &size, kind)?
        };
        let stays = aligned && self.map && kind == self.kind && device == Device::Cpu;
        if stays {
            self.borrowed = true;
            return Ok(there);
        }
        let copied = there.f_to_device_(device, self.kind, false, aligned)?;
        self.checkpoint.release(entry);
        Ok(copied)
    }

    /// A matrix `[out, in]` with or without a bias.
    pub fn linear(
        &mut self,
        name: &str,
        shape: (usize, usize),
        bias: bool,
        device: Device,
    ) -> Result<Linear, BackendError> {
        let mut joined = self.linears(&[(name.to_owned(), shape.0)], shape.1, bias, device)?;
        joined.pop().ok_or_else(|| BackendError::Native {
            call: "loading weights",
            reason: format!("no output for {name}"),
        })
    }

    /// Matrices of one input, each given by name and `out`. They are joined into one if they are
    /// copied anyway.
    pub fn linears(
        &mut self,
        parts: &[(String, usize)],
        width: usize,
        bias: bool,
        device: Device,
    ) -> Result<Vec<Linear>, BackendError> {
        let out = parts.iter().map(|(_, out)| out).sum();
        let transposed = self.transposes((out, width), device);
        let copied = parts
            .iter()
            .all(|(name, _)| self.copies(device, &format!("{name}.weight")));
        let join = transposed || (copied && parts.len() > 1);
        let before = self.borrowed;
        let linears = parts
            .iter()
            .map(|(name, out)| self.part(name, (*out, width), bias, device))
            .collect::<Result<Vec<_>, _>>()?;
        if !join || self.checking {
            return Ok(linears);
        }
        let mut joined = Linear::join(&linears, transposed)
            .map_err(|error| native("joining projections", &error))?;
        joined.parts = self.parts(out, device);
        drop(linears);
        // Joined matrices are copied and no longer borrow the file.
        self.borrowed = before;
        for (name, _) in parts {
            for part in ["weight", "bias"] {
                if let Some(entry) = self.checkpoint.entry(&self.full(&format!("{name}.{part}"))) {
                    self.checkpoint.release(entry);
                }
            }
        }
        Ok(vec![joined])
    }

    fn part(
        &mut self,
        name: &str,
        (out, width): (usize, usize),
        bias: bool,
        device: Device,
    ) -> Result<Linear, BackendError> {
        let weight = self.tensor(&format!("{name}.weight"), &[out, width], device)?;
        let bias = if bias {
            Some(self.tensor(&format!("{name}.bias"), &[out], device)?)
        } else {
            None
        };
        Ok(Linear {
            weight,
            bias,
            transposed: false,
            parts: self.parts(out, device),
        })
    }
}

/// The tensor type of a safetensors type that weights may have.
fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F64 => Some(Kind::Double),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}
