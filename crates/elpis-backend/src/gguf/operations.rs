//! The operation that llama.cpp applies to each tensor, and the number types that it takes
//! (`LLM_TENSOR_INFOS` in `llama-arch.cpp`, `ggml-cpu.c`, `ops.cpp`). llama.cpp itself only checks
//! that a buffer could hold the tensor, and aborts when an operation does not support the type.

use elpis_files::gguf::TensorType;

/// The operation on a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Multiplied with activations.
    Weight,
    /// Its rows are looked up.
    Rows,
    /// Its rows of integers are looked up.
    Indices,
    /// Convolved.
    Kernel,
    /// Used element by element, such as for adding, multiplying, scaling or rotating.
    Elements,
}

impl Operation {
    /// The operation on the tensor with this name, such as `blk.3.attn_norm.weight`.
    pub(super) fn of(name: &str) -> Self {
        let (stem, suffix) = match name.rsplit_once('.') {
            Some((stem, suffix @ ("weight" | "bias" | "scale" | "input_scale"))) => (stem, suffix),
            _ => (name, ""),
        };
        if matches!(suffix, "bias" | "scale" | "input_scale") {
            return Self::Elements;
        }
        let part = part_of(stem);
        let known = |names: &[&str]| names.contains(&part);
        if known(&INDICES) {
            Self::Indices
        } else if known(&ROWS) {
            Self::Rows
        } else if known(&KERNELS) {
            Self::Kernel
        } else if known(&WEIGHTS) || expert_by_itself(part) {
            Self::Weight
        } else {
            Self::Elements
        }
    }

    /// Whether it supports a type.
    pub(super) fn takes(self, kind: TensorType) -> bool {
        let whole = matches!(kind.number, TensorType::I8..=TensorType::I64);
        let internal = matches!(kind.number, TensorType::Q8_1 | TensorType::Q8_K);
        match self {
            Self::Weight | Self::Rows => !whole && !internal && kind.number != TensorType::F64,
            Self::Indices => matches!(kind.number, TensorType::I32 | TensorType::I64),
            Self::Kernel => matches!(kind.number, TensorType::F32 | TensorType::F16),
            Self::Elements => kind.number == TensorType::F32,
        }
    }

    /// The supported types, as text.
    pub(super) fn types(self) -> &'static str {
        match self {
            Self::Weight | Self::Rows => "F32, F16, BF16 or a quantised type of weights",
            Self::Indices => "I32",
            Self::Kernel => "F16 or F32",
            Self::Elements => "F32",
        }
    }
}

/// The name without the layer. A layer number in the middle becomes `N`.
fn part_of(stem: &str) -> &str {
    let layered = stem
        .strip_prefix("blk.")
        .or_else(|| stem.strip_prefix("enc.blk."))
        .or_else(|| stem.strip_prefix("dec.blk."));
    match layered.and_then(|rest| rest.split_once('.')) {
        Some((number, part)) if number.bytes().all(|b| b.is_ascii_digit()) => part,
        _ => stem,
    }
}

