//! The decoder: one for all architectures, in the order of operations that
//! Hugging Face's models compute in, so that the logits agree.

use tch::{Device, Kind, Tensor};

use super::attention::{self, Prepared};
use super::cache::KvCache;
use super::config::{Activation, DecoderConfig, LayerConfig};
use super::rotary::{Rotary, Turns};
use super::steering::{RowSteering, Steering};
use super::step::Step;
use super::weights::{Linear, Loader};
use crate::backend::BackendError;

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

#[derive(Debug)]
struct Layer {
    device: Device,
    kinds: LayerConfig,
    input_norm: Norm,
    /// Queries, keys and values.
    qkv: Projection,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    output: Linear,
    attention_norm: Option<Norm>,
    mlp_norm: Norm,
    /// Gate and up.
    gate_up: Projection,
    down: Linear,
    output_norm: Option<Norm>,
}

/// Several projections of one input.
#[derive(Debug)]
enum Projection {
    /// One matrix for all, with the width of each.
    Joined(Linear, Vec<i64>),
    /// A matrix for each.
    Apart(Vec<Linear>),
}

impl Projection {
    fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        match self {
            Self::Joined(linear, widths) => linear.forward(x)?.f_split_with_sizes(widths, 1),
            Self::Apart(linears) => linears.iter().map(|linear| linear.forward(x)).collect(),
        }
    }
}

/// Root mean square norm (Zhang and Sennrich, 2019).
#[derive(Debug)]
struct Norm {
    /// The weight, or 1 + weight in f32.
    weight: Tensor,
    eps: f64,
    offset: bool,
}

impl Norm {
    /// Norms the last axis; squares are summed in f32.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let kind = x.kind();
        let wide = x.f_to_kind(Kind::Float)?;
        let scale = wide
            .f_pow_tensor_scalar(2)?
            .f_mean_dim([-1_i64].as_slice(), true, None::<Kind>)?
            .f_add_scalar(self.eps)?
            .f_rsqrt()?;
        let normed = wide.f_mul(&scale)?;
        // Gemma rounds after the weight, the others before.
        if self.offset {
            normed.f_mul(&self.weight)?.f_to_kind(kind)
        } else {
            self.weight.f_mul(&normed.f_to_kind(kind)?)
        }
    }
}

/// What an evaluation gives.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    /// `[outputs, vocabulary]` in f32 on the CPU, if any row asked.
    pub logits: Option<Tensor>,
    /// The residual stream at the output of the layers asked for,
    /// `[rows, width]` in f32 on the CPU.
    pub captured: Vec<Tensor>,
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
        let norm = norm(config, loader, "norm.weight", config.hidden, last)?;
        let head = if config.tied {
            let weight = if first == last || loader.checking() {
                embedding.shallow_clone()
            } else {
                loader.tensor("embed_tokens.weight", &table, last)?
            };
            Linear { weight, bias: None }
        } else {
            loader.linear("lm_head", (config.vocab, config.hidden), false, last)?
        };
        let rotaries = config
            .ropes
            .iter()
            .map(|spec| Rotary::new(spec, length))
            .collect::<Result<_>>()
            .map_err(|error| super::native("rotary embedding", &error))?;
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

    /// Evaluates a batch: writes keys and values to the cache, adds each row's
    /// steering at the outputs of its layers, and computes the logits asked for.
    pub fn forward(
        &self,
        step: &Step,
        cache: &mut KvCache,
        steering: &Steering,
        capture: &[usize],
    ) -> Result<Evaluated> {
        let mut inputs = Inputs::new(self, step, self.embedding.device())?;
        let tokens = Tensor::f_from_slice(&step.tokens)?.f_to_device(inputs.device)?;
        let mut hidden = Tensor::f_embedding(&self.embedding, &tokens, -1, false, false)?;
        if let Some(scale) = self.config.embedding_scale {
            // The factor is rounded to the weights' type first.
            let scale = Tensor::f_from_slice(&[scale as f32])?;
            hidden =
                hidden.f_mul(&scale.f_to_device_(inputs.device, self.kind, false, false)?)?;
        }
        let mut captured: Vec<Option<Tensor>> = (0..capture.len()).map(|_| None).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.device != inputs.device {
                inputs = Inputs::new(self, step, layer.device)?;
                hidden = hidden.f_to_device(layer.device)?;
            }
            hidden = layer.forward(self, &hidden, &inputs, cache, index)?;
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
        })
    }

    fn logits(&self, step: &Step, hidden: &Tensor) -> Result<Option<Tensor>> {
        if step.outputs.is_empty() {
            return Ok(None);
        }
        let chosen = if step.outputs.len() == step.tokens.len() {
            hidden.shallow_clone()
        } else {
            let rows = Tensor::f_from_slice(&step.outputs)?.f_to_device(hidden.device())?;
            hidden.f_index_select(0, &rows)?
        };
        let mut logits = self.head.forward(&self.norm.forward(&chosen)?)?;
        if let Some(cap) = self.config.logit_softcap {
            logits = logits.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?;
        }
        logits
            .f_to_device_(Device::Cpu, Kind::Float, false, false)
            .map(Some)
    }

    /// Bytes of one position in the cache, over all layers.
    pub fn kv_width(&self) -> usize {
        self.config.kv_width()
    }
}

