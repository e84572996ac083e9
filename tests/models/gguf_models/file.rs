//! GGUF files taken apart and put together again, whatever they then say.

/// Values in little-endian order, by their type's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The type, and the bytes of the number.
    Number(u32, Vec<u8>),
    Text(Vec<u8>),
    /// The type of the elements, and them.
    Array(u32, Vec<Value>),
}

pub const TEXT: u32 = 8;
pub const ARRAY: u32 = 9;

#[derive(Debug, Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub shape: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
    /// In place of where the data lies.
    pub offset: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct GgufFile {
    pub metadata: Vec<(Vec<u8>, Value)>,
    pub tensors: Vec<Tensor>,
    /// Bytes before the data.
    pub header: usize,
}

const ALIGNMENT: usize = 32;

/// Bytes of a number of a type.
pub fn size(kind: u32) -> usize {
    match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        other => panic!("no number has type {other}"),
    }
}

/// Elements and bytes of a block of a type of tensors.
pub fn block(kind: u32) -> (u64, u64) {
    match kind {
        1 | 25 | 30 => (1, 2),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        24 => (1, 1),
        27 | 28 => (1, 8),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        40 => (64, 36),
        41 => (128, 18),
        42 => (64, 18),
        _ => (1, 4),
    }
}

impl Value {
    pub fn u32(number: u32) -> Self {
        Self::Number(4, number.to_le_bytes().to_vec())
    }

    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    fn kind(&self) -> u32 {
        match self {
            Self::Number(kind, _) => *kind,
            Self::Text(_) => TEXT,
            Self::Array(..) => ARRAY,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(_, bytes) => out.extend(bytes),
            Self::Text(text) => write_text(out, text),
            Self::Array(kind, values) => {
                out.extend(kind.to_le_bytes());
                out.extend((values.len() as u64).to_le_bytes());
                for value in values {
                    value.write(out);
                }
            }
        }
    }
}

impl Tensor {
    /// How many bytes its type and shape ask for, if that is a number.
    fn wanted(&self) -> Option<usize> {
        let (elements, bytes) = block(self.kind);
        let count = self
            .shape
            .iter()
            .try_fold(1_u64, |n, &m| n.checked_mul(m))?;
        usize::try_from((count / elements).checked_mul(bytes)?).ok()
    }

    /// Repeats or cuts the data until it is what type and shape ask for, unless that is very much.
    pub fn fill(&mut self) {
        if let Some(wanted) = self.wanted().filter(|&wanted| wanted < 1 << 26) {
            let data = std::mem::take(&mut self.data);
            let data = if data.is_empty() { vec![0] } else { data };
            self.data = data.into_iter().cycle().take(wanted).collect();
        }
    }
}

impl GgufFile {
    pub fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader { bytes, at: 4 };
        assert_eq!(&bytes[..4], b"GGUF");
        assert_eq!(reader.u32(), 3);
        let (tensors, pairs) = (reader.u64(), reader.u64());
        let metadata = (0..pairs)
            .map(|_| (reader.text(), reader.value()))
            .collect();
        let infos: Vec<_> = (0..tensors)
            .map(|_| {
                let name = reader.text();
                let shape = (0..reader.u32()).map(|_| reader.u64()).collect();
                (name, shape, reader.u32(), reader.u64())
            })
            .collect();
        let header = reader.at.next_multiple_of(ALIGNMENT);
        let tensors = infos.into_iter().map(|(name, shape, kind, offset)| {
            let mut tensor = Tensor {
                name,
                shape,
                kind,
                data: Vec::new(),
                offset: None,
            };
            let start = header + offset as usize;
            tensor.data = bytes[start..start + tensor.wanted().unwrap()].to_vec();
            tensor
        });
        Self {
            metadata,
            tensors: tensors.collect(),
            header,
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_text(&mut out, key);
            out.extend(value.kind().to_le_bytes());
            value.write(&mut out);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            write_text(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in &tensor.shape {
                out.extend(size.to_le_bytes());
            }
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(data);
        out
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.metadata.iter().find(|(k, _)| k == key.as_bytes());
        found.map(|(_, value)| value)
    }

    pub fn set(&mut self, key: &str, value: Value) {
        let key = key.as_bytes();
        match self.metadata.iter_mut().find(|(found, _)| found == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_vec(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(found, _)| found != key.as_bytes());
    }

    pub fn architecture(&self) -> String {
        match self.get("general.architecture") {
            Some(Value::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?}"),
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> Vec<u8> {
        let length = self.u64() as usize;
        self.take(length).to_vec()
    }

    fn value(&mut self) -> Value {
        match self.u32() {
            ARRAY => {
                let kind = self.u32();
                let count = self.u64();
                Value::Array(kind, (0..count).map(|_| self.scalar(kind)).collect())
            }
            kind => self.scalar(kind),
        }
    }

    fn scalar(&mut self, kind: u32) -> Value {
        match kind {
            TEXT => Value::Text(self.text()),
            kind => Value::Number(kind, self.take(size(kind)).to_vec()),
        }
    }
}
