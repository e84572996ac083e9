//! The `elpis` command.

mod asking;
mod hints;
mod notices;
#[cfg(target_os = "linux")]
mod signals;
mod soak;
mod talking;
mod untrusted;

use std::fmt::Write as _;
use std::process::{Command, Output};

use serde_json::Value;

/// The command in an empty folder, without settings of ours.
fn command(arguments: &[&str], folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elpis"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ELPIS_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("GOMP_SPINCOUNT")
        .env_remove("OMP_WAIT_POLICY")
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu");
    command
}

fn elpis(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(arguments, folder.path()).output().unwrap()
}

fn log() -> String {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/emotion_sequences.jsonl"
    )
    .to_owned()
}

fn agrees(found: &Value, expected: &Value, at: &str) {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() <= 1e-6,
                "{at}: {found} is not {expected}"
            );
        }
        (Value::Object(found), Value::Object(expected)) => {
            // The reference knows quadrants alone.
            let own = usize::from(found.contains_key("mood") && !expected.contains_key("mood"));
            assert_eq!(found.len(), expected.len() + own, "{at}");
            for (key, expected) in expected {
                agrees(&found[key], expected, &format!("{at}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{at}");
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                agrees(found, expected, &format!("{at}[{index}]"));
            }
        }
        (found, expected) => assert_eq!(found, expected, "{at}"),
    }
}

#[test]
fn replay_computes_what_the_reference_recorded() {
    let output = elpis(&["emotion", "replay", &log()]);
    assert!(output.status.success(), "{output:?}");
    let expected = std::fs::read_to_string(log()).unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(found.lines().count(), 24);
    for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        let found = serde_json::from_str(found).unwrap();
        agrees(
            &found,
            &serde_json::from_str(expected).unwrap(),
            &format!("line {number}"),
        );
    }
}

#[test]
fn a_bad_log_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    let steps = r#"{"settings":{},"steps":[{"at":1,"event":"success","intensity":1}]}"#;
    std::fs::write(
        &file,
        format!("{steps}\n{{\"settings\":{{}},\"steps\":[{{}}]}}\n"),
    )
    .unwrap();
    let output = elpis(&["emotion", "replay", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("log.jsonl:2:"), "{words}");
    assert_eq!(
        elpis(&["emotion", "replay", "no-such-file"]).status.code(),
        Some(1)
    );
    assert_eq!(elpis(&["emotion"]).status.code(), Some(2));
}

#[test]
fn doctor_shows_what_is_in_force_and_where_it_came_from() {
    let output = elpis(&["doctor", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["hardware"]["selected"], "cpu");
    assert_eq!(report["model"]["backend"], "llama-cpp");
    assert_eq!(report["vectors"]["emotions"].as_array().unwrap().len(), 4);
    let row = &report["settings"]["model.hardware_backend"];
    assert_eq!(row["value"], "cpu");
    let origin = row["origin"].as_str().unwrap();
    assert!(origin.contains("ELPIS_MODEL_HARDWARE_BACKEND"), "{origin}");
    #[cfg(unix)]
    assert_eq!(report["openmp_spin_count"], "3000");
    assert_eq!(report["template"]["origin"], "own");
    let text = String::from_utf8(elpis(&["doctor", "--quiet"]).stdout).unwrap();
    for words in [
        "model.temperature",
        "parameters",
        "template: the model's own; tools as ",
        "layer 2 (norm ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let text = String::from_utf8(elpis(&["doctor", "--no-model"]).stdout).unwrap();
    assert!(
        text.contains("model.temperature") && !text.contains("template:"),
        "{text}"
    );
}

/// What doctor warns of, by code, under so many variables.
fn warnings(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&[&["doctor", "--json"], arguments].concat(), folder.path());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (output, report)
}

#[test]
fn doctor_warns_of_what_the_bundled_model_lacks() {
    let (output, report) = warnings(&[], &[]);
    assert!(output.status.success(), "{output:?}");
    let found = report["warnings"].as_array().unwrap();
    for warning in found {
        let keys: Vec<_> = warning.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "figures", "problem", "advice"], "{warning}");
        assert!(warning["code"].is_string() && warning["figures"].is_object());
        for words in ["problem", "advice"] {
            let words = warning[words].as_str().unwrap();
            assert!(words.len() > 10, "{warning}");
        }
    }
    let codes: Vec<_> = found.iter().map(|warning| &warning["code"]).collect();
    assert!(codes.contains(&&Value::from("no-store")), "{codes:?}");
    // It has a whole set of vectors, and needs next to no memory.
    for code in [
        "no-vectors",
        "emotions-without-vector",
        "weights-exceed-memory",
    ] {
        assert!(!codes.contains(&&Value::from(code)), "{codes:?}");
    }
}

