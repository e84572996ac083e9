//! Libraries, manifests, blends and training arithmetic by example.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]
#![expect(clippy::float_cmp, reason = "the compared results are exact")]

use elpis_steering::{
    BlendOptions, ContrastError, LibraryContext, LibraryError, LibraryFile, Manifest, Place,
    SteeringLibrary, SteeringPlan, SteeringVector, VectorFormat, contrast, write,
};

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> LibraryFile {
    LibraryFile {
        name: name.to_owned(),
        bytes: bytes.into(),
    }
}

fn layered(rows: &[(usize, Vec<f32>)]) -> SteeringVector {
    SteeringVector::layered(rows.iter().cloned().collect()).unwrap()
}

fn vector(name: &str, rows: &[(usize, Vec<f32>)]) -> LibraryFile {
    let bytes = write(VectorFormat::Safetensors, &layered(rows)).unwrap();
    file(&format!("{name}.safetensors"), bytes)
}

fn bare(name: &str, row: &[f32]) -> LibraryFile {
    let vector = SteeringVector::bare(row.to_vec()).unwrap();
    file(name, write(VectorFormat::Pt, &vector).unwrap())
}

fn context() -> LibraryContext {
    LibraryContext {
        n_layers: 8,
        n_embd: 3,
        default_layer: Some(4),
        residual_norms: Some(vec![10.0; 8]),
        unsteerable: None,
    }
}

fn build(files: Vec<LibraryFile>) -> Result<SteeringLibrary, LibraryError> {
    SteeringLibrary::build(files, &context())
}

fn blend(library: &SteeringLibrary, coefficients: &[(&str, f64)]) -> Option<SteeringPlan> {
    library.blend(coefficients.iter().copied(), &BlendOptions::default())
}

#[test]
fn a_folder_becomes_a_library() {
    let manifest = r#"
        layers = [3, 4]
        scale = 0.5
        [emotions.calm]
        cap = 0.8
        [emotions.curious]
        file = "curiosity-v2.gguf"
        valence = 0.6
        arousal = 0.25
    "#;
    let curious = layered(&[
        (3, vec![1.0, 0.0, 0.0]),
        (4, vec![0.0, 2.0, 0.0]),
        (7, vec![9.0; 3]),
    ]);
    let library = build(vec![
        bare("calm.pt", &[3.0, 0.0, 4.0]),
        file(
            "curiosity-v2.gguf",
            write(
                VectorFormat::Gguf,
                &curious.described(Some("llama".into()), None),
            )
            .unwrap(),
        ),
        file("vectors.toml", manifest),
        file("README.md", "ignored"),
        file(".calm.pt", "ignored"),
    ])
    .unwrap();

    let names: Vec<_> = library.emotions().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["calm", "curious"]);
    let calm = library.emotion("calm").unwrap();
    assert_eq!((calm.cap, calm.place), (0.8, None));
    assert_eq!(calm.layers.len(), 2);
    assert_eq!(calm.layers[1].layer, 4);
    assert_eq!(calm.layers[1].norm, 2.5);
    assert_eq!(calm.layers[1].residual_fraction, Some(0.25));
    let curious = library.emotion("curious").unwrap();
    assert_eq!(curious.model_hint.as_deref(), Some("llama"));
    assert_eq!(
        curious.place,
        Some(Place {
            valence: 0.6,
            arousal: 0.25
        })
    );
    assert_eq!(
        library.custom_places().collect::<Vec<_>>(),
        [("curious", 0.6, 0.25)]
    );

    let plan = blend(&library, &[("curious", 2.0), ("calm", 1.0), ("joy", 9.0)]).unwrap();
    assert_eq!(plan.layers.len(), 2);
    assert_eq!(plan.layers[0].layer, 3);
    assert_eq!(*plan.layers[0].values, [2.2, 0.0, 1.6]);
    assert_eq!(*plan.layers[1].values, [1.2, 2.0, 1.6]);
    assert!(!plan.layers[1].clamped);
}

