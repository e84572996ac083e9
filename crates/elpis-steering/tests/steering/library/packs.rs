//! Packs, matrices, and layers in file names.

use elpis_steering::{
    LibraryContext, LibraryFile, SteeringLibrary, SteeringVector, VectorFormat, write,
};

use super::{bare, build, file, layered};

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
