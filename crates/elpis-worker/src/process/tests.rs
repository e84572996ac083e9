//! What crosses the wire comes out as it went in, and garbage comes to nothing.

mod errors;

use std::fs;
use std::io::{self, Cursor};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::frame::Channel;
use super::logits::{self, SharedLogits};
use super::plans::{PlanBook, Plans};
use super::protocol::{Decode, Hello, Load, Loaded, Reply, Request, WirePlan, WireRow};
use super::{child, read_frames};
use elpis_backend::WorkerOptions;
use elpis_backend::{
    BackendError, BackendKind, Batch, Device, DeviceKind, LoadOptions, ModelFacts,
};
use elpis_backend::{FlashAttention, ModelOptions, ModelSource, ModelTrust, TorchDtype};
use elpis_steering::{LayerSteering, PlanKey, SteeringPlan};

/// Sends a message through memory.
fn through<M: serde::Serialize + serde::de::DeserializeOwned>(
    message: &M,
    blob: &[u8],
) -> (M, Vec<u8>) {
    let mut channel = Channel::new(Cursor::new(Vec::new()));
    channel.send(message, blob).unwrap();
    let bytes = channel.stream().get_ref().clone();
    let mut channel = Channel::new(bytes.as_slice());
    let message = channel.receive().unwrap();
    let end = channel.receive::<Reply>().unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof, "all was read");
    // `receive` has emptied the blob, so it is read once more.
    let mut channel = Channel::new(bytes.as_slice());
    channel.receive::<M>().unwrap();
    (message, channel.take_blob())
}