#[test]
fn bad_sets_of_files_are_refused_with_file_and_limit() {
    let calm = || vector("calm", &[(4, vec![1.0, 0.0, 0.0])]);
    let toml = |text: &str| file("vectors.toml", text);
    let cases = [
        (
            vec![vector("calm", &[(4, vec![1.0; 4])])],
            "calm.safetensors: width is 4, must be the model's 3",
        ),
        (
            vec![vector("calm", &[(8, vec![1.0; 3])])],
            "calm.safetensors: layer is 8, must be below 8; layers in vectors.toml selects rows",
        ),
        (
            vec![vector("calm", &[(4, vec![90.0, 0.0, 0.0])])],
            "calm.safetensors: norm at layer 4 times scale and cap is 90, must be at most 80 \
             (8 x the residual norm 10)",
        ),
        (
            vec![calm(), bare("calm.pt", &[1.0; 3])],
            "calm.pt and calm.safetensors are both for emotion \"calm\", there must be one",
        ),
        (vec![calm(), calm()], "calm.safetensors was given twice"),
        (
            vec![vector("joy", &[(4, vec![1.0; 3])])],
            "joy.safetensors: emotion \"joy\" has no place, \
             set emotions.joy.valence and arousal in vectors.toml",
        ),
        (
            vec![toml("[emotions.calm]\nfile = \"x.pt\"")],
            "vectors.toml: emotion \"calm\" has no file x.pt",
        ),
        (
            vec![toml("[emotions.calm]")],
            "vectors.toml: emotion \"calm\" has no file calm.safetensors, .pt, .npy, .npz or .gguf",
        ),
        (
            vec![calm(), toml("layer = 3")],
            "calm.safetensors: there is no row for layer 3, which vectors.toml selects",
        ),
        (
            vec![file("calm.gguf", "GGUF")],
            "calm.gguf: the GGUF header at byte 4 needs 4 bytes, 0 are left",
        ),
        (
            vec![bare("My Mood.pt", &[1.0; 3])],
            "My Mood.pt: the file's stem is \"My Mood\", must be 1 to 64 of a-z, 0-9, _ and -",
        ),
        (
            vec![toml("scale = 2\nsclae = 1")],
            "vectors.toml: unknown key sclae, the nearest known key is scale",
        ),
    ];
    for (files, message) in cases {
        assert_eq!(build(files).unwrap_err().to_string(), message);
    }
    let mut no_layer = context();
    no_layer.default_layer = None;
    let error = SteeringLibrary::build(vec![bare("calm.pt", &[1.0; 3])], &no_layer).unwrap_err();
    assert_eq!((error.kind(), error.file()), ("no_layer", Some("calm.pt")));
    let mut fixed = context();
    fixed.unsteerable = Some("its layers are not shown".to_owned());
    let error = SteeringLibrary::build(vec![calm()], &fixed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "calm.safetensors: this model cannot be steered: its layers are not shown"
    );
    let pair = (error.kind(), error.file());
    assert_eq!(pair, ("unsteerable", Some("calm.safetensors")));
    let empty = SteeringLibrary::build(vec![toml("")], &fixed).unwrap();
    assert!(empty.is_empty(), "there is nothing to steer with");
    let mut norms = context();
    norms.residual_norms = Some(vec![1.0, f32::NAN]);
    let error = SteeringLibrary::build(Vec::new(), &norms).unwrap_err();
    assert_eq!(error.kind(), "context");
}

