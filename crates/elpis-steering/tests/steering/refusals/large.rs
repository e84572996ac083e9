//! Large files are read in bounded memory.

use std::fmt::Write as _;

use elpis_steering::VectorFormat;

use super::gguf::Gguf;
use super::{parse, safetensors, zip};

/// Layers and width of a large set: 32 MB of f16.
const LAYERS: usize = 256;

const WIDTH: usize = 1 << 16;

/// One in every place, as f16.
fn ones() -> Vec<u8> {
    0x3C00_u16.to_le_bytes().repeat(LAYERS * WIDTH)
}

fn large_safetensors() -> Vec<u8> {
    let mut header = String::from("{");
    for layer in 1..=LAYERS {
        let (start, end) = ((layer - 1) * WIDTH * 2, layer * WIDTH * 2);
        let comma = if layer == 1 { "" } else { "," };
        write!(
            header,
            r#"{comma}"layer.{layer}":{{"dtype":"F16","shape":[{WIDTH}],"data_offsets":[{start},{end}]}}"#
        )
        .unwrap();
    }
    safetensors(&(header + "}"), &ones())
}

fn large_gguf() -> Vec<u8> {
    let mut file = Gguf::new(LAYERS as u64, 1).architecture();
    for layer in 1..=LAYERS {
        let offset = ((layer - 1) * WIDTH * 2) as u64;
        file = file.tensor(&format!("direction.{layer}"), WIDTH as u64, 1, offset);
    }
    let mut bytes = file.0;
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend(ones());
    bytes
}

/// A dict from layers to pieces of one storage.
fn large_pt() -> Vec<u8> {
    let int = |value: usize| [b"J", &(value as i32).to_le_bytes()[..]].concat();
    let mut pickle = b"\x80\x02}(".to_vec();
    for layer in 1..=LAYERS {
        pickle.extend(int(layer));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        pickle.extend(b"(X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\x000X\x03\0\0\0cpu");
        pickle.extend(int(LAYERS * WIDTH));
        pickle.extend(b"tQ");
        pickle.extend(int((layer - 1) * WIDTH));
        pickle.extend([int(WIDTH), b"\x85K\x01\x85".to_vec()].concat());
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    zip(&[("a/data.pkl", &pickle), ("a/data/0", &ones())])
}

#[test]
fn large_vectors_are_read_within_twice_their_size() {
    for (format, bytes) in [
        (VectorFormat::Safetensors, large_safetensors()),
        (VectorFormat::Gguf, large_gguf()),
        (VectorFormat::Pt, large_pt()),
    ] {
        assert!(bytes.len() > 32_000_000);
        let vector = parse(format, &bytes).unwrap();
        assert_eq!(vector.rows().count(), LAYERS, "{format:?}");
        let one = |x: &f32| x.to_bits() == 1.0_f32.to_bits();
        assert!(
            vector
                .rows()
                .all(|(_, row)| row.len() == WIDTH && row.iter().all(one))
        );
    }
}
