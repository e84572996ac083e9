//! The decoder for all architectures. It uses the same order of operations as Hugging Face's
//! models, so that the logits agree.

use tch::{Device, Kind, Tensor};

use super::cache::KvCache;
use super::config::DecoderConfig;
use super::inputs::Inputs;
use super::layer::{Layer, Norm};
use super::rotary::Rotary;
use super::steering::{RowSteering, Steering};
use super::step::Step;
use super::weights::{Linear, Loader};
use elpis_backend::BackendError;

type Result<T> = std::result::Result<T, tch::TchError>;

/// Weights of a decoder, each layer on its device.
#[derive(Debug)]
pub(super) struct Decoder {
    config: DecoderConfig,
    kind: Kind,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    head: Linear,
    rotaries: Vec<Rotary>,
}

/// The result of an evaluation.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    /// `[outputs, vocabulary]` in f32 on the CPU; `None` if no row requests logits.
    pub logits: Option<Tensor>,
    /// The residual stream at the output of the requested layers, `[rows, width]` in f32 on the
    /// CPU.
    pub captured: Vec<Tensor>,
    /// `[outputs, 2]` in f32 on the CPU: the projections of the rows that request logits; `None`
    /// without axes or such rows.
    pub projections: Option<Tensor>,
}

/// The axes that rows with logits are projected on, `[2, width]` in f32.
#[derive(Debug)]
pub(super) struct Axes {
    /// The layer whose output is read.
    pub layer: usize,
    /// Valence and arousal.
    pub rows: Tensor,
}

impl Decoder {
    /// Checks a checkpoint against a configuration, then loads it: layer `i`
    /// goes to `devices[i]`, the embedding to the first, the head to the last.
    ///
    /// # Errors
    /// [`BackendError::Checkpoint`] with the tensor that is wrong, before any
    /// memory is taken.
    pub fn load(
        config: &DecoderConfig,
        loader: &mut Loader<'_>,
        kind: Kind,
        devices: &[Device],
        length: usize,
    ) -> std::result::Result<Self, BackendError> {
        Self::build(config, loader, kind, devices, length)?;
        loader.begin();
        Self::build(config, loader, kind, devices, length)
    }

    fn build(
        config: &DecoderConfig,
        loader: &mut Loader<'_>,
        kind: Kind,
        devices: &[Device],
        length: usize,
    ) -> std::result::Result<Self, BackendError> {
        let (first, last) = match devices {
            [first, .., last] => (*first, *last),
            [only] => (*only, *only),
            [] => (Device::Cpu, Device::Cpu),
        };
        let table = [config.vocab, config.hidden];
        let embedding = loader.tensor("embed_tokens.weight", &table, first)?;
        let layers = config
            .layers
            .iter()
            .zip(devices)
            .enumerate()
            .map(|(index, (kinds, &device))| Layer::build(config, loader, index, *kinds, device))
            .collect::<std::result::Result<_, _>>()?;
        let norm = Norm::load(config, loader, "norm.weight", config.hidden, last)?;
        let head = if config.tied {
            let weight = if first == last || loader.checking() {
                embedding.shallow_clone()
            } else {
                loader.tensor("embed_tokens.weight", &table, last)?
            };
            Linear::plain(weight)
        } else {
            loader.linear("lm_head", (config.vocab, config.hidden), false, last)?
        };
        let rotaries = config
            .ropes
            .iter()
            .map(|spec| Rotary::new(spec, length))
            .collect::<Result<_>>()
            .map_err(|error| super::native::native("rotary embedding", &error))?;
        Ok(Self {
            config: config.clone(),
            kind,
            embedding,
            layers,
            norm,
            head,
            rotaries,
        })
    }