#[test]
fn doctor_warns_of_a_setting_and_can_be_strict_about_it() {
    let variables = [
        ("ELPIS_MODEL_N_THREADS", "1000"),
        ("ELPIS_METRICS_LISTEN", "0.0.0.0:1"),
    ];
    let (output, report) = warnings(&["--no-model"], &variables);
    assert!(output.status.success(), "{output:?}");
    let found = report["warnings"].as_array().unwrap();
    let of = |code: &str| {
        found
            .iter()
            .find(|warning| warning["code"] == code)
            .unwrap()
    };
    assert_eq!(of("threads-beyond-cores")["figures"]["threads"], 1000);
    assert_eq!(of("metrics-exposed")["figures"]["address"], "0.0.0.0:1");

    let (output, again) = warnings(&["--no-model", "--strict"], &variables);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(report["warnings"], again["warnings"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--strict"), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let output = command(&["doctor", "--no-model"], folder.path())
        .envs(variables)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, told) = text.split_once("\nwarnings\n").unwrap();
    assert!(told.contains("model.n_threads is 1000") && told.contains("at most"));
}

#[test]
fn vectors_are_converted_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let calm = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../elpis-backend/models/elpis-tiny/vectors/calm.safetensors"
    );
    let whole = elpis(&["vectors", "inspect", calm]);
    let whole = String::from_utf8(whole.stdout).unwrap();
    assert!(
        whole.contains("width 128") && whole.contains("no layer"),
        "{whole}"
    );
    // A vector without a layer cannot become a control vector by itself.
    let refused = elpis(&["vectors", "convert", calm, &path("calm.gguf")]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for name in ["calm.gguf", "calm.pt", "again.safetensors"] {
        let from = if name == "again.safetensors" {
            path("calm.pt")
        } else {
            calm.to_owned()
        };
        let output = elpis(&["vectors", "convert", &from, &path(name), "--layer", "2"]);
        assert!(output.status.success(), "{output:?}");
        let shown = elpis(&["vectors", "inspect", &path(name)]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("layer   2"), "{shown}");
        let norm = |text: &str| text.split("norm ").nth(1).unwrap().trim().to_owned();
        assert_eq!(norm(&shown), norm(&whole));
    }
    // A layer is not taken from a vector that has its own.
    let moved = ["vectors", "convert", &path("calm.pt"), &path("moved.pt")];
    let refused = elpis(&[&moved[..], &["--layer", "3"]].concat());
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("has rows for 2"), "{words}");
    assert!(!folder.path().join("moved.pt").exists());
    let unknown = elpis(&["vectors", "inspect", "vector.bin"]);
    let words = String::from_utf8(unknown.stderr).unwrap();
    assert!(words.contains("safetensors"), "{words}");
}

/// A control vector for layers 0 and 1 of a model 128 wide, as it is published.
fn control_vector(model_hint: &str) -> Vec<u8> {
    use elpis::steering::{SteeringVector, VectorFormat, write};
    let rows = [(0, vec![3.0; 128]), (1, vec![4.0; 128])].into();
    let vector = SteeringVector::layered(rows).unwrap();
    write(
        VectorFormat::Gguf,
        &vector.described(Some(model_hint.to_owned()), None),
    )
    .unwrap()
}

