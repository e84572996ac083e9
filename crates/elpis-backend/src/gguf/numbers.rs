//! The hyperparameters that llama.cpp divides by, counts to, or asserts (`llama-model.cpp`,
//! `src/models/*.cpp`, `ggml.c`, `ops.cpp`).

mod attention;

use std::ops::RangeInclusive;

use super::defect::{Defect, shown};
use elpis_files::gguf::{Header, Value};

/// Maximum number of layers (`LLAMA_MAX_LAYERS`).
const MAX_LAYERS: u64 = 512;
/// Maximum number of experts (`LLAMA_MAX_EXPERTS`).
const MAX_EXPERTS: u64 = 1024;
/// Maximum of any other count, such as the width of a row, heads or groups, so that products of a
/// few fit 64 bits.
const MAX_SIZE: u64 = 1 << 20;
/// Minimum context length in tokens: a shorter one cannot hold a question.
const MIN_CONTEXT: u64 = 32;
/// llama.cpp counts positions in 31 bits.
const MAX_CONTEXT: u64 = (1 << 31) - 1;
/// Maximum sliding window: 256 sequences of it must fit 32 bits.
const MAX_WINDOW: u64 = (1 << 23) - 1;
/// Maximum epsilon, which is added under a square root to keep norms above zero.
const MAX_EPSILON: f32 = 1.0;

/// Optional integer keys with their ranges. Each key is prefixed with the name of the architecture.
const COUNTS: &[(&str, RangeInclusive<u64>)] = &[
    ("attention.decay_lora_rank", 0..=MAX_SIZE),
    ("attention.gate_lora_rank", 0..=MAX_SIZE),
    ("attention.group_norm_groups", 0..=MAX_SIZE),
    ("attention.iclr_lora_rank", 0..=MAX_SIZE),
    ("attention.indexer.head_count", 0..=MAX_SIZE),
    ("attention.indexer.key_length", 0..=MAX_SIZE),
    ("attention.indexer.top_k", 0..=MAX_CONTEXT),
    ("attention.key_length", 0..=MAX_SIZE),
    ("attention.key_length_mla", 0..=MAX_SIZE),
    ("attention.key_length_swa", 0..=MAX_SIZE),
    ("attention.kv_lora_rank", 0..=MAX_SIZE),
    ("attention.output_group_count", 0..=MAX_SIZE),
    ("attention.q_lora_rank", 0..=MAX_SIZE),
    ("attention.relative_buckets_count", 0..=MAX_SIZE),
    ("attention.sliding_window", 0..=MAX_WINDOW),
    ("attention.temperature_length", 0..=MAX_CONTEXT),
    ("attention.value_length", 0..=MAX_SIZE),
    ("attention.value_length_mla", 0..=MAX_SIZE),
    ("attention.value_length_swa", 0..=MAX_SIZE),
    ("attention.value_residual_mix_lora_rank", 0..=MAX_SIZE),
    ("embedding_length_out", 0..=MAX_SIZE),
    ("embedding_length_per_layer_input", 0..=MAX_SIZE),
    ("expert_chunk_feed_forward_length", 0..=MAX_SIZE),
    ("expert_shared_count", 0..=MAX_EXPERTS),
    ("expert_shared_feed_forward_length", 0..=MAX_SIZE),
    ("experts_per_group", 0..=MAX_EXPERTS),
    // Layers are divided by it.
    ("full_attention_interval", 1..=MAX_LAYERS),
    ("kda.head_dim", 0..=MAX_SIZE),
    ("moe_every_n_layers", 0..=MAX_LAYERS),
    ("moe_latent_size", 0..=MAX_SIZE),
    ("num_loops", 0..=MAX_LAYERS),
    ("rescale_every_n_layers", 0..=MAX_LAYERS),
    ("rope.scaling.original_context_length", 0..=MAX_CONTEXT),
    ("shortconv.l_cache", 0..=256),
    ("ssm.conv_kernel", 0..=256),
    ("ssm.inner_size", 0..=MAX_SIZE),
    ("ssm.state_size", 0..=MAX_SIZE),
    ("ssm.time_step_rank", 0..=MAX_SIZE),
    ("time_decay_extra_dim", 0..=MAX_SIZE),
    ("time_mix_extra_dim", 0..=MAX_SIZE),
    ("token_shift_count", 0..=2),
    ("vocab_size", 0..=MAX_CONTEXT),
    ("wkv.head_size", 0..=MAX_SIZE),
];

