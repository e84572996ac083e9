//! `config.json` as data: the configuration of a decoder of the Llama family.
//!
//! An architecture is a row of differences (see `family`) rather than separate code. Defaults are
//! those of Hugging Face's configuration classes, because files omit default values.

use super::family::{Bias, FAMILIES, Family, Windows};
use super::fields::Fields;
use super::rope::RopeSpec;
use elpis_backend::BackendError;

/// Maximum number of layers, heads and so on in a configuration.
const MAX: usize = 1 << 20;

/// The description of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DecoderConfig {
    /// `model_type` of the file.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Vocabulary size.
    pub vocab: usize,
    /// Context length that the model was trained for, in tokens.
    pub context: usize,
    /// Added to the mean square of the norms.
    pub norm_eps: f64,
    /// Whether norms multiply by 1 + weight, in f32 (Gemma).
    pub norm_offset: bool,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward projections have a bias.
    pub mlp_bias: bool,
    /// Whether queries and keys are normed head by head.
    pub qk_norm: bool,
    /// Whether the checkpoint holds `qkv_proj` and `gate_up_proj` (Phi-3).
    pub fused: bool,
    /// Whether the outputs of attention and feed-forward are normed too (Gemma).
    pub sandwich_norms: bool,
    /// The gate's activation.
    pub activation: Activation,
    /// Factor of the embeddings.
    pub embedding_scale: Option<f64>,
    /// Factor of the attention's scores.
    pub attention_scale: f64,
    /// Bound that the scores are squashed to by tanh.
    pub attention_softcap: Option<f64>,
    /// Bound that the logits are squashed to by tanh.
    pub logit_softcap: Option<f64>,
    /// Whether the output layer is the embedding.
    pub tied: bool,
    /// The properties that differ from layer to layer, one entry for each layer.
    pub layers: Vec<LayerConfig>,
    /// The kinds of rotary embedding that layers refer to.
    pub ropes: Vec<RopeSpec>,
}

/// The properties that differ from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerConfig {
    /// Number of positions that a token sees, including itself; `None` for all.
    pub window: Option<usize>,
    /// Index into [`DecoderConfig::ropes`]; `None` if the layer has no rotary embedding.
    pub rope: Option<usize>,
}

/// The gate's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// x · σ(x).
    Silu,
    /// GELU by the tanh approximation.
    GeluTanh,
    /// GELU by the error function.
    Gelu,
}

/// The theta of Gemma 3's layers with a sliding window.
const LOCAL_THETA: f64 = 10_000.0;

impl DecoderConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`BackendError::Checkpoint`] with the field that is missing, out of
    /// range or not supported.
    pub fn read(file: &Fields<'_>) -> Result<Self, BackendError> {
        // A multimodal model has separate fields for its text model.
        match file.object("text_config")? {
            Some(text) if text.optional_text("model_type")?.is_some() => Self::read_text(&text),
            _ => Self::read_text(file),
        }
    }

    fn read_text(file: &Fields<'_>) -> Result<Self, BackendError> {
        let architecture = file.text("model_type")?;
        let Some(family) = FAMILIES.iter().find(|f| f.model_type == architecture) else {
            let known: Vec<_> = FAMILIES.iter().map(|f| f.model_type).collect();
            return Err(file.error(
                "model_type",
                format!(
                    "`{architecture}` is not supported; known are {}",
                    known.join(", ")
                ),
            ));
        };
        if let Some(quantisation) = file.object("quantization_config")? {
            let method = quantisation
                .optional_text("quant_method")?
                .unwrap_or("unknown");
            return Err(file.error(
                "quantization_config",
                format!(
                    "weights quantised by `{method}` are not supported; use a GGUF file with the llama-cpp backend"
                ),
            ));
        }
        let hidden = file.count("hidden_size", 1..=MAX)?;
        let n_layers = file.count("num_hidden_layers", 1..=4096)?;
        let silent = family.silent;
        let n_heads = file.required_or("num_attention_heads", 1..=MAX, silent.n_heads)?;
        let n_kv_heads = file
            .optional_count("num_key_value_heads", 1..=n_heads)?
            .or(silent.n_kv_heads)
            .unwrap_or(n_heads);
        if n_heads % n_kv_heads != 0 {
            return Err(file.error(
                "num_key_value_heads",
                format!("{n_kv_heads} does not divide num_attention_heads {n_heads}"),
            ));
        }
        let head_dim = file
            .optional_count("head_dim", 1..=MAX)?
            .or(family.head_dim)
            .unwrap_or(hidden / n_heads);
        if head_dim == 0 {
            return Err(file.error(
                "hidden_size",
                format!("{hidden} is too small for {n_heads} heads"),
            ));
        }
        let context = file.required_or("max_position_embeddings", 1..=1 << 30, silent.context)?;
        let attention_bias = file.flag("attention_bias")?;
        let qkv_bias = match family.qkv_bias {
            Bias::Stated => attention_bias.unwrap_or(false),
            Bias::Always => true,
            Bias::Never => false,
        };
        let attention_scale = if family.gemma {
            file.optional_number("query_pre_attn_scalar")?
                .unwrap_or(256.0)
                .powf(-0.5)
        } else {
            (head_dim as f64).powf(-0.5)
        };
        let windows = windows(file, family, n_layers)?;
        let (layers, ropes) = rotary(file, family, &windows, head_dim, context)?;
        Ok(Self {
            architecture: architecture.to_owned(),
            hidden,
            intermediate: file.count("intermediate_size", 1..=MAX)?,
            n_heads,
            n_kv_heads,
            head_dim,
            vocab: file.required_or("vocab_size", 1..=1 << 24, silent.vocab)?,
            context,
            norm_eps: file
                .optional_number("rms_norm_eps")?
                .unwrap_or(family.norm_eps),
            norm_offset: family.gemma,
            qkv_bias,
            output_bias: qkv_bias && family.output_bias,
            mlp_bias: file.flag("mlp_bias")?.unwrap_or(false),
            qk_norm: family.qk_norm,
            fused: family.fused,
            sandwich_norms: family.gemma,
            activation: activation(file, family)?,
            embedding_scale: family.gemma.then(|| (hidden as f64).sqrt()),
            attention_scale,
            attention_softcap: file
                .positive_or("attn_logit_softcapping", family.attention_softcap)?,
            logit_softcap: file.positive_or("final_logit_softcapping", family.logit_softcap)?,
            tied: file.flag("tie_word_embeddings")?.unwrap_or(family.tied),
            layers,
            ropes,
        })
    }

    /// Number of query heads that share one key and value head.
    pub fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Width of all queries of a token.
    pub fn query_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of all keys (or values) of a token.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }
}

