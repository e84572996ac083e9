//! Steering vector files: those that Python libraries write are read bit for bit or refused with
//! their reason, those written here are read by Python.

mod python;

use std::collections::BTreeMap;
use std::path::Path;

use elpis_steering::{
    FormatError, StackedRows, SteeringVector, VectorError, VectorFile, VectorFormat, parse,
    parse_file, write,
};

const WIDTH: usize = 6;
const LAYERS: [usize; 3] = [1, 2, 10];

fn data(name: &str) -> (VectorFormat, Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/steering");
    let extension = name.rsplit('.').next().unwrap_or_default();
    let format = VectorFormat::from_extension(extension).expect("a known extension");
    (format, std::fs::read(path.join(name)).expect(name))
}

fn read(name: &str) -> Result<SteeringVector, FormatError> {
    let (format, bytes) = data(name);
    parse(format, &bytes)
}

/// The row that `make.py` writes.
fn row(r: usize) -> Vec<f32> {
    (0..WIDTH)
        .map(|i| ((r * 7 + i * 3) % 11) as f32 / 4.0 - 1.25)
        .collect()
}

fn layered(layers: &[usize]) -> SteeringVector {
    SteeringVector::layered(layers.iter().map(|&k| (k, row(k))).collect()).unwrap()
}

fn bits(vector: &SteeringVector) -> Vec<(Option<usize>, Vec<u32>)> {
    vector
        .rows()
        .map(|(layer, row)| (layer, row.iter().map(|x| x.to_bits()).collect()))
        .collect()
}

#[test]
fn a_matrix_is_for_all_layers_or_hidden_states() {
    let expected: Vec<_> = (0..3).map(|k| (None, row(k))).collect();
    for name in [
        "matrix.pt",
        "matrix_strided.pt",
        "numpy_fortran.pt",
        "numpy_fortran5.pt",
        "rows.npy",
        "fortran.npy",
        "rows.npz",
        "rows.safetensors",
    ] {
        let vector = read(name).expect(name);
        assert!(vector.is_stacked() && !vector.is_bare(), "{name}");
        let rows: Vec<_> = vector.rows().map(|(k, row)| (k, row.to_vec())).collect();
        assert_eq!(rows, expected, "{name}");
        assert_eq!(vector.row(1), None);
        let layers = vector.clone().for_layers(3).unwrap();
        assert_eq!(bits(&layers), bits(&layered(&[0, 1, 2])));
        // The first of the hidden states is the embedding.
        let states = vector.clone().for_layers(2).unwrap();
        let after: Vec<_> = states.rows().map(|(k, row)| (k, row.to_vec())).collect();
        assert_eq!(after, [(Some(0), row(1)), (Some(1), row(2))]);
        assert_eq!(
            vector.clone().with_rows_as(StackedRows::HiddenStates),
            Ok(states)
        );
        let refused = vector.for_layers(4).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the matrix has 3 rows without layers, must have 4 (one for each layer of the model) or \
             5 (hidden states, the first of them the embedding)"
        );
    }
}

#[test]
fn packs_are_vectors_by_emotion() {
    for name in [
        "pack.pt",
        "pack_numpy.pt",
        "pack_names.pt",
        "pack_objects.pt",
        "pack_named.pt",
        "pack_dicts.pt",
        "pack.npz",
        "pack.safetensors",
    ] {
        let (format, bytes) = data(name);
        let VectorFile::Pack(vectors) = parse_file(format, &bytes).expect(name) else {
            panic!("{name} is no pack");
        };
        let names: Vec<_> = vectors.keys().map(String::as_str).collect();
        assert_eq!(names, ["at_ease", "joy"], "{name}");
        for (emotion, first) in [("joy", 0), ("at_ease", 3)] {
            let vector = vectors[emotion].clone().for_layers(3).unwrap();
            let rows: Vec<_> = vector.rows().map(|(k, row)| (k, row.to_vec())).collect();
            let expected: Vec<_> = (0..3).map(|k| (Some(k), row(first + k))).collect();
            assert_eq!(rows, expected, "{name}: {emotion}");
        }
    }
}

#[test]
fn a_git_lfs_pointer_is_called_that() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 172032\n";
    for &format in VectorFormat::ALL {
        let refused = parse(format, pointer).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it is a Git LFS pointer, not the file itself, which has 172032 bytes"
        );
    }
}