/// Whether the tensor is a single expert such as `ffn_gate.3`, a format from before experts were
/// stacked.
fn expert_by_itself(part: &str) -> bool {
    part.rsplit_once('.').is_some_and(|(name, number)| {
        matches!(name, "ffn_gate" | "ffn_down" | "ffn_up")
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Tables of token or expert ids.
const INDICES: [&str; 2] = ["d2t", "ffn_gate_tid2eid"];

/// Tables whose rows are looked up.
const ROWS: [&str; 11] = [
    "attn_compressor_ape",
    "attn_rel_b",
    "indexer_compressor_ape",
    "markov_w1",
    "nextn.embed_tokens",
    "per_layer_token_embd",
    "position_embd",
    "selector_predecessor",
    "selector_successor",
    "token_embd",
    "token_types",
];

/// Convolution kernels.
const KERNELS: [&str; 1] = ["conv1d"];

/// Matrices, and stacks of them.
const WEIGHTS: [&str; 133] = [
    "altup_correct_coef",
    "altup_predict_coef",
    "altup_proj",
    "altup_router",
    "altup_unembd_proj",
    "attn_compressor_gate",
    "attn_compressor_kv",
    "attn_conv_proj",
    "attn_gate",
    "attn_k",
    "attn_k_b",
    "attn_kv",
    "attn_kv_a_mqa",
    "attn_kv_b",
    "attn_o",
    "attn_output",
    "attn_output_a",
    "attn_output_b",
    "attn_q",
    "attn_q_a",
    "attn_q_b",
    "attn_qkv",
    "attn_v",
    "attn_v_b",
    "channel_mix_key",
    "channel_mix_receptance",
    "channel_mix_value",
    "cls",
    "cls.output",
    "conf_proj",
    "cross_attn_k",
    "cross_attn_o",
    "cross_attn_q",
    "cross_attn_v",
    "decision.proj_global",
    "decision.proj_memory",
    "decision.proj_option_context",
    "decision.proj_option_lexical",
    "decision.proj_option_question",
    "decision.proj_question",
    "decision.scorer",
    "decision.scorer_out",
    "dense_2",
    "dense_3",
    "fc",
    "ffn_conv_proj",
    "ffn_down",
    "ffn_down_chexps",
    "ffn_down_exps",
    "ffn_down_shexp",
    "ffn_gate",
    "ffn_gate_chexps",
    "ffn_gate_exps",
    "ffn_gate_inp",
    "ffn_gate_inp_shexp",
    "ffn_gate_shexp",
    "ffn_gate_up_exps",
    "ffn_latent_down",
    "ffn_latent_up",
    "ffn_routed_down",
    "ffn_routed_up",
    "ffn_up",
    "ffn_up_chexps",
    "ffn_up_exps",
    "ffn_up_shexp",
    "hc_attn_down",
    "hc_attn_fn",
    "hc_attn_inject",
    "hc_attn_up",
    "hc_ffn_down",
    "hc_ffn_fn",
    "hc_ffn_inject",
    "hc_ffn_up",
    "indexer.attn_k",
    "indexer.attn_q_b",
    "indexer.k_proj",
    "indexer.proj",
    "indexer.q_proj",
    "indexer_compressor_gate",
    "indexer_compressor_kv",
    "inp_gate",
    "laurel_l",
    "laurel_r",
    "markov_w2",
    "nextn.eh_proj",
    "nextn.hc_head_down",
    "nextn.hc_head_up",
    "nextn.post_projection",
    "nextn.pre_projection",
    "nextn.shared_head_head",
    "output",
    "output_hc_down",
    "output_hc_fn",
    "output_hc_up",
    "per_layer_model_proj",
    "ple_key",
    "ple_value",
    "proj",
    "selector_hidden",
    "shortconv.in_proj",
    "shortconv.out_proj",
    "ssm_alpha",
    "ssm_ba",
    "ssm_beta",
    "ssm_dt",
    "ssm_f_a",
    "ssm_f_b",
    "ssm_g",
    "ssm_g_a",
    "ssm_g_b",
    "ssm_in",
    "ssm_out",
    "ssm_x",
    "time_mix_a1",
    "time_mix_a2",
    "time_mix_decay_w1",
    "time_mix_decay_w2",
    "time_mix_g1",
    "time_mix_g2",
    "time_mix_gate",
    "time_mix_key",
    "time_mix_output",
    "time_mix_receptance",
    "time_mix_v1",
    "time_mix_v2",
    "time_mix_value",
    "time_mix_w1",
    "time_mix_w2",
    "vis_attn_output",
    "vis_attn_qkv",
    "vis_down",
    "vis_gate",
    "vis_up",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_operation() {
        for (name, operation) in [
            ("token_embd.weight", Operation::Rows),
            ("output.weight", Operation::Weight),
            ("output.bias", Operation::Elements),
            ("output_norm.weight", Operation::Elements),
            ("rope_freqs.weight", Operation::Elements),
            ("blk.0.attn_q.weight", Operation::Weight),
            ("blk.511.attn_q.bias", Operation::Elements),
            ("blk.3.attn_q.scale", Operation::Elements),
            ("blk.3.ssm_a", Operation::Elements),
            ("blk.3.ssm_conv1d.weight", Operation::Elements),
            ("blk.3.ffn_gate_exps.weight", Operation::Weight),
            ("blk.3.ffn_gate.7.weight", Operation::Weight),
            ("blk.3.ffn_gate_tid2eid.weight", Operation::Indices),
            ("blk.3.nextn.eh_proj.weight", Operation::Weight),
            ("blk.x.attn_q.weight", Operation::Elements),
            ("", Operation::Elements),
        ] {
            assert_eq!(Operation::of(name), operation, "{name}");
        }
    }

    #[test]
    fn every_type_of_weights_is_taken_and_no_other() {
        let taken = TensorType::all().filter(|&kind| Operation::Weight.takes(kind));
        assert_eq!(taken.count(), 28);
        for number in [
            TensorType::F64,
            TensorType::I8,
            TensorType::I32,
            TensorType::Q8_1,
        ] {
            let kind = TensorType::of(number).unwrap();
            assert!(!Operation::Weight.takes(kind) && !Operation::Elements.takes(kind));
        }
    }
}
