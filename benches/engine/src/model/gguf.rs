//! Writes the header of a GGUF file, version 3.

use std::fmt::Display;

/// Alignment of tensors, in bytes.
const ALIGNMENT: usize = 32;

/// The format's numbers of value types.
const UINT32: u32 = 4;
const INT32: u32 = 5;
const FLOAT32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Rounds up to the start of the next tensor.
pub fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// A tensor of the file.
pub struct TensorInfo {
    pub name: String,
    /// The dimensions, beginning with the length of a row.
    pub shape: Vec<u64>,
    /// The format's number of the element type.
    pub encoding: u32,
    pub bytes: usize,
}

/// The key–value pairs of a file.
#[derive(Default)]
pub struct Header {
    pairs: Vec<u8>,
    count: u64,
}

impl Header {
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key, STRING);
        put_text(&mut self.pairs, value);
    }

    pub fn number(&mut self, key: &str, value: u32) {
        self.key(key, UINT32);
        self.pairs.extend(value.to_le_bytes());
    }

    pub fn float(&mut self, key: &str, value: f32) {
        self.key(key, FLOAT32);
        self.pairs.extend(value.to_le_bytes());
    }

    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key, BOOL);
        self.pairs.push(u8::from(value));
    }

    pub fn texts(&mut self, key: &str, values: &[String]) {
        self.array(key, STRING, values.len());
        for value in values {
            put_text(&mut self.pairs, value);
        }
    }

    pub fn integers(&mut self, key: &str, values: &[i32]) {
        self.array(key, INT32, values.len());
        self.pairs
            .extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }

    pub fn floats(&mut self, key: &str, values: impl ExactSizeIterator<Item = f32>) {
        self.array(key, FLOAT32, values.len());
        self.pairs.extend(values.flat_map(f32::to_le_bytes));
    }

    /// Everything before the tensors' data.
    pub fn bytes(&self, tensors: impl ExactSizeIterator<Item = TensorInfo>) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(&self.pairs);
        let mut offset = 0;
        for tensor in tensors {
            put_text(&mut bytes, &tensor.name);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().flat_map(|length| length.to_le_bytes()));
            bytes.extend(tensor.encoding.to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset += aligned(tensor.bytes);
        }
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn array(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, ARRAY);
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend((length as u64).to_le_bytes());
    }

    fn key(&mut self, key: impl Display, kind: u32) {
        self.count += 1;
        put_text(&mut self.pairs, &key.to_string());
        self.pairs.extend(kind.to_le_bytes());
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_written_byte_by_byte() {
        let mut header = Header::default();
        header.number("k", 7);
        let tensor = |name: &str| TensorInfo {
            name: name.to_owned(),
            shape: vec![3],
            encoding: 1,
            bytes: 6,
        };
        let bytes = header.bytes([tensor("a"), tensor("b")].into_iter());
        let mut expected = b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        expected.extend(b"\x01\0\0\0\0\0\0\0k\x04\0\0\0\x07\0\0\0");
        for (name, offset) in [(b'a', 0), (b'b', 32)] {
            expected.extend([1, 0, 0, 0, 0, 0, 0, 0, name, 1, 0, 0, 0]);
            expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
            expected.extend([offset, 0, 0, 0, 0, 0, 0, 0]);
        }
        expected.resize(128, 0);
        assert_eq!(bytes, expected);
    }
}