#[test]
fn every_truncation_is_refused_and_no_changed_byte_panics() {
    for name in [
        "layered.safetensors",
        "bare_f16.safetensors",
        "int_keys.pt",
        "ordered.pt",
        "protocol4.pt",
        "strided.pt",
        "parameter.pt",
        "numpy_protocol2.pt",
        "numpy_protocol5.pt",
        "pack_objects.pt",
        "pack_dicts.pt",
        "fortran.npy",
        "layers_compressed.npz",
        "pack.npz",
        "control.gguf",
        "control_f16.gguf",
    ] {
        let (format, bytes) = data(name);
        let padding = bytes.iter().rev().take_while(|&&b| b == 0).count();
        for length in 0..bytes.len() {
            let result = parse(format, &bytes[..length]);
            // Nothing is lost with the zeros that fill the last GGUF tensor up.
            if format != VectorFormat::Gguf || bytes.len() - length > padding {
                assert!(result.is_err(), "{name} cut to {length} bytes");
            }
        }
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF, bytes[index] ^ 0x20] {
                let mut changed = bytes.clone();
                changed[index] = value;
                let _ = parse_file(format, &changed);
            }
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let bare = SteeringVector::bare(row(0)).unwrap();
    let stacked = SteeringVector::stacked((0..4).map(row).collect()).unwrap();
    let layered = layered(&[0, 1, 3, 12]);
    let refused = |format, vector: &SteeringVector| match (format, vector) {
        (VectorFormat::Gguf, vector) if vector.layers().next().is_none() => {
            Some(FormatError::NoLayer)
        }
        (VectorFormat::Npy, vector) if vector.layers().next().is_some() => {
            Some(FormatError::NoNames)
        }
        _ => None,
    };
    for &format in VectorFormat::ALL {
        for vector in [&bare, &stacked, &layered] {
            match (write(format, vector), refused(format, vector)) {
                (Ok(bytes), None) => {
                    let again = parse(format, &bytes).unwrap();
                    assert_eq!(bits(&again), bits(vector), "{format:?}");
                    assert_eq!(again.is_stacked(), vector.is_stacked());
                    assert_eq!(write(format, vector).unwrap(), bytes);
                }
                (written, refused) => assert_eq!(written.err(), refused),
            }
        }
    }
    let described = layered.clone().described(Some("qwen2".into()), Some(28));
    let bytes = write(VectorFormat::Gguf, &described).unwrap();
    assert_eq!(parse(VectorFormat::Gguf, &bytes).unwrap(), described);
    // Some writers declare the count with a sign.
    let key = b"controlvector.layer_count";
    let at = bytes.windows(key.len()).position(|part| part == key);
    let at = at.unwrap() + key.len();
    let mut signed = bytes;
    signed[at] = 5;
    assert_eq!(parse(VectorFormat::Gguf, &signed).unwrap(), described);
    signed[at + 4..at + 8].copy_from_slice(&(-1_i32).to_le_bytes());
    let unknown = parse(VectorFormat::Gguf, &signed).unwrap();
    assert_eq!(unknown.layer_count(), None);
}

#[test]
fn vectors_are_validated() {
    let layered = |rows: &[(usize, &[f32])]| {
        let rows: BTreeMap<_, _> = rows.iter().map(|(k, row)| (*k, row.to_vec())).collect();
        SteeringVector::layered(rows)
    };
    assert_eq!(layered(&[]), Err(VectorError::Empty));
    assert_eq!(SteeringVector::bare(Vec::new()), Err(VectorError::Empty));
    assert_eq!(
        layered(&[(1024, &[1.0])]),
        Err(VectorError::LayerOutOfRange { layer: 1024 })
    );
    assert_eq!(
        layered(&[(1, &[1.0]), (2, &[1.0, 2.0])]).unwrap_err(),
        VectorError::WidthMismatch {
            layer: 2,
            width: 2,
            expected: 1
        }
    );
    assert_eq!(
        layered(&[(3, &[1.0, f32::INFINITY])])
            .unwrap_err()
            .to_string(),
        "value 1 of layer 3 is inf, must be finite"
    );
    assert_eq!(SteeringVector::bare(vec![-0.0]), Err(VectorError::ZeroNorm));

    let vector = layered(&[(1, &[3.0, 4.0]), (2, &[0.0, 0.0])]).unwrap();
    assert_eq!(vector.width(), 2);
    assert_eq!(vector.layers().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(vector.norm(1), Some(5.0));
    assert_eq!(vector.norm(3), None);
    assert_eq!(vector.scaled(-2.0).unwrap().norm(1), Some(10.0));
    assert_eq!(vector.scaled(0.0), Err(VectorError::ZeroNorm));
    assert_eq!(vector.scaled(1e39).unwrap_err().kind(), "not_finite");
    assert_eq!(vector.scaled(f64::NAN).unwrap_err().kind(), "not_finite");
}
