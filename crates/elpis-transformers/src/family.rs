//! The architectures, each described by its differences from Llama.

/// The differences of an architecture from Llama.
pub(super) struct Family {
    pub model_type: &'static str,
    pub qkv_bias: Bias,
    pub output_bias: bool,
    pub qk_norm: bool,
    pub fused: bool,
    pub gemma: bool,
    pub tied: bool,
    pub windows: Windows,
    pub rope_theta: f64,
    pub norm_eps: f64,
    pub head_dim: Option<usize>,
    pub silent: Silent,
    pub attention_softcap: Option<f64>,
    pub logit_softcap: Option<f64>,
}

/// Defaults for missing fields. The text part of a multimodal model omits values that equal the
/// defaults of its class.
#[derive(Clone, Copy, Default)]
pub(super) struct Silent {
    pub n_heads: Option<usize>,
    pub n_kv_heads: Option<usize>,
    pub vocab: Option<usize>,
    pub context: Option<usize>,
}

/// The source of biases.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Bias {
    /// `attention_bias` of the file.
    Stated,
    Always,
    Never,
}

/// The layers with a sliding window if `layer_types` is missing.
#[derive(Clone, Copy)]
pub(super) enum Windows {
    None,
    /// All layers, if the file has a `sliding_window` or this default is set.
    All(Option<usize>),
    /// From `max_window_layers` on, if `use_sliding_window`.
    Upper,
    /// All except every n-th, where n is `sliding_window_pattern` or this.
    Pattern(usize),
}

const LLAMA: Family = Family {
    model_type: "llama",
    qkv_bias: Bias::Stated,
    output_bias: true,
    qk_norm: false,
    fused: false,
    gemma: false,
    tied: false,
    windows: Windows::None,
    rope_theta: 10_000.0,
    norm_eps: 1e-6,
    head_dim: None,
    silent: Silent {
        n_heads: None,
        n_kv_heads: None,
        vocab: None,
        context: None,
    },
    attention_softcap: None,
    logit_softcap: None,
};

pub(super) const FAMILIES: &[Family] = &[
    LLAMA,
    Family {
        model_type: "mistral",
        qkv_bias: Bias::Never,
        windows: Windows::All(Some(4096)),
        ..LLAMA
    },
    Family {
        model_type: "qwen2",
        qkv_bias: Bias::Always,
        output_bias: false,
        windows: Windows::Upper,
        ..LLAMA
    },
    Family {
        model_type: "qwen3",
        qk_norm: true,
        windows: Windows::Upper,
        head_dim: Some(128),
        ..LLAMA
    },
    Family {
        model_type: "gemma2",
        gemma: true,
        tied: true,
        windows: Windows::Pattern(2),
        head_dim: Some(256),
        attention_softcap: Some(50.0),
        logit_softcap: Some(30.0),
        ..LLAMA
    },
    Family {
        model_type: "gemma3_text",
        gemma: true,
        qk_norm: true,
        tied: true,
        windows: Windows::Pattern(6),
        rope_theta: 1_000_000.0,
        head_dim: Some(256),
        silent: Silent {
            n_heads: Some(8),
            n_kv_heads: Some(4),
            vocab: Some(262_208),
            context: Some(131_072),
        },
        ..LLAMA
    },
    Family {
        model_type: "phi3",
        qkv_bias: Bias::Never,
        fused: true,
        windows: Windows::All(None),
        norm_eps: 1e-5,
        ..LLAMA
    },
    Family {
        model_type: "smollm3",
        tied: true,
        windows: Windows::None,
        rope_theta: 2_000_000.0,
        ..LLAMA
    },
];
