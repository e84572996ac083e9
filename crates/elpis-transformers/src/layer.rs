//! One decoder layer: attention and feed-forward, each with its norms.

use tch::{Device, Kind, Tensor};

use super::attention;
use super::cache::KvCache;
use super::config::{Activation, DecoderConfig, LayerConfig};
use super::inputs::Inputs;
use super::weights::{Linear, Loader};
use elpis_backend::BackendError;

type Result<T> = std::result::Result<T, tch::TchError>;

/// The weights of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub device: Device,
    pub kinds: LayerConfig,
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
pub(super) struct Norm {
    /// The weight, or 1 + weight in f32.
    weight: Tensor,
    eps: f64,
    offset: bool,
}

impl Norm {
    /// Checks or loads a norm.
    pub fn load(
        config: &DecoderConfig,
        loader: &mut Loader<'_>,
        name: &str,
        width: usize,
        device: Device,
    ) -> std::result::Result<Self, BackendError> {
        let mut weight = loader.tensor(name, &[width], device)?;
        if config.norm_offset && !loader.checking() {
            weight = weight
                .f_to_kind(Kind::Float)
                .and_then(|weight| weight.f_add_scalar(1.0))
                .map_err(|error| super::native::native("loading weights", &error))?;
        }
        Ok(Self {
            weight,
            eps: config.norm_eps,
            offset: config.norm_offset,
        })
    }

    /// Normalises the last axis. Squares are summed in f32.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
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

impl Layer {
    /// Checks or loads the weights of layer `index`.
    pub fn build(
        config: &DecoderConfig,
        loader: &mut Loader<'_>,
        index: usize,
        kinds: LayerConfig,
        device: Device,
    ) -> std::result::Result<Self, BackendError> {
        let at = |name: &str| format!("layers.{index}.{name}");
        let (hidden, inner) = (config.hidden, config.intermediate);
        let (queries, keys) = (config.query_width(), config.kv_width());
        let mut normed = |name: &str, width| Norm::load(config, loader, &at(name), width, device);
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

    /// The residual stream `[rows, width]` after the layer.
    pub fn forward(
        &self,
        config: &DecoderConfig,
        hidden: &Tensor,
        inputs: &Inputs,
        cache: &mut KvCache,
        index: usize,
    ) -> Result<Tensor> {
        let mut attended = self.attention(config, hidden, inputs, cache, index)?;
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
        config: &DecoderConfig,
        hidden: &Tensor,
        inputs: &Inputs,
        cache: &mut KvCache,
        index: usize,
    ) -> Result<Tensor> {
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
        if let Some(rotary) = self.kinds.rope.and_then(|rope| inputs.rotary.get(rope)) {
            queries = rotary.apply(&queries)?;
            keys = rotary.apply(&keys)?;
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

/// Projections that some checkpoints store as one matrix.
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
        let parts: Vec<(String, usize)> = if config.fused {
            let all = self.parts.iter().map(|(_, width)| width).sum();
            vec![(at(self.fused), all)]
        } else {
            let parts = self.parts.iter();
            parts.map(|(name, width)| (at(name), *width)).collect()
        };
        let mut linears = loader.linears(&parts, config.hidden, self.bias, device)?;
        Ok(match linears.len() {
            1 => Projection::Joined(linears.remove(0), widths),
            _ => Projection::Apart(linears),
        })
    }
}
