//! Models with random weights, as large as real ones.

mod gguf;
mod vocabulary;
mod weights;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use gguf::{Header, TensorInfo};
pub use weights::Noise;
use weights::{Encoding, Matrix};

/// Part of the file names: raise it when the recipe changes.
const RECIPE: u32 = 2;

const VOCABULARY: usize = 4096;
const CONTEXT: u32 = 4096;
const CHATML: &str = "{% for m in messages %}<|im_start|>{{m['role']}}\n{{m['content']}}<|im_end|>\n{% endfor %}\
{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Size of a model.
#[derive(Debug)]
pub struct ModelSpec {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    layers: usize,
    width: usize,
    feed_forward: usize,
    heads: usize,
    encoding: Encoding,
    /// Tokens of a generation whose rate is measured.
    pub tokens: usize,
}

/// 71 million parameters in f16.
pub const SMALL: ModelSpec = ModelSpec {
    name: "small",
    about: "71M f16, random weights",
    layers: 16,
    width: 512,
    feed_forward: 2048,
    heads: 8,
    encoding: Encoding::F16,
    tokens: 96,
};

/// 486 million parameters in `q8_0`.
pub const LARGE: ModelSpec = ModelSpec {
    name: "large",
    about: "486M q8_0, random weights",
    layers: 24,
    width: 1280,
    feed_forward: 3456,
    heads: 20,
    encoding: Encoding::Q8,
    tokens: 32,
};

/// Next to nothing, for a quick pass.
pub const TINY: ModelSpec = ModelSpec {
    name: "tiny",
    about: "1M f16, random weights",
    layers: 4,
    width: 64,
    feed_forward: 128,
    heads: 2,
    encoding: Encoding::F16,
    tokens: 32,
};

/// Returns the model's file, which is made if it is not there.
pub fn ensure(spec: &ModelSpec, cache: &Path) -> Result<PathBuf> {
    let path = cache.join(format!(
        "{}-{}-{RECIPE}.gguf",
        spec.name,
        spec.encoding.name()
    ));
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    eprintln!("   making {}", path.display());
    // Only a whole file gets the name that is looked for.
    let mut file = tempfile::NamedTempFile::new_in(cache)?;
    write(spec, file.as_file_mut())?;
    file.persist(&path)?;
    Ok(path)
}

fn write(spec: &ModelSpec, file: &mut File) -> Result<()> {
    let tensors = tensors(spec);
    let infos = tensors.iter().map(|(name, matrix)| TensorInfo {
        name: name.clone(),
        // GGUF names the length of a row first.
        shape: match matrix.encoding {
            Encoding::F32 => vec![matrix.columns as u64],
            _ => vec![matrix.columns as u64, matrix.rows as u64],
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
    header.number("llama.attention.head_count_kv", spec.heads as u32);
    header.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    header.number(
        "llama.rope.dimension_count",
        (spec.width / spec.heads) as u32,
    );
    header.float("llama.rope.freq_base", 10_000.0);
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

fn tensors(spec: &ModelSpec) -> Vec<(String, Matrix)> {
    let (width, wide) = (spec.width, spec.feed_forward);
    let deviation = (width as f32).powf(-0.5);
    let matrix = |rows, columns, deviation, zero_rows| Matrix {
        rows,
        columns,
        encoding: spec.encoding,
        deviation,
        zero_rows,
    };
    let norm = Matrix {
        rows: 1,
        columns: width,
        encoding: Encoding::F32,
        deviation: 0.0,
        zero_rows: 0,
    };
    // Tokens that end a reply or are not whole characters get logits of 0, far below the best
    // forty: every generation runs to its full length, and every token is a piece of text.
    let output = matrix(VOCABULARY, width, 3.0 * deviation, vocabulary::SPECIAL);
    let mut tensors = vec![
        (
            "token_embd.weight".to_owned(),
            matrix(VOCABULARY, width, 1.0, 0),
        ),
        ("output.weight".to_owned(), output),
        ("output_norm.weight".to_owned(), norm),
    ];
    for layer in 0..spec.layers {
        let mut add = |name: &str, matrix| {
            tensors.push((format!("blk.{layer}.{name}.weight"), matrix));
        };
        add("attn_norm", norm);
        add("ffn_norm", norm);
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            add(name, matrix(width, width, deviation, 0));
        }
        add("ffn_gate", matrix(wide, width, deviation, 0));
        add("ffn_up", matrix(wide, width, deviation, 0));
        add("ffn_down", matrix(width, wide, (wide as f32).powf(-0.5), 0));
    }
    tensors
}

#[cfg(test)]
mod tests {
    use elpis::Settings;
    use elpis::settings::{HardwareBackend, ModelSettings};

    use super::*;

    fn load(spec: &ModelSpec) -> Box<dyn elpis::backend::Backend> {
        let folder = tempfile::tempdir().unwrap();
        let path = ensure(spec, folder.path()).unwrap();
        assert_eq!(ensure(spec, folder.path()).unwrap(), path);
        let model = ModelSettings::default()
            .path(path.display().to_string())
            .hardware_backend(HardwareBackend::Cpu)
            .context_length(512_u32);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let settings = Settings::default().model(model);
        runtime.block_on(elpis::create_backend(&settings)).unwrap()
    }

    #[test]
    fn a_model_is_loaded_as_it_was_meant() {
        for encoding in [Encoding::F16, Encoding::Q8] {
            let mut backend = load(&ModelSpec { encoding, ..TINY });
            let facts = std::sync::Arc::clone(backend.facts());
            assert_eq!((facts.n_layers, facts.n_embd, facts.n_vocab), (4, 64, 4096));
            assert!(facts.chat_template.is_some());
            // One token for each short word, and one for the beginning.
            let tokens = backend.tokenizer().encode("et an io s", true);
            assert_eq!(tokens.len(), 5, "{tokens:?}");
            let turn = backend.tokenizer().encode("<|im_start|>et<|im_end|>", true);
            assert_eq!(turn.len(), 4, "{turn:?}");
            let mut batch = elpis::backend::Batch::with_capacity(8);
            batch.push(0, 0, &tokens, true, None);
            backend.decode(&batch).unwrap();
            let logits = backend.logits(tokens.len() - 1).unwrap();
            assert!(
                logits[..vocabulary::SPECIAL]
                    .iter()
                    .all(|&x| x.abs() < 1e-6)
            );
            let mut rest = logits[vocabulary::SPECIAL..].to_vec();
            rest.sort_by(f32::total_cmp);
            assert!(rest[rest.len() - 40] > 3.0, "{}", rest[rest.len() - 40]);
        }
    }
}
