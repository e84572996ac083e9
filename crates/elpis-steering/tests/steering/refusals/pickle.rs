//! Invalid pickles and archives of `PyTorch`.

use elpis_steering::VectorFormat;

use super::numpy::numpy;
use super::{parse, parse_all, pt, zip};

/// A tensor of `elements` declared values, as protocol 2 text.
pub(super) fn tensor(elements: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    pickle.extend(b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu");
    pickle.extend(elements);
    pickle.extend(b"tQ");
    pickle.extend(offset);
    pickle.extend(shape);
    pickle.extend(strides);
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR.");
    pickle
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let refused = |pickle: &[u8]| parse(VectorFormat::Pt, &pt(pickle)).unwrap_err().kind();
    let good = tensor(b"K\x06", b"K\0", b"K\x06\x85", b"K\x01\x85");
    assert!(parse(VectorFormat::Pt, &pt(&good)).is_ok());

    for (elements, offset, shape, strides, reason) in [
        // The storage has six values of four bytes.
        (
            &b"K\x07"[..],
            &b"K\0"[..],
            &b"K\x06\x85"[..],
            &b"K\x01\x85"[..],
            "malformed",
        ),
        (b"K\x06", b"K\x01", b"K\x06\x85", b"K\x01\x85", "malformed"),
        (b"K\x06", b"K\0", b"K\x04\x85", b"K\x02\x85", "malformed"),
        (
            b"K\x06",
            b"K\0",
            b"K\x06\x85",
            b"J\xFF\xFF\xFF\xFF\x85",
            "malformed",
        ),
        (
            b"K\x06",
            b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
            b"K\x06\x85",
            b"K\x01\x85",
            "malformed",
        ),
        (
            b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
            b"K\0",
            b"K\x06\x85",
            b"K\x01\x85",
            "malformed",
        ),
        (
            b"K\x06",
            b"K\0",
            b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x85",
            b"K\x01\x85",
            "limit_exceeded",
        ),
        (
            b"K\x06",
            b"K\0",
            b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x85",
            b"K\0\x85",
            "limit_exceeded",
        ),
        (
            b"K\x06",
            b"K\0",
            b"K\x06\x85",
            b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x85",
            "malformed",
        ),
        (b"K\x06", b"K\0", b"K\x06\x85", b")", "malformed"),
        (b"K\x06", b"K\0", b")", b")", "shape"),
        (
            b"K\x06",
            b"K\0",
            b"K\x02K\x03\x86",
            b"K\x04K\x01\x86",
            "malformed",
        ),
        (b"K\x06", b"K\0", b"N", b"K\x01\x85", "malformed"),
        (b"K\x06", b"K\0", b"K\0\x85", b"K\x01\x85", "empty"),
    ] {
        assert_eq!(refused(&tensor(elements, offset, shape, strides)), reason);
    }
}

#[test]
fn pickles_that_do_more_than_describe_tensors_are_refused() {
    let refused = |pickle: &[u8]| parse(VectorFormat::Pt, &pt(pickle)).unwrap_err().kind();
    let good = tensor(b"K\x06", b"K\0", b"K\x06\x85", b"K\x01\x85");
    let system = b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.";
    let error = parse(VectorFormat::Pt, &pt(system)).unwrap_err();
    assert_eq!(error.to_string(), "refused global 'os.system'");
    assert_eq!(refused(b"(ios\nsystem\n."), "refused_global");
    assert_eq!(refused(b"\x8c\x02os\x8c\x06system\x93."), "refused_global");
    assert_eq!(refused(b"cbuiltins\neval\n."), "refused_global");
    assert_eq!(refused(b"}\x81."), "refused_opcode");
    // Deep nesting and endless programs cost neither stack nor memory.
    let deep = |open: &[u8], times| [open.repeat(times), b".".to_vec()].concat();
    assert_eq!(refused(&deep(b"(", 100_000)), "limit_exceeded");
    assert_eq!(refused(&deep(b")\x85", 100_000)), "limit_exceeded");
    assert_eq!(
        refused(&[b")".to_vec(), deep(b"\x85", 60_000)].concat()),
        "limit_exceeded"
    );
    assert_eq!(refused(&vec![b'N'; 3 << 20]), "limit_exceeded");
    // Text longer than the file, a memo that is not set, an empty stack, no end.
    for pickle in [
        &b"X\xFF\xFF\xFF\xFF"[..],
        b"\x8d\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"}",
        b"",
    ] {
        assert_eq!(refused(pickle), "truncated");
    }
    for pickle in [
        &b"h\x07."[..],
        b".",
        b"R.",
        b"t.",
        b"(.",
        b"u.",
        b"s.",
        b"(Q.",
        b"K\x01b.",
        b"NNs.",
        b"}(N(u.",
        b"}NN\x85R.",
        b"\x8a\x09123456789.",
        b"NQ.",
        b"q\0.",
        b"}(K\x01u.",
        b"}(b.",
    ] {
        assert_eq!(refused(pickle), "malformed", "{pickle:?}");
    }
    assert_eq!(refused(b"}."), "no_tensors");
    // The layer in a dict may not be negative.
    let mut negative = b"}J\xFF\xFF\xFF\xFF".to_vec();
    negative.extend(&good[2..good.len() - 1]);
    negative.extend(b"s.");
    assert_eq!(refused(&negative), "unclear_layer");
}

