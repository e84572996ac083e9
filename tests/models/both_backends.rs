//! One model on two backends: what one computes, the other computes too.

mod messages;

use std::sync::Arc;

use crate::support::hardware;
use elpis::backend::{
    Backend, BackendKind, Batch, BundledModel, LoadOptions, Token, create_backend,
};
use elpis::inference::{ChatTemplate, KvSnapshotError, SpecialTokens};
use elpis::settings::{ModelSettings, ModelSource, TorchDtype};
use elpis::steering::{
    BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringPlan, VectorFormat,
};
use elpis::training::{ContrastPairs, Form, TrainOptions, Trained, train};
use elpis::{Elpis, EngineError, Error, Settings};

const KINDS: [BackendKind; 2] = [BackendKind::LlamaCpp, BackendKind::Transformers];
const QUESTIONS: [&str; 6] = [
    "Tell me about trains.",
    "The first step is done. Any thoughts on the enum?",
    "Please say a few words about coffee.",
    "Here is the next task. How does the grinder work?",
    "I would like to count the beats.",
    "The tests passed. Could you help me with the deadline?",
];
const MOODS: [Option<&str>; 5] = [
    None,
    Some("excited"),
    Some("calm"),
    Some("frustrated"),
    Some("depleted"),
];
/// Greedy tokens, also beyond the end of the reply.
const TOKENS: usize = 48;
/// How far the logits after a prompt may lie apart: llama.cpp rounds activations
/// to 16 bits where the weights have 16, libtorch computes with 32.
const APART: f32 = 2e-2;
/// The same behind a reply's end, where the model was never trained to write.
const APART_BEYOND: f32 = 5e-2;

fn model(kind: BackendKind) -> ModelSettings {
    ModelSettings::default()
        .backend(kind)
        .hardware_backend(hardware::hardware())
        .torch_dtype(TorchDtype::Float32)
}

fn load(kind: BackendKind) -> Box<dyn Backend> {
    create_backend(
        &LoadOptions::new(model(kind), ModelSource::Bundled)
            .n_sequences(4)
            .devices(hardware::devices(kind)),
    )
    .unwrap()
}

fn prompt(question: &str) -> String {
    format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
}

fn plan(backend: &dyn Backend, emotion: &str) -> Arc<SteeringPlan> {
    let facts = backend.facts();
    let context = LibraryContext::new(facts.n_layers, facts.n_embd);
    let library = SteeringLibrary::build(BundledModel::library_files(), &context).unwrap();
    let coefficients = [(emotion, 1.0)].into_iter();
    let plan = library.blend(coefficients, &BlendOptions::default());
    Arc::new(plan.unwrap())
}

