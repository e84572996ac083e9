//! A model in a process of its own: it says the same, and when it dies nothing
//! else does.
#![cfg(target_os = "linux")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use elpis::backend::{
    Backend, BackendError, BackendKind, Batch, BundledModel, LoadOptions, available_backends,
    create_backend,
};
use elpis::settings::{HardwareBackend, Isolation, ModelSettings, ModelSource, RuntimeSettings};
use elpis::steering::{BlendOptions, LibraryContext, SteeringLibrary};
use elpis::worker::{self, WorkerOptions};
use elpis::{
    ChatMessage, Coefficients, Elpis, EngineError, Error, GenerationEvent, GenerationStream,
    Session, Settings,
};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const ELPIS: &str = env!("CARGO_BIN_EXE_elpis");
const QUESTION: &str = "Tell me about trains.";
/// Names the program of a worker to a test in another process.
const PROGRAM: &str = "ELPIS_TEST_PROGRAM";

/// The `elpis` command under a name of this test's own, by which its processes
/// are found.
struct Program {
    folder: TempDir,
    path: PathBuf,
}

impl Program {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elpis");
        symlink(ELPIS, &path).unwrap();
        Self { folder, path }
    }

    /// A script in its place.
    fn script(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder, path }
    }

    fn settings(&self) -> Settings {
        let runtime = RuntimeSettings::default()
            .isolation(Isolation::Process)
            .worker(self.path.as_path())
            .restart_backoff_initial_ms(10_u64);
        Settings::default().model(cpu()).runtime(runtime)
    }

    fn options(&self) -> WorkerOptions {
        WorkerOptions {
            program: Some(self.path.clone()),
            bound: None,
        }
    }

    /// The only process that runs this program.
    async fn process(&self) -> Pid {
        within("a worker", || running(&self.path)).await
    }

    fn runs(&self) -> bool {
        running(&self.path).is_some()
    }
}

fn cpu() -> ModelSettings {
    ModelSettings::default().hardware_backend(HardwareBackend::Cpu)
}

fn in_process() -> Settings {
    Settings::default().model(cpu())
}

/// A live process whose first argument, its own name, is this path.
fn running(program: &Path) -> Option<Pid> {
    let own = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        // Empty for one that is dead but not waited for.
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let name = line.split(|&byte| byte == 0).next()?;
        (name == program.as_os_str().as_encoded_bytes()).then_some(id)
    });
    let found: Vec<i32> = own.collect();
    assert!(found.len() < 2, "one worker at a time: {found:?}");
    Pid::from_raw(*found.first()?)
}

fn exists(process: Pid) -> bool {
    Path::new(&format!("/proc/{}", process.as_raw_nonzero())).exists()
}

async fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn gone(process: Pid) {
    within("the end of a process", || (!exists(process)).then_some(())).await;
}

async fn greedy(session: &Session, excited: Option<f64>) -> String {
    let mut coefficients = Coefficients::new();
    if let Some(excited) = excited {
        coefficients.insert("excited", excited).unwrap();
    }
    let chat = session.chat(QUESTION).max_tokens(40).temperature(0.0);
    let reply = chat.coefficients(coefficients).complete().await;
    reply.unwrap().text
}