/// What the layers of one device need of a batch.
struct Inputs {
    device: Device,
    cells: Tensor,
    /// For each rotary embedding.
    turns: Vec<Turns>,
    /// For each window that layers have.
    groups: Vec<(Option<usize>, Vec<Prepared>)>,
}

impl Inputs {
    fn new(decoder: &Decoder, step: &Step, device: Device) -> Result<Self> {
        let mut windows: Vec<Option<usize>> = Vec::new();
        for layer in decoder.layers.iter().filter(|layer| layer.device == device) {
            if !windows.contains(&layer.kinds.window) {
                windows.push(layer.kinds.window);
            }
        }
        let positions = Tensor::f_from_slice(&step.positions)?;
        Ok(Self {
            device,
            cells: Tensor::f_from_slice(&step.cells)?.f_to_device(device)?,
            turns: decoder
                .rotaries
                .iter()
                .map(|rotary| rotary.turns(&positions, decoder.kind, device))
                .collect::<Result<_>>()?,
            groups: windows
                .into_iter()
                .map(|window| {
                    let groups = attention::prepare(&step.groups, window, decoder.kind, device)?;
                    Ok((window, groups))
                })
                .collect::<Result<_>>()?,
        })
    }

    fn groups(&self, window: Option<usize>) -> &[Prepared] {
        self.groups
            .iter()
            .find(|(known, _)| *known == window)
            .map_or(&[], |(_, groups)| groups)
    }
}

impl Layer {
    fn build(
        config: &DecoderConfig,
        loader: &mut Loader<'_>,
        index: usize,
        kinds: LayerConfig,
        device: Device,
    ) -> std::result::Result<Self, BackendError> {
        let at = |name: &str| format!("layers.{index}.{name}");
        let (hidden, inner) = (config.hidden, config.intermediate);
        let (queries, keys) = (config.query_width(), config.kv_width());
        let mut normed = |name: &str, width| norm(config, loader, &at(name), width, device);
        let input_norm = normed("input_layernorm.weight", hidden)?;
        let after_attention = normed("post_attention_layernorm.weight", hidden)?;
        let (attention_norm, mlp_norm, output_norm) = if config.sandwich_norms {
            (
                Some(after_attention),
                normed("pre_feedforward_layernorm.weight", hidden)?,
                Some(normed("post_feedforward_layernorm.weight", hidden)?),
            )
        } else {
            (None, after_attention, None)
        };
        let (query_norm, key_norm) = if config.qk_norm {
            (
                Some(normed("self_attn.q_norm.weight", config.head_dim)?),
                Some(normed("self_attn.k_norm.weight", config.head_dim)?),
            )
        } else {
            (None, None)
        };
        let attention = Joinable {
            fused: "self_attn.qkv_proj",
            parts: &[
                ("self_attn.q_proj", queries),
                ("self_attn.k_proj", keys),
                ("self_attn.v_proj", keys),
            ],
            bias: config.qkv_bias,
        };
        let mlp = Joinable {
            fused: "mlp.gate_up_proj",
            parts: &[("mlp.gate_proj", inner), ("mlp.up_proj", inner)],
            bias: config.mlp_bias,
        };
        Ok(Self {
            device,
            kinds,
            input_norm,
            qkv: attention.load(config, loader, index, device)?,
            query_norm,
            key_norm,
            output: loader.linear(
                &at("self_attn.o_proj"),
                (hidden, queries),
                config.output_bias,
                device,
            )?,
            attention_norm,
            mlp_norm,
            gate_up: mlp.load(config, loader, index, device)?,
            down: loader.linear(
                &at("mlp.down_proj"),
                (hidden, inner),
                config.mlp_bias,
                device,
            )?,
            output_norm,
        })
    }

    fn forward(
        &self,
        decoder: &Decoder,
        hidden: &Tensor,
        inputs: &Inputs,
        cache: &mut KvCache,
        index: usize,
    ) -> Result<Tensor> {
        let config = &decoder.config;
        let mut attended = self.attention(decoder, hidden, inputs, cache, index)?;
        if let Some(norm) = &self.attention_norm {
            attended = norm.forward(&attended)?;
        }
        let hidden = attended.f_add_(hidden)?;
        let mut inner = self.gate_up.forward(&self.mlp_norm.forward(&hidden)?)?;
        let (Some(up), Some(gate)) = (inner.pop(), inner.pop()) else {
            return Err(tch::TchError::Shape("gate and up are missing".to_owned()));
        };
        let gate = match config.activation {
            Activation::Silu => gate.f_silu()?,
            Activation::GeluTanh => gate.f_gelu("tanh")?,
            Activation::Gelu => gate.f_gelu("none")?,
        };
        let mut output = self.down.forward(&gate.f_mul(&up)?)?;
        if let Some(norm) = &self.output_norm {
            output = norm.forward(&output)?;
        }
        output.f_add_(&hidden)
    }