/// Keys of epsilons, which are added to a square under a root.
const EPSILONS: [&str; 4] = [
    "attention.group_norm_epsilon",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "hyper_connection.epsilon",
];

/// Keys of numbers that must be finite.
const FINITE: [&str; 15] = [
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attention.scale",
    "attention.temperature_scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "expert_weights_scale",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
];

/// The number of layers of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) all: u64,
    /// Number of last layers that only draft further tokens; fewer than all.
    pub(super) drafting: u64,
}

/// Checks all hyperparameters and returns the numbers of layers.
pub(super) fn check(header: &Header<'_>, architecture: &str) -> Result<Layers, Defect> {
    let numbers = Numbers {
        header,
        architecture,
    };
    let layers = numbers.required("block_count", 1..=MAX_LAYERS)?;
    numbers.required("context_length", MIN_CONTEXT..=MAX_CONTEXT)?;
    let width = numbers.required("embedding_length", 1..=MAX_SIZE)?;
    let drafting = numbers.count("nextn_predict_layers", 0..=layers - 1)?;
    numbers.count("leading_dense_block_count", 0..=layers)?;
    numbers.count("attention.shared_kv_layers", 0..=layers)?;
    for (key, range) in COUNTS {
        numbers.count(key, range.clone())?;
    }
    for key in EPSILONS {
        numbers.float(key, "from 0 to 1", |x| (0.0..=MAX_EPSILON).contains(&x))?;
    }
    for key in FINITE {
        numbers.float(key, "finite", f32::is_finite)?;
    }
    numbers.per_layer("feed_forward_length", layers, 0..=MAX_SIZE)?;
    numbers.per_layer("expert_feed_forward_length", layers, 0..=MAX_SIZE)?;
    numbers.heads(layers, width)?;
    numbers.experts(layers)?;
    numbers.recurrence(width)?;
    numbers.temperature()?;
    numbers.steps()?;
    Ok(Layers {
        all: layers,
        drafting: drafting.unwrap_or_default(),
    })
}

struct Numbers<'h, 'a> {
    header: &'h Header<'a>,
    architecture: &'h str,
}