fn activation(file: &Fields<'_>, family: &Family) -> Result<Activation, BackendError> {
    let (name, default) = if family.gemma {
        ("hidden_activation", "gelu_pytorch_tanh")
    } else {
        ("hidden_act", "silu")
    };
    match file.optional_text(name)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        "gelu" => Ok(Activation::Gelu),
        other => Err(file.error(name, format!("`{other}` is not supported"))),
    }
}

/// The window of each layer, in positions.
fn windows(
    file: &Fields<'_>,
    family: &Family,
    n_layers: usize,
) -> Result<Vec<Option<usize>>, BackendError> {
    let silent = match family.windows {
        Windows::All(size) => size,
        _ => Some(4096),
    };
    let size = file.count_or("sliding_window", 1..=1 << 30, silent)?;
    let used = match family.windows {
        Windows::Upper | Windows::None => file.flag("use_sliding_window")?.unwrap_or(false),
        Windows::All(_) | Windows::Pattern(_) => true,
    };
    let size = size.filter(|_| used);
    if let Some(kinds) = file.list("layer_types")? {
        if kinds.len() != n_layers {
            return Err(file.error(
                "layer_types",
                format!("has {} entries for {n_layers} layers", kinds.len()),
            ));
        }
        return kinds
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(size),
                _ => Err(file.error("layer_types", format!("{kind} is not supported"))),
            })
            .collect();
    }
    let first = file
        .optional_count("max_window_layers", 0..=MAX)?
        .unwrap_or(28);
    let pattern = match family.windows {
        Windows::Pattern(default) => file
            .optional_count("sliding_window_pattern", 1..=MAX)?
            .unwrap_or(default),
        _ => 1,
    };
    Ok((0..n_layers)
        .map(|layer| match family.windows {
            Windows::None => None,
            Windows::All(_) => size,
            Windows::Upper => size.filter(|_| layer >= first),
            Windows::Pattern(_) => size.filter(|_| !(layer + 1).is_multiple_of(pattern)),
        })
        .collect())
}

/// Gives each layer its window and its rotary embedding.
fn rotary(
    file: &Fields<'_>,
    family: &Family,
    windows: &[Option<usize>],
    head_dim: usize,
    context: usize,
) -> Result<(Vec<LayerConfig>, Vec<RopeSpec>), BackendError> {
    let without = no_rope(file, family, windows.len())?;
    let by_kind = family.model_type == "gemma3_text";
    let ropes = if by_kind {
        vec![
            RopeSpec::read(
                file,
                Some("full_attention"),
                family.rope_theta,
                head_dim,
                context,
            )?,
            RopeSpec::read_local(file, LOCAL_THETA, head_dim, context)?,
        ]
    } else {
        vec![RopeSpec::read(
            file,
            None,
            family.rope_theta,
            head_dim,
            context,
        )?]
    };
    // A layer's rope depends on its kind, even if its window is unset.
    let sliding = |layer: usize| by_kind && is_sliding(file, windows, layer);
    let layers = windows
        .iter()
        .enumerate()
        .map(|(layer, &window)| LayerConfig {
            window,
            rope: (!without[layer]).then(|| usize::from(sliding(layer))),
        })
        .collect();
    Ok((layers, ropes))
}

fn is_sliding(file: &Fields<'_>, windows: &[Option<usize>], layer: usize) -> bool {
    match file.list("layer_types") {
        Ok(Some(kinds)) => kinds.get(layer).and_then(|k| k.as_str()) == Some("sliding_attention"),
        _ => windows[layer].is_some(),
    }
}

/// `SmolLM3` has layers without rotary embeddings, marked by 0 in `no_rope_layers`.
fn no_rope(file: &Fields<'_>, family: &Family, n_layers: usize) -> Result<Vec<bool>, BackendError> {
    if family.model_type != "smollm3" {
        return Ok(vec![false; n_layers]);
    }
    if let Some(marks) = file.list("no_rope_layers")? {
        if marks.len() != n_layers {
            return Err(file.error(
                "no_rope_layers",
                format!("has {} entries for {n_layers} layers", marks.len()),
            ));
        }
        return Ok(marks.iter().map(|mark| mark.as_u64() == Some(0)).collect());
    }
    let interval = file
        .optional_count("no_rope_layer_interval", 1..=MAX)?
        .unwrap_or(4);
    Ok((1..=n_layers)
        .map(|layer| layer.is_multiple_of(interval))
        .collect())
}