    fn attention(
        &self,
        decoder: &Decoder,
        hidden: &Tensor,
        inputs: &Inputs,
        cache: &mut KvCache,
        index: usize,
    ) -> Result<Tensor> {
        let config = &decoder.config;
        let rows = hidden.size().first().copied().unwrap_or(0);
        let heads = |x: &Tensor, n: usize| x.f_view([rows, n as i64, config.head_dim as i64]);
        let projected = self.qkv.forward(&self.input_norm.forward(hidden)?)?;
        let [queries, keys, values] = &projected[..] else {
            return Err(tch::TchError::Shape(
                "queries, keys and values are missing".to_owned(),
            ));
        };
        let mut queries = heads(queries, config.n_heads)?;
        let mut keys = heads(keys, config.n_kv_heads)?;
        if let Some(norm) = &self.query_norm {
            queries = norm.forward(&queries)?;
        }
        if let Some(norm) = &self.key_norm {
            keys = norm.forward(&keys)?;
        }
        if let Some(turns) = self.kinds.rope.and_then(|rope| inputs.turns.get(rope)) {
            queries = turns.apply(&queries)?;
            keys = turns.apply(&keys)?;
        }
        let context = cache.context();
        let Some(held) = cache.layer(index) else {
            return Err(tch::TchError::Shape(format!("layer {index} has no cache")));
        };
        let width = config.kv_width() as i64;
        let _ = held
            .keys
            .f_index_copy_(0, &inputs.cells, &keys.f_reshape([rows, width])?)?;
        let _ = held
            .values
            .f_index_copy_(0, &inputs.cells, &values.f_reshape([rows, width])?)?;
        let groups = inputs.groups(self.kinds.window);
        let attended = attention::attend(config, groups, &queries, held, context)?;
        self.output.forward(&attended)
    }
}

/// Projections that some checkpoints hold as one matrix.
struct Joinable<'a> {
    fused: &'static str,
    parts: &'a [(&'static str, usize)],
    bias: bool,
}

impl Joinable<'_> {
    fn load(
        &self,
        config: &DecoderConfig,
        loader: &mut Loader<'_>,
        index: usize,
        device: Device,
    ) -> std::result::Result<Projection, BackendError> {
        let at = |name: &str| format!("layers.{index}.{name}");
        let widths: Vec<i64> = self.parts.iter().map(|(_, width)| *width as i64).collect();
        if config.fused {
            let all = self.parts.iter().map(|(_, width)| width).sum();
            let linear = loader.linear(&at(self.fused), (all, config.hidden), self.bias, device)?;
            return Ok(Projection::Joined(linear, widths));
        }
        let joins = self
            .parts
            .iter()
            .all(|(name, _)| loader.copies(device, &at(&format!("{name}.weight"))));
        let linears = self
            .parts
            .iter()
            .map(|(name, width)| {
                loader.linear(&at(name), (*width, config.hidden), self.bias, device)
            })
            .collect::<std::result::Result<Vec<_>, _>>()?;
        if !joins || loader.checking() {
            return Ok(Projection::Apart(linears));
        }
        // They are copied anyway: one product of three is quicker than three.
        let join = || -> Result<Linear> {
            let weights: Vec<&Tensor> = linears.iter().map(|l| &l.weight).collect();
            let biases: Vec<&Tensor> = linears.iter().filter_map(|l| l.bias.as_ref()).collect();
            Ok(Linear {
                weight: Tensor::f_cat(&weights, 0)?,
                bias: if biases.is_empty() {
                    None
                } else {
                    Some(Tensor::f_cat(&biases, 0)?)
                },
            })
        };
        let linear = join().map_err(|error| super::native("joining projections", &error))?;
        Ok(Projection::Joined(linear, widths))
    }
}

fn norm(
    config: &DecoderConfig,
    loader: &mut Loader<'_>,
    name: &str,
    width: usize,
    device: Device,
) -> std::result::Result<Norm, BackendError> {
    let mut weight = loader.tensor(name, &[width], device)?;
    if config.norm_offset && !loader.checking() {
        weight = weight
            .f_to_kind(Kind::Float)
            .and_then(|weight| weight.f_add_scalar(1.0))
            .map_err(|error| super::native("loading weights", &error))?;
    }
    Ok(Norm {
        weight,
        eps: config.norm_eps,
        offset: config.norm_offset,
    })
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
