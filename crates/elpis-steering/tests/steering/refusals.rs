//! Hand-made bad files: huge declared sizes, overlaps, recursion, refused globals, broken archives.

use std::fmt::Write as _;

use elpis_steering::{FormatError, Manifest, SteeringVector, VectorFile, VectorFormat, parse_file};
use elpis_testkit::allocator;

/// Sees to it that the work on a file stays within twice its size plus 16 MB of
/// memory, whatever sizes the file declares.
fn bounded<T>(bytes: &[u8], work: impl FnOnce() -> T) -> T {
    let (result, peak) = allocator::peak(work);
    let limit = 2 * bytes.len() + 16_000_000;
    assert!(peak <= limit, "{peak} bytes for a file of {}", bytes.len());
    result
}

fn parse(format: VectorFormat, bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    bounded(bytes, || elpis_steering::parse(format, bytes))
}

fn parse_all(format: VectorFormat, bytes: &[u8]) -> Result<VectorFile, FormatError> {
    bounded(bytes, || parse_file(format, bytes))
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn hand_made_safetensors_are_refused() {
    let parse = |bytes: &[u8]| parse(VectorFormat::Safetensors, bytes).unwrap_err().kind();
    let tensor = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let one = |shape: &str, offsets: &str| format!("{{{}}}", tensor("a", shape, offsets));

    assert_eq!(parse(&u64::MAX.to_le_bytes()), "limit_exceeded");
    assert_eq!(parse(&400_000_u64.to_le_bytes()), "truncated");
    assert_eq!(parse(&safetensors("{}", &[])), "no_tensors");
    assert_eq!(parse(&safetensors("[1,2", &[])), "malformed");
    assert_eq!(parse(&safetensors(&"[".repeat(100_000), &[])), "malformed");
    for (shape, offsets) in [
        ("[18446744073709551615]", "[0,8]"),
        ("[4611686018427387905]", "[0,4]"),
        ("[1000000000000]", "[0,4000000000000]"),
        ("[2]", "[8,0]"),
        ("[2]", "[4,12]"),
    ] {
        assert_eq!(
            parse(&safetensors(&one(shape, offsets), &[0; 8])),
            "malformed"
        );
    }
    let overlapping = format!(
        "{{{},{}}}",
        tensor("layer.1", "[2]", "[0,8]"),
        tensor("layer.2", "[2]", "[4,12]")
    );
    assert_eq!(parse(&safetensors(&overlapping, &[0; 12])), "malformed");
    let twice = format!(
        "{{{},{}}}",
        tensor("layer.1", "[1]", "[0,4]"),
        tensor("layers.1", "[1]", "[4,8]")
    );
    assert_eq!(parse(&safetensors(&twice, &[1; 8])), "duplicate_layer");

    let nan = [1.0_f32, f32::NAN].map(f32::to_le_bytes).concat();
    assert_eq!(
        parse(&safetensors(&one("[2]", "[0,8]"), &nan)),
        "not_finite"
    );
    assert_eq!(
        parse(&safetensors(&one("[2]", "[0,8]"), &[0; 8])),
        "zero_norm"
    );
    assert_eq!(parse(&safetensors(&one("[0]", "[0,0]"), &[])), "empty");
}

struct Gguf(Vec<u8>);

impl Gguf {
    fn new(tensors: u64, pairs: u64) -> Self {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(pairs.to_le_bytes());
        Self(bytes)
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn architecture(self) -> Self {
        self.text("general.architecture")
            .u32(8)
            .text("controlvector")
    }

    fn tensor(self, name: &str, width: u64, kind: u32, offset: u64) -> Self {
        let info = self.text(name).u32(1).u64(width);
        info.u32(kind).u64(offset)
    }

    fn refused(mut self, data: usize) -> &'static str {
        self.0.resize(self.0.len().next_multiple_of(32) + data, 1);
        parse(VectorFormat::Gguf, &self.0).unwrap_err().kind()
    }
}

#[test]
fn hand_made_ggufs_are_refused() {
    let good = || Gguf::new(1, 1).architecture();
    assert_eq!(Gguf::new(u64::MAX, 0).refused(0), "limit_exceeded");
    assert_eq!(Gguf::new(1, u64::MAX).refused(0), "limit_exceeded");
    let cut = parse(VectorFormat::Gguf, &Gguf::new(1, 2).architecture().0).unwrap_err();
    assert_eq!(cut.kind(), "truncated");
    assert_eq!(Gguf::new(0, 1).architecture().refused(0), "no_tensors");
    assert_eq!(Gguf::new(0, 0).refused(0), "not_a_control_vector");

    let huge_text = Gguf::new(1, 1).text("k").u32(8).u64(u64::MAX);
    assert_eq!(huge_text.refused(0), "truncated");
    let huge_array = Gguf::new(1, 1).text("k").u32(9).u32(10).u64(u64::MAX / 4);
    assert_eq!(huge_array.refused(0), "truncated");
    let mut deep = Gguf::new(1, 1).text("k").u32(9);
    for _ in 0..100_000 {
        deep = deep.u32(9).u64(1);
    }
    assert_eq!(deep.refused(0), "malformed");

    for (name, width, kind, offset, reason) in [
        ("direction.1", u64::MAX, 0, 0, "malformed"),
        ("direction.1", 1 << 61, 0, u64::MAX, "malformed"),
        ("direction.1", 1 << 40, 0, 0, "truncated"),
        ("direction.1", 4, 0, 1 << 40, "truncated"),
        ("direction.1", 4, 2, 0, "malformed"),
        ("direction.1", 32, 2, 0, "unsupported_type"),
        ("direction.1", 4, 99, 0, "malformed"),
        ("direction.-1", 4, 0, 0, "unclear_layer"),
        ("vector", 4, 0, 0, "not_a_layer"),
        ("direction.99999999999999999999", 4, 0, 0, "unclear_layer"),
    ] {
        let refused = good().tensor(name, width, kind, offset).refused(64);
        assert_eq!(refused, reason, "{name} {width} {kind} {offset}");
    }
    let overlapping = Gguf::new(2, 1)
        .architecture()
        .tensor("direction.1", 16, 0, 0)
        .tensor("direction.2", 16, 0, 32);
    assert_eq!(overlapping.refused(128), "malformed");
    let alignment = Gguf::new(1, 2)
        .architecture()
        .text("general.alignment")
        .u32(4);
    assert_eq!(
        alignment.u32(0).tensor("direction.1", 4, 0, 0).refused(64),
        "malformed"
    );
    let old = b"GGUF\x01\0\0\0".to_vec();
    assert_eq!(
        parse(VectorFormat::Gguf, &old).unwrap_err().kind(),
        "malformed"
    );
}

/// An archive of a pickle and of one storage with six values of four bytes.
fn pt(pickle: &[u8]) -> Vec<u8> {
    zip(&[("a/data.pkl", pickle), ("a/data/0", &[1; 24])])
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let mut common = vec![0; 8];
        common.extend(crc32(data).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\0\0\0\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend(b"PK\x03\x04\0\0");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(*data);
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([entries.len() as u16; 2].map(u16::to_le_bytes).concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc: u32, _| {
            (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
        })
    })
}

/// A tensor of `elements` declared values, as protocol 2 text.
fn tensor(elements: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
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

/// `(shape, dtype, fortran, data)` as numpy's protocol 2 has it.
fn numpy(dtype: &str, order: &str, shape: &[u8], data: &[u8]) -> Vec<u8> {
    let mut pickle =
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01"
            .to_vec();
    pickle.extend(shape);
    pickle.extend(b"cnumpy\ndtype\nX");
    pickle.extend((dtype.len() as u32).to_le_bytes());
    pickle.extend(dtype.as_bytes());
    pickle.extend(b"\x89\x88\x87R(K\x03X\x01\0\0\0");
    pickle.extend(order.as_bytes());
    pickle.extend(b"NNNJ\xFF\xFF\xFF\xFFJ\xFF\xFF\xFF\xFFK\0tb\x89");
    pickle.extend(data);
    pickle.extend(b"tb.");
    pickle
}

#[test]
fn numpy_arrays_that_are_not_plain_numbers_are_refused() {
    let refused = |pickle: &[u8]| {
        let refused = parse_all(VectorFormat::Pt, &pt(pickle)).unwrap_err();
        refused.kind()
    };
    let data = b"C\x08\0\0\x80\x3f\0\0\0\x40";
    let good = numpy("f4", "<", b"K\x02\x85", data);
    let vector = parse(VectorFormat::Pt, &pt(&good)).unwrap();
    assert_eq!(vector.row(0).unwrap(), [1.0, 2.0]);
    let swapped = numpy("f4", ">", b"K\x02\x85", b"C\x08\x3f\x80\0\0\x40\0\0\0");
    let vector = parse(VectorFormat::Pt, &pt(&swapped)).unwrap();
    assert_eq!(vector.row(0).unwrap(), [1.0, 2.0]);
    // Data of another length than the shape, shapes that overflow, more dimensions than allowed.
    for shape in [
        &b"K\x03\x85"[..],
        b"K\x01\x85",
        b"K\x02K\x02\x86",
        b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FK\x04\x86",
        b"J\xFF\xFF\xFF\xFF\x85",
        b"N",
    ] {
        assert_eq!(
            refused(&numpy("f4", "<", shape, data)),
            "malformed",
            "{shape:?}"
        );
    }
    let nine = [&b"(K\x02"[..], &b"K\x01".repeat(8), b"t"].concat();
    assert_eq!(refused(&numpy("f4", "<", &nine, data)), "limit_exceeded");
    assert_eq!(refused(&numpy("f4", "<", b"K\0\x85", b"C\0")), "empty");
    for (dtype, kind) in [
        ("i4", "unsupported_type"),
        ("c8", "unsupported_type"),
        ("O8", "unsupported_type"),
        ("V8", "unsupported_type"),
        ("U1", "unsupported_type"),
        ("f99999999999999999999", "unsupported_type"),
        ("f0", "malformed"),
        ("i0", "malformed"),
    ] {
        assert_eq!(
            refused(&numpy(dtype, "<", b"K\x02\x85", data)),
            kind,
            "{dtype}"
        );
    }
    assert_eq!(refused(&numpy("f4", "?", b"K\x02\x85", data)), "malformed");
    // Data that is no bytes, a character that is no byte, an encoding of another kind.
    assert_eq!(
        refused(&numpy("f4", "<", b"K\x02\x85", b"K\x01")),
        "malformed"
    );
    let encoded = |text: &[u8], encoding: &[u8]| {
        [
            b"c_codecs\nencode\nX",
            &(text.len() as u32).to_le_bytes()[..],
            text,
            encoding,
            b"\x86R",
        ]
        .concat()
    };
    let latin1 = b"X\x06\0\0\0latin1";
    let wide = encoded("\0\0\u{80}\u{3f}\0\0\0\u{100}".as_bytes(), latin1);
    assert_eq!(refused(&numpy("f4", "<", b"K\x02\x85", &wide)), "malformed");
    let text = encoded("\0\0\u{80}\u{3f}\0\0\0\u{40}".as_bytes(), latin1);
    let vector = parse(
        VectorFormat::Pt,
        &pt(&numpy("f4", "<", b"K\x02\x85", &text)),
    )
    .unwrap();
    assert_eq!(vector.row(0).unwrap(), [1.0, 2.0]);
    let rot13 = encoded(b"abcdefgh", b"X\x05\0\0\0rot13");
    assert_eq!(
        refused(&numpy("f4", "<", b"K\x02\x85", &rot13)),
        "malformed"
    );
    // Only what arrays are made of can be called, and only so.
    for pickle in [
        &b"\x80\x02cnumpy\nndarray\n)R."[..],
        b"\x80\x02cnumpy\ndtype\n)R.",
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n)R.",
        b"\x80\x02cnumpy._core.multiarray\nscalar\n)R.",
        b"\x80\x02cnumpy._core.numeric\n_frombuffer\n)R.",
        b"\x80\x02cbuiltins\nbytes\nK\x05\x85R.",
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R.",
    ] {
        assert_eq!(refused(pickle), "malformed", "{pickle:?}");
    }
    for global in [
        "numpy.core.multiarray\nfromstring",
        "numpy\nload",
        "numpy\nmemmap",
        "numpy._core._internal\n_reconstruct",
        "_codecs\ndecode",
        "builtins\ngetattr",
        "builtins\nbytearray",
    ] {
        let pickle = format!("\x02c{global}\n.");
        let pickle = [&[0x80][..], pickle.as_bytes()].concat();
        assert_eq!(refused(&pickle), "refused_global", "{global}");
    }
    assert_eq!(refused(b"\x97."), "refused_opcode");
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

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn hand_made_npy_files_are_refused() {
    let refused = |bytes: &[u8]| parse_all(VectorFormat::Npy, bytes).unwrap_err().kind();
    let one = 1_f32.to_le_bytes();
    assert!(parse(VectorFormat::Npy, &npy("<f4", "(1,)", &one)).is_ok());
    assert_eq!(refused(&npy("<f4", "()", &one)), "shape");
    for (shape, data) in [
        ("(2,)", &one[..]),
        ("(1,)", &one[..3]),
        ("(1,)", &[0; 8][..]),
        ("(18446744073709551615,)", &one[..]),
        ("(4611686018427387905,)", &one[..]),
        ("(4294967296, 4294967296)", &one[..]),
        ("(1", &one[..]),
    ] {
        assert_eq!(refused(&npy("<f4", shape, data)), "malformed", "{shape}");
    }
    assert_eq!(refused(&npy("<f4", "(0,)", &[])), "empty");
    assert_eq!(
        refused(&npy("<f4", "(0, 1000000000)", &[])),
        "limit_exceeded"
    );
    assert_eq!(refused(&npy("<f4", "(1000000000, 0)", &[])), "empty");
    assert_eq!(refused(&npy("|O", "(1,)", &one)), "unsupported_type");
    assert_eq!(
        refused(&npy("<f4", "(1,)", &f32::NAN.to_le_bytes())),
        "not_finite"
    );
    let mut long = b"\x93NUMPY\x02\0".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert_eq!(refused(&long), "limit_exceeded");
    assert_eq!(refused(b"\x93NUMPY\x04\0\0\0"), "malformed");
    assert_eq!(refused(b"PK\x03\x04 and so on"), "malformed");
    assert_eq!(refused(b""), "truncated");
}

/// An archive with one deflated entry that says to be so long.
fn deflated(name: &str, data: &[u8], size: u32, crc: u32) -> Vec<u8> {
    let mut common = vec![0, 0, 8, 0, 0, 0, 0, 0];
    common.extend(crc.to_le_bytes());
    common.extend((data.len() as u32).to_le_bytes());
    common.extend(size.to_le_bytes());
    common.extend((name.len() as u16).to_le_bytes());
    common.extend([0, 0]);
    let mut bytes = b"PK\x03\x04\0\0".to_vec();
    bytes.extend(&common);
    bytes.extend(name.as_bytes());
    bytes.extend(data);
    let start = bytes.len() as u32;
    bytes.extend(b"PK\x01\x02\0\0\0\0");
    bytes.extend(&common);
    bytes.extend([0; 14]);
    bytes.extend(name.as_bytes());
    let length = bytes.len() as u32 - start;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(length.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn an_npz_inflates_no_further_than_vectors_need() {
    // A stored block of deflate holds bytes as they are.
    let stored = |bytes: &[u8]| {
        let length = bytes.len() as u16;
        let mut out = vec![1];
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(bytes);
        out
    };
    let array = npy("<f4", "(1,)", &1_f32.to_le_bytes());
    let (size, crc) = (array.len() as u32, crc32(&array));
    let refused = |bytes: &[u8]| parse_all(VectorFormat::Npz, bytes).unwrap_err().kind();
    let good = deflated("calm.npy", &stored(&array), size, crc);
    assert!(parse(VectorFormat::Npz, &good).is_ok());
    for wrong in [
        deflated("calm.npy", &stored(&array), size - 1, crc),
        deflated("calm.npy", &stored(&array), size + 1, crc),
        deflated("calm.npy", &stored(&array), size, crc ^ 1),
        deflated("calm.npy", b"\xFF\xFF\xFF", size, crc),
        deflated("calm.npy", b"", size, crc),
    ] {
        assert_eq!(refused(&wrong), "malformed");
    }
    let bomb = deflated("calm.npy", &stored(&array), 1 << 30, crc);
    assert_eq!(refused(&bomb), "limit_exceeded");
    // A .pt file has nothing that is deflated.
    let pickle = deflated("a/data.pkl", &stored(b"}."), 2, crc32(b"}."));
    assert_eq!(
        parse_all(VectorFormat::Pt, &pickle).unwrap_err().kind(),
        "malformed"
    );
}

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

#[test]
fn the_worst_headers_cost_little() {
    // As many entries as fit into half a MiB: tensors, then metadata.
    let entries = |entry: &dyn Fn(usize) -> String, tail: &str| {
        let mut header = String::from("{");
        for number in 0.. {
            let entry = entry(number);
            if header.len() + entry.len() + tail.len() > 1 << 19 {
                return header.trim_end_matches(',').to_owned() + tail;
            }
            header += &entry;
        }
        header
    };
    let tiny = |n: usize| {
        let (start, end) = (2 * n, 2 * n + 2);
        format!(r#""{n}":{{"dtype":"F16","shape":[1],"data_offsets":[{start},{end}]}},"#)
    };
    let header = entries(&tiny, "}");
    let tensors = header.matches("F16").count();
    assert!(tensors > 8000);
    let file = safetensors(&header, &0x3C00_u16.to_le_bytes().repeat(tensors));
    let refused = parse(VectorFormat::Safetensors, &file).unwrap_err();
    assert_eq!(refused.kind(), "limit_exceeded");

    let one = r#""a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
    let pair = |n: usize| {
        let open = if n == 0 { r#""__metadata__":{"# } else { "" };
        format!(r#"{open}"{n:x}":"","#)
    };
    let header = entries(&pair, &format!("}},{one}"));
    let file = safetensors(&header, &[0, 0x3C]);
    parse(VectorFormat::Safetensors, &file).unwrap();
    let empty_shapes = r#"{"a":{"dtype":"F16","shape":["#.to_owned() + &"1,".repeat(250_000);
    let file = safetensors(&(empty_shapes + r#"1],"data_offsets":[0,2]}}"#), &[0, 0x3C]);
    parse(VectorFormat::Safetensors, &file).unwrap_err();

    let pairs = 65_000;
    let mut file = Gguf::new(1, pairs + 1).architecture();
    for pair in 0..pairs {
        file = file.text(&format!("{pair:x}")).u32(8).text("");
    }
    file = file.tensor("direction.1", 16, 1, 0);
    file.0.resize(file.0.len().next_multiple_of(32), 0);
    file.0.extend(0x3C00_u16.to_le_bytes().repeat(16));
    parse(VectorFormat::Gguf, &file.0).unwrap();

    // Entries of a dict and marks in the memo, as many as the machine takes.
    let mut pickle = b"\x80\x02}(".to_vec();
    for number in 0..20_000_u32 {
        pickle.extend([b"X\x04\0\0\0", &number.to_le_bytes().map(|b| b & 0x7F)[..]].concat());
        pickle.extend([b"r", &number.to_le_bytes()[..], b"}"].concat());
    }
    pickle.extend(b"u.");
    parse(VectorFormat::Pt, &pt(&pickle)).unwrap_err();
    let names: Vec<String> = (0..5000).map(|n| format!("a/{n}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
    let refused = parse(VectorFormat::Pt, &zip(&many)).unwrap_err();
    assert_eq!(refused.kind(), "limit_exceeded");
}

#[test]
fn deep_manifests_are_refused_and_cost_little() {
    let refused = |text: String| {
        assert!(text.len() <= 64 * 1024, "{}", text.len());
        bounded(text.as_bytes(), || {
            Manifest::parse(text.as_bytes()).unwrap_err()
        });
    };
    let half = 32_000;
    refused(format!("layer = {}{}", "[".repeat(half), "]".repeat(half)));
    refused(format!("layer = {}", "[".repeat(2 * half)));
    refused(format!("emotions = {}", "{a=".repeat(half / 2)));
    refused(format!("a{} = 1", ".a".repeat(half)));
    refused(format!("[a{}]", ".a".repeat(half)));
    refused(format!("[[emotions{}]]", ".a".repeat(half - 10)));
    // Wide ones: keys, tables, tables of tables.
    let lines = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > 64 * 1024 {
                break;
            }
            text += &line;
        }
        text
    };
    refused(lines(&|n| format!("{n:x}=1\n")));
    refused(lines(&|n| format!("[{n:x}]\n")));
    refused(lines(&|_| "[[a]]\n".to_owned()));
    let emotions = lines(&|n| format!("[emotions.e{n:x}]\nvalence=0\narousal=0\n"));
    let read = bounded(emotions.as_bytes(), || Manifest::parse(emotions.as_bytes()));
    drop(read);
}