#[test]
fn a_folder_of_vectors_is_inspected_with_one_bad_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let dir = folder.path().to_str().unwrap();
    std::fs::write(path("calm.gguf"), control_vector("tiny\u{1b}[31m")).unwrap();
    std::fs::write(path("excited.gguf"), control_vector("")).unwrap();
    std::fs::write(path("vectors.toml"), "scale = 0.5\n").unwrap();
    std::fs::write(path("notes.txt"), "mine").unwrap();
    let output = elpis(&["vectors", "inspect", dir]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("calm.gguf: width 128"), "{text}");
    assert!(text.contains("made for tiny\\u{1b}[31m"), "{text}");
    assert!(text.contains("layer   0  norm 33.9411\n"), "{text}");
    assert!(text.contains("llama.cpp itself skips layer 0"), "{text}");
    assert!(
        !text.contains("made for \n") && !text.contains('\u{1b}'),
        "{text}"
    );
    // Equal in direction in both layers.
    assert!(text.contains("cosines"), "{text}");
    assert!(
        text.lines()
            .any(|l| l.starts_with("calm ") && l.ends_with("+1.000")),
        "{text}"
    );

    std::fs::write(path("frustrated.pt"), "no zip").unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n";
    std::fs::write(path("depleted.gguf"), pointer).unwrap();
    let output = elpis(&["vectors", "inspect", dir]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (text, words) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        text.contains("calm.gguf") && text.contains("excited.gguf"),
        "{text}"
    );
    assert!(
        words.contains("frustrated.pt: ") && words.contains("zip"),
        "{words}"
    );
    assert!(
        words.contains("Git LFS pointer") && words.contains("git lfs pull"),
        "{words}"
    );
    assert!(words.contains("2 of 5 files cannot be used"), "{words}");

    // Several files, one of them bad, as JSON.
    let files =
        ["calm.gguf", "frustrated.pt", "excited.gguf"].map(|n| path(n).display().to_string());
    let arguments = [
        "vectors", "inspect", "--json", &files[0], &files[1], &files[2],
    ];
    let output = elpis(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["files"].as_array().unwrap().len(), 3);
    assert_eq!(json["files"][0]["vectors"][0]["rows"][1]["layer"], 1);
    assert!(json["files"][2]["error"].as_str().unwrap().contains("zip"));
    assert_eq!(json["cosines"][0]["layers"], 2);
    assert!((json["cosines"][0]["cosine"].as_f64().unwrap() - 1.0).abs() < 1e-9);

    let empty = elpis(&[
        "vectors",
        "inspect",
        folder.path().join("calm.gguf/").to_str().unwrap(),
    ]);
    assert_eq!(empty.status.code(), Some(1));
    std::fs::create_dir(path("empty")).unwrap();
    let empty = elpis(&["vectors", "inspect", path("empty").to_str().unwrap()]);
    assert!(
        String::from_utf8(empty.stderr)
            .unwrap()
            .contains("holds no vectors")
    );
}

#[test]
fn vectors_are_inspected_for_a_model() {
    let vectors = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../elpis-backend/models/elpis-tiny/vectors"
    );
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../elpis-backend/models/elpis-tiny/elpis-tiny.gguf"
    );
    let output = elpis(&["vectors", "inspect", vectors, "--model", model]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.matches("% of the residual stream's norm").count(),
        4,
        "{text}"
    );
    assert!(text.contains("cosines"), "{text}");
    // One for another model is told beside the others.
    let folder = tempfile::tempdir().unwrap();
    let wide = folder.path().join("calm.npy");
    let vector = elpis::steering::SteeringVector::bare(vec![1.0; 64]).unwrap();
    let bytes = elpis::steering::write(elpis::steering::VectorFormat::Npy, &vector).unwrap();
    std::fs::write(&wide, bytes).unwrap();
    let output = elpis(&[
        "vectors",
        "inspect",
        vectors,
        wide.to_str().unwrap(),
        "--model",
        model,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains("width is 64, must be the model's 128"),
        "{words}"
    );
    assert!(words.contains("1 of 6 files cannot be used"), "{words}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("calm.safetensors")
    );
}