/// A generation that is in the middle of its reply, and stays there until its
/// reader goes on.
async fn begun(session: &Session) -> GenerationStream {
    let mut stream = session.chat(QUESTION).seed(1).stream().await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(matches!(first, GenerationEvent::Text(_)));
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_those_of_a_model_in_this_process() {
    let program = Program::new();
    let mut texts = Vec::new();
    for settings in [in_process(), program.settings()] {
        let elpis = Elpis::start(settings).await.unwrap();
        let session = elpis.session("a").unwrap();
        let plain = greedy(&session, None).await;
        let steered = greedy(&session, Some(1.0)).await;
        assert_ne!(plain, steered);
        // Further turns take kept keys and values over and give them back.
        let mut messages = vec![ChatMessage::user(QUESTION)];
        let mut replies = vec![plain, steered];
        for turn in 0..3 {
            session.feel("success").await.unwrap();
            let reply = session.chat(&messages).max_tokens(24).temperature(0.0);
            let reply = reply.complete().await.unwrap();
            let cached = reply.report.cached_prompt_tokens;
            assert!(turn == 0 || cached > 0, "turn {turn}: {cached}");
            messages.push(ChatMessage::assistant(&reply.text));
            messages.push(ChatMessage::user("And the sea?"));
            replies.push(reply.text);
        }
        let kept = session.save_kv().await.unwrap().unwrap();
        assert!(session.restore_kv(kept).await.unwrap() > 0);
        texts.push(replies);
        elpis.shutdown().await;
    }
    assert_eq!(texts[0], texts[1]);
    assert!(!program.runs());
}

fn load(kind: BackendKind, worker: Option<WorkerOptions>) -> Box<dyn Backend> {
    create_backend(&LoadOptions {
        model: cpu().backend(kind),
        source: ModelSource::Bundled,
        n_sequences: 4,
        devices: Vec::new(),
        worker,
    })
    .unwrap()
}

/// Everything that a backend can be asked, and what it says.
fn everything(backend: &mut dyn Backend) -> Vec<Vec<f32>> {
    let facts = backend.facts().clone();
    let library = SteeringLibrary::build(
        BundledModel::library_files(),
        &LibraryContext::new(facts.n_layers, facts.n_embd),
    )
    .unwrap();
    let tokens = backend.tokenizer().encode(QUESTION, true).unwrap();
    let plan = |name: &str| {
        let blend = library.blend([(name, 1.0)].into_iter(), &BlendOptions::default());
        std::sync::Arc::new(blend.unwrap())
    };
    let mut seen = Vec::new();
    let mut batch = Batch::default();
    batch.push(0, 0, &tokens, true, Some(&plan("excited")));
    batch.push(1, 0, &tokens, true, Some(&plan("calm")));
    batch.push(2, 0, &tokens, true, None);
    backend.decode(&batch).unwrap();
    for count in 1..=3 {
        let row = count * tokens.len();
        seen.push(backend.logits(row - 1).unwrap().to_vec());
        let none = backend.logits(row - 2).unwrap_err();
        assert_eq!(none, BackendError::NoLogits { row: row - 2 });
    }
    backend.share_prefix(1, 3, 2).unwrap();
    let kept = backend.save_sequence(0).unwrap();
    backend.truncate(0, 0).unwrap();
    let half = kept.len() / 2;
    backend.restore_sequence(0, 9, &kept[..half]).unwrap_err();
    let length = tokens.len() as u32;
    backend.restore_sequence(0, length, &kept).unwrap();
    backend.truncate(1, 3).unwrap();
    batch.clear();
    batch.push(0, length, &[tokens[0]], true, None);
    batch.push(1, 3, &tokens[3..5], true, Some(&plan("frustrated")));
    batch.push(3, 2, &tokens[2..4], true, None);
    backend.decode(&batch).unwrap();
    for row in [0, 2, 4] {
        seen.push(backend.logits(row).unwrap().to_vec());
    }
    let stream = backend.residual_stream(&tokens, &[1, 4]).unwrap();
    assert_eq!((stream.len(), stream[0].len()), (2, tokens.len()));
    seen.extend(stream.into_iter().flatten());
    // What is refused does no harm.
    let refused = backend.residual_stream(&tokens, &[1000]).unwrap_err();
    assert!(matches!(
        refused,
        BackendError::Limit { field: "layer", .. }
    ));
    batch.clear();
    batch.push(99, 0, &tokens, true, None);
    let refused = backend.decode(&batch).unwrap_err();
    assert!(matches!(
        refused,
        BackendError::Limit {
            field: "sequence",
            ..
        }
    ));
    let vocabulary = backend.tokenizer();
    let mut pieces = Vec::new();
    for token in 0..facts.n_vocab as u32 + 2 {
        vocabulary.append_piece(token, &mut pieces);
        pieces.push(u8::from(vocabulary.is_end(token)));
    }
    seen.push(pieces.into_iter().map(f32::from).collect());
    seen
}

#[test]
fn every_call_gives_what_it_gives_in_this_process() {
    for &kind in available_backends() {
        let program = Program::new();
        let (mut here, mut there) = (load(kind, None), load(kind, Some(program.options())));
        assert_eq!(here.facts(), there.facts());
        let encode = |backend: &dyn Backend| {
            let texts = ["", "<|im_end|> plain", "naïve 🚂", &"long ".repeat(50_000)];
            texts.map(|text| [true, false].map(|s| backend.tokenizer().encode(text, s).unwrap()))
        };
        assert_eq!(encode(here.as_ref()), encode(there.as_ref()));
        assert!(everything(here.as_mut()) == everything(there.as_mut()));
        let tokenizer = there.tokenizer();
        drop(there);
        assert!(!program.runs(), "the process goes with the backend");
        let gone = tokenizer.encode("text", true).unwrap_err();
        assert!(
            gone.is_fatal() && gone.to_string().contains("unloaded"),
            "{gone:?}"
        );
    }
}

/// What is left of a runtime whose model was killed in the middle of a stream.
async fn survives(signal: Signal, patient: bool) {
    let program = Program::new();
    let mut settings = program.settings();
    settings.runtime = settings.runtime.n_parallel(1_usize);
    if patient {
        // The generation waits for its reader: nothing is evaluated.
        settings.runtime = settings.runtime.stream_buffer(1_usize);
    }
    let elpis = Elpis::start(settings).await.unwrap();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    session.feel("failure").await.unwrap();
    let running = begun(&session).await;
    let other = elpis.session("b").unwrap();
    let waiting = other.chat(QUESTION).max_tokens(5).seed(2).stream().await;
    // Read at once: it must not hold the only place later.
    let waiting = tokio::spawn(waiting.unwrap().completion());
    let process = program.process().await;
    // Rust's own handler takes the first SIGSEGV for a fault that will recur.
    within("the end of a process", || {
        let _ = kill_process(process, signal);
        (!exists(process)).then_some(())
    })
    .await;
    let error = running.completion().await.unwrap_err();
    assert_eq!(error, EngineError::EngineRestarted);
    // Asked for at once, before anything is loaded anew.
    assert_eq!(greedy(&session, None).await, expected);
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!(reply.report.completion_tokens, 5, "what waited was kept");
    assert_eq!(session.state().await.unwrap().events_applied, 1);
    assert!(!exists(process), "nobody is left unburied");
    let next = program.process().await;
    assert_ne!(process, next);
    elpis.shutdown().await;
    assert!(!exists(next));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_model_costs_the_running_stream_alone() {
    survives(Signal::KILL, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_model_costs_the_running_stream_alone() {
    survives(Signal::SEGV, true).await;
}

/// In the middle of a batch, which no reader holds up.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_dies_while_it_evaluates_is_started_again() {
    let program = Program::new();
    let elpis = Elpis::start(program.settings()).await.unwrap();
    let streams: Vec<_> = (0..4)
        .map(|n| {
            let session = elpis.session(format!("{n}")).unwrap();
            tokio::spawn(async move {
                let mut ends = Vec::new();
                for seed in 0..400 {
                    let chat = session.chat(QUESTION).seed(seed).complete().await;
                    match chat {
                        Ok(_) if ends.is_empty() => {}
                        Ok(_) => break,
                        Err(error) => ends.push(error),
                    }
                }
                ends
            })
        })
        .collect();
    let process = program.process().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    kill_process(process, Signal::ABORT).unwrap();
    for stream in streams {
        let ends = stream.await.unwrap();
        assert!(ends.len() <= 1, "{ends:?}");
        for end in ends {
            assert!(
                matches!(end, Error::Engine(EngineError::EngineRestarted)),
                "{end:?}"
            );
        }
    }
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_model_that_dies_is_loaded_before_anyone_asks() {
    let program = Program::new();
    let elpis = Elpis::start(program.settings()).await.unwrap();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    let first = program.process().await;
    kill_process(first, Signal::KILL).unwrap();
    assert_eq!(greedy(&session, None).await, expected, "nobody notices");
    let second = program.process().await;
    kill_process(second, Signal::KILL).unwrap();
    gone(second).await;
    within("a model", || elpis.model()).await;
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_dies_while_it_is_loaded_fails_the_start_or_is_tried_again() {
    let program = Program::new();
    let model = program.folder.path().join("model.gguf");
    let mut settings = program.settings();
    settings.model.path = Some(model.display().to_string());
    // Loading waits for ever for someone to write into the pipe.
    let blocked = || {
        let _ = fs::remove_file(&model);
        assert!(
            Command::new("mkfifo")
                .arg(&model)
                .status()
                .unwrap()
                .success()
        );
    };
    let whole = || {
        fs::remove_file(&model).unwrap();
        fs::write(&model, BundledModel::gguf().unwrap()).unwrap();
    };
    // Succeeds once somebody reads; what it returns keeps the reader waiting.
    let opened = async || {
        let mut pipe = OpenOptions::new();
        pipe.write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32);
        within("a reader", || pipe.open(&model).ok()).await
    };
    blocked();
    let starting = tokio::spawn(Elpis::start(settings.clone()));
    let process = program.process().await;
    let held = opened().await;
    kill_process(process, Signal::KILL).unwrap();
    let error = starting.await.unwrap().unwrap_err();
    let died = |error: &Error| matches!(error, Error::Backend(BackendError::WorkerDied { reason }) if reason.contains("SIGKILL"));
    assert!(died(&error), "{error:?}");
    assert!(!exists(process));
    drop(held);

    whole();
    let elpis = Elpis::start(settings).await.unwrap();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    blocked();
    let first = program.process().await;
    kill_process(first, Signal::KILL).unwrap();
    gone(first).await;
    let second = program.process().await;
    let _held = opened().await;
    whole();
    kill_process(second, Signal::KILL).unwrap();
    assert_eq!(greedy(&session, None).await, expected);
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_hangs_is_replaced_within_the_watchdogs_bound() {
    let program = Program::new();
    let mut settings = program.settings();
    settings.runtime = settings
        .runtime
        .stream_buffer(1_usize)
        .watchdog_seconds(2.0);
    let elpis = Elpis::start(settings).await.unwrap();
    let session = elpis.session("a").unwrap();
    let expected = greedy(&session, None).await;
    let running = begun(&session).await;
    let first = program.process().await;
    kill_process(first, Signal::STOP).unwrap();
    let start = Instant::now();
    let error = running.completion().await.unwrap_err();
    assert_eq!(error, EngineError::EngineRestarted);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(greedy(&session, None).await, expected);
    gone(first).await;
    // Idle: whoever asks finds out.
    let second = program.process().await;
    kill_process(second, Signal::STOP).unwrap();
    assert_eq!(greedy(&session, None).await, expected);
    gone(second).await;
    elpis.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_runtime_leaves_no_process() {
    let program = Program::new();
    let elpis = Elpis::start(program.settings()).await.unwrap();
    let session = elpis.session("a").unwrap();
    let stream = begun(&session).await;
    let process = program.process().await;
    drop((elpis, session, stream));
    gone(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_says_why_as_ever() {
    let program = Program::new();
    let file = program.folder.path().join("text.gguf");
    fs::write(&file, "not a model at all").unwrap();
    let mut errors = Vec::new();
    for mut settings in [in_process(), program.settings()] {
        settings.model.path = Some(file.display().to_string());
        errors.push(Elpis::start(settings).await.unwrap_err());
    }
    let [Error::Backend(here), Error::Backend(there)] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert_eq!(here, there);
    assert!(matches!(
        here,
        BackendError::NotAModel {
            expected: "GGUF",
            ..
        }
    ));
    assert!(!program.runs());
}

async fn unusable(settings: Settings) -> String {
    let error = Elpis::start(settings).await.unwrap_err();
    assert!(
        matches!(error, Error::Backend(BackendError::WorkerUnusable { .. })),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_worker_is_told_what_to_do() {
    // This program: a test, which knows nothing of workers.
    let mut settings = Program::new().settings();
    settings.runtime.worker = None;
    let own = unusable(settings.clone()).await;
    assert!(
        own.contains("exited with code") && own.contains("serve_if_asked"),
        "{own}"
    );
    settings.runtime.worker = Some("/nonexistent/worker".into());
    let missing = unusable(settings).await;
    assert!(
        missing.contains("/nonexistent/worker: No such file"),
        "{missing}"
    );
    let chatty = Program::script("exec yes 'no worker at all, but it has a lot to say' >&0");
    let chatty = unusable(chatty.settings()).await;
    assert!(
        chatty.contains("something else") && chatty.contains("serve_if_asked"),
        "{chatty}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_build_is_refused() {
    let padding = "\\000".repeat(15);
    let old = Program::script(&format!(
        "printf 'elpis-wk\\001\\002\\000\\0000.0.9{padding}' >&0; sleep 60"
    ));
    let old = unusable(old.settings()).await;
    assert!(old.contains("speaks protocol 513 of elpis 0.0.9"), "{old}");
    assert!(
        old.contains(concat!("of elpis ", env!("CARGO_PKG_VERSION"))),
        "{old}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_protocol_is_ended() {
    let version = env!("CARGO_PKG_VERSION");
    let padding = "\\000".repeat(20 - version.len());
    let hello = format!("printf 'elpis-wk\\001\\000\\000\\000{version}{padding}' >&0");
    for (rest, told) in [
        ("yes >&0", "broke the protocol"),
        ("exit 3", "exited with code 3"),
    ] {
        let program = Program::script(&format!("{hello}; {rest}"));
        let error = Elpis::start(program.settings()).await.unwrap_err();
        let Error::Backend(BackendError::WorkerDied { reason }) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains(told), "{reason}");
    }
}

/// Runs another test of this file in a process of its own.
fn alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command
}

#[test]
fn a_program_that_forgets_to_serve_does_not_start_itself_for_ever() {
    let output = alone("in_a_worker_no_worker_is_started")
        .env(worker::MARKER, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test"]
async fn in_a_worker_no_worker_is_started() {
    let program = Program::new();
    let refused = unusable(program.settings()).await;
    assert!(refused.contains("started as a worker itself"), "{refused}");
    assert!(!program.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_not_outlive_the_program() {
    let program = Program::new();
    let mut parent = alone("holds_a_runtime")
        .env(PROGRAM, &program.path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let process = program.process().await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    gone(process).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test"]
async fn holds_a_runtime() {
    let mut program = Program::new();
    program.path = std::env::var_os(PROGRAM).unwrap().into();
    let elpis = Elpis::start(program.settings()).await.unwrap();
    let session = elpis.session("a").unwrap();
    for seed in 0.. {
        let _ = session.chat(QUESTION).seed(seed).complete().await;
    }
}

#[test]
fn nothing_is_left_behind() {
    let (program, folder) = (Program::new(), tempfile::tempdir().unwrap());
    let output = alone("counts_descriptors")
        .env(PROGRAM, &program.path)
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
#[ignore = "run by another test"]
fn counts_descriptors() {
    let path = PathBuf::from(std::env::var_os(PROGRAM).unwrap());
    let options = |program: &Path| WorkerOptions {
        program: Some(program.to_owned()),
        bound: None,
    };
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for round in 0..3 {
        let mut backend = load(BackendKind::LlamaCpp, Some(options(&path)));
        let mut batch = Batch::default();
        batch.push(0, 0, &[1], true, None);
        backend.decode(&batch).unwrap();
        if round > 0 {
            kill_process(running(&path).unwrap(), Signal::KILL).unwrap();
            assert!(backend.truncate(0, 0).unwrap_err().is_fatal());
        }
    }
    let refused = options(Path::new("/bin/true"));
    let refused = create_backend(&LoadOptions {
        model: cpu(),
        source: ModelSource::Bundled,
        n_sequences: 1,
        devices: Vec::new(),
        worker: Some(refused),
    });
    assert!(refused.is_err());
    assert_eq!(open(), before);
}

#[test]
fn a_worker_without_a_runtime_says_so() {
    let by_hand = Command::new(ELPIS).arg(worker::ARGUMENT).output().unwrap();
    assert!(!by_hand.status.success());
    let text = String::from_utf8(by_hand.stderr).unwrap();
    assert!(text.contains("runtime.isolation"), "{text}");
    let marked = Command::new(ELPIS)
        .env(worker::MARKER, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!marked.status.success());
    let text = String::from_utf8(marked.stderr).unwrap();
    assert!(text.contains(worker::MARKER), "{text}");
}