#[test]
fn constants_are_bounded() {
    // As long as no constant is: what a broken worker might send.
    let error = |call: &str| BackendError::Native {
        call: call.to_owned().leak(),
        reason: String::new(),
    };
    let mut channel = Channel::new(Cursor::new(Vec::new()));
    channel
        .send(&Reply::Failed(error(&"x".repeat(300))), &[])
        .unwrap();
    let bytes = channel.stream().get_ref().clone();
    let refused = Channel::new(bytes.as_slice())
        .receive::<Reply>()
        .unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn load_options_cross_without_loss() {
    let path = PathBuf::from(std::ffi::OsString::from_vec(b"/a/\xff.gguf".to_vec()));
    let options = LoadOptions::new(
        ModelOptions {
            backend: BackendKind::Transformers,
            context_length: Some(2048),
            gpu_layers: -1,
            n_threads: Some(usize::MAX),
            torch_dtype: TorchDtype::Float16,
            flash_attention: FlashAttention::Off,
            mmap: Some(false),
            tensor_split: Some(vec![0.1, 1.0 / 3.0]),
            trust: ModelTrust::Isolate,
            use_extra_bufts: false,
            batch_size: 7,
        },
        ModelSource::File(path),
    )
    .n_sequences(9)
    .devices(vec![Device {
        backend: BackendKind::LlamaCpp,
        kind: DeviceKind::Cuda,
        index: 1,
        name: "CUDA1".to_owned(),
        description: "a, b".to_owned(),
        memory_total: u64::MAX,
        memory_free: 1,
    }]);
    let (request, _) = through(&Request::Load(Box::new(Load::new(&options))), &[]);
    let Request::Load(load) = request else {
        panic!("{request:?}")
    };
    let other = load.into_options();
    assert_eq!(other.model, options.model);
    assert_eq!(other.source, options.source);
    assert_eq!((other.n_sequences, other.devices), (9, options.devices));
}

#[test]
fn a_loaded_model_crosses_without_loss() {
    let mut facts = ModelFacts::new("a", BackendKind::LlamaCpp);
    facts.supports_truncation = false;
    facts.architecture = "llama".to_owned();
    facts.description = "b".to_owned();
    facts.n_layers = 1;
    facts.n_embd = 2;
    facts.n_vocab = 3;
    facts.n_params = u64::MAX;
    facts.size_bytes = 5;
    facts.weights_digest = "0f".to_owned();
    facts.context_trained = 6;
    facts.context_length = 7;
    facts.n_sequences = 8;
    facts.cache_cells = 9;
    facts.batch_size = 10;
    facts.chat_template = Some("{{ messages }}".to_owned());
    facts.bos_token = "<s>".to_owned();
    facts.residual_norms = vec![0.1, f32::MIN_POSITIVE];
    facts.unsteerable = Some("its layers are not shown".to_owned());
    let loaded = Loaded {
        facts: facts.clone(),
        piece_ends: vec![0, 1, 300],
        end_tokens: vec![2],
        control_tokens: vec![elpis_backend::ControlToken {
            token: 2,
            text: "</s>".to_owned(),
            strips_left: false,
            strips_right: true,
        }],
    };
    let pieces = vec![0xff; 100_000];
    let (reply, blob) = through(&Reply::Loaded(Box::new(loaded)), &pieces);
    let Reply::Loaded(loaded) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(loaded.facts, facts);
    assert_eq!(
        (loaded.piece_ends, loaded.end_tokens),
        (vec![0, 1, 300], vec![2])
    );
    assert_eq!(blob, pieces);
}

#[test]
fn the_first_words_are_recognised() {
    let own = Hello::own();
    assert_eq!(Hello::from_bytes(&own.to_bytes()), Some(own));
    assert_eq!(Hello::from_bytes(&[b'x'; Hello::LENGTH]), None);
    let text = own.to_string();
    assert!(text.ends_with(env!("CARGO_PKG_VERSION")), "{text}");
}

fn plan(layers: &[(usize, f32)]) -> Arc<SteeringPlan> {
    let layers = layers.iter().map(|&(layer, value)| LayerSteering {
        layer,
        values: vec![value; 4].into(),
        norm: 2.0 * value,
        residual_fraction: (layer > 0).then_some(value),
        clamped: layer == 1,
    });
    Arc::new(SteeringPlan {
        layers: layers.collect(),
        key: PlanKey::from_bytes([7; 32]),
    })
}

#[test]
fn a_plan_crosses_once_and_is_found_again() {
    let (mut book, mut plans) = (PlanBook::new(1), Plans::default());
    let all: Vec<_> = (0..40).map(|n| plan(&[(0, n as f32), (1, 0.5)])).collect();
    let mut sent = 0;
    // More plans than there are places, in batches of two, each twice.
    for pair in all.windows(2).flat_map(|pair| [pair, pair]) {
        let mut batch = Batch::default();
        for plan in pair {
            batch.push(0, 0, &[1], false, Some(plan));
        }
        let (mut new, mut values) = (Vec::new(), Vec::new());
        let places = book.place(&batch, &mut new, &mut values);
        sent += new.len();
        let request = Request::Decode(Decode {
            plans: new,
            ..Decode::default()
        });
        let (request, values) = through(&request, &values);
        let Request::Decode(decode) = request else {
            panic!("{request:?}")
        };
        let mut blob = values.as_slice();
        assert!(decode.plans.iter().all(|plan| plans.take(plan, &mut blob)));
        assert!(blob.is_empty());
        for (place, plan) in places.iter().zip(pair) {
            assert!(*place < 16, "places are used again");
            assert_eq!(plans.get(*place), Some(plan));
        }
    }
    assert_eq!(sent, all.len());
    assert_eq!(plans.get(1000), None);
}

#[test]
fn a_plan_without_its_values_is_refused() {
    let mut values = Vec::new();
    let wire = WirePlan::new(0, &plan(&[(0, 1.0)]), &mut values);
    assert!(!Plans::default().take(&wire, &mut &values[1..]));
    let far = WirePlan::new(u32::MAX, &plan(&[(0, 1.0)]), &mut Vec::new());
    assert!(!Plans::default().take(&far, &mut values.as_slice()));
}

#[test]
fn a_model_may_take_long_to_load_as_long_as_there_are_signs_of_life() {
    let bound = Duration::from_millis(400);
    let loading = |signs: u32, then: Option<Reply>| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(bound)).unwrap();
        let worker = std::thread::spawn(move || {
            let mut channel = Channel::new(theirs);
            for _ in 0..signs {
                channel.send(&Reply::Loading, &[]).unwrap();
                std::thread::sleep(bound / 4);
            }
            match then {
                Some(reply) => channel.send(&reply, &[]).unwrap(),
                // It hangs, and its connection stays open.
                None => std::thread::sleep(2 * bound),
            }
        });
        let received = super::receive_loaded(&mut Channel::new(ours));
        worker.join().unwrap();
        received
    };
    let failed = Reply::Failed(BackendError::NoBundledModel);
    let refused = loading(10, Some(failed)).unwrap().unwrap_err();
    assert_eq!(refused, BackendError::NoBundledModel);
    let kind = loading(2, None).unwrap_err().kind();
    assert!(
        matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        "{kind:?}"
    );
    let kind = loading(0, Some(Reply::Done)).unwrap_err().kind();
    assert_eq!(kind, io::ErrorKind::InvalidData);
}