#[test]
fn sparse_giants_and_pipes_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, limit) in [("calm.pt", "268435456"), ("vectors.toml", "65536")] {
        let path = folder.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(1 << 42).unwrap();
        let dir = folder.path().to_str().unwrap();
        let output = elpis(&["vectors", "inspect", dir]);
        assert_eq!(output.status.code(), Some(1));
        let words = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{name} has 4398046511104 bytes, must have at most {limit}");
        assert!(words.contains(&expected), "{words}");
        std::fs::write(folder.path().join("excited.npy"), "x").unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn packs_matrices_and_named_layers_are_converted() {
    use elpis::steering::{SteeringVector, VectorFormat, parse, write};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/steering/");
    let read = |name: &str| {
        let bytes = std::fs::read(path(name)).unwrap();
        let format = VectorFormat::from_extension(name.rsplit('.').next().unwrap()).unwrap();
        parse(format, &bytes).unwrap()
    };
    let convert = |arguments: &[&str]| {
        let output = elpis(&[&["vectors", "convert"], arguments].concat());
        let words = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), words)
    };
    let pack = format!("{data}pack.pt");
    let (done, words) = convert(&[&pack, &path("joy.npz"), "--emotion", "joy"]);
    assert!(done, "{words}");
    assert!(read("joy.npz").is_stacked());
    let (done, words) = convert(&[&pack, &path("x.gguf")]);
    assert!(
        !done && words.contains("pack of 2 emotions") && words.contains("--emotion"),
        "{words}"
    );
    let (done, words) = convert(&[&pack, &path("x.gguf"), "--emotion", "rage"]);
    assert!(!done && words.contains("it has at_ease, joy"), "{words}");

    let joy = path("joy.npz");
    let (done, words) = convert(&[&joy, &path("x.gguf")]);
    assert!(!done && words.contains("--rows"), "{words}");
    let (done, words) = convert(&[&joy, &path("x.gguf"), "--layer", "1"]);
    assert!(!done && words.contains("every layer of a model"), "{words}");
    let (done, words) = convert(&[&joy, &path("layers.gguf"), "--rows", "layers"]);
    assert!(done, "{words}");
    assert_eq!(read("layers.gguf").layers().collect::<Vec<_>>(), [0, 1, 2]);
    let (done, words) = convert(&[&joy, &path("states.gguf"), "--rows", "hidden-states"]);
    assert!(done, "{words}");
    assert_eq!(read("states.gguf").layers().collect::<Vec<_>>(), [0, 1]);

    // The layer in a file's name is used, and not overridden.
    let bare = SteeringVector::bare(vec![1.0; 8]).unwrap();
    let named = path("task_vector_layer-10.pt");
    std::fs::write(&named, write(VectorFormat::Pt, &bare).unwrap()).unwrap();
    let shown = elpis(&["vectors", "inspect", &named]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("layer  10") && shown.contains("file's name"),
        "{shown}"
    );
    let (done, words) = convert(&[&named, &path("ten.gguf")]);
    assert!(done, "{words}");
    assert_eq!(read("ten.gguf").layers().collect::<Vec<_>>(), [10]);
    let (done, words) = convert(&[&named, &path("x.gguf"), "--layer", "11"]);
    assert!(!done && words.contains("has rows for 10"), "{words}");
    assert!(!folder.path().join("x.gguf").exists());
}

