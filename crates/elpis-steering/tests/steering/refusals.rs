//! Hand-made bad files: huge declared sizes, overlaps, recursion, refused globals, broken archives.

mod gguf;
mod large;
mod numpy;
mod pickle;

use elpis_steering::{FormatError, Manifest, SteeringVector, VectorFile, VectorFormat, parse_file};
use elpis_testkit::allocator;

use gguf::Gguf;

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
