//! Names that llama.cpp knows, of the release that this build carries (`llama-arch.cpp`,
//! `llama-vocab.cpp`, `llama-model.cpp`).

/// Architectures that read a text and write on.
pub(super) const DECODERS: [&str; 132] = [
    "afmoe",
    "apertus",
    "arcee",
    "arctic",
    "arwkv7",
    "baichuan",
    "bailingmoe",
    "bailingmoe2",
    "bailingmoe3",
    "bitnet",
    "bloom",
    "chameleon",
    "chatglm",
    "codeshell",
    "cogvlm",
    "cohere2",
    "cohere2moe",
    "command-r",
    "dbrx",
    "deci",
    "deepseek",
    "deepseek2",
    "deepseek2-ocr",
    "deepseek32",
    "deepseek4",
    "dots1",
    "dots3note",
    "ernie4_5",
    "ernie4_5-moe",
    "exaone",
    "exaone-moe",
    "exaone4",
    "falcon",
    "falcon-h1",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3n",
    "gemma4",
    "glm-dsa",
    "glm4",
    "glm4moe",
    "glm5-next",
    "gpt-oss",
    "gpt2",
    "gptj",
    "gptneox",
    "granite",
    "granite_swa",
    "granitehybrid",
    "granitemoe",
    "graniteswitch",
    "grok",
    "grovemoe",
    "hrm_text",
    "hunyuan-dense",
    "hunyuan-moe",
    "hunyuan_vl",
    "hy_v3",
    "hy_v4",
    "internlm2",
    "jais",
    "jais2",
    "jamba",
    "kimi-k3",
    "kimi-linear",
    "laguna",
    "lfm2",
    "lfm2moe",
    "llama",
    "llama4",
    "maincoder",
    "mamba",
    "mamba2",
    "maple",
    "mellum",
    "mimo2",
    "minicpm",
    "minicpm3",
    "minimax-01",
    "minimax-m2",
    "minimax-m3",
    "mistral3",
    "mistral4",
    "mpt",
    "muse-glimmer",
    "nanbeige",
    "nemotron",
    "nemotron_h",
    "nemotron_h_moe",
    "olmo",
    "olmo2",
    "olmoe",
    "openelm",
    "orion",
    "paddleocr",
    "pangu-embedded",
    "phi2",
    "phi3",
    "phimoe",
    "plamo",
    "plamo2",
    "plamo3",
    "plm",
    "pockettts",
    "qwen",
    "qwen2",
    "qwen2moe",
    "qwen2vl",
    "qwen3",
    "qwen35",
    "qwen35moe",
    "qwen3moe",
    "qwen3next",
    "qwen3tts",
    "qwen3vl",
    "qwen3vlmoe",
    "qwen4exp",
    "refact",
    "rwkv6",
    "rwkv6qwen2",
    "rwkv7",
    "seed_oss",
    "smallthinker",
    "smollm3",
    "spark2_5",
    "stablelm",
    "starcoder",
    "starcoder2",
    "step35",
    "talkie",
    "xverse",
];

/// Architectures that make embeddings.
pub(super) const EMBEDDERS: [&str; 11] = [
    "bert",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "llama-embed",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "t5encoder",
];

/// Architectures that write a text by taking noise away.
pub(super) const DIFFUSERS: [&str; 4] = ["dream", "llada", "llada-moe", "rnd1"];

/// Architectures that guess along with another model.
pub(super) const DRAFTERS: [&str; 3] = ["dflash", "eagle3", "gemma4-assistant"];

/// Architectures that rotate nothing by position.
pub(super) const WITHOUT_ROPE: [&str; 18] = [
    "arwkv7",
    "bloom",
    "glm5-next",
    "gpt2",
    "gptj",
    "jais",
    "jamba",
    "kimi-k3",
    "kimi-linear",
    "mamba",
    "mamba2",
    "mpt",
    "nemotron_h",
    "nemotron_h_moe",
    "refact",
    "rwkv6",
    "rwkv6qwen2",
    "rwkv7",
];

/// Architectures whose every layer is recurrent, without attention heads.
pub(super) const RECURRENT: [&str; 6] =
    ["arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"];

