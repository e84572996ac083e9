//! What the public interface does not show: configurations, pieces of tokens,
//! and that neither company nor the way into the cache changes a row's logits.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::checkpoint::Files;
use super::config::{Activation, DecoderConfig};
use super::fields::Fields;
use super::{LOADER, Transformers};
use elpis_backend::{Backend, BackendError, Batch, LoadOptions, ModelOptions, ModelSource, Token};
use elpis_testkit::tested_devices;

const PATH: &str = "config.json";
const PROMPT: &str = "<|im_start|>user\nTell me about trains.<|im_end|>\n<|im_start|>assistant\n";

fn read(value: &Value) -> Result<DecoderConfig, BackendError> {
    DecoderConfig::read(&Fields::new(Path::new(PATH), value)?)
}

/// A configuration as the hub has them.
fn config(model_type: &str, more: &[(&str, Value)]) -> Value {
    let mut value = json!({
        "model_type": model_type,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "vocab_size": 128,
    });
    for (name, field) in more {
        value[name] = field.clone();
    }
    value
}

fn windows(config: &DecoderConfig) -> Vec<Option<usize>> {
    config.layers.iter().map(|layer| layer.window).collect()
}

#[test]
fn silence_means_the_architectures_own_default() {
    let llama = read(&config("llama", &[])).unwrap();
    assert_eq!(
        (llama.head_dim, llama.tied, llama.norm_eps),
        (8, false, 1e-6)
    );
    assert!(!llama.qkv_bias && windows(&llama).iter().all(Option::is_none));

    let mistral = read(&config("mistral", &[])).unwrap();
    assert_eq!(windows(&mistral), [Some(4096); 12]);
    let unlimited = read(&config("mistral", &[("sliding_window", Value::Null)])).unwrap();
    assert_eq!(windows(&unlimited), [None; 12]);

    let qwen = read(&config("qwen2", &[])).unwrap();
    assert!(qwen.qkv_bias && !qwen.output_bias);
    assert_eq!(windows(&qwen), [None; 12]);

    let gemma = read(&config("gemma2", &[])).unwrap();
    assert_eq!((gemma.head_dim, gemma.tied), (256, true));
    assert_eq!(
        (gemma.attention_softcap, gemma.logit_softcap),
        (Some(50.0), Some(30.0))
    );
    assert_eq!(gemma.activation, Activation::GeluTanh);
    assert_eq!(windows(&gemma)[..3], [Some(4096), None, Some(4096)]);
    let uncapped = [("attn_logit_softcapping", Value::Null)];
    assert_eq!(
        read(&config("gemma2", &uncapped))
            .unwrap()
            .attention_softcap,
        None
    );

    let gemma = read(&config("gemma3_text", &[("rope_theta", json!(5e5))])).unwrap();
    let thetas: Vec<f64> = gemma.ropes.iter().map(|rope| rope.theta).collect();
    assert_eq!(thetas, [5e5, 1e4]);
    let ropes: Vec<_> = gemma.layers.iter().map(|layer| layer.rope).collect();
    assert_eq!(ropes[4..7], [Some(1), Some(0), Some(1)]);

    let smol = read(&config("smollm3", &[])).unwrap();
    let ropes: Vec<_> = smol.layers.iter().map(|layer| layer.rope).collect();
    assert_eq!(ropes[2..5], [Some(0), None, Some(0)]);
}

