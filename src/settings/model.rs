//! `[model]`: which model, how it is loaded and how it samples.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::schema::{above, at_least, between, section};
use super::value::choices;
use elpis_backend::{BackendKind, FlashAttention, ModelOptions, ModelTrust, TorchDtype};

elpis_backend::named_values! {
    /// The hardware that a model runs on.
    #[non_exhaustive]
    pub enum HardwareBackend {
        /// The best device that the linked backends report.
        Auto = "auto",
        /// NVIDIA GPUs.
        Cuda = "cuda",
        /// AMD GPUs.
        Rocm = "rocm",
        /// Any GPU with a Vulkan driver.
        Vulkan = "vulkan",
        /// Apple GPUs.
        Metal = "metal",
        /// No GPU.
        Cpu = "cpu",
    }
}

elpis_backend::named_values! {
    /// How a prompt that is longer than the context is handled.
    #[non_exhaustive]
    pub enum ContextOverflow {
        /// The request is refused with both lengths.
        Error = "error",
        /// The oldest turns are dropped until it fits.
        DropOldest = "drop-oldest",
    }
}

elpis_backend::named_values! {
    /// How control tokens, such as `<|im_end|>`, are treated in the texts of a conversation.
    #[non_exhaustive]
    pub enum ControlTokens {
        /// They are plain text without a special meaning.
        Text = "text",
        /// The request is refused.
        Refuse = "refuse",
        /// They are parsed as control tokens. The author of a message can then forge turns of any
        /// role.
        Parse = "parse",
    }
}

choices!(
    BackendKind,
    TorchDtype,
    FlashAttention,
    ModelTrust,
    HardwareBackend,
    ContextOverflow,
    ControlTokens
);

