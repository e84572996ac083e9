//! Steering vector files: those that Python libraries write are read bit for bit or refused with
//! their reason, those written here are read by Python.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

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
fn python_bare_vectors_are_read_bit_for_bit() {
    let expected = bits(&SteeringVector::bare(row(0)).unwrap());
    for name in [
        "bare_f16.safetensors",
        "bare_bf16.safetensors",
        "bare_f32.safetensors",
        "bare_f64.safetensors",
        "bare_1xn.safetensors",
        "bare_f16.pt",
        "bare_bf16.pt",
        "bare_f32.pt",
        "bare_f64.pt",
        "parameter.pt",
        "state_dict.pt",
        "numpy_bare.pt",
        "bare_f2.npy",
        "bare_f4.npy",
        "bare_f8.npy",
    ] {
        let vector = read(name).expect(name);
        assert!(vector.is_bare(), "{name}");
        assert_eq!(bits(&vector), expected, "{name}");
    }
    let second = SteeringVector::bare(row(1)).unwrap();
    assert_eq!(bits(&read("row_1xn.pt").unwrap()), bits(&second));
    let hinted = read("bare_1xn.safetensors").unwrap();
    assert_eq!(hinted.model_hint(), Some("llama"));
}

#[test]
fn python_layered_vectors_are_read_bit_for_bit() {
    let expected = bits(&layered(&LAYERS));
    for name in [
        "layered.safetensors",
        "layers_f16.safetensors",
        "integers.safetensors",
        "int_keys.pt",
        "named_bf16.pt",
        "ordered.pt",
        "protocol4.pt",
        "control.gguf",
        "control_f16.gguf",
        "plain.gguf",
        "blk.safetensors",
        "rows_layers.safetensors",
        "numpy_layers.pt",
        "numpy_keys.pt",
        "numpy_protocol2.pt",
        "numpy_protocol3.pt",
        "numpy_protocol4.pt",
        "numpy_protocol5.pt",
        "numpy_core2.pt",
        "numpy_core3.pt",
        "matrix_layers.pt",
        "nested.pt",
        "layers.npz",
        "layers_compressed.npz",
        "rows_layers.npz",
    ] {
        assert_eq!(bits(&read(name).expect(name)), expected, "{name}");
    }
    let beside = read("layer_beside.pt").unwrap();
    assert_eq!(bits(&beside), bits(&layered(&[10])));
    assert_eq!(beside.model_hint(), Some("llama"));
    let nested = read("nested.pt").unwrap();
    assert_eq!(nested.model_hint(), Some("llama"));
    assert_eq!(
        bits(&read("layer_zero.gguf").unwrap()),
        bits(&layered(&[0, 1]))
    );
    let published = read("easysteer.gguf").unwrap();
    assert_eq!(bits(&published), bits(&layered(&[0, 1, 2])));
    assert_eq!(
        (published.model_hint(), published.layer_count()),
        (None, Some(3))
    );
    for name in ["slices.pt", "strided.pt"] {
        assert_eq!(bits(&read(name).expect(name)), bits(&layered(&[1, 2])));
    }
    let control = read("control.gguf").unwrap();
    assert_eq!(control.model_hint(), Some("llama"));
    assert_eq!(control.layer_count(), Some(3));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn bad_python_files_are_refused_with_their_reason() {
    let cases = [
        (
            "mixed_names.safetensors",
            "tensor \"bias\" names no layer below 1024, \
             must be layer.N, layers.N, direction.N or N",
        ),
        (
            "alpha.pt",
            "refused entry \"alpha\": a float, must be a tensor",
        ),
        (
            "negative.pt",
            "\"layers.-1\" does not name a layer clearly: the layer is negative, count from the first; \
             rename it to layer.N",
        ),
        (
            "hidden_states.pt",
            "\"hidden_states.3\" does not name a layer clearly: hidden states count from the embedding, one \
             more than the layer that they come out of; rename it to layer.N",
        ),
        (
            "numpy_int.pt",
            "tensor \"the file\" has type numpy int64, must be f16, bf16, f32 or f64",
        ),
        (
            "numpy_complex.pt",
            "tensor \"an array\" has type numpy c16, must be f16, bf16, f32 or f64",
        ),
        (
            "numpy_object.pt",
            "refused entry \"the file\": a list, must be a tensor",
        ),
        (
            "numpy_record.pt",
            "tensor \"an array\" has type numpy record, must be f16, bf16, f32 or f64",
        ),
        (
            "int.npy",
            "tensor \"the file\" has type numpy int64, must be f16, bf16, f32 or f64",
        ),
        (
            "object.npy",
            "tensor \"the file\" has type numpy |O, must be f16, bf16, f32 or f64",
        ),
        (
            "pack.pt",
            "it is a pack of 2 emotions (at_ease, joy), one vector is needed",
        ),
        (
            "pack_short.pt",
            "the pack names 1 emotions for vectors of shape [2, 3, 6], must be one for each",
        ),
        (
            "pack_nameless.pt",
            "tensor \"the file\" has shape [2, 3, 6], must be [n], or [layers, n]; a pack of \
             [emotions, layers, n] needs `emotions`, the list of their names, beside it",
        ),
        (
            "matrix.safetensors",
            "tensor \"layer.1\" has shape [2, 3], must be [n] or [1, n]",
        ),
        (
            "int64.safetensors",
            "tensor \"layer.1\" has type I64, must be f16, bf16, f32 or f64",
        ),
        (
            "int64.pt",
            "tensor \"the file\" has type torch.LongStorage, must be f16, bf16, f32 or f64",
        ),
        (
            "list.pt",
            "refused entry \"the file\": a list, must be a tensor",
        ),
        ("evil.pt", "refused global 'posix.system'"),
        ("evil4.pt", "refused global 'posix.system'"),
        (
            "model.gguf",
            "general.architecture is \"llama\", must be \"controlvector\"",
        ),
    ];
    for (name, message) in cases {
        assert_eq!(read(name).expect_err(name).to_string(), message, "{name}");
    }
    assert_eq!(read("legacy.pt").unwrap_err(), FormatError::LegacyPickle);
    // As Python's text protocol writes a number, a dict, a list, an array and
    // a tensor, and its first binary one a list.
    for text in [
        &b"L119547037146038801333356L\n."[..],
        b"(dp0\nI1\n(lp1\nF0.5\nas.",
        b"(lp0\nF0.5\na.",
        b"cnumpy.core.multiarray\n_reconstruct\np0\n",
        b"ctorch._utils\n_rebuild_tensor_v2\np0\n",
        b"]q\x00G?\xe0\x00\x00\x00\x00\x00\x00a.",
    ] {
        let refused = parse(VectorFormat::Pt, text).unwrap_err();
        assert_eq!(refused, FormatError::LegacyPickle);
        assert!(refused.to_string().contains("save it again"), "{refused}");
    }
    for text in [&b"calm\x00\n"[..], b"Lorem ipsum\n", b"(no)", b"<html>"] {
        let refused = parse(VectorFormat::Pt, text).unwrap_err();
        assert_ne!(refused, FormatError::LegacyPickle);
    }
    assert_eq!(read("expanded.pt").unwrap_err().kind(), "limit_exceeded");
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

/// Reads the files with the libraries of others and compares every value.
const CHECK: &str = r#"
import sys, torch, gguf, numpy
from safetensors.torch import load_file
d = sys.argv[1]
row = lambda r: torch.tensor([((r * 7 + i * 3) % 11 - 5) / 4 for i in range(6)])
for mmap in (False, True):
    t = torch.load(f"{d}/layered.pt", weights_only=True, mmap=mmap)
    assert list(t) == [1, 2, 10] and all(torch.equal(t[k], row(k)) for k in t)
    assert torch.equal(torch.load(f"{d}/bare.pt", weights_only=True, mmap=mmap), row(0))
t = load_file(f"{d}/layered.safetensors")
assert len(t) == 3 and all(torch.equal(t[f"layer.{k}"], row(k)) for k in (1, 2, 10))
t = load_file(f"{d}/bare.safetensors")
assert list(t) == ["vector"] and torch.equal(t["vector"], row(0))
r = gguf.GGUFReader(f"{d}/layered.gguf")
assert [t.name for t in r.tensors] == ["direction.1", "direction.2", "direction.10"]
for t, k in zip(r.tensors, (1, 2, 10)):
    assert t.tensor_type == gguf.GGMLQuantizationType.F32 and t.data.shape == (6,)
    assert numpy.array_equal(t.data, row(k).numpy())
assert numpy.array_equal(numpy.load(f"{d}/bare.npy"), row(0).numpy())
stack = numpy.stack([row(k).numpy() for k in range(3)])
assert numpy.array_equal(numpy.load(f"{d}/stacked.npy"), stack)
assert torch.equal(torch.load(f"{d}/stacked.pt", weights_only=True), torch.tensor(stack))
assert torch.equal(load_file(f"{d}/stacked.safetensors")["vectors"], torch.tensor(stack))
z = numpy.load(f"{d}/layered.npz")
assert sorted(z) == ["layer.1", "layer.10", "layer.2"]
assert all(numpy.array_equal(z[f"layer.{k}"], row(k).numpy()) for k in (1, 2, 10))
assert numpy.array_equal(numpy.load(f"{d}/stacked.npz")["vectors"], stack)
f = lambda name: r.fields[name].contents()
assert f("general.architecture") == "controlvector"
assert f("controlvector.model_hint") == "llama" and f("controlvector.layer_count") == 3
"#;

#[test]
fn python_reads_what_is_written() {
    let Some(python) = std::env::var_os("ELPIS_TEST_PYTHON") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_TEST_PYTHON must name a Python with torch, safetensors and gguf"
        );
        println!("skipped: ELPIS_TEST_PYTHON names no Python with torch, safetensors and gguf");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, format: VectorFormat, vector: &SteeringVector| {
        let path: PathBuf = folder.path().join(format!("{name}.{}", format.extension()));
        std::fs::write(path, write(format, vector).unwrap()).unwrap();
    };
    let layered = layered(&LAYERS).described(Some("llama".into()), None);
    let bare = SteeringVector::bare(row(0)).unwrap();
    let stacked = SteeringVector::stacked((0..3).map(row).collect()).unwrap();
    for &format in VectorFormat::ALL {
        if format != VectorFormat::Npy {
            save("layered", format, &layered);
        }
        if format != VectorFormat::Gguf {
            save("bare", format, &bare);
            save("stacked", format, &stacked);
        }
    }

    let output = Command::new(python)
        .args(["-c", CHECK])
        .arg(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