/// Two pairs for each of two emotions, and so many questions.
fn pairs(folder: &std::path::Path, questions: usize) -> String {
    let mut text = String::new();
    for (emotion, sentence) in [("calm", "All is quiet"), ("excited", "What a party")] {
        for place in ["here", "there"] {
            writeln!(
                text,
                "{{\"emotion\": \"{emotion}\", \"positive\": \"{sentence} {place}.\", \
                 \"negative\": \"A chair stands {place}.\"}}"
            )
            .unwrap();
        }
    }
    for question in 0..questions {
        writeln!(text, "{{\"question\": \"What about train {question}?\"}}").unwrap();
    }
    let file = folder.join("pairs.jsonl");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn vectors_are_trained_and_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = pairs(folder.path(), 2);
    let set = folder.path().join("set");
    let output = set.to_str().unwrap();
    let train = |more: &[&str]| {
        let mut arguments = vec!["vectors", "train", "--output", output, "--pairs", &pairs];
        arguments.extend(more);
        elpis(&arguments)
    };
    let trained = train(&["--format", "gguf", "--layer", "3"]);
    assert!(trained.status.success(), "{trained:?}");
    let told = String::from_utf8(trained.stdout).unwrap();
    assert!(
        told.contains("layer        calm     excited        mean"),
        "{told}"
    );
    let chosen = told.lines().find(|line| line.ends_with('<')).unwrap();
    assert!(chosen.trim().starts_with('3'), "{told}");
    assert_eq!(names(&set), ["calm.gguf", "excited.gguf", "vectors.toml"]);

    let again = train(&[]);
    assert_eq!(again.status.code(), Some(1));
    let told = String::from_utf8(again.stderr).unwrap();
    assert!(told.contains("--force"), "{told}");
    let forced = train(&["--force", "--json"]);
    assert!(forced.status.success(), "{forced:?}");
    let report: Value = serde_json::from_slice(&forced.stdout).unwrap();
    assert_eq!(report["emotions"], serde_json::json!(["calm", "excited"]));
    assert_eq!(
        names(&set),
        ["calm.safetensors", "excited.safetensors", "vectors.toml"]
    );

    let arguments = ["--vectors", output, "--pairs", &pairs, "--tokens", "12"];
    let mut calibrate = vec!["vectors", "calibrate", "--max-strength", "0.5", "--json"];
    calibrate.extend(arguments);
    let calibrated = elpis(&calibrate);
    assert!(calibrated.status.success(), "{calibrated:?}");
    let report: Value = serde_json::from_slice(&calibrated.stdout).unwrap();
    let cap = report["emotions"][0]["cap"].as_f64().unwrap();
    let manifest = std::fs::read_to_string(set.join("vectors.toml")).unwrap();
    let table: toml::Table = manifest.parse().unwrap();
    assert_eq!(table["emotions"]["calm"]["cap"].as_float(), Some(cap));
    assert_eq!(report["emotions"][0]["emotion"], "calm");
}

#[test]
fn training_says_what_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "{\"emotion\": \"calm\"}\n").unwrap();
    let output = folder.path().join("set");
    let base = ["vectors", "train", "--output", output.to_str().unwrap()];
    for (arguments, code, part) in [
        (
            vec!["--pairs", bad.to_str().unwrap()],
            1,
            "bad.jsonl: line 1",
        ),
        (
            vec!["--pairs", "nowhere.toml"],
            1,
            "cannot read nowhere.toml",
        ),
        (
            vec!["--layer", "9"],
            1,
            "layer is 9, but must be from 0 to 4",
        ),
        (vec!["--layer", "top"], 2, "a number or `auto`"),
        (vec!["--method", "guess"], 2, "possible values: mean, pca"),
        (vec!["--model", "nowhere.gguf"], 1, "nowhere.gguf"),
    ] {
        let run = elpis(&[&base[..], &arguments].concat());
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(code), "{told}");
        assert!(told.contains(part), "{told}");
        assert!(!output.exists());
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;

    let folder = tempfile::tempdir().unwrap();
    let pairs = pairs(folder.path(), 20_000);
    let child = Command::new(env!("CARGO_BIN_EXE_elpis"))
        .args(["vectors", "train", "--output", "set", "--pairs", &pairs])
        .current_dir(&folder)
        .env("ELPIS_MODEL_HARDWARE_BACKEND", "cpu")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let run = child.wait_with_output().unwrap();
    // A machine so busy that the program had not begun ends it by the signal.
    let status = run.status;
    assert!(
        status.code() == Some(130) || status.signal() == Some(2),
        "{run:?}"
    );
    assert_eq!(names(folder.path()), ["pairs.jsonl"]);
}

