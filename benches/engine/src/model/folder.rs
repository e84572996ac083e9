//! A model as a Hugging Face folder.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::weights::{Encoding, Matrix, Noise};
use super::{CHATML, CONTEXT, EPSILON, ModelSpec, ROPE_BASE, VOCABULARY, tensors, vocabulary};

/// The names of a layer's tensors in GGUF and in a folder.
const NAMES: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The file of the weights.
pub const WEIGHTS: &str = "model.safetensors";

/// Writes all files.
pub fn write(spec: &ModelSpec, folder: &Path) -> Result<()> {
    let text = |name: &str, value: Value| fs::write(folder.join(name), value.to_string());
    text("config.json", config(spec))?;
    text("tokenizer.json", tokenizer())?;
    text(
        "tokenizer_config.json",
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "</s>",
            "chat_template": CHATML,
        }),
    )?;
    let tensors: Vec<(String, Matrix)> = tensors(spec)
        .into_iter()
        .map(|(name, matrix)| (renamed(&name), matrix))
        .collect();
    let file = File::create_new(folder.join(WEIGHTS))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&head(&tensors))?;
    let mut buffer = Vec::new();
    for (stream, (_, matrix)) in tensors.iter().enumerate() {
        matrix.fill(Noise::new(stream as u64), &mut buffer);
        file.write_all(&buffer)?;
    }
    file.flush()?;
    Ok(())
}

fn renamed(name: &str) -> String {
    let layer = name.strip_prefix("blk.").and_then(|rest| {
        let (layer, rest) = rest.split_once('.')?;
        let part = rest.strip_suffix(".weight")?;
        let (_, here) = NAMES.iter().find(|(gguf, _)| *gguf == part)?;
        Some(format!("model.layers.{layer}.{here}.weight"))
    });
    layer.unwrap_or_else(|| {
        match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "output_norm.weight" => "model.norm.weight",
            _ => "lm_head.weight",
        }
        .to_owned()
    })
}

/// The header of a safetensors file.
fn head(tensors: &[(String, Matrix)]) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0;
    for (name, matrix) in tensors {
        let end = start + matrix.bytes();
        let dtype = matrix.encoding.name().to_uppercase();
        let shape = match matrix.rows {
            1 => json!([matrix.columns]),
            rows => json!([rows, matrix.columns]),
        };
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        entries.insert(name.clone(), entry);
        start = end;
    }
    let mut text = Value::Object(entries).to_string();
    // The safetensors library pads in the same way.
    text.extend(std::iter::repeat_n(
        ' ',
        text.len().next_multiple_of(8) - text.len(),
    ));
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.into_bytes());
    bytes
}

fn config(spec: &ModelSpec) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": spec.width,
        "intermediate_size": spec.feed_forward,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.width / spec.heads,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": f64::from(EPSILON),
        "rope_theta": ROPE_BASE,
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": false,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": match spec.encoding {
            Encoding::Bf16 => "bfloat16",
            Encoding::F16 => "float16",
            _ => "float32",
        },
    })
}

fn tokenizer() -> Value {
    let (words, _) = vocabulary::words(VOCABULARY);
    let marks: Vec<Value> = words[..vocabulary::MARKS.len()]
        .iter()
        .enumerate()
        .map(|(id, mark)| {
            json!({
                "id": id,
                "content": mark,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": true,
            })
        })
        .collect();
    // All tokens have the same score, so a text is encoded into as few tokens as possible.
    let scored: Vec<Value> = words.iter().map(|word| json!([word, -10.0])).collect();
    let spaces = json!({
        "type": "Metaspace",
        "replacement": "\u{2581}",
        "prepend_scheme": "never",
        "split": false,
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": marks,
        "normalizer": null,
        "pre_tokenizer": spaces,
        "post_processor": null,
        "decoder": spaces,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": scored, "byte_fallback": true},
    })
}

#[cfg(test)]
mod tests {
    use super::super::TORCH_TINY;
    use super::*;

    #[test]
    fn the_head_of_the_weights_fits_the_file() {
        let folder = tempfile::tempdir().unwrap();
        write(&TORCH_TINY, folder.path()).unwrap();
        let bytes = fs::read(folder.path().join(WEIGHTS)).unwrap();
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let length = u64::from_le_bytes(*length) as usize;
        assert_eq!(length % 8, 0);
        let entries: Map<String, Value> = serde_json::from_slice(&rest[..length]).unwrap();
        // Three tensors outside the layers, and the metadata.
        assert_eq!(entries.len(), 4 * NAMES.len() + 4);
        let mut end = 0;
        for (name, entry) in entries.iter().skip(1) {
            assert_eq!(entry["dtype"], "F32", "{name}");
            assert_eq!(entry["data_offsets"][0], end, "{name}");
            end = entry["data_offsets"][1].as_u64().unwrap();
        }
        assert_eq!(rest.len() - length, end as usize);
        assert!(entries.contains_key("model.layers.3.self_attn.q_proj.weight"));
        assert!(entries.contains_key("lm_head.weight"));
    }

    #[test]
    fn the_same_numbers_stand_in_both_types() {
        let matrix = |encoding| {
            let mut bytes = Vec::new();
            let matrix = Matrix {
                rows: 2,
                columns: 4,
                encoding,
                deviation: 1.0,
                zero_rows: 0,
            };
            matrix.fill(Noise::new(5), &mut bytes);
            bytes
        };
        let (wide, narrow) = (matrix(Encoding::F32), matrix(Encoding::Bf16));
        for (wide, narrow) in wide.chunks_exact(4).zip(narrow.chunks_exact(2)) {
            let wide = f32::from_le_bytes(wide.try_into().unwrap());
            let narrow = half::bf16::from_le_bytes(narrow.try_into().unwrap());
            assert_eq!(half::bf16::from_f32(wide), narrow);
        }
    }
}
