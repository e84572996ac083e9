//! A model as one GGUF file.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Result;

use super::gguf::{self, Header, TensorInfo};
use super::weights::Noise;
use super::{CHATML, CONTEXT, EPSILON, ModelSpec, ROPE_BASE, VOCABULARY, tensors, vocabulary};

/// Writes the whole file.
pub fn write(spec: &ModelSpec, file: &mut File) -> Result<()> {
    let tensors = tensors(spec);
    let infos = tensors.iter().map(|(name, matrix)| TensorInfo {
        name: name.clone(),
        // GGUF lists the length of a row first.
        shape: match matrix.rows {
            1 => vec![matrix.columns as u64],
            rows => vec![matrix.columns as u64, rows as u64],
        },
        encoding: matrix.encoding.id(),
        bytes: matrix.bytes(),
    });
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&metadata(spec).bytes(infos))?;
    let mut buffer = Vec::new();
    for (stream, (_, matrix)) in tensors.iter().enumerate() {
        matrix.fill(Noise::new(stream as u64), &mut buffer);
        buffer.resize(gguf::aligned(buffer.len()), 0);
        file.write_all(&buffer)?;
    }
    file.flush()?;
    Ok(())
}

fn metadata(spec: &ModelSpec) -> Header {
    let (words, kinds) = vocabulary::words(VOCABULARY);
    let scores = (0..words.len()).map(|index| match index {
        0..vocabulary::SPECIAL => 0.0,
        index => -(index as f32),
    });
    let mut header = Header::default();
    header.text("general.architecture", "llama");
    header.text("general.name", &format!("random-{}", spec.name));
    header.number("general.file_type", spec.encoding.file_type());
    header.number("llama.context_length", CONTEXT);
    header.number("llama.embedding_length", spec.width as u32);
    header.number("llama.block_count", spec.layers as u32);
    header.number("llama.feed_forward_length", spec.feed_forward as u32);
    header.number("llama.attention.head_count", spec.heads as u32);
    header.number("llama.attention.head_count_kv", spec.kv_heads as u32);
    header.float("llama.attention.layer_norm_rms_epsilon", EPSILON);
    header.number(
        "llama.rope.dimension_count",
        (spec.width / spec.heads) as u32,
    );
    header.float("llama.rope.freq_base", ROPE_BASE);
    header.number("llama.vocab_size", VOCABULARY as u32);
    header.text("tokenizer.ggml.model", "llama");
    header.text("tokenizer.ggml.pre", "default");
    header.texts("tokenizer.ggml.tokens", &words);
    header.floats("tokenizer.ggml.scores", scores);
    header.integers("tokenizer.ggml.token_type", &kinds);
    header.number("tokenizer.ggml.bos_token_id", 1);
    header.number("tokenizer.ggml.eos_token_id", 2);
    header.number("tokenizer.ggml.unknown_token_id", 0);
    header.flag("tokenizer.ggml.add_bos_token", true);
    header.text("tokenizer.chat_template", CHATML);
    header
}
