//! Models with random weights and the size of real models.

mod file;
mod folder;
mod gguf;
mod vocabulary;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use folder::WEIGHTS;
use weights::Matrix;
pub use weights::{Encoding, Noise};

/// A version in the file names. It must be raised if the generated contents change.
const RECIPE: u32 = 2;

const VOCABULARY: usize = 4096;
const CONTEXT: u32 = 4096;
const EPSILON: f32 = 1e-5;
const ROPE_BASE: f32 = 10_000.0;
const CHATML: &str = "{% for m in messages %}<|im_start|>{{m['role']}}\n{{m['content']}}<|im_end|>\n{% endfor %}\
{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A message of the user, as the template of these models renders it.
pub fn rendered(prompt: &str) -> String {
    format!("<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n")
}

/// The format of a model on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One GGUF file.
    Gguf,
    /// A Hugging Face folder.
    Folder,
}

/// Size of a model.
#[derive(Debug, PartialEq)]
pub struct ModelSpec {
    /// Its name on the command line.
    pub name: &'static str,
    /// A description.
    pub about: &'static str,
    pub format: Format,
    pub encoding: Encoding,
    layers: usize,
    width: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    /// Number of tokens of a generation whose rate is measured.
    pub tokens: usize,
}

/// 71 million parameters in f16.
pub const SMALL: ModelSpec = ModelSpec {
    name: "small",
    about: "71M f16, random weights",
    format: Format::Gguf,
    encoding: Encoding::F16,
    layers: 16,
    width: 512,
    feed_forward: 2048,
    heads: 8,
    kv_heads: 8,
    tokens: 96,
};

/// 486 million parameters in `q8_0`.
pub const LARGE: ModelSpec = ModelSpec {
    name: "large",
    about: "486M q8_0, random weights",
    format: Format::Gguf,
    encoding: Encoding::Q8,
    layers: 24,
    width: 1280,
    feed_forward: 3456,
    heads: 20,
    kv_heads: 20,
    tokens: 32,
};

/// The same numbers in `q4_0`.
pub const LARGE_Q4: ModelSpec = ModelSpec {
    name: "large-q4",
    about: "486M q4_0, random weights",
    encoding: Encoding::Q4,
    ..LARGE
};

/// 5.7 billion parameters in `q8_0`, for GPUs.
pub const HUGE: ModelSpec = ModelSpec {
    name: "huge",
    about: "5.7B q8_0, random weights",
    layers: 32,
    width: 4096,
    feed_forward: 11_008,
    heads: 32,
    kv_heads: 8,
    tokens: 96,
    ..LARGE
};

/// 27 million parameters in f32, for libtorch.
pub const TORCH_F32: ModelSpec = ModelSpec {
    name: "torch-f32",
    about: "27M f32, random weights, Hugging Face folder",
    format: Format::Folder,
    encoding: Encoding::F32,
    layers: 8,
    width: 512,
    feed_forward: 1376,
    heads: 8,
    kv_heads: 4,
    tokens: 96,
};

/// The same numbers in bf16.
pub const TORCH_BF16: ModelSpec = ModelSpec {
    name: "torch-bf16",
    about: "27M bf16, random weights, Hugging Face folder",
    encoding: Encoding::Bf16,
    ..TORCH_F32
};

/// [`SMALL`] in bf16, which has the same size, for libtorch.
pub const TORCH_SMALL: ModelSpec = ModelSpec {
    name: "torch-small",
    about: "71M bf16, random weights, Hugging Face folder",
    format: Format::Folder,
    encoding: Encoding::Bf16,
    ..SMALL
};

/// 125 million parameters in f32. They take 498 MB, much more than libtorch itself.
pub const TORCH_LARGE: ModelSpec = ModelSpec {
    name: "torch-large",
    about: "125M f32, random weights, Hugging Face folder",
    layers: 10,
    width: 1024,
    feed_forward: 2752,
    heads: 16,
    kv_heads: 8,
    tokens: 32,
    ..TORCH_F32
};

/// A tiny model for a quick pass.
pub const TINY: ModelSpec = ModelSpec {
    name: "tiny",
    about: "1M f16, random weights",
    format: Format::Gguf,
    encoding: Encoding::F16,
    layers: 4,
    width: 64,
    feed_forward: 128,
    heads: 2,
    kv_heads: 2,
    tokens: 32,
};

/// The same for libtorch.
pub const TORCH_TINY: ModelSpec = ModelSpec {
    name: "torch-tiny",
    about: "1M f32, random weights, Hugging Face folder",
    format: Format::Folder,
    encoding: Encoding::F32,
    kv_heads: 1,
    ..TINY
};

impl ModelSpec {
    /// Number of bytes of weights that the evaluation of a token reads: all except the table of
    /// embeddings, of which it reads one row.
    pub fn bytes_per_token(&self) -> usize {
        let read = tensors(self).into_iter();
        let read = read.filter(|(name, _)| name != "token_embd.weight");
        read.map(|(_, matrix)| matrix.encoding.bytes(matrix.rows * matrix.columns))
            .sum()
    }