#[test]
fn a_text_model_within_a_larger_one_is_found() {
    let outer = json!({"model_type": "gemma3", "text_config": config("gemma3_text", &[])});
    assert_eq!(read(&outer).unwrap().architecture, "gemma3_text");

    // As the hub's Gemma 3 models with 4B parameters and more have it.
    let terse = json!({"model_type": "gemma3", "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }});
    let gemma = read(&terse).unwrap();
    assert_eq!(
        (gemma.n_heads, gemma.n_kv_heads, gemma.head_dim),
        (8, 4, 256)
    );
    assert_eq!((gemma.vocab, gemma.context), (262_208, 131_072));
    let frequencies = |rope: usize| {
        let mut frequencies = vec![1.0];
        gemma.ropes[rope].scale(&mut frequencies, 4096);
        frequencies[0]
    };
    assert_eq!((frequencies(0), frequencies(1)), (0.125, 1.0));
}

#[test]
fn wrong_fields_are_named() {
    for (name, value, says) in [
        ("model_type", json!("mamba"), "`mamba` is not supported"),
        ("hidden_size", Value::Null, "is missing"),
        ("hidden_size", json!(-4), "whole number from 1"),
        ("num_key_value_heads", json!(3), "does not divide"),
        ("num_key_value_heads", json!(9), "from 1 to 8"),
        ("hidden_act", json!("relu"), "`relu` is not supported"),
        ("rms_norm_eps", json!("small"), "not a number"),
        ("rope_theta", json!(0), "not above 0"),
        (
            "layer_types",
            json!(["full_attention"]),
            "1 entries for 12 layers",
        ),
        ("tie_word_embeddings", json!(1), "true or false"),
        ("partial_rotary_factor", json!(0.4), "not an even number"),
        (
            "rope_scaling",
            json!({"rope_type": "spiral"}),
            "`spiral` is not supported",
        ),
        ("rope_scaling", json!({"type": "linear"}), "is missing"),
        (
            "rope_scaling",
            json!({"type": "longrope", "short_factor": [1.0]}),
            "1 entries; a head turns 4 pairs",
        ),
        (
            "quantization_config",
            json!({"quant_method": "awq"}),
            "`awq` are not supported",
        ),
    ] {
        let damaged = config("llama", &[(name, value)]);
        let error = read(&damaged).unwrap_err().to_string();
        assert!(error.contains(PATH), "{error}");
        assert!(error.contains(says), "{name}: {error}");
    }
}

proptest! {
    #[test]
    fn no_configuration_panics(
        family in prop::sample::select(vec!["llama", "mistral", "qwen2", "gemma2", "gemma3_text", "phi3", "smollm3"]),
        name in prop::sample::select(vec![
            "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "head_dim", "max_position_embeddings", "sliding_window", "layer_types",
            "rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor",
            "max_window_layers", "no_rope_layers", "sliding_window_pattern", "text_config",
        ]),
        value in prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            Just(json!([1, null, "full_attention", 0.5])),
            Just(json!({"rope_type": "yarn", "factor": 1e300, "full_attention": {"rope_type": "llama3"}})),
            Just(json!({"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 0]})),
            Just(json!({"rope_type": "yarn", "original_max_position_embeddings": 1e-300})),
        ],
    ) {
        let mut damaged = config(family, &[("use_sliding_window", json!(true))]);
        damaged[name] = value;
        if let Ok(config) = read(&damaged) {
            for rope in &config.ropes {
                let mut frequencies = vec![0.5; rope.dim / 2];
                rope.scale(&mut frequencies, 4096);
            }
        }
    }
}

fn load() -> Transformers {
    Transformers::load(
        &LoadOptions::new(ModelOptions::default(), ModelSource::Bundled)
            .n_sequences(4)
            .devices(tested_devices(&LOADER)),
    )
    .unwrap()
}

/// Logits after the last token of a sequence that goes on from `past` tokens.
fn last_logits(
    backend: &mut Transformers,
    sequence: u32,
    past: usize,
    tokens: &[Token],
) -> Vec<f32> {
    let mut batch = Batch::default();
    batch.push(sequence, past as u32, &tokens[past..], true, None);
    backend.decode(&batch).unwrap();
    backend.logits(batch.len() - 1).unwrap().to_vec()
}

fn assert_near(a: &[f32], b: &[f32], what: &str) {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let most = apart.fold(0.0, f32::max);
    assert!(most < 1e-4 && a.len() == b.len(), "{what}: {most} apart");
}

#[test]
fn pieces_of_a_prompt_shared_copied_or_restored_give_the_same_logits() {
    let mut backend = load();
    let tokens = backend.tokenizer().encode(PROMPT, true).unwrap();
    let whole = last_logits(&mut backend, 0, 0, &tokens);
    let half = tokens.len() / 2;

    last_logits(&mut backend, 1, 0, &tokens[..half]);
    assert_near(
        &last_logits(&mut backend, 1, half, &tokens),
        &whole,
        "in two pieces",
    );

    backend.share_prefix(0, 2, half as u32).unwrap();
    assert_near(
        &last_logits(&mut backend, 2, half, &tokens),
        &whole,
        "shared",
    );

    backend.truncate(0, half as u32).unwrap();
    let saved = backend.save_sequence(0, Vec::new()).unwrap();
    assert!(
        backend
            .restore_sequence(3, half as u32 + 1, &saved)
            .is_err()
    );
    backend.restore_sequence(3, half as u32, &saved).unwrap();
    assert_near(
        &last_logits(&mut backend, 3, half, &tokens),
        &whole,
        "restored",
    );
    assert_near(
        &last_logits(&mut backend, 0, half, &tokens),
        &whole,
        "cut and gone on",
    );
}

#[test]
fn rows_of_many_lengths_are_as_if_alone() {
    let mut backend = load();
    let tokens = backend.tokenizer().encode(PROMPT, true).unwrap();
    let lengths = [3, tokens.len() - 1, 1, 7];
    let alone: Vec<Vec<f32>> = lengths
        .iter()
        .map(|&length| {
            let logits = last_logits(&mut backend, 0, 0, &tokens[..=length]);
            backend.truncate(0, 0).unwrap();
            logits
        })
        .collect();
    for (sequence, length) in (0..).zip(lengths) {
        last_logits(&mut backend, sequence, 0, &tokens[..length]);
    }
    let mut batch = Batch::default();
    for (sequence, length) in (0..).zip(lengths) {
        batch.push(
            sequence,
            length as u32,
            &tokens[length..=length],
            true,
            None,
        );
    }
    backend.decode(&batch).unwrap();
    for (row, alone) in alone.iter().enumerate() {
        assert_near(backend.logits(row).unwrap(), alone, &format!("row {row}"));
    }
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing() {
    let mut backend = load();
    let tokens = backend.tokenizer().encode(PROMPT, true).unwrap();
    let before = last_logits(&mut backend, 0, 0, &tokens);
    let next = tokens.len() as u32;
    for (sequence, position, token) in [
        (9, 0, 1),
        (0, next + 1, 1),
        (0, next - 1, 1),
        (0, next, 99_999),
    ] {
        let mut batch = Batch::default();
        batch.push(1, 0, &tokens[..2], false, None);
        batch.push(sequence, position, &[token], true, None);
        assert!(matches!(
            backend.decode(&batch),
            Err(BackendError::Limit { .. })
        ));
    }
    let last = next - 1;
    backend.truncate(0, last).unwrap();
    let again = last_logits(&mut backend, 0, last as usize, &tokens);
    assert_near(&again, &before, "after refusals");
    assert!(backend.logits(5).is_err());

    let room = backend.facts().context_length;
    let long = vec![tokens[0]; 500];
    for start in (0..room - 500).step_by(500) {
        let mut batch = Batch::default();
        batch.push(1, start, &long, false, None);
        backend.decode(&batch).unwrap();
    }
    let held = backend.cache.lengths()[1];
    let mut batch = Batch::default();
    batch.push(
        1,
        held,
        &vec![tokens[0]; (room - held) as usize + 1],
        true,
        None,
    );
    assert_eq!(
        backend.decode(&batch),
        Err(BackendError::CacheFull { rows: batch.len() })
    );
    assert_eq!(backend.cache.lengths()[1], held);
}

#[test]
fn pieces_of_tokens_make_the_text() {
    let tokenizer = load().tokenizer();
    for text in [
        "Plain words, 12 of them.",
        "Grüße 🚂 from 東京\n\tand\u{a0}beyond",
        PROMPT,
    ] {
        let tokens = tokenizer.encode(text, false).unwrap();
        let mut bytes = Vec::new();
        for &token in &tokens {
            tokenizer.append_piece(token, &mut bytes);
        }
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }
    let marks = tokenizer.encode("<|im_end|>", true).unwrap();
    assert_eq!(marks.len(), 1);
    assert!(tokenizer.is_end(marks[0]));
    let mut bytes = Vec::new();
    tokenizer.append_piece(marks[0], &mut bytes);
    tokenizer.append_piece(Token::MAX, &mut bytes);
    assert!(bytes.is_empty());
}

#[test]
fn the_bundled_files_are_complete() {
    let files = Files::bundled().unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        assert!(files.json(name).unwrap().is_some(), "{name}");
    }
}

#[test]
fn pointers_of_git_lfs_are_called_that() {
    let bundled = elpis_backend::BundledModel::checkpoint();
    for (name, _) in bundled
        .iter()
        .filter(|(name, _)| !name.contains("generation"))
    {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in bundled {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let path = folder.path().join(name);
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 77\n";
        std::fs::write(&path, pointer).unwrap();
        let error = Transformers::load(&LoadOptions::new(
            ModelOptions::default(),
            ModelSource::Folder(folder.path().to_owned()),
        ))
        .unwrap_err();
        let size = Some(77);
        assert_eq!(error, BackendError::LfsPointer { path, size }, "{name}");
    }
}