/// As repeng and llama.cpp write them: a row for every layer but the first.
/// A `.npz` of a pack of three emotions with two rows each; the first of a row is the number of the
/// emotion, the second that of the row.
fn pack(emotions: &[&str]) -> Vec<u8> {
    let values: Vec<f32> = (0..emotions.len() * 2)
        .flat_map(|row| [(row / 2 + 1) as f32, (row % 2 + 1) as f32, 0.0])
        .collect();
    let names = emotions.join(", ");
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let header = format!(
        r#"{{"__metadata__":{{"emotions":"{names}"}},"vectors":{{"dtype":"F32","shape":[{},2,3],"data_offsets":[0,{}]}}}}"#,
        emotions.len(),
        bytes.len()
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

#[test]
fn a_pack_is_many_emotions() {
    let context = LibraryContext::new(2, 3);
    let layers = |library: &SteeringLibrary, emotion: &str| -> Vec<(usize, f64)> {
        let info = library.emotion(emotion).unwrap();
        info.layers.iter().map(|l| (l.layer, l.norm)).collect()
    };
    let places = "[emotions.joy]\nvalence = 0.8\narousal = 0.5\n";
    let library = SteeringLibrary::build(
        vec![
            file("Emotions-v2.safetensors", pack(&["calm", "Joy"])),
            file("vectors.toml", places),
        ],
        &context,
    )
    .unwrap();
    let names: Vec<_> = library.emotions().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["calm", "joy"]);
    assert_eq!(
        layers(&library, "calm"),
        [(0, 2_f64.sqrt()), (1, 5_f64.sqrt())]
    );
    assert_eq!(
        layers(&library, "joy"),
        [(0, 5_f64.sqrt()), (1, 8_f64.sqrt())]
    );

    // What the manifest takes from a pack is all that is taken.
    let taken = "layer = 1\n[emotions.excited]\nfile = \"set.safetensors\"\nvector = \"joy\"\n\
                 [emotions.calm]\nfile = \"set.safetensors\"\n";
    let three = || file("set.safetensors", pack(&["calm", "joy", "envy"]));
    let library =
        SteeringLibrary::build(vec![three(), file("vectors.toml", taken)], &context).unwrap();
    let names: Vec<_> = library.emotions().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["calm", "excited"]);
    assert_eq!(layers(&library, "excited"), [(1, 8_f64.sqrt())]);

    for (files, message) in [
        (
            vec![three()],
            "set.safetensors: emotion \"envy\" has no place, \
             set emotions.envy.valence and arousal in vectors.toml",
        ),
        (
            vec![
                three(),
                file(
                    "vectors.toml",
                    "[emotions.calm]\nfile = \"set.safetensors\"\nvector = \"rage\"",
                ),
            ],
            "set.safetensors: the pack has no vector \"rage\", it has calm, envy, joy",
        ),
        (
            vec![
                bare("quiet.pt", &[1.0; 3]),
                file(
                    "vectors.toml",
                    "[emotions.calm]\nfile = \"quiet.pt\"\nvector = \"calm\"",
                ),
            ],
            "quiet.pt: the file is the vector of one emotion; leave emotions.calm.vector out of \
             vectors.toml",
        ),
        (
            vec![
                file("set.safetensors", pack(&["calm", "excited"])),
                bare("calm.pt", &[1.0; 3]),
            ],
            "calm.pt and set.safetensors are both for emotion \"calm\", there must be one",
        ),
        (
            vec![file("set.safetensors", pack(&["calm", "Calm"]))],
            "set.safetensors: the pack has emotion \"Calm\" twice",
        ),
        (
            vec![file("set.safetensors", pack(&["calm", "né"]))],
            "set.safetensors: the pack's emotion \"né\" must be 1 to 64 of a-z, 0-9, _ and -",
        ),
    ] {
        let refused = SteeringLibrary::build(files, &context).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
}

#[test]
fn a_layer_that_a_files_name_tells_is_used_or_refused() {
    let layers = |files: Vec<LibraryFile>| -> Result<Vec<usize>, String> {
        let library = build(files).map_err(|error| error.to_string())?;
        let calm = library.emotion("calm").ok_or("there is no calm")?;
        Ok(calm.layers.iter().map(|layer| layer.layer).collect())
    };
    let toml = |text: &str| file("vectors.toml", text);
    let mapped = |name: &str| toml(&format!("[emotions.calm]\nfile = \"{name}\""));
    let row = [1.0, 0.0, 0.0];
    // Without a name that tells it, the default layer is 4.
    assert_eq!(layers(vec![bare("calm.pt", &row)]), Ok(vec![4]));
    for name in [
        "calm_layer-6.pt",
        "calm-layer6.pt",
        "calm_L6.pt",
        "layer_6_calm.pt",
    ] {
        assert_eq!(layers(vec![bare(name, &row)]), Ok(vec![6]), "{name}");
    }
    for name in ["task_vector_layer-6.pt", "Layer 6.pt", "blk.6.pt"] {
        let files = vec![bare(name, &row), mapped(name)];
        assert_eq!(layers(files), Ok(vec![6]), "{name}");
    }
    // A file that was called so before means what its rows mean.
    let six = |name: &str, layer| {
        let vector = layered(&[(layer, row.to_vec())]);
        file(name, write(VectorFormat::Safetensors, &vector).unwrap())
    };
    assert_eq!(layers(vec![six("calm_layer6.safetensors", 6)]), Ok(vec![6]));
    assert_eq!(
        layers(vec![six("calm_layer6.safetensors", 5)]).unwrap_err(),
        "calm_layer6.safetensors: the file's name says layer 6, but the vector is for layer 5; \
         rename the file or correct layer in vectors.toml"
    );
    assert_eq!(
        layers(vec![bare("calm_layer-6.pt", &row), toml("layer = 6")]),
        Ok(vec![6])
    );
    assert_eq!(
        layers(vec![bare("calm_layer-6.pt", &row), toml("layers = [5, 6]")]).unwrap_err(),
        "calm_layer-6.pt: the file's name says layer 6, but the vector is for layers 5, 6; \
         rename the file or correct layer in vectors.toml"
    );
    assert_eq!(
        layers(vec![bare("calm_layer_-1.pt", &row)]).unwrap_err(),
        "calm_layer_-1.pt: the file's name does not name a layer clearly: the layer is negative, count from \
         the first; use layer-N"
    );
    assert_eq!(
        layers(vec![bare("calm_layer-60.pt", &row)]).unwrap_err(),
        "calm_layer-60.pt: layer is 60, must be below 8; layers in vectors.toml selects rows"
    );
}

#[test]
fn a_matrix_is_read_for_the_model() {
    let rows = |count: usize| -> Vec<Vec<f32>> {
        (0..count)
            .map(|row| vec![row as f32 + 1.0, 0.0, 0.0])
            .collect()
    };
    let matrix = |count| {
        let vector = SteeringVector::stacked(rows(count)).unwrap();
        file("calm.npy", write(VectorFormat::Npy, &vector).unwrap())
    };
    let layers = |library: &SteeringLibrary| -> Vec<(usize, f64)> {
        let calm = library.emotion("calm").unwrap();
        calm.layers.iter().map(|l| (l.layer, l.norm)).collect()
    };
    let all = layers(&build(vec![matrix(8)]).unwrap());
    assert_eq!(all.len(), 8);
    assert_eq!((all[0], all[7]), ((0, 1.0), (7, 8.0)));
    let states = layers(&build(vec![matrix(9)]).unwrap());
    assert_eq!((states[0], states[7]), ((0, 2.0), (7, 9.0)));
    let one = build(vec![matrix(9), file("vectors.toml", "layer = 3")]).unwrap();
    assert_eq!(layers(&one), [(3, 5.0)]);
    let refused = build(vec![matrix(7)]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "calm.npy: the matrix has 7 rows without layers, must have 8 (one for each layer of the \
         model) or 9 (hidden states, the first of them the embedding)"
    );
}

#[test]
fn names_from_outside_are_shown_without_what_acts_on_a_terminal() {
    let name = "calm\u{1b}[31m\u{202e}\n.pt";
    for files in [
        vec![file(name, "x")],
        vec![bare(name, &[1.0; 3])],
        vec![
            bare(name, &[1.0; 4]),
            file(
                "vectors.toml",
                format!(
                    "[emotions.calm]\nfile = {:?}",
                    "calm\\u001b[31m\\u202e\\n.pt"
                )
                .replace("\\\\", "\\"),
            ),
        ],
        vec![file("vectors.toml", "[emotions.\"a\\u001b[2J\"]\n")],
        vec![file("vectors.toml", "\"a\\u001b[2J\" = 1\n")],
        vec![file("vectors.toml", "a\u{1b}[2J = 1\n")],
        vec![file("vectors.toml", "layer = \u{202e}\n")],
    ] {
        let refused = build(files).unwrap_err().to_string();
        let acts = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!refused.contains(acts), "{refused:?}");
    }
}

