//! `elpis vectors train`, `elpis vectors calibrate` and `elpis vectors eval`.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use super::elpis;

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
    let trained = train(&["--format", "gguf", "--layer", "3,1"]);
    assert!(trained.status.success(), "{trained:?}");
    let told = String::from_utf8(trained.stdout).unwrap();
    assert!(
        told.contains("layer        calm     excited        mean"),
        "{told}"
    );
    let chosen = told.lines().filter(|line| line.ends_with('<'));
    let chosen: Vec<&str> = chosen.map(|line| &line.trim()[..1]).collect();
    assert_eq!(chosen, ["1", "3"], "{told}");
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
    evaluate(folder.path(), output);
}

/// Evaluates a set of two emotions that has no axes.
fn evaluate(folder: &std::path::Path, set: &str) {
    let norms = folder.join("norms.csv");
    std::fs::write(&norms, "word,valence,arousal\ni,6.0,4.5\nthe,5.0,4.0\n").unwrap();
    let plot = folder.join("dose.svg");
    let base = ["vectors", "eval", "--vectors", set];
    let small = ["--prompts", "2", "--tokens", "12"];
    let judged = ["--norms", norms.to_str().unwrap()];
    let drawn = ["--plot", plot.to_str().unwrap()];
    let run = elpis(&[&base[..], &small, &judged, &drawn, &["--json"]].concat());
    assert!(run.status.success(), "{run:?}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let count = |influence: &str| {
        let of = rows.iter().filter(|row| row["influence"] == influence);
        of.count()
    };
    let counts = ["neutral", "vector", "mood line", "random vector"].map(count);
    assert_eq!(counts, [1, 8, 2, 4]);
    for row in rows {
        assert_eq!(row["replies"].as_array().unwrap().len(), 2);
        assert!(row["perplexity"].as_f64().unwrap() >= 1.0, "{row}");
        assert!(row["expressed_valence"].is_null(), "it has no axes: {row}");
        let full = row["strength"] == 1.0 || row["influence"] == "neutral";
        assert_eq!(row["answered"].is_f64(), full, "{row}");
    }
    assert!(report["summary"]["random"].is_f64());
    let picture = std::fs::read_to_string(&plot).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("strength"));

    std::fs::write(&norms, "word,valence\ni,6.0\n").unwrap();
    for (arguments, part) in [
        (&judged[..], "norms.csv: it has no column \"A.Mean.Sum\""),
        (&["--norms", "nowhere.csv"], "nowhere.csv"),
        (&drawn, "give --norms"),
    ] {
        let run = elpis(&[&base[..], &small, arguments].concat());
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{told}");
        assert!(told.contains(part), "{told}");
    }
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
        (vec!["--layer", "top"], 2, "numbers such as 12 or"),
        (
            vec!["--further", "--pairs", "pairs.toml"],
            2,
            "cannot be used with",
        ),
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