/// Lines that lead to a state: what `store export` writes.
fn told(session: &str, events: &[&str]) -> String {
    use elpis::emotion::{EmotionConfig, EmotionEvent, JournalEntry, JournalRecord, replay_entry};
    let start = JournalRecord::Started(std::sync::Arc::new(EmotionConfig::default()));
    let felt = |event: &&str| JournalRecord::Felt(EmotionEvent::named(*event).unwrap());
    let mut tracker = None;
    let mut lines = String::new();
    let what = std::iter::once(start).chain(events.iter().map(felt));
    for (number, what) in what.enumerate() {
        let at = 1e9 + number as f64;
        replay_entry(
            &mut tracker,
            &JournalEntry {
                at,
                what: what.clone(),
            },
        )
        .unwrap();
        let line = serde_json::json!({ "session": session, "at": at, "what": what });
        writeln!(lines, "{line}").unwrap();
    }
    let line = serde_json::json!({ "session": session, "state": tracker.unwrap() });
    writeln!(lines, "{line}").unwrap();
    lines
}

#[test]
fn a_store_is_exported_imported_replayed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (first, second, lines) = (at("first.db"), at("second.db"), at("sessions.jsonl"));
    let both = told("ada", &["success", "insight"]) + &told("bob", &["failure"]);
    std::fs::write(&lines, &both).unwrap();
    let done = |arguments: &[&str]| {
        let output = elpis(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["store", "import", &lines, &first]);
    assert!(done(&["store", "check", &first]).contains("2 sessions, 5 journal entries, whole"));
    assert_eq!(done(&["store", "export", &first]), both);
    let ada = done(&["store", "export", &first, "--session", "ada"]);
    assert_eq!(ada, told("ada", &["success", "insight"]));
    done(&["store", "export", &first, "-o", &lines]);
    done(&["store", "import", &lines, &second]);
    assert_eq!(done(&["store", "export", &second]), both);

    let replayed = done(&["emotion", "replay", &first, "--session", "ada"]);
    let last: Value = serde_json::from_str(replayed.lines().last().unwrap()).unwrap();
    assert_eq!(replayed.lines().count(), 3);
    assert_eq!(last["what"]["felt"]["event"], "insight");
    assert!(last["valence"].as_f64().unwrap() > 0.0);
    assert_eq!(last["events_applied"], 2);
}

