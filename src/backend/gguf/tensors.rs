//! Where tensors lie and what they are.

use super::fault::Fault;
use super::operations::Operation;
use crate::gguf::{Header, TensorInfo};

/// The table of tokens, which every model has.
const TOKENS: &str = "token_embd.weight";

/// Checks that they lie one after the other within a file of so many bytes, as llama.cpp wants
/// them, and that it can compute with their types.
pub(super) fn check_places(header: &Header<'_>, length: u64) -> Result<(), Fault> {
    let mut next = 0_u64;
    for tensor in &header.tensors {
        let item = format!("tensor {}", tensor.name);
        if tensor.shape.contains(&0) {
            let shape = format!("of shape {:?}", shape(tensor));
            return Err(Fault::invalid(&item, shape, "of sizes from 1 on"));
        }
        if tensor.offset != next {
            let offset = format!("at {} in the data", tensor.offset);
            return Err(Fault::invalid(&item, offset, format!("at {next}")));
        }
        let end = header
            .data
            .checked_add(tensor.offset)
            .and_then(|start| start.checked_add(tensor.bytes));
        if end.is_none_or(|end| end > length) {
            let reach = end.map_or_else(|| "beyond any file".to_owned(), |end| end.to_string());
            return Err(Fault::Damaged(format!(
                "{item} reaches to byte {reach}, the file has {length}: it was cut short"
            )));
        }
        next = tensor
            .bytes
            .checked_next_multiple_of(header.alignment)
            .and_then(|padded| next.checked_add(padded))
            .ok_or_else(|| Fault::Damaged(format!("{item} is too large")))?;
        let operation = Operation::of(tensor.name);
        if !operation.takes(tensor.kind) {
            let kind = format!("of type {}", tensor.kind.name);
            return Err(Fault::invalid(&item, kind, operation.types()));
        }
    }
    Ok(())
}

/// Checks that the tensors of all parts are those of a model of so many layers and tokens.
pub(super) fn check_model(
    tensors: &[TensorInfo<'_>],
    architecture: &str,
    layers: u64,
    tokens: u64,
) -> Result<(), Fault> {
    let table = tensors.iter().find(|tensor| tensor.name == TOKENS);
    let Some(table) = table else {
        return Err(Fault::missing(&format!("tensor {TOKENS}")));
    };
    let [_, rows, ..] = table.shape;
    if rows != tokens {
        let limit = format!("{tokens}, the number of tokens");
        return Err(Fault::invalid(
            &format!("rows of tensor {TOKENS}"),
            rows,
            limit,
        ));
    }
    let mut seen = vec![Layer::default(); layers as usize];
    for tensor in tensors {
        let Some((number, part)) = of_layer(tensor.name) else {
            continue;
        };
        let Some(layer) = usize::try_from(number).ok().and_then(|n| seen.get_mut(n)) else {
            let limit = format!("of a layer below {layers}, as {architecture}.block_count says");
            return Err(Fault::invalid("a tensor", tensor.name, limit));
        };
        layer.see(part);
    }
    for (number, layer) in seen.iter().enumerate() {
        if !layer.any {
            return Err(Fault::missing(&format!("tensors of layer {number}")));
        }
        if let Some(part) = layer.lacks(architecture) {
            return Err(Fault::missing(&format!("tensor blk.{number}.{part}")));
        }
    }
    Ok(())
}

/// What is known of a layer's tensors.
#[derive(Debug, Clone, Copy, Default)]
struct Layer {
    any: bool,
    /// Of the input of a recurrent part.
    inner: bool,
    conv: bool,
    conv_bias: bool,
    qkv: bool,
    gate: bool,
}

impl Layer {
    fn see(&mut self, part: &str) {
        self.any = true;
        match part {
            "ssm_in.weight" => self.inner = true,
            "ssm_conv1d.weight" => self.conv = true,
            "ssm_conv1d.bias" => self.conv_bias = true,
            "attn_qkv.weight" => self.qkv = true,
            "attn_gate.weight" => self.gate = true,
            _ => {}
        }
    }

    /// A tensor that llama.cpp loads without and computes with.
    fn lacks(self, architecture: &str) -> Option<&'static str> {
        match architecture {
            "falcon-h1" | "granitehybrid" | "nemotron_h" | "nemotron_h_moe"
                if self.inner && self.conv && !self.conv_bias =>
            {
                Some("ssm_conv1d.bias")
            }
            "qwen35" | "qwen35moe" if self.conv && !self.qkv => Some("attn_qkv.weight"),
            "qwen35" | "qwen35moe" if self.conv && !self.gate => Some("attn_gate.weight"),
            _ => None,
        }
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
