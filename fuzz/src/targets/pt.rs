use super::memory;
use elpis::steering::{VectorFormat, parse, write};

const FORMAT: VectorFormat = VectorFormat::Pt;

/// Half of the inputs are taken as a whole file, the others as the pickle of an intact archive:
/// checksums would keep mutations from ever reaching the pickle.
pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((&b'P', _)) | None => check(bytes),
        Some((_, pickle)) => check(&archive(pickle)),
    }
}

fn check(bytes: &[u8]) {
    if let Ok(vector) = memory::bounded(bytes.len(), || parse(FORMAT, bytes)) {
        let written = write(FORMAT, &vector).expect("what was read can be written");
        let again = parse(FORMAT, &written).expect("what was written can be read");
        assert!(vector.rows().eq(again.rows()));
    }
}

fn archive(pickle: &[u8]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in [("a/data.pkl", pickle), ("a/data/0", &[1; 24])] {
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
        bytes.extend(data);
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
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
