//! Hand-made bad files: huge declared sizes, overlaps, recursion, refused globals, broken archives.

#[path = "support/allocator.rs"]
mod allocator;

use std::fmt::Write as _;

use elpis::steering::{FormatError, Manifest, SteeringVector, VectorFormat};

/// Sees to it that the work on a file stays within twice its size plus 16 MB of
/// memory, whatever sizes the file declares.
fn bounded<T>(bytes: &[u8], work: impl FnOnce() -> T) -> T {
    let (result, peak) = allocator::peak(work);
    let limit = 2 * bytes.len() + 16_000_000;
    assert!(peak <= limit, "{peak} bytes for a file of {}", bytes.len());
    result
}

fn parse(format: VectorFormat, bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    bounded(bytes, || elpis::steering::parse(format, bytes))
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
    assert_eq!(Gguf::new(1, u64::MAX).refused(0), "truncated");
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
        ("direction.1", 4, 2, 0, "unsupported_type"),
        ("direction.0", 4, 0, 0, "layer_zero"),
        ("direction.-1", 4, 0, 0, "not_a_layer"),
        ("layer.1", 4, 0, 0, "not_a_layer"),
        ("direction.99999999999999999999", 4, 0, 0, "not_a_layer"),
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
            b"K\x03K\x01\x86",
            "shape",
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
        "refused_entry"
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
    assert_eq!(refused(&negative), "not_a_layer");
}

#[test]
fn hand_made_archives_are_refused() {
    let refused = |bytes: &[u8]| parse(VectorFormat::Pt, bytes).unwrap_err().to_string();
    let good = tensor(b"K\x06", b"K\0", b"K\x06\x85", b"K\x01\x85");
    assert!(refused(b"not a zip").contains("not a zip archive"));
    assert!(refused(&zip(&[("a/x", b"1")])).contains("no data.pkl"));
    assert!(refused(&zip(&[("a/data.pkl", &good)])).contains("no storage data/0"));
    let two = zip(&[("a/data.pkl", &good), ("b/data.pkl", &good)]);
    assert!(refused(&two).contains("data.pkl stands twice"));
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

    let pairs = 200_000;
    let mut file = Gguf::new(1, pairs + 1).architecture();
    for _ in 0..pairs {
        file = file.text("k").u32(8).text("");
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