section! {
    /// The model, where it runs, and the defaults of its sampling.
    #[derive(Serialize, Deserialize)]
    pub struct ModelSettings = Model, model, "model";

    /// Code that runs the model: llama.cpp for GGUF files, transformers for Hugging Face folders.
    backend: BackendKind = BackendKind::LlamaCpp;
    /// The model: a file, a folder, or a Hugging Face id (`org/name`, `org/name:file.gguf`). An
    /// existing path takes precedence over an id.
    path: Option<String> = None, unset "the bundled model";
    /// Maximum number of tokens of one sequence, prompt and reply together.
    context_length: Option<u32> = None, in between(512.0, 131_072.0),
        unset "4096, or the model's own length if that is smaller";
    /// Number of layers on the GPU; −1 means all.
    gpu_layers: i32 = -1, in at_least(-1.0);
    /// Number of compute threads.
    n_threads: Option<usize> = None, in between(1.0, 1024.0), unset "one per physical core";
    /// Sampling temperature at an arousal of 0; 0 always picks the likeliest token.
    temperature: f64 = 0.7, in between(0.0, 2.0);
    /// Probability mass of nucleus sampling at a valence of 0.
    top_p: f64 = 0.9, in above(0.0, 1.0);
    /// Number of likeliest tokens that are sampled from; 0 means all.
    top_k: u32 = 40, in at_least(0.0);
    /// Excludes tokens whose probability is below this fraction of the likeliest token's.
    min_p: f64 = 0.0, in between(0.0, 0.99);
    /// Divides the positive and multiplies the negative logits of tokens that have occurred; 1
    /// means no penalty.
    repetition_penalty: f64 = 1.0, in above(0.0, 5.0);
    /// Subtracted from the logits of tokens that have occurred; 0 means no penalty.
    presence_penalty: f64 = 0.0, in between(-2.0, 2.0);
    /// Subtracted from a token's logit for each of its occurrences; 0 means no penalty.
    frequency_penalty: f64 = 0.0, in between(-2.0, 2.0);
    /// Number of the last tokens, of prompt and reply, that the three penalties consider; 0
    /// disables them.
    repetition_window: u32 = 64, in between(0.0, 4096.0);
    /// Maximum number of tokens of a reply, unless the request sets one.
    max_tokens: u32 = 512, in between(1.0, 131_072.0);
    /// Random seed of the sampling.
    seed: Option<u64> = None, unset "a new seed for each generation, which its report names";
    /// Hardware that the model runs on. Hardware that is not available is an error.
    hardware_backend: HardwareBackend = HardwareBackend::Auto;
    /// Chat template: the name of a known format or a template file.
    chat_format: Option<String> = None, unset "the model's own template";
    /// How control tokens, such as the one that ends a turn, are treated in messages, tool results,
    /// names and schemas.
    control_tokens: ControlTokens = ControlTokens::Text;
    /// Number type of the transformers backend; `auto` is bfloat16 on a GPU and float32 on the CPU.
    torch_dtype: TorchDtype = TorchDtype::Auto;
    /// Layer after which steering vectors are added, counted from 0.
    steering_layer: Option<u32> = None, in at_least(0.0),
        unset "15, or the middle layer of a model without a layer 15";
    /// Folder from which steering vectors are loaded. It is watched for changes.
    emotion_vectors_dir: Option<PathBuf> = None,
        unset "the bundled vectors for the bundled model, otherwise none";
    /// Whether attention uses the fused kernel.
    flash_attention: FlashAttention = FlashAttention::Auto;
    /// Whether the model file is mapped into memory instead of read. Mapping loads faster and
    /// shares memory with other processes; reading may compute faster on a CPU.
    mmap: Option<bool> = None,
        unset "on Linux `false` if the CPU runs a GGUF file and three times its size is free, otherwise `true`";
    /// Proportion of the model on each GPU, in the order of the devices.
    tensor_split: Option<Vec<f32>> = None, in at_least(0.0), unset "by free memory";
    /// How far a GGUF file is trusted. `check` looks for defects that are known to crash llama.cpp;
    /// `isolate` also loads it in a separate process first, which takes twice the time; `trust`
    /// does neither.
    trust: ModelTrust = ModelTrust::Check;
    /// Whether weights may be repacked into the layout that is fastest on the CPU.
    use_extra_bufts: bool = true;
    /// Maximum number of tokens evaluated in one step over all sequences.
    batch_size: u32 = 512, in between(32.0, 8192.0);
    /// How a prompt that is longer than the context is handled.
    context_overflow: ContextOverflow = ContextOverflow::Error;
    /// Whether the constrained part of a reply (tool calls, structured output) is also steered.
    steer_constrained: bool = false;
    /// Whether the model's thinking before a reply is also steered.
    steer_thinking: bool = false;
    /// Whether the steering of a reply that begins to loop is lowered, in up to three steps.
    repetition_guard: bool = true;
    /// How firmly what a reply expresses is held near the session's state: the share of the
    /// difference by which the steering is corrected every 16 tokens. 0 is off. It needs vectors
    /// with axes to read by.
    expression_feedback: f64 = 0.0, in between(0.0, 1.0);
    /// Maximum norm of an added steering vector, as a fraction of the residual stream's norm.
    max_residual_fraction: f64 = 1.0, in between(0.0, 4.0);
}

impl ModelSettings {
    /// Tokens per sequence when [`context_length`](Self#structfield.context_length) is unset and the model
    /// allows it.
    pub const DEFAULT_CONTEXT_LENGTH: u32 = ModelOptions::DEFAULT_CONTEXT_LENGTH;

    /// The layer if [`steering_layer`](Self#structfield.steering_layer) is unset and the model has
    /// it.
    pub const DEFAULT_STEERING_LAYER: u32 = 15;

    /// Returns the tokens per sequence for a model that was trained for `model_length` tokens.
    ///
    /// A configured length is returned unchanged, even if it exceeds the model's. The backend,
    /// which knows the model's name, refuses it.
    pub fn context_length_for(&self, model_length: u32) -> u32 {
        self.context_length
            .unwrap_or_else(|| Self::DEFAULT_CONTEXT_LENGTH.min(model_length))
    }
}

impl From<&ModelSettings> for ModelOptions {
    fn from(settings: &ModelSettings) -> Self {
        Self {
            backend: settings.backend,
            context_length: settings.context_length,
            gpu_layers: settings.gpu_layers,
            n_threads: settings.n_threads,
            torch_dtype: settings.torch_dtype,
            flash_attention: settings.flash_attention,
            mmap: settings.mmap,
            tensor_split: settings.tensor_split.clone(),
            trust: settings.trust,
            use_extra_bufts: settings.use_extra_bufts,
            batch_size: settings.batch_size,
        }
    }
}

impl From<ModelSettings> for ModelOptions {
    fn from(settings: ModelSettings) -> Self {
        Self::from(&settings)
    }
}