    /// Evaluates a batch: writes keys and values to the cache, projects rows on the axes, adds each
    /// row's steering at the outputs of its layers, and computes the requested logits.
    pub fn forward(
        &self,
        step: &Step,
        cache: &mut KvCache,
        steering: &Steering,
        axes: Option<&Axes>,
        capture: &[usize],
    ) -> Result<Evaluated> {
        let mut inputs = self.inputs(step, self.embedding.device())?;
        let tokens = Tensor::f_from_slice(&step.tokens)?.f_to_device(inputs.device)?;
        let mut hidden = Tensor::f_embedding(&self.embedding, &tokens, -1, false, false)?;
        if let Some(scale) = self.config.embedding_scale {
            // The factor is rounded to the weights' type first.
            let scale = Tensor::f_from_slice(&[scale as f32])?;
            hidden =
                hidden.f_mul(&scale.f_to_device_(inputs.device, self.kind, false, false)?)?;
        }
        let mut projections = None;
        let mut captured: Vec<Option<Tensor>> = (0..capture.len()).map(|_| None).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.device != inputs.device {
                inputs = self.inputs(step, layer.device)?;
                hidden = hidden.f_to_device(layer.device)?;
            }
            hidden = layer.forward(&self.config, &hidden, &inputs, cache, index)?;
            if let Some(axes) = axes.filter(|axes| axes.layer == index) {
                projections = project(step, &hidden, axes)?;
            }
            if let Some(rows) = steering.layer(index) {
                add_steering(&mut hidden, rows)?;
            }
            for (slot, _) in captured
                .iter_mut()
                .zip(capture)
                .filter(|(_, at)| **at == index)
            {
                let rows = hidden.f_to_device_(Device::Cpu, Kind::Float, false, true)?;
                *slot = Some(rows);
            }
        }
        Ok(Evaluated {
            logits: self.logits(step, &hidden)?,
            captured: captured.into_iter().flatten().collect(),
            projections,
        })
    }

    fn logits(&self, step: &Step, hidden: &Tensor) -> Result<Option<Tensor>> {
        if step.outputs.is_empty() {
            return Ok(None);
        }
        let chosen = outputs(step, hidden)?;
        let mut logits = self.head.forward(&self.norm.forward(&chosen)?)?;
        if let Some(cap) = self.config.logit_softcap {
            logits = logits.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?;
        }
        logits
            .f_to_device_(Device::Cpu, Kind::Float, false, false)
            .map(Some)
    }

    fn inputs(&self, step: &Step, device: Device) -> Result<Inputs> {
        let mut windows: Vec<Option<usize>> = Vec::new();
        for layer in self.layers.iter().filter(|layer| layer.device == device) {
            if !windows.contains(&layer.kinds.window) {
                windows.push(layer.kinds.window);
            }
        }
        Inputs::new(step, &self.rotaries, windows, self.kind, device)
    }

    /// Bytes of one position in the cache, over all layers.
    pub fn kv_width(&self) -> usize {
        self.config.kv_width()
    }
}

/// The rows that request logits.
fn outputs(step: &Step, hidden: &Tensor) -> Result<Tensor> {
    if step.outputs.len() == step.tokens.len() {
        return Ok(hidden.shallow_clone());
    }
    let rows = Tensor::f_from_slice(&step.outputs)?.f_to_device(hidden.device())?;
    hidden.f_index_select(0, &rows)
}

fn project(step: &Step, hidden: &Tensor, axes: &Axes) -> Result<Option<Tensor>> {
    if step.outputs.is_empty() {
        return Ok(None);
    }
    let rows = outputs(step, hidden)?.f_to_device_(hidden.device(), Kind::Float, false, false)?;
    let axes = axes.rows.f_to_device(hidden.device())?;
    let projections = rows.f_matmul(&axes.f_transpose(0, 1)?)?;
    projections.f_to_device(Device::Cpu).map(Some)
}

fn add_steering(hidden: &mut Tensor, steering: &RowSteering) -> Result<()> {
    let values = steering
        .values
        .f_to_device_(hidden.device(), hidden.kind(), false, false)?;
    let _ = match &steering.rows {
        None => hidden.f_add_(&values)?,
        Some(rows) => hidden.f_index_add_(0, &rows.f_to_device(hidden.device())?, &values)?,
    };
    Ok(())
}