#[test]
fn hand_made_archives_are_refused() {
    let refused = |bytes: &[u8]| parse(VectorFormat::Pt, bytes).unwrap_err().to_string();
    let good = tensor(b"K\x06", b"K\0", b"K\x06\x85", b"K\x01\x85");
    assert!(refused(b"not a zip").contains("not a zip archive"));
    assert!(refused(&zip(&[("a/x", b"1")])).contains("no data.pkl"));
    assert!(refused(&zip(&[("a/data.pkl", &good)])).contains("no storage data/0"));
    let two = zip(&[("a/data.pkl", &good), ("b/data.pkl", &good)]);
    assert!(refused(&two).contains("data.pkl occurs twice"));
    let big_endian = zip(&[("a/data.pkl", &good), ("a/byteorder", b"big")]);
    assert!(refused(&big_endian).contains("byte order"));

    let mut bytes = pt(&good);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let change = |at: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[at] = value;
        refused(&changed)
    };
    assert!(change(directory + 10, 8).contains("compressed"));
    assert!(change(directory + 8, 1).contains("encrypted"));
    assert!(change(directory + 16, 0).contains("checksum"));
    assert!(change(directory + 42, 1).contains("does not stand where it should"));
    assert!(change(40, b'!').contains("checksum"));
    // Both entries at one place.
    let second = directory + 46 + "a/data.pkl".len();
    bytes.copy_within(directory + 20..directory + 28, second + 20);
    bytes.copy_within(directory + 42..directory + 46, second + 42);
    assert!(refused(&bytes).contains("overlap"));
}

#[test]
fn shared_and_cyclic_pickles_cost_little() {
    let refused = |pickle: &[u8]| parse_all(VectorFormat::Pt, &pt(pickle)).unwrap_err().kind();
    // A list of itself; lists of lists that share; a dict in itself.
    assert_eq!(refused(b"]q\0h\0a."), "limit_exceeded");
    assert_eq!(refused(b"}q\0X\x01\0\0\0ah\0s."), "limit_exceeded");
    let mut doubling = b"]q\0".to_vec();
    for level in 0..5_u8 {
        doubling.extend(b"](");
        for _ in 0..200 {
            doubling.extend([b'h', level]);
        }
        doubling.extend([b'e', b'q', level + 1]);
    }
    doubling.push(b'.');
    assert_eq!(refused(&doubling), "limit_exceeded");
    // One array under many keys.
    let array = numpy("f4", "<", b"J\0\x10\0\0\x85", &{
        let mut data = b"B\0\x40\0\0".to_vec();
        data.extend([0_u8, 0, 0x80, 0x3f].repeat(0x1000));
        data
    });
    let mut shared = b"\x80\x02}(K\0".to_vec();
    shared.extend(&array[2..array.len() - 1]);
    shared.extend(b"q\0");
    for layer in 1..200_u8 {
        shared.extend([b'K', layer, b'h', 0]);
    }
    shared.extend(b"u.");
    // Two such files and 4 MiB have room for all; ten times as many arrays have not.
    let vector = parse(VectorFormat::Pt, &pt(&shared)).unwrap();
    assert_eq!(vector.layers().count(), 200);
    let mut more = shared[..shared.len() - 2].to_vec();
    for layer in 200..1000_u16 {
        more.extend([&b"M"[..], &layer.to_le_bytes(), b"h\0"].concat());
    }
    more.extend(b"u.");
    assert_eq!(refused(&more), "limit_exceeded");
}
