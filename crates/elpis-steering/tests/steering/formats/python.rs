//! Files are exchanged with Python in both directions.

use std::path::PathBuf;
use std::process::Command;

use elpis_steering::{FormatError, SteeringVector, VectorFormat, parse, write};

use super::{LAYERS, bits, layered, read, row};

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