    /// The same model as a Hugging Face folder, if there is one.
    pub fn folder(&self) -> Option<&'static Self> {
        match self.name {
            "small" => Some(&TORCH_SMALL),
            "tiny" => Some(&TORCH_TINY),
            _ => None,
        }
    }

    /// Size in bytes of the keys and values of `positions` positions.
    pub fn cache_bytes(&self, positions: usize) -> usize {
        let width = self.width / self.heads * self.kv_heads;
        2 * self.layers * self.encoding.bytes(width) * positions
    }
}

/// Returns the model's file or folder. Generates it if it does not exist.
pub fn ensure(spec: &ModelSpec, cache: &Path) -> Result<PathBuf> {
    let name = format!("{}-{}-{RECIPE}", spec.name, spec.encoding.name());
    let path = match spec.format {
        Format::Gguf => cache.join(format!("{name}.gguf")),
        Format::Folder => cache.join(name),
    };
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    eprintln!("   making {}", path.display());
    // Only a complete model gets its final name.
    match spec.format {
        Format::Gguf => {
            let mut file = tempfile::NamedTempFile::new_in(cache)?;
            file::write(spec, file.as_file_mut())?;
            file.persist(&path)?;
        }
        Format::Folder => {
            let folder = tempfile::tempdir_in(cache)?;
            folder::write(spec, folder.path())?;
            fs::rename(folder.keep(), &path)?;
        }
    }
    Ok(path)
}

/// The tensors of a model under the names that GGUF gives them.
fn tensors(spec: &ModelSpec) -> Vec<(String, Matrix)> {
    let (width, wide) = (spec.width, spec.feed_forward);
    let kv_width = width / spec.heads * spec.kv_heads;
    let deviation = (width as f32).powf(-0.5);
    let matrix = |rows, columns, deviation, zero_rows| Matrix {
        rows,
        columns,
        encoding: spec.encoding,
        deviation,
        zero_rows,
    };
    let norm = Matrix {
        encoding: match spec.format {
            Format::Gguf => Encoding::F32,
            Format::Folder => spec.encoding,
        },
        ..matrix(1, width, 0.0, 0)
    };
    // Tokens that end a reply or are not complete characters get logits of 0, far below the best
    // forty. Every generation therefore runs to its full length, and every token is a piece of text.
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
        add("attn_q", matrix(width, width, deviation, 0));
        add("attn_k", matrix(kv_width, width, deviation, 0));
        add("attn_v", matrix(kv_width, width, deviation, 0));
        add("attn_output", matrix(width, width, deviation, 0));
        add("ffn_gate", matrix(wide, width, deviation, 0));
        add("ffn_up", matrix(wide, width, deviation, 0));
        add("ffn_down", matrix(width, wide, (wide as f32).powf(-0.5), 0));
    }
    tensors
}

#[cfg(test)]
mod tests {
    use elpis::Settings;
    use elpis::settings::{BackendKind, HardwareBackend, ModelSettings};

    use super::*;

    fn load(spec: &ModelSpec) -> Box<dyn elpis::backend::Backend> {
        let folder = tempfile::tempdir().unwrap();
        let path = ensure(spec, folder.path()).unwrap();
        assert_eq!(ensure(spec, folder.path()).unwrap(), path);
        let model = ModelSettings::default()
            .path(path.display().to_string())
            .backend(match spec.format {
                Format::Gguf => BackendKind::LlamaCpp,
                Format::Folder => BackendKind::Transformers,
            })
            .hardware_backend(HardwareBackend::Cpu)
            .context_length(512_u32);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let settings = Settings::default().model(model);
        runtime.block_on(elpis::create_backend(&settings)).unwrap()
    }

    fn check(spec: &ModelSpec, start: usize) {
        let mut backend = load(spec);
        let facts = std::sync::Arc::clone(backend.facts());
        assert_eq!((facts.n_layers, facts.n_embd, facts.n_vocab), (4, 64, 4096));
        assert!(facts.chat_template.is_some());
        // One token for each short word.
        let tokens = backend.tokenizer().encode("et an io s", true).unwrap();
        assert_eq!(tokens.len(), start + 4, "{tokens:?}");
        let turn = backend
            .tokenizer()
            .encode("<|im_start|>et<|im_end|>", true)
            .unwrap();
        assert_eq!(turn.len(), start + 3, "{turn:?}");
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

    #[test]
    fn a_file_is_loaded_as_it_was_meant() {
        for encoding in [Encoding::F16, Encoding::Q8, Encoding::Q4] {
            // One more token marks the beginning.
            check(&ModelSpec { encoding, ..TINY }, 1);
        }
    }

    #[cfg(feature = "transformers")]
    #[test]
    fn a_folder_is_loaded_as_it_was_meant() {
        for encoding in [Encoding::F32, Encoding::Bf16] {
            let spec = ModelSpec {
                encoding,
                ..TORCH_TINY
            };
            check(&spec, 0);
        }
    }
}