#[test]
fn sessions_of_a_store_are_listed_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (store, lines) = (at("moods.db"), at("sessions.jsonl"));
    let both = told("ada", &["success", "insight"]) + &told("bob", &["failure"]);
    std::fs::write(&lines, both).unwrap();
    assert!(elpis(&["store", "import", &lines, &store]).status.success());
    let listed = || {
        let output = elpis(&["store", "list", &store]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let both = listed();
    assert_eq!(both.lines().count(), 2, "{both}");
    assert!(
        both.starts_with("ada\t") && both.contains("3 journal entries"),
        "{both}"
    );
    // All of them or none.
    let refused = elpis(&["store", "forget", &store, "--session=ada", "--session=eve"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(listed(), both);
    let done = elpis(&["store", "forget", &store, "--session=ada"]);
    assert!(done.status.success(), "{done:?}");
    let left = listed();
    assert!(
        left.starts_with("bob\t") && left.lines().count() == 1,
        "{left}"
    );
    assert!(elpis(&["store", "check", &store]).status.success());
    let nowhere = at("nowhere.db");
    for command in [
        &["store", "list", &nowhere][..],
        &["store", "forget", &nowhere, "--session=a"],
    ] {
        assert_eq!(elpis(command).status.code(), Some(1));
        assert!(!std::path::Path::new(&nowhere).exists());
    }
}

#[test]
fn logs_and_stores_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (store, lines, log_of_one) = (at("moods.db"), at("sessions.jsonl"), at("log.jsonl"));
    let both = told("ada", &["success", "insight"]) + &told("bob", &["failure"]);
    std::fs::write(&lines, both).unwrap();
    assert!(elpis(&["store", "import", &lines, &store]).status.success());
    let first = std::fs::read_to_string(log()).unwrap();
    std::fs::write(&log_of_one, first.lines().next().unwrap()).unwrap();
    let picture = at("mood.svg");
    let drawn = |arguments: &[&str]| {
        let output = elpis(&[&["emotion", "plot", "-o", &picture], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        std::fs::read_to_string(&picture).unwrap()
    };
    let lines_of = |svg: &str| svg.matches("<polyline").count();
    let of_both = drawn(&[&store]);
    for word in [
        "<svg",
        "valence",
        "arousal",
        "frustrated",
        "ada",
        "bob",
        "insight",
        "seconds",
    ] {
        assert!(of_both.contains(word), "{word}: {of_both}");
    }
    let of_ada = drawn(&[&store, "--session", "ada"]);
    assert!(of_ada.contains("ada") && !of_ada.contains("bob"));
    // The plane, piece by piece, and two courses for each session.
    assert!(lines_of(&of_both) >= lines_of(&of_ada) + 3);
    let of_log = drawn(&[&log_of_one]);
    assert!(of_log.contains("line 1") && of_log.contains("minutes"));

    for (arguments, words) in [
        (vec![log()], "24 sessions, and 8 fit"),
        (
            vec![log_of_one, "--session".to_owned(), "ada".to_owned()],
            "a log has no sessions",
        ),
        (
            vec![store, "--session".to_owned(), "eve".to_owned()],
            "has no session eve",
        ),
        (vec![at("nothing.jsonl")], "cannot read"),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = elpis(&[&["emotion", "plot", "-o", &picture], &*arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn sessions_that_do_not_fit_together_are_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (store, lines) = (at("moods.db"), at("sessions.jsonl"));
    let good = told("ada", &["success"]);
    let cases = [
        (
            good.replace("success", "failure"),
            ":3: the journal leads to a different state",
        ),
        (
            good.lines().next().unwrap().to_owned(),
            "the state of session ada is missing",
        ),
        (told("ada", &["success"]) + &good, ":6: "),
        (good.lines().last().unwrap().to_owned(), ":1: "),
        ("{}".to_owned(), ":1: "),
        (good.replace("1000000001.0", "1e300"), ":2: "),
    ];
    for (text, expected) in cases {
        let _ = std::fs::remove_file(&store);
        std::fs::write(&lines, &text).unwrap();
        let output = elpis(&["store", "import", &lines, &store]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(expected), "{told}");
    }
    // A journal that was tampered with is found.
    let _ = std::fs::remove_file(&store);
    std::fs::write(&lines, &good).unwrap();
    assert!(elpis(&["store", "import", &lines, &store]).status.success());
    let file = rusqlite::Connection::open(&store).unwrap();
    let change = "UPDATE journal SET what = replace(what, 'success', 'failure')";
    file.execute(change, []).unwrap();
    drop(file);
    let output = elpis(&["store", "check", &store]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("session ada") && told.contains("another state"),
        "{told}"
    );
    let output = elpis(&["store", "check"]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("store.path")
    );
}

#[test]
fn completions_and_manual_pages_are_written() {
    for shell in ["bash", "zsh", "fish"] {
        let output = elpis(&["completions", shell]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            ["calibrate", "max-tokens", "test_failed", "llama-cpp"]
                .iter()
                .all(|word| text.contains(word)),
            "{shell}"
        );
    }
    let page = String::from_utf8(elpis(&["man"]).stdout).unwrap();
    assert!(
        page.contains(".TH elpis")
            && ["Exit codes", "129", "130", "143"]
                .iter()
                .all(|word| page.contains(word)),
        "{page}"
    );
    let folder = tempfile::tempdir().unwrap();
    let output = elpis(&["man", "--output", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for page in ["elpis.1", "elpis-ask.1", "elpis-vectors-train.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