#[test]
fn a_control_vector_for_all_layers_is_taken_as_it_is() {
    let rows: Vec<_> = (1..8).map(|layer| (layer, vec![1.0, 0.5, -1.0])).collect();
    let bytes = write(VectorFormat::Gguf, &layered(&rows)).unwrap();
    let files = || vec![file("calm.gguf", bytes.clone())];
    let library = build(files()).unwrap();
    let plan = blend(&library, &[("calm", 1.0)]).unwrap();
    let layers: Vec<_> = plan.layers.iter().map(|l| l.layer).collect();
    assert_eq!(layers, (1..8).collect::<Vec<_>>());
    assert!(plan.layers.iter().all(|l| l.residual_fraction.is_some()));
    let mut unmeasured = context();
    unmeasured.residual_norms = None;
    assert!(SteeringLibrary::build(files(), &unmeasured).is_ok());
    // A model whose last layer does not show its rows has no norm there.
    let mut but_last = context();
    but_last.residual_norms = Some(vec![10.0; 7]);
    let error = SteeringLibrary::build(files(), &but_last).unwrap_err();
    let expected = LibraryError::LayerOutOfRange {
        file: "calm.gguf".to_owned(),
        layer: 7,
        limit: 7,
    };
    assert_eq!(error, expected);
}