#[test]
fn logits_are_seen_on_both_sides() {
    let file = logits::create().unwrap();
    let mut ours = SharedLogits::new(file.try_clone().unwrap(), 3);
    let mut theirs = SharedLogits::new(file, 3);
    assert!(theirs.see(2).is_err(), "there is no room yet");
    let mut copied = vec![7.0];
    assert!(!ours.copy_rows(1, &mut copied) && !theirs.write(0, &[0.0; 3]));
    assert!(ours.copy_rows(0, &mut copied) && copied.is_empty());
    for rows in [2, 5000] {
        ours.grow(rows).unwrap();
        theirs.see(ours.rows()).unwrap();
        assert!(theirs.write(rows - 1, &[1.0, rows as f32, 3.0]));
        assert!(ours.copy_rows(rows, &mut copied));
        assert_eq!(copied.len(), 3 * rows);
        assert_eq!(copied[3 * rows - 3..], [1.0, rows as f32, 3.0]);
        // A worker that writes at the wrong time changes nothing that was copied.
        assert!(theirs.write(rows - 1, &[f32::NAN; 3]));
        assert_eq!(copied[3 * rows - 3..], [1.0, rows as f32, 3.0]);
        assert!(!ours.copy_rows(rows + 1, &mut copied) && !theirs.write(rows, &[0.0; 3]));
        assert!(!theirs.write(0, &[0.0; 4]));
    }
    ours.grow(1).unwrap();
    assert_eq!(ours.rows(), 5000, "it never shrinks");
    assert!(ours.grow(usize::MAX).is_err());
    assert!(
        SharedLogits::new(logits::create().unwrap(), 0)
            .grow(1)
            .is_err()
    );
}

#[test]
fn a_program_that_says_nothing_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("silent");
    fs::write(&script, "#!/bin/sh\nexec sleep 60\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let start = Instant::now();
    let options = WorkerOptions {
        program: Some(script),
        bound: None,
        trial: false,
    };
    let limit = Duration::from_millis(300);
    let error = child::start_within(limit, &options).err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, BackendError::WorkerUnusable { .. }),
        "{text}"
    );
    assert!(
        text.contains("nothing for 0.3 s") && text.contains("serve_if_asked"),
        "{text}"
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}

fn row() -> impl Strategy<Value = WireRow> {
    let plan = proptest::option::of(any::<u32>());
    (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<bool>(),
        plan,
    )
        .prop_map(|(token, position, sequence, logits, plan)| WireRow {
            token,
            position,
            sequence,
            logits,
            plan,
        })
}

proptest! {
    #[test]
    fn batches_cross_without_loss(
        rows in proptest::collection::vec(row(), 0..600),
        blob in proptest::collection::vec(any::<u8>(), 0..70_000),
        room in any::<usize>(),
    ) {
        let decode = Decode { rows: rows.clone(), plans: Vec::new(), room };
        let (request, other) = through(&Request::Decode(decode), &blob);
        let Request::Decode(decode) = request else {
            panic!("{request:?}")
        };
        prop_assert_eq!((decode.rows, decode.room, other), (rows, room, blob));
    }

    #[test]
    fn garbage_is_an_error_and_nothing_worse(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_frames(&bytes);
        // The same behind lengths that fit.
        let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
        framed.extend(0_u64.to_le_bytes());
        framed.extend(&bytes);
        read_frames(&framed);
    }

    #[test]
    fn a_frame_that_is_cut_off_or_changed_is_no_panic(cut in 0_usize..400, at in 0_usize..400, bit in 0_u32..8) {
        let mut values = Vec::new();
        let plans = vec![WirePlan::new(0, &plan(&[(0, 1.0), (2, 3.0)]), &mut values)];
        let mut channel = Channel::new(Cursor::new(Vec::new()));
        let decode = Decode { plans, ..Decode::default() };
        channel.send(&Request::Decode(decode), &values).unwrap();
        let mut bytes = channel.stream().get_ref().clone();
        let (cut, at) = (cut % bytes.len(), at % bytes.len());
        prop_assert!(Channel::new(&bytes[..cut]).receive::<Request>().is_err());
        bytes[at] ^= 1_u8 << bit;
        read_frames(&bytes);
    }
}
