//! Steering vector files: those that Python libraries write are read bit for bit or refused with
//! their reason, those written here are read by Python.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use elpis::steering::{FormatError, SteeringVector, VectorError, VectorFormat, parse, write};

const WIDTH: usize = 6;
const LAYERS: [usize; 3] = [1, 2, 10];

fn data(name: &str) -> (VectorFormat, Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/steering");
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
    ] {
        assert_eq!(bits(&read(name).expect(name)), expected, "{name}");
    }
    for name in ["slices.pt", "strided.pt"] {
        assert_eq!(bits(&read(name).expect(name)), bits(&layered(&[1, 2])));
    }
    let control = read("control.gguf").unwrap();
    assert_eq!(control.model_hint(), Some("llama"));
    assert_eq!(control.layer_count(), Some(3));
}

#[test]
fn bad_python_files_are_refused_with_their_reason() {
    let cases = [
        (
            "mixed_names.safetensors",
            "tensor \"bias\" names no layer below 1024, \
             must be layer.N, layers.N, direction.N or N",
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
            "extra_value.pt",
            "refused entry \"layer\": an integer, must be a tensor",
        ),
        (
            "list.pt",
            "refused entry \"the file\": a list, must be a tensor",
        ),
        ("evil.pt", "refused global 'posix.system'"),
        ("evil4.pt", "refused global 'posix.system'"),
        (
            "layer_zero.gguf",
            "layer is 0, must be at least 1 in a GGUF control vector",
        ),
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
fn every_truncation_is_refused_and_no_changed_byte_panics() {
    for name in [
        "layered.safetensors",
        "bare_f16.safetensors",
        "int_keys.pt",
        "ordered.pt",
        "protocol4.pt",
        "strided.pt",
        "parameter.pt",
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
                let _ = parse(format, &changed);
            }
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let bare = SteeringVector::bare(row(0)).unwrap();
    let layered = layered(&[1, 3, 12]);
    for format in VectorFormat::ALL {
        let bytes = write(format, &layered).unwrap();
        assert_eq!(bits(&parse(format, &bytes).unwrap()), bits(&layered));
        assert_eq!(write(format, &layered).unwrap(), bytes);
    }
    for format in [VectorFormat::Safetensors, VectorFormat::Pt] {
        let bytes = write(format, &bare).unwrap();
        assert_eq!(bits(&parse(format, &bytes).unwrap()), bits(&bare));
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

    assert_eq!(write(VectorFormat::Gguf, &bare), Err(FormatError::NoLayer));
    let zero = bare.at_layer(0).unwrap();
    assert_eq!(
        write(VectorFormat::Gguf, &zero),
        Err(FormatError::LayerZero)
    );
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
f = lambda name: r.fields[name].contents()
assert f("general.architecture") == "controlvector"
assert f("controlvector.model_hint") == "llama" and f("controlvector.layer_count") == 3
"#;

#[test]
fn python_reads_what_is_written() {
    let Some(python) = std::env::var_os("ELPIS_PYTHON") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "ELPIS_PYTHON must name a Python with torch, safetensors and gguf"
        );
        println!("skipped: ELPIS_PYTHON names no Python with torch, safetensors and gguf");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, format: VectorFormat, vector: &SteeringVector| {
        let path: PathBuf = folder.path().join(format!("{name}.{}", format.extension()));
        std::fs::write(path, write(format, vector).unwrap()).unwrap();
    };
    let layered = layered(&LAYERS).described(Some("llama".into()), None);
    let bare = SteeringVector::bare(row(0)).unwrap();
    for format in VectorFormat::ALL {
        save("layered", format, &layered);
    }
    save("bare", VectorFormat::Pt, &bare);
    save("bare", VectorFormat::Safetensors, &bare);

    let output = Command::new(python)
        .args(["-c", CHECK])
        .arg(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