#[test]
fn a_manifest_that_is_cut_off_is_refused_with_its_line_or_says_less() {
    let text = b"layer = 4\nscale = 0.5\n[emotions.calm]\ncap = 0.8\n[emotions.joy]\nvalence = 1\n\
        arousal = 0.5\n";
    let whole = Manifest::parse(text).unwrap();
    for length in 0..text.len() {
        match Manifest::parse(&text[..length]) {
            Ok(part) => {
                assert!(part.emotions.len() <= whole.emotions.len(), "{length}");
                assert!(part.layers.is_none_or(|layers| layers == [4]), "{length}");
            }
            Err(error) => assert!(
                [
                    "syntax",
                    "missing",
                    "unknown_key",
                    "invalid_name",
                    "out_of_range"
                ]
                .contains(&error.kind()),
                "{length}: {error}"
            ),
        }
    }
    let calm = vector("calm", &[(4, vec![1.0, 0.0, 0.0])]);
    let cut = file("vectors.toml", &text[..15]);
    let error = build(vec![calm, cut]).unwrap_err();
    assert_eq!(
        (error.kind(), error.file()),
        ("syntax", Some("vectors.toml"))
    );
    assert!(error.to_string().contains('2'), "the line: {error}");
}

#[test]
fn manifests_are_read_or_refused() {
    assert_eq!(Manifest::parse(b"").unwrap(), Manifest::default());
    let manifest = Manifest::parse(b"layers = [4, 3]\n[emotions.calm]\ncap = 0").unwrap();
    assert_eq!(manifest.layers, Some(vec![3, 4]));
    assert_eq!(manifest.emotions["calm"].cap, 0.0);
    for (text, message) in [
        (
            "layer = 4\nlayers = [3]",
            "layer and layers are both set, only one of them may be set",
        ),
        ("layer = -1", "layer is -1, must be from 0 to 1023"),
        ("layer = 1.5", "layer is a float, must be an integer"),
        (
            "layers = []",
            "layers is [], must be a list of different layers, at least one",
        ),
        (
            "layers = [3, 3]",
            "layers is [3, 3], must be a list of different layers, at least one",
        ),
        (
            "scale = 0.0",
            "scale is 0, must be above 0 and at most 1000000",
        ),
        (
            "scale = nan",
            "scale is NaN, must be above 0 and at most 1000000",
        ),
        ("scale = \"big\"", "scale is text, must be a number"),
        ("emotions = 3", "emotions is an integer, must be a table"),
        (
            "[emotions.calm]\ncap = -0.5",
            "emotions.calm.cap is -0.5, must be from 0 to 100",
        ),
        (
            "[emotions.calm]\nvalance = 1",
            "unknown key emotions.calm.valance, the nearest known key is emotions.calm.valence",
        ),
        (
            "[emotions.calm]\narousal = 1",
            "emotions.calm.arousal is set, the place of a base emotion is fixed",
        ),
        (
            "[emotions.joy]\nvalence = 1",
            "emotions.joy.arousal is missing, a custom emotion needs both valence and arousal",
        ),
        (
            "[emotions.joy]\nvalence = 1.5\narousal = 0",
            "emotions.joy.valence is 1.5, must be from -1 to 1",
        ),
        (
            "[emotions.calm]\nfile = \"../x.pt\"",
            "emotions.calm.file is \"../x.pt\", must be the name of a file in the same folder",
        ),
        (
            "[emotions.Joy]",
            "emotions.Joy is \"Joy\", must be 1 to 64 of a-z, 0-9, _ and -",
        ),
        ("zzzzzzzzzzzzz = 1", "unknown key zzzzzzzzzzzzz"),
    ] {
        let error = Manifest::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(Manifest::parse(b"a = [").unwrap_err().kind(), "syntax");
    assert_eq!(Manifest::parse(&[0xFF]).unwrap_err().kind(), "not_utf8");
    let long = vec![b' '; 70_000];
    assert_eq!(Manifest::parse(&long).unwrap_err().kind(), "too_large");
}

#[test]
fn the_version_depends_on_content_and_not_on_order() {
    let calm = || vector("calm", &[(4, vec![1.0, 0.0, 0.0])]);
    let excited = || vector("excited", &[(4, vec![0.0, 1.0, 0.0])]);
    let library = build(vec![calm(), excited()]).unwrap();
    let version = |files| build(files).unwrap().version().to_owned();
    assert_eq!(library.version().len(), 16);
    assert_eq!(version(vec![excited(), calm()]), library.version());
    assert_eq!(
        version(vec![calm(), file("x.txt", "x"), excited()]),
        library.version()
    );
    assert_ne!(version(vec![calm()]), library.version());
    assert_ne!(
        version(vec![vector("calm", &[(4, vec![2.0; 3])]), excited()]),
        library.version()
    );
    let mut other = context();
    other.residual_norms = None;
    let other = SteeringLibrary::build(vec![calm(), excited()], &other).unwrap();
    assert_ne!(other.version(), library.version());
    assert_eq!(build(Vec::new()).unwrap(), SteeringLibrary::empty());
    assert_eq!(blend(&SteeringLibrary::empty(), &[("calm", 1.0)]), None);
}

#[test]
fn a_plan_is_keyed_by_content_and_not_by_name() {
    let at = |name: &str, rows: &[(usize, Vec<f32>)]| build(vec![vector(name, rows)]).unwrap();
    let row = vec![1.0, -2.0, 0.0];
    let key = |name: &str, rows: &[(usize, Vec<f32>)], c| {
        blend(&at(name, rows), &[(name, c)]).unwrap().key
    };
    let calm = key("calm", &[(4, row.clone())], 0.5);
    assert_eq!(key("excited", &[(4, row.clone())], 0.5), calm);
    assert_eq!(key("calm", &[(4, vec![-1.0, 2.0, -0.0])], -0.5), calm);
    assert_ne!(key("calm", &[(3, row.clone())], 0.5), calm);
    assert_ne!(key("calm", &[(4, row)], 0.25), calm);
    assert_eq!(calm.to_string().len(), 16);
}

#[test]
fn small_and_odd_coefficients_steer_nothing() {
    let library = build(vec![
        vector("calm", &[(4, vec![1.0, 2.0, 3.0])]),
        vector("excited", &[(4, vec![-1.0, -2.0, -3.0])]),
    ])
    .unwrap();
    for c in [0.0, 0.009_999, -0.009_999, f64::NAN, f64::INFINITY] {
        assert_eq!(blend(&library, &[("calm", c)]), None, "{c}");
    }
    assert!(blend(&library, &[("calm", 0.01)]).is_some());
    // Opposites cancel to exactly nothing.
    assert_eq!(blend(&library, &[("calm", 0.7), ("excited", 0.7)]), None);
    for max_residual_fraction in [0.0, -1.0, f32::NAN] {
        let options = BlendOptions {
            max_residual_fraction,
        };
        assert_eq!(library.blend([("calm", 1.0)].into_iter(), &options), None);
    }
    let huge = blend(&library, &[("calm", f64::MAX)]).unwrap();
    assert!(huge.layers[0].clamped);
    let mut unknown = context();
    unknown.residual_norms = None;
    let rows = [(4, vec![f32::MAX; 3])];
    let library = SteeringLibrary::build(vec![vector("calm", &rows)], &unknown).unwrap();
    let huge = blend(&library, &[("calm", f64::MAX)]).unwrap();
    assert!(huge.layers[0].values.iter().all(|x| x.is_finite()));
    assert!(huge.layers[0].norm.is_finite());
}

#[test]
fn contrast_by_hand() {
    let positive = [[3.0_f32, 1.0], [5.0, 1.0]];
    let negative = [[1.0_f32, 1.0], [1.0, 0.0]];
    assert_eq!(
        contrast::mean_difference(&positive, &negative).unwrap(),
        [3.0, 0.5]
    );
    // Differences (2, 0) and (4, 1): the main direction of [[20, 4], [4, 1]].
    let direction = contrast::pca(&positive, &negative).unwrap();
    let angle = 0.5 * (2.0_f64 * 4.0).atan2(20.0 - 1.0);
    assert!((f64::from(direction[0]) - angle.cos()).abs() < 1e-6);
    assert!((f64::from(direction[1]) - angle.sin()).abs() < 1e-6);
    // The mean difference is orthogonal to the main direction here.
    let direction = contrast::pca(
        &[[2.0_f32, 0.0], [0.0, 1.9], [0.0, -1.9]],
        &[[0.0_f32; 2]; 3],
    )
    .unwrap();
    assert!(direction[1].abs() > 0.999_999);

    assert_eq!(
        contrast::median_norm(&[[3.0_f32, 4.0], [780.0, 0.0], [0.0, 7.0]]).unwrap(),
        7.0
    );
    assert_eq!(
        contrast::median_norm(&[[1.0_f32], [780.0], [2.0], [3.0]]).unwrap(),
        2.5
    );
    assert_eq!(contrast::auc(&[1.0, 2.0], &[0.0, 0.5]).unwrap(), 1.0);
    assert_eq!(contrast::auc(&[1.0, 1.0], &[1.0]).unwrap(), 0.5);
    assert_eq!(contrast::auc(&[0.0, 2.0], &[1.0, 0.0]).unwrap(), 0.625);
    assert_eq!(
        contrast::scores(&positive, &[1.0, -1.0]).unwrap(),
        [2.0, 4.0]
    );

    let none: [[f32; 2]; 0] = [];
    let empty = |field| Err(ContrastError::Empty { field });
    assert_eq!(
        contrast::mean_difference(&positive, &none),
        empty("negative")
    );
    assert_eq!(
        contrast::pca(&positive, &positive).unwrap_err().kind(),
        "no_difference"
    );
    assert_eq!(
        contrast::pca(&positive, &negative[..1]).unwrap_err().kind(),
        "not_paired"
    );
    let ragged = [vec![1.0_f32], vec![1.0, 2.0]];
    assert_eq!(
        contrast::median_norm(&ragged).unwrap_err().kind(),
        "width_mismatch"
    );
    assert_eq!(
        contrast::median_norm(&[[f32::NAN]]).unwrap_err().kind(),
        "not_finite"
    );
    assert_eq!(contrast::auc(&[], &[1.0]).unwrap_err().kind(), "empty");
    assert_eq!(
        contrast::auc(&[f64::NAN], &[1.0]).unwrap_err().kind(),
        "not_finite"
    );
}