/// Ways of cutting texts before byte pairs are joined.
pub(super) const PRE_TOKENIZERS: [&str; 92] = [
    "a.x-4.0",
    "afmoe",
    "bailingmoe",
    "bailingmoe2",
    "bloom",
    "chameleon",
    "chatglm-bpe",
    "codeshell",
    "cohere2moe",
    "command-r",
    "dbrx",
    "deepseek-coder",
    "deepseek-llm",
    "deepseek-r1-qwen",
    "deepseek-v3",
    "default",
    "exaone",
    "exaone-moe",
    "exaone4",
    "f2llmv2",
    "falcon",
    "falcon-h1",
    "falcon3",
    "gemma4",
    "gigachat",
    "glm4",
    "glm5",
    "gpt-2",
    "gpt-4o",
    "gpt3-finnish",
    "granite-docling",
    "granite-embed-multi-311m",
    "granite-embed-multi-97m",
    "grok-2",
    "hunyuan",
    "hunyuan-dense",
    "hy_v4",
    "jais",
    "jais-2",
    "jina-de",
    "jina-es",
    "jina-v1-en",
    "jina-v2-code",
    "jina-v2-de",
    "jina-v2-es",
    "jina-v5-nano",
    "joyai-llm",
    "kanana2",
    "kimi-k2",
    "kormo",
    "laguna",
    "lfm2",
    "llada-moe",
    "llama-bpe",
    "llama-v3",
    "llama3",
    "llama4",
    "megrez",
    "mellum",
    "mellum2",
    "midm-2.0",
    "minerva-7b",
    "minicpm5",
    "minimax-m2",
    "mmbert",
    "modern-bert",
    "mpt",
    "olmo",
    "phi-2",
    "pixtral",
    "poro-chat",
    "qwen2",
    "qwen35",
    "refact",
    "roberta-bpe",
    "sarvam-moe",
    "seed-coder",
    "smaug-bpe",
    "smollm",
    "solar-open",
    "spark2_5",
    "stablelm2",
    "starcoder",
    "superbpe",
    "talkie",
    "tekken",
    "tiny_aya",
    "trillion",
    "ufakzeka",
    "viking",
    "whitespace",
    "youtu",
];

/// Architectures whose files may hold drafting layers alone, which llama.cpp finds out by whether
/// the first layer's norm is there.
pub(super) const DRAFT_PROBED: [&str; 17] = [
    "bailingmoe3",
    "cohere2moe",
    "deepseek2",
    "deepseek32",
    "deepseek4",
    "glm-dsa",
    "glm4moe",
    "hy_v3",
    "mimo2",
    "mistral4",
    "nemotron_h",
    "nemotron_h_moe",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "qwen4exp",
    "step35",
];

#[cfg(all(test, feature = "llama-cpp"))]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::backend::{BackendError, LoadOptions, create_backend};
    use crate::settings::{ModelSettings, ModelSource, ModelTrust};

    const U32: u32 = 4;
    const F32: u32 = 6;
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn texts(texts: &[&str]) -> Vec<u8> {
        let mut bytes = [
            TEXT.to_le_bytes().to_vec(),
            (texts.len() as u64).to_le_bytes().to_vec(),
        ]
        .concat();
        bytes.extend(texts.iter().flat_map(|&one| text(one)));
        bytes
    }

    /// What llama.cpp says of a file that has no tensors.
    fn refusal(pairs: &[(&str, u32, Vec<u8>)]) -> String {
        let mut bytes = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend((pairs.len() as u64).to_le_bytes());
        for (key, kind, value) in pairs {
            bytes.extend(text(key));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let loaded = create_backend(&LoadOptions {
            model: ModelSettings::default().trust(ModelTrust::Trust),
            source: ModelSource::File(file.path().to_owned()),
            n_sequences: 1,
            devices: Vec::new(),
            worker: None,
        });
        match loaded {
            Err(BackendError::Load { reason, .. } | BackendError::Assertion { reason, .. }) => {
                reason
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was loaded"),
        }
    }

    #[test]
    fn llama_cpp_knows_every_architecture() {
        let unknown = "unknown model architecture";
        let of = |name: &str| refusal(&[("general.architecture", TEXT, text(name))]);
        assert!(of("no-such").contains(unknown));
        let all = DECODERS
            .iter()
            .chain(&EMBEDDERS)
            .chain(&DIFFUSERS)
            .chain(&DRAFTERS);
        for name in all {
            let reason = of(name);
            assert!(!reason.contains(unknown), "{name}: {reason}");
        }
        for name in WITHOUT_ROPE.iter().chain(&RECURRENT).chain(&DRAFT_PROBED) {
            assert!(DECODERS.contains(name), "{name}");
        }
    }

    #[test]
    fn llama_cpp_knows_every_way_of_cutting_texts() {
        let number = |number: u32| number.to_le_bytes().to_vec();
        let unknown = "unknown pre-tokenizer type";
        let of = |name: &str| {
            refusal(&[
                ("general.architecture", TEXT, text("llama")),
                ("llama.context_length", U32, number(64)),
                ("llama.embedding_length", U32, number(64)),
                ("llama.block_count", U32, number(1)),
                ("llama.feed_forward_length", U32, number(64)),
                ("llama.attention.head_count", U32, number(2)),
                (
                    "llama.attention.layer_norm_rms_epsilon",
                    F32,
                    1e-5_f32.to_le_bytes().to_vec(),
                ),
                ("tokenizer.ggml.model", TEXT, text("gpt2")),
                ("tokenizer.ggml.pre", TEXT, text(name)),
                ("tokenizer.ggml.tokens", ARRAY, texts(&["a", "b", "ab"])),
                ("tokenizer.ggml.merges", ARRAY, texts(&["a b"])),
            ])
        };
        assert!(of("no-such").contains(unknown), "{}", of("no-such"));
        for name in PRE_TOKENIZERS {
            let reason = of(name);
            assert!(!reason.contains(unknown), "{name}: {reason}");
        }
    }
}