impl<'a> Numbers<'_, 'a> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn value(&self, name: &str) -> Option<&Value<'a>> {
        self.header.get(&self.key(name))
    }

    fn refused(&self, name: &str, value: &Value<'_>, limit: impl std::fmt::Display) -> Defect {
        Defect::invalid(&self.key(name), shown(value), limit)
    }

    fn required(&self, name: &str, range: RangeInclusive<u64>) -> Result<u64, Defect> {
        self.count(name, range)?
            .ok_or_else(|| Defect::missing(&self.key(name)))
    }

    /// An integer, which llama.cpp only reads as u32.
    fn count(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Defect> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let &Value::U32(number) = value else {
            return Err(self.refused_type(name, value, "u32"));
        };
        self.within(name, number.into(), range).map(Some)
    }

    /// A size, where 0 means none, as in files written by llama.cpp itself.
    fn size(&self, name: &str) -> Result<Option<u64>, Defect> {
        let size = self.count(name, 0..=MAX_SIZE)?;
        Ok(size.filter(|&size| size > 0))
    }

    fn within(&self, name: &str, number: u64, range: RangeInclusive<u64>) -> Result<u64, Defect> {
        if range.contains(&number) {
            return Ok(number);
        }
        let limit = format!("from {} to {}", range.start(), range.end());
        Err(Defect::invalid(&self.key(name), number, limit))
    }

    fn refused_type(&self, name: &str, value: &Value<'_>, expected: &str) -> Defect {
        Defect::invalid(&self.key(name), value.kind_name(), expected)
    }

    fn float(
        &self,
        name: &str,
        limit: &str,
        holds: impl Fn(f32) -> bool,
    ) -> Result<Option<f32>, Defect> {
        match self.value(name) {
            None => Ok(None),
            Some(&Value::F32(number)) if holds(number) => Ok(Some(number)),
            Some(value @ Value::F32(_)) => Err(self.refused(name, value, limit)),
            Some(value) => Err(self.refused_type(name, value, "f32")),
        }
    }

    /// An integer for each layer: a single one for all, or an array with one for each.
    fn per_layer(
        &self,
        name: &str,
        layers: u64,
        range: RangeInclusive<u64>,
    ) -> Result<Option<Vec<u64>>, Defect> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let Value::Array(array) = value else {
            let number = self.count(name, range)?.unwrap_or_default();
            return Ok(Some(vec![number; layers as usize]));
        };
        if array.count != layers {
            let limit = format!("one for each of the {layers} layers");
            return Err(self.refused(name, value, limit));
        }
        array
            .values()
            .map(|number| match number.integer().map(u64::try_from) {
                Some(Ok(number)) => self.within(name, number, range.clone()),
                _ => Err(self.refused(name, &number, "whole numbers from 0 on")),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn experts(&self, layers: u64) -> Result<(), Defect> {
        let experts = self.count("expert_count", 0..=MAX_EXPERTS)?.unwrap_or(0);
        // Converters write 1 for a model without experts.
        let experts = if self.architecture.starts_with("hunyuan") && experts <= 1 {
            0
        } else {
            experts
        };
        let name = "expert_used_count";
        let used = self.per_layer(name, layers, 0..=MAX_EXPERTS)?;
        let used = used.and_then(|used| used.into_iter().max()).unwrap_or(0);
        let groups = "expert_group_count";
        let group_count = self.count(groups, 0..=MAX_EXPERTS)?.unwrap_or(0);
        if experts == 0 {
            let none = if self.architecture.starts_with("hunyuan") {
                0..=1
            } else {
                0..=0
            };
            self.within(name, used, none)?;
            self.within(groups, group_count, 0..=0)?;
            return Ok(());
        }
        self.within(name, used, 1..=experts)?;
        self.within(groups, group_count, 0..=experts - 1)?;
        if group_count > 1 {
            if !experts.is_multiple_of(group_count) {
                let limit = format!("a divisor of the {experts} experts");
                return Err(Defect::invalid(&self.key(groups), group_count, limit));
            }
            self.required("expert_group_used_count", 1..=group_count - 1)?;
        }
        Ok(())
    }

    /// Checks the values that recurrent layers divide by.
    fn recurrence(&self, width: u64) -> Result<(), Defect> {
        if let Some(head) = self.size("wkv.head_size")?
            && !width.is_multiple_of(head)
        {
            let limit = format!("a divisor of the width of {width}");
            return Err(Defect::invalid(&self.key("wkv.head_size"), head, limit));
        }
        let groups = "ssm.group_count";
        let group_count = self.size(groups)?;
        let Some(inner) = self.size("ssm.inner_size")? else {
            return Ok(());
        };
        if self.architecture == "mamba" || self.architecture == "jamba" {
            return Ok(());
        }
        let rank = self.size("ssm.time_step_rank")?;
        for (name, count) in [(groups, group_count), ("ssm.time_step_rank", rank)] {
            if let Some(count) = count
                && !inner.is_multiple_of(count)
            {
                let limit = format!("a divisor of the inner size of {inner}");
                return Err(Defect::invalid(&self.key(name), count, limit));
            }
        }
        Ok(())
    }

    /// Checks the length by which position-scaled attention divides.
    fn temperature(&self) -> Result<(), Defect> {
        let scale = self.float("attention.temperature_scale", "finite", f32::is_finite)?;
        let name = "attention.temperature_length";
        let length = self.count(name, 0..=MAX_CONTEXT)?.unwrap_or_default();
        let divides = matches!(
            self.architecture,
            "deepseek2" | "deepseek2-ocr" | "mistral4" | "deepseek32" | "glm-dsa"
        );
        if divides && length == 0 && scale.is_some_and(|scale| scale != 0.0) {
            let limit = "above 0 where attention.temperature_scale is set";
            return Err(Defect::invalid(&self.key(name), length, limit));
        }
        Ok(())
    }

    /// Checks intervals between layers of one kind.
    fn steps(&self) -> Result<(), Defect> {
        let least = u64::from(self.architecture == "ernie4_5-moe");
        self.count("interleave_moe_layer_step", least..=MAX_LAYERS)?;
        Ok(())
    }
}
