//! `elpis vectors convert` and `elpis vectors inspect`.

use serde_json::Value;

use super::elpis;

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
        shown.contains("layer  10") && shown.contains("layer from the file name"),
        "{shown}"
    );
    let (done, words) = convert(&[&named, &path("ten.gguf")]);
    assert!(done, "{words}");
    assert_eq!(read("ten.gguf").layers().collect::<Vec<_>>(), [10]);
    let (done, words) = convert(&[&named, &path("x.gguf"), "--layer", "11"]);
    assert!(!done && words.contains("has rows for 10"), "{words}");
    assert!(!folder.path().join("x.gguf").exists());
}

#[test]
fn axes_of_a_folder_are_no_emotions() {
    let folder = tempfile::tempdir().unwrap();
    let axes = elpis::steering::ReadingAxes::new(2, vec![1.0; 4].into(), vec![-1.0; 4].into());
    let file = folder.path().join("axes.safetensors");
    std::fs::write(&file, axes.to_safetensors().unwrap()).unwrap();
    let manifest = "[reading]\nfile = \"axes.safetensors\"\nlayer = 2\nmean = [0, 0]\n\
        deviation = [1, 1]\nspan = [4, 4]\n";
    std::fs::write(folder.path().join("vectors.toml"), manifest).unwrap();
    let path = folder.path().to_str().unwrap();
    let shown = elpis(&["vectors", "inspect", path]);
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("axes that replies are read along, at layer 2"),
        "{text}"
    );
    assert!(!text.contains("cosines"), "{text}");
    let json = elpis(&["vectors", "inspect", path, "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["axes"][0]["layer"], 2);

    std::fs::write(&file, "no vectors").unwrap();
    let shown = elpis(&["vectors", "inspect", path]);
    assert_eq!(shown.status.code(), Some(1));
    let text = String::from_utf8(shown.stderr).unwrap();
    assert!(text.contains("axes.safetensors"), "{text}");
}
