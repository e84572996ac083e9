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
        /// The best of what the linked backends report.
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
    /// What happens to a prompt that is longer than the context.
    #[non_exhaustive]
    pub enum ContextOverflow {
        /// The request is refused with both lengths.
        Error = "error",
        /// The oldest turns are dropped until it fits.
        DropOldest = "drop-oldest",
    }
}

elpis_backend::named_values! {
    /// What becomes of control tokens, such as `<|im_end|>`, in the texts of a conversation.
    #[non_exhaustive]
    pub enum ControlTokens {
        /// They are text: the model reads the letters.
        Text = "text",
        /// The request is refused.
        Refuse = "refuse",
        /// They are the tokens that they name: whoever writes a message can write turns of anybody.
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
    /// Which model is loaded, where it runs, and how it samples when a request does not say.
    #[derive(Serialize, Deserialize)]
    pub struct ModelSettings = Model, model, "model";

    /// Code that runs the model: llama.cpp for GGUF files, transformers for Hugging Face folders.
    backend: BackendKind = BackendKind::LlamaCpp;
    /// The model: a file, a folder, or a Hugging Face id (`org/name`, `org/name:file.gguf`).
    /// A path that exists wins over an id.
    path: Option<String> = None, unset "the bundled model";
    /// Tokens that one sequence may hold, prompt and reply together.
    context_length: Option<u32> = None, in between(512.0, 131_072.0),
        unset "4096, or the model's own length where that is smaller";
    /// Layers that are kept on a GPU; −1 means all.
    gpu_layers: i32 = -1, in at_least(-1.0);
    /// Threads that compute.
    n_threads: Option<usize> = None, in between(1.0, 1024.0), unset "one per physical core";
    /// Sampling temperature at an arousal of 0; 0 always takes the likeliest token.
    temperature: f64 = 0.7, in between(0.0, 2.0);
    /// Share of the probability that is sampled from, at a valence of 0.
    top_p: f64 = 0.9, in above(0.0, 1.0);
    /// Number of likeliest tokens that are sampled from; 0 means all.
    top_k: u32 = 40, in at_least(0.0);
    /// Tokens less likely than this share of the likeliest token's probability are left out.
    min_p: f64 = 0.0, in between(0.0, 0.99);
    /// Divides positive and multiplies negative scores of tokens that have occurred; 1 means no penalty.
    repetition_penalty: f64 = 1.0, in above(0.0, 5.0);
    /// Is subtracted from the scores of tokens that have occurred; 0 means no penalty.
    presence_penalty: f64 = 0.0, in between(-2.0, 2.0);
    /// Is subtracted from a token's score for each time that it has occurred; 0 means no penalty.
    frequency_penalty: f64 = 0.0, in between(-2.0, 2.0);
    /// Last tokens, of the prompt and the reply, that the three penalties look at; 0 switches them off.
    repetition_window: u32 = 64, in between(0.0, 4096.0);
    /// Tokens that a reply may have when a request does not say.
    max_tokens: u32 = 512, in between(1.0, 131_072.0);
    /// Seed of the sampling.
    seed: Option<u64> = None, unset "a fresh seed for each generation, reported with it";
    /// Hardware that the model runs on; asking for what is not there is an error.
    hardware_backend: HardwareBackend = HardwareBackend::Auto;
    /// Chat template: the name of a known format or a template file.
    chat_format: Option<String> = None, unset "the model's own template";
    /// What becomes of control tokens, such as the one that ends a turn, in messages, tool results,
    /// names and schemas.
    control_tokens: ControlTokens = ControlTokens::Text;
    /// Number type of the transformers backend; `auto` is bfloat16 on a GPU and float32 on the CPU.
    torch_dtype: TorchDtype = TorchDtype::Auto;
    /// Layer after which steering vectors are added, counted from 0.
    steering_layer: Option<u32> = None, in at_least(0.0),
        unset "15, or the middle layer of a model that has no layer 15";
    /// Folder of steering vectors that is loaded and watched.
    emotion_vectors_dir: Option<PathBuf> = None,
        unset "the bundled model's own vectors, otherwise none";
    /// Whether attention is computed by the fused kernel.
    flash_attention: FlashAttention = FlashAttention::Auto;
    /// Whether the model file is mapped into memory, which shares it with other processes and loads
    /// faster, instead of read, which a processor may compute faster with.
    mmap: Option<bool> = None,
        unset "on Linux `false` where the processor computes with a GGUF file and three times its size is free, otherwise `true`";
    /// Shares of the model that each GPU takes, in the order of the devices.
    tensor_split: Option<Vec<f32>> = None, in at_least(0.0), unset "by free memory";
    /// How far a GGUF file is trusted. `check` reads it for what llama.cpp is known to end the
    /// program over; `isolate` also loads it in a process of its own first, which takes twice the
    /// time; `trust` does neither.
    trust: ModelTrust = ModelTrust::Check;
    /// Whether weights may be repacked into the layout that the processor computes fastest in.
    use_extra_bufts: bool = true;
    /// Tokens that are decoded in one step over all sequences.
    batch_size: u32 = 512, in between(32.0, 8192.0);
    /// What happens to a prompt that is longer than the context.
    context_overflow: ContextOverflow = ContextOverflow::Error;
    /// Whether the constrained part of a reply (tool calls, structured output) is steered too.
    steer_constrained: bool = false;
    /// Largest norm of an added steering vector, as a share of the residual stream's norm.
    max_residual_fraction: f64 = 1.0, in between(0.0, 4.0);
}

impl ModelSettings {
    /// Tokens per sequence when [`context_length`](Self#structfield.context_length) is unset and the model
    /// allows it.
    pub const DEFAULT_CONTEXT_LENGTH: u32 = ModelOptions::DEFAULT_CONTEXT_LENGTH;

    /// The layer when [`steering_layer`](Self#structfield.steering_layer) is unset and the model has it.
    pub const DEFAULT_STEERING_LAYER: u32 = 15;

    /// Returns the tokens per sequence for a model that was trained for `model_length` tokens.
    ///
    /// A length that was set is returned as it is, even where it is beyond the model's: refusing it is the
    /// backend's part, which knows the model's name.
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
