//! Checks the names, offsets and types of tensors.

use std::collections::HashSet;

use super::defect::Defect;
use super::names::DRAFT_PROBED;
use super::numbers::Layers;
use super::operations::Operation;
use crate::GgufKind;
use elpis_files::gguf::{Header, TensorInfo};

/// The token embeddings, which every model has.
const TOKENS: &str = "token_embd.weight";

/// Checks that the tensors are contiguous within a file of `length` bytes, as llama.cpp requires,
/// and that it supports their types.
pub(super) fn check_places(header: &Header<'_>, length: u64) -> Result<(), Defect> {
    let mut next = 0_u64;
    for tensor in &header.tensors {
        let item = format!("tensor {}", tensor.name);
        if tensor.shape.contains(&0) {
            let shape = format!("of shape {:?}", shape(tensor));
            return Err(Defect::invalid(&item, shape, "of sizes from 1 on"));
        }
        if tensor.offset != next {
            let offset = format!("at {} in the data", tensor.offset);
            return Err(Defect::invalid(&item, offset, format!("at {next}")));
        }
        let end = header
            .data
            .checked_add(tensor.offset)
            .and_then(|start| start.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > length) {
            let reach = end.map_or_else(|| "beyond any file".to_owned(), |end| end.to_string());
            return Err(Defect::Damaged(format!(
                "{item} reaches to byte {reach}, the file has {length}: it was cut short"
            )));
        }
        next = tensor
            .bytes
            .checked_next_multiple_of(header.alignment)
            .and_then(|padded| next.checked_add(padded))
            .ok_or_else(|| Defect::Damaged(format!("{item} is too large")))?;
        let operation = Operation::of(tensor.name);
        if !operation.takes(tensor.kind) {
            let kind = format!("of type {}", tensor.kind.name);
            return Err(Defect::invalid(&item, kind, operation.types()));
        }
    }
    Ok(())
}

/// Checks that the tensors of all shards match a model with these numbers of layers and tokens.
pub(super) fn check_model(
    tensors: &[TensorInfo<'_>],
    architecture: &str,
    layers: Layers,
    tokens: u64,
) -> Result<(), Defect> {
    let table = tensors.iter().find(|tensor| tensor.name == TOKENS);
    let Some(table) = table else {
        return Err(Defect::missing(&format!("tensor {TOKENS}")));
    };
    let [_, rows, ..] = table.shape;
    if rows != tokens {
        let limit = format!("{tokens}, the number of tokens");
        return Err(Defect::invalid(
            &format!("rows of tensor {TOKENS}"),
            rows,
            limit,
        ));
    }
    let mut seen = vec![HashSet::new(); layers.all as usize];
    for tensor in tensors {
        let Some((number, part)) = of_layer(tensor.name) else {
            continue;
        };
        let Some(layer) = usize::try_from(number).ok().and_then(|n| seen.get_mut(n)) else {
            let all = layers.all;
            let limit = format!("of a layer below {all}, as {architecture}.block_count says");
            return Err(Defect::invalid("a tensor", tensor.name, limit));
        };
        layer.insert(part);
    }
    if let Some(first) = seen.first()
        && layers.drafting > 0
        && DRAFT_PROBED.contains(&architecture)
        && !first.contains(probe(architecture))
    {
        // llama.cpp then assumes that the file only has draft layers, and requires no others.
        return Err(Defect::Kind(GgufKind::Drafter));
    }
    // Draft layers may be in another file.
    let trunk = seen.iter().take((layers.all - layers.drafting) as usize);
    for (number, layer) in trunk.enumerate() {
        if layer.is_empty() {
            return Err(Defect::missing(&format!("tensors of layer {number}")));
        }
        if let Some(part) = lacks(architecture, layer) {
            return Err(Defect::missing(&format!("tensor blk.{number}.{part}")));
        }
    }
    Ok(())
}

/// The tensor by which llama.cpp recognises whether a file has more than draft layers.
fn probe(architecture: &str) -> &'static str {
    match architecture {
        "qwen4exp" => "hc_attn_norm.weight",
        _ => "attn_norm.weight",
    }
}