fn bytes_of(backend: &dyn Backend, tokens: &[Token]) -> Vec<u8> {
    let tokenizer = backend.tokenizer();
    let mut bytes = Vec::new();
    for &token in tokens {
        tokenizer.append_piece(token, &mut bytes);
    }
    bytes
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A greedy continuation.
struct Greedy {
    /// After the prompt and after each token but the last.
    logits: Vec<Vec<f32>>,
    tokens: Vec<Token>,
    /// The smallest lead of a token over the next best.
    lead: f32,
}

fn greedy(backend: &mut dyn Backend, prompt: &[Token], plan: Option<&Arc<SteeringPlan>>) -> Greedy {
    let mut found = Greedy {
        logits: Vec::new(),
        tokens: Vec::new(),
        lead: f32::INFINITY,
    };
    let mut batch = Batch::default();
    batch.push(0, 0, prompt, true, plan);
    while found.tokens.len() < TOKENS {
        backend.decode(&batch).unwrap();
        let logits = backend.logits(batch.len() - 1).unwrap();
        let (mut best, mut second) = (0, f32::NEG_INFINITY);
        for (token, &value) in logits.iter().enumerate().skip(1) {
            if value > logits[best] {
                second = logits[best];
                best = token;
            } else {
                second = second.max(value);
            }
        }
        found.lead = found.lead.min(logits[best] - second);
        found.logits.push(logits.to_vec());
        let position = prompt.len() + found.tokens.len();
        found.tokens.push(best as Token);
        batch.clear();
        batch.push(0, position as u32, &[best as Token], true, plan);
    }
    backend.truncate(0, 0).unwrap();
    found
}

#[test]
fn greedy_texts_and_their_logits_are_the_same() {
    let mut backends = KINDS.map(load);
    let (mut at_prompts, mut everywhere) = (0.0_f32, 0.0_f32);
    let mut sure = Vec::new();
    for question in QUESTIONS {
        for mood in MOODS {
            let both = backends.each_mut().map(|backend| {
                let tokens = backend.tokenizer().encode(&prompt(question), true).unwrap();
                let plan = mood.map(|mood| plan(backend.as_ref(), mood));
                greedy(backend.as_mut(), &tokens, plan.as_ref())
            });
            let [ours, theirs] = &both;
            let same = ours.tokens.iter().zip(&theirs.tokens);
            let same = same.take_while(|(a, b)| a == b).count();
            // Beyond the first other token they compute different texts.
            let apart: Vec<f32> = ours.logits[..TOKENS.min(same + 1)]
                .iter()
                .zip(&theirs.logits)
                .map(|(a, b)| distance(a, b))
                .collect();
            at_prompts = at_prompts.max(apart[0]);
            everywhere = apart.into_iter().fold(everywhere, f32::max);
            // Rounding alone decides between tokens that are nearly as likely.
            if ours.lead.min(theirs.lead) > APART {
                let texts = [ours, theirs].map(|greedy| {
                    let bytes = bytes_of(backends[0].as_ref(), &greedy.tokens);
                    String::from_utf8_lossy(&bytes).into_owned()
                });
                assert_eq!(ours.tokens, theirs.tokens, "{question} {mood:?}: {texts:?}");
                sure.push((question, mood));
            } else {
                println!("{question} {mood:?}: unsure, {same} tokens the same");
            }
        }
    }
    println!(
        "logits at most {at_prompts:.1e} apart at prompts, {everywhere:.1e} everywhere; \
         {} texts of {TOKENS} tokens",
        sure.len()
    );
    assert!(at_prompts <= APART, "{at_prompts}");
    assert!(everywhere <= APART_BEYOND, "{everywhere}");
    for mood in MOODS {
        let texts = sure.iter().filter(|(_, m)| *m == mood).count();
        assert!(texts >= 2, "{mood:?}: {texts} of {sure:?}");
    }
}

/// Vectors that one backend finds on the shipped pairs.
fn trained(kind: BackendKind) -> Trained {
    let mut backend = load(kind);
    let facts = Arc::clone(backend.facts());
    let special = SpecialTokens::new(&facts.bos_token, &facts.eos_token);
    let source = facts.chat_template.as_deref().unwrap();
    let template = ChatTemplate::from_source("bundled", source, special).unwrap();
    let pairs = ContrastPairs::shipped();
    let options = TrainOptions {
        form: Some(Form::Statements),
        strength: 0.6,
        ..TrainOptions::default()
    };
    train(backend.as_mut(), &template, &pairs, &options, &mut |_| true).unwrap()
}

/// Loads files that the other backend trained, and looks at the mood of what is
/// written under them.
fn steer_with(kind: BackendKind, files: Vec<LibraryFile>) {
    for (mood, [before, after]) in crate::support::mood::shares(kind, files, 24) {
        println!("{kind}: {mood} from {before:.3} to {after:.3}");
        assert!(
            after >= before + 0.25 && after >= 3.0 * before,
            "{kind}: {mood} goes from {before} to {after}"
        );
    }
}

#[test]
fn vectors_of_one_backend_steer_the_other() {
    let [ours, theirs] = KINDS.map(trained);
    assert_eq!(ours.layers, theirs.layers);
    let vectors = ours.vectors.iter();
    let all = vectors.flat_map(|(emotion, v)| ours.layers.iter().map(move |l| (emotion, v, *l)));
    for (emotion, vector, layer) in all {
        let rows = [vector, &theirs.vectors[emotion]].map(|v| v.row(layer).unwrap());
        let product = |a: &[f32], b: &[f32]| -> f64 {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let [a, b] = rows;
        let cosine = product(a, b) / (product(a, a) * product(b, b)).sqrt();
        println!("{emotion} at layer {layer}: cosine {cosine:.6}");
        assert!(cosine > 0.999, "{emotion} at layer {layer}: {cosine}");
    }
    for format in [VectorFormat::Safetensors, VectorFormat::Gguf] {
        assert!(ours.files(format).unwrap().len() > 4);
    }
    let [llama, torch] = KINDS;
    steer_with(torch, ours.files(VectorFormat::Gguf).unwrap());
    steer_with(llama, theirs.files(VectorFormat::Safetensors).unwrap());
}

#[test]
fn texts_have_the_same_tokens_and_tokens_the_same_bytes() {
    let backends = KINDS.map(load);
    let [ours, theirs] = backends.each_ref().map(|backend| backend.tokenizer());
    let mut texts: Vec<String> = [
        "",
        " ",
        "\n",
        "a",
        "Tell me about trains.",
        "I'm sure they've said we'll; it's 12345 + 6.78e-9!",
        "  leading and trailing   ",
        "tabs\tand\r\nlines\n\n\n",
        "\n\nfn main() {\n    println!(\"{}\", 1 << 4);\n}\n",
        "Grüße aus Köln, schöne Straße, ÄÖÜ ß",
        "naïve café, cafe\u{301}, ﬁ ligature, Ⅻ, ½",
        "🙂👩‍👩‍👧‍👦🏳️‍🌈 ok 🚂",
        "你好，世界。日本語のテキスト、한국어",
        "العربية עברית हिन्दी ไทย",
        "\u{feff}bom \u{a0}nbsp \u{200b}zero \u{3000}wide",
        "\0\u{1}\u{7f}\u{85}\u{10ffff}",
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|><|im_start|><|endoftext|>",
        " <|im_end|> , <|im_end|>x<|im_end",
        "<|im_ end|><|IM_END|>",
    ]
    .map(str::to_owned)
    .into();
    texts.push("long words ".repeat(300));
    texts.push("a".repeat(1000));
    texts.push(" ".repeat(100));
    texts.extend(QUESTIONS.map(prompt));
    for text in &texts {
        for parse_special in [true, false] {
            let tokens = ours.encode(text, parse_special).unwrap();
            let shown = format!("{text:?} {parse_special}");
            assert_eq!(
                tokens,
                theirs.encode(text, parse_special).unwrap(),
                "{shown}"
            );
            let mut bytes = backends
                .each_ref()
                .map(|backend| bytes_of(backend.as_ref(), &tokens));
            let expected = if parse_special {
                // Control tokens have no bytes.
                ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
                    .iter()
                    .fold(text.clone(), |text, marker| text.replace(marker, ""))
            } else {
                text.clone()
            };
            for bytes in &mut bytes {
                assert_eq!(String::from_utf8_lossy(bytes), expected, "{shown}");
            }
        }
    }
    let n_vocab = backends[0].facts().n_vocab;
    assert_eq!(n_vocab, backends[1].facts().n_vocab);
    for token in 0..n_vocab as Token + 2 {
        let bytes = backends
            .each_ref()
            .map(|backend| bytes_of(backend.as_ref(), &[token]));
        assert_eq!(bytes[0], bytes[1], "token {token}");
        assert_eq!(ours.is_end(token), theirs.is_end(token), "token {token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_belongs_to_its_backend() {
    let mut runtimes = Vec::new();
    for kind in KINDS {
        let settings = Settings::default().model(model(kind));
        let elpis = Elpis::start(settings).await.unwrap();
        let session = elpis.session("a").unwrap();
        let chat = session.chat(QUESTIONS[0]).max_tokens(8).seed(1);
        chat.complete().await.unwrap();
        let bytes = session.save_kv().await.unwrap().unwrap();
        runtimes.push((kind, elpis, bytes));
    }
    for (here, there) in [(0, 1), (1, 0)] {
        let (kind, elpis, own) = &runtimes[here];
        let (other, _, bytes) = &runtimes[there];
        let session = elpis.session("b").unwrap();
        let error = session.restore_kv(bytes.clone()).await.unwrap_err();
        let Error::Engine(EngineError::KvSnapshot(KvSnapshotError::OtherModel { expected, found })) =
            &error
        else {
            panic!("{error:?}");
        };
        assert!(expected.contains(kind.as_str()), "{error}");
        assert!(found.contains(other.as_str()), "{error}");
        assert!(session.restore_kv(own.clone()).await.unwrap() > 0);
    }
    for (_, elpis, _) in runtimes {
        elpis.shutdown().await;
    }
}
