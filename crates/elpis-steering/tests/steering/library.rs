//! Libraries, manifests, blends and training arithmetic by example.

#![allow(clippy::disallowed_methods, reason = "no state depends on it")]
#![expect(clippy::float_cmp, reason = "the compared results are exact")]

mod manifests;
mod packs;

use elpis_steering::{
    BlendOptions, ContrastError, LibraryContext, LibraryError, LibraryFile, Place, SteeringLibrary,
    SteeringPlan, SteeringVector, VectorFormat, contrast, write,
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
            ..BlendOptions::default()
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