/// Returns a missing tensor that llama.cpp does not require when loading but uses when evaluating.
fn lacks(architecture: &str, layer: &HashSet<&str>) -> Option<&'static str> {
    let has = |part| layer.contains(part);
    let first_missing =
        |parts: &[&'static str]| parts.iter().copied().find(|part| !layer.contains(part));
    let all_or_none = |parts: &[&'static str]| {
        let any = parts.iter().any(|part| layer.contains(part));
        any.then(|| first_missing(parts)).flatten()
    };
    let convolves = has("ssm_conv1d.weight");
    match architecture {
        "falcon-h1" | "granitehybrid" | "nemotron_h" | "nemotron_h_moe"
            if convolves && has("ssm_in.weight") =>
        {
            first_missing(&["ssm_conv1d.bias"])
        }
        "nemotron_h_moe" => all_or_none(&["ffn_latent_down.weight", "ffn_latent_up.weight"]),
        "qwen35" | "qwen35moe" if convolves => {
            first_missing(&["attn_qkv.weight", "attn_gate.weight"])
        }
        // Older files have a single matrix for both.
        "qwen3next" if convolves && (has("attn_qkv.weight") || !has("ssm_in.weight")) => {
            first_missing(&["attn_qkv.weight", "attn_gate.weight"])
        }
        "phi3" | "pockettts" if !has("attn_qkv.weight") => {
            let apart = ["attn_q.weight", "attn_k.weight", "attn_v.weight"];
            first_missing(&apart).map(|_| "attn_qkv.weight")
        }
        "hy_v3" | "mimo2" if has("ffn_gate_inp.weight") => {
            let joined = architecture == "hy_v3" && has("ffn_gate_up_exps.weight");
            first_missing(if joined {
                &["ffn_down_exps.weight"]
            } else {
                &[
                    "ffn_gate_exps.weight",
                    "ffn_up_exps.weight",
                    "ffn_down_exps.weight",
                ]
            })
        }
        "hy_v3" | "mimo2" => {
            first_missing(&["ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"])
        }
        "kimi-k3" => all_or_none(&[
            "ffn_gate_shexp.weight",
            "ffn_up_shexp.weight",
            "ffn_down_shexp.weight",
        ]),
        "glm-dsa" => all_or_none(&[
            "indexer.proj.weight",
            "indexer.attn_k.weight",
            "indexer.attn_q_b.weight",
        ]),
        _ => None,
    }
}

/// The number of a layer, and what follows it in a tensor's name.
fn of_layer(name: &str) -> Option<(u64, &str)> {
    let (number, part) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((number.parse().ok()?, part))
}

fn shape<'t>(tensor: &'t TensorInfo<'_>) -> &'t [u64] {
    tensor.shape.get(..tensor.dimensions).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_llama_cpp_does_not_miss_are_missed() {
        let qkv = ["attn_qkv.weight"];
        let apart = ["attn_q.weight", "attn_k.weight", "attn_v.weight"];
        let conv = "ssm_conv1d.weight";
        let routed = [
            "ffn_gate_inp.weight",
            "ffn_gate_exps.weight",
            "ffn_up_exps.weight",
            "ffn_down_exps.weight",
        ];
        let joined = [
            "ffn_gate_inp.weight",
            "ffn_gate_up_exps.weight",
            "ffn_down_exps.weight",
        ];
        let dense = ["ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"];
        // A complete layer, and the tensors that it requires.
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("phi3", &qkv, &qkv),
            ("phi3", &apart, &apart),
            (
                "falcon-h1",
                &["ssm_in.weight", conv, "ssm_conv1d.bias"],
                &["ssm_conv1d.bias"],
            ),
            (
                "qwen35",
                &["attn_qkv.weight", "attn_gate.weight", conv],
                &["attn_gate.weight"],
            ),
            ("qwen3next", &["ssm_in.weight", conv], &["ssm_in.weight"]),
            (
                "qwen3next",
                &["attn_qkv.weight", "attn_gate.weight", conv],
                &qkv,
            ),
            ("hy_v3", &routed, &routed[1..]),
            ("hy_v3", &joined, &joined[1..]),
            ("mimo2", &routed, &routed[1..]),
            ("mimo2", &dense, &dense),
            (
                "nemotron_h_moe",
                &["ffn_latent_down.weight", "ffn_latent_up.weight"],
                &["ffn_latent_up.weight"],
            ),
            ("kimi-k3", &["attn_norm.weight"], &[]),
            ("llama", &["attn_q.weight"], &[]),
        ];
        for (architecture, whole, needed) in cases {
            let whole: HashSet<&str> = whole.iter().copied().collect();
            assert_eq!(lacks(architecture, &whole), None, "{architecture}");
            for part in *needed {
                let mut layer = whole.clone();
                layer.remove(part);
                assert!(
                    lacks(architecture, &layer).is_some(),
                    "{architecture}: {part}"
                );
            }
        }
    }

    #[test]
    fn drafting_layers_may_be_elsewhere_but_not_all_there_is() {
        let tensor = |name| TensorInfo {
            name,
            shape: [1, 4, 1, 1],
            dimensions: 2,
            kind: elpis_files::gguf::TensorType::of(0).unwrap(),
            offset: 0,
            bytes: 16,
        };
        let layers = Layers {
            all: 2,
            drafting: 1,
        };
        let of = |names: &[&'static str]| {
            let tensors: Vec<_> = names.iter().copied().map(tensor).collect();
            check_model(&tensors, "glm4moe", layers, 4)
        };
        assert_eq!(of(&[TOKENS, "blk.0.attn_norm.weight"]), Ok(()));
        assert_eq!(
            of(&[TOKENS, "blk.1.attn_norm.weight"]),
            Err(Defect::Kind(GgufKind::Drafter))
        );
        let beyond = of(&[TOKENS, "blk.0.attn_norm.weight", "blk.2.attn_norm.weight"]);
        assert!(matches!(beyond, Err(Defect::Invalid { .. })), "{beyond:?}");
    }
}
