//! `.pt` as `torch.save` writes it: a zip archive of one pickle (`data.pkl`) and raw storages
//! (`data/0`, `data/1`, …), see `torch/serialization.py`.
//!
//! The pickle is never executed: a small machine builds arrays of numbers from it and refuses
//! anything else by name.

mod pickle;

use pickle::{Key, Node, Storage, Tensor};

use super::array::{Array, Element, Layout, MAX_DIMENSIONS, Number, elements};
use super::contents::{Contents, Entry, MAX_ARRAYS, Meaning, emotion_name, unique};
use super::zip::{Archive, Entries, Writer};
use super::{FormatError, VectorFile, arrays, numpy, shown, within};
use crate::vector::SteeringVector;

/// Maximum size of all rows beyond twice the file, so that several small tensors may share one
/// storage.
const SHARED_BYTES: u64 = 4 << 20;

pub(super) fn parse(bytes: &[u8]) -> Result<VectorFile, FormatError> {
    if is_pickle(bytes) {
        return Err(FormatError::LegacyPickle);
    }
    let archive = Archive::read(bytes, Entries::Stored)?;
    let (root, pickle) = archive.find_suffix("/data.pkl")?;
    if let Some(order) = archive.find(&format!("{root}/byteorder"))
        && order != b"little"
    {
        return Err(FormatError::malformed(
            "the byte order",
            "must be little, save the file again on a little-endian machine",
        ));
    }
    let loaded = pickle::load(pickle)?;
    let limit = (bytes.len() as u64)
        .saturating_mul(2)
        .saturating_add(SHARED_BYTES);
    let mut reader = Reader {
        archive: &archive,
        root,
        storages: &loaded.storages,
        room: limit,
        limit,
    };
    reader.file(loaded.root)
}

/// Whether a file that is not an archive begins like a pickle: with the mark of protocol 2 and
/// later, or with what the text protocols put first (a number, a global, a list, dict or tuple).
fn is_pickle(bytes: &[u8]) -> bool {
    let line = |bytes: &[u8], allowed: fn(u8) -> bool| {
        let mut line = bytes.iter().take(100).take_while(|&&b| b != b'\n');
        let length = line.by_ref().take_while(|&&b| allowed(b)).count();
        length > 0 && bytes.get(length) == Some(&b'\n')
    };
    match bytes {
        [0x80, ..] => true,
        [b'L' | b'I' | b'F', rest @ ..] => {
            line(rest, |b| b.is_ascii_digit() || b"+-.eL".contains(&b))
        }
        [b'c', rest @ ..] => line(rest, |b| b.is_ascii_alphanumeric() || b"._".contains(&b)),
        [b'(', next, ..] => b"dlt(cLIFSV]})".contains(next),
        [b']' | b'}' | b')', next, ..] => b"pq(.".contains(next),
        _ => false,
    }
}

/// Reads the tensors that a pickle describes from its archive.
struct Reader<'r, 'a> {
    archive: &'r Archive<'a>,
    root: &'r str,
    storages: &'r [Storage<'a>],
    /// Bytes of f32 that may still be allocated: a view may be longer than its storage (stride 0),
    /// and views may share a storage.
    room: u64,
    limit: u64,
}

impl<'a> Reader<'_, 'a> {
    fn file(&mut self, root: Node<'a>) -> Result<VectorFile, FormatError> {
        let mut pairs = match root {
            Node::Dict(pairs) => pairs,
            other => {
                let mut contents = Contents::default();
                contents.add_whole(self.entry("the file", other)?)?;
                return contents.finish();
            }
        };
        // A dict in a dict: vectors beside their description, or a dict for each emotion.
        let nested = |pairs: &[(Key<'a>, Node<'a>)]| {
            let is_dict = |(_, node): &&(Key<'_>, Node<'_>)| matches!(node, Node::Dict(_));
            pairs.iter().filter(is_dict).count()
        };
        let arrays = pairs.iter().filter(|(_, node)| node.is_array()).count();
        match (nested(&pairs), arrays) {
            (1, 0) => {
                let at = pairs
                    .iter()
                    .position(|(_, node)| matches!(node, Node::Dict(_)));
                if let Some(at) = at
                    && let (_, Node::Dict(inner)) = pairs.remove(at)
                {
                    pairs.extend(inner);
                }
            }
            (2.., 0) => return self.groups(pairs),
            _ => {}
        }
        self.contents(pairs)?.finish()
    }

    fn contents(&mut self, pairs: Vec<(Key<'a>, Node<'a>)>) -> Result<Contents<'a>, FormatError> {
        within("number of entries", pairs.len() as u64, 2 * MAX_ARRAYS)?;
        let mut contents = Contents::default();
        for (key, node) in pairs {
            match key {
                Key::Int(number) => {
                    let entry = self.entry(&number.to_string(), node)?;
                    contents.add_numbered(number, entry)?;
                }
                Key::Text(name) => {
                    let entry = self.entry(name, node)?;
                    contents.add(name, entry)?;
                }
            }
        }
        Ok(contents)
    }

    /// A dict for each emotion.
    fn groups(&mut self, pairs: Vec<(Key<'a>, Node<'a>)>) -> Result<VectorFile, FormatError> {
        let mut vectors = Vec::new();
        let mut emotions = None;
        for (key, node) in pairs {
            let name = key.to_string();
            match node {
                Node::Dict(inner) => {
                    let emotion = emotion_name(&name)
                        .ok_or_else(|| FormatError::EmotionName { name: shown(&name) })?;
                    vectors.push(match self.contents(inner)?.finish()? {
                        VectorFile::One(vector) => Ok((emotion, vector)),
                        VectorFile::Pack(_) => Err(FormatError::EmotionName { name: shown(&name) }),
                    });
                }
                // The names again, or a remark.
                other => match (Meaning::of(&name), self.entry(&name, other)?) {
                    (Meaning::Emotions, Entry::Texts(texts)) => emotions = Some(texts.len()),
                    (_, Entry::Text(_) | Entry::Texts(_) | Entry::Remark) => {}
                    _ => {
                        return Err(FormatError::RefusedEntry {
                            entry: shown(&name),
                            found: "no dict of an emotion's vectors",
                        });
                    }
                },
            }
        }
        let count = vectors.len();
        if let Some(emotions) = emotions.filter(|&emotions| emotions != count) {
            return Err(FormatError::EmotionCount {
                emotions,
                shape: vec![count as u64],
            });
        }
        unique(vectors.into_iter()).map(VectorFile::Pack)
    }

    fn entry(&mut self, name: &str, node: Node<'a>) -> Result<Entry<'a>, FormatError> {
        Ok(match node {
            Node::Tensor(tensor) => self.tensor(name, tensor)?,
            Node::Numpy(array) => {
                let entry =
                    numpy::entry(name, array.dtype, array.shape, array.fortran, array.bytes)?;
                if let Entry::Array(array) = &entry {
                    self.take_room(array.elements())?;
                }
                entry
            }
            Node::Int(number) => Entry::Integer(number),
            Node::Text(text) => Entry::Text(text.to_owned()),
            Node::List(nodes) => list(&nodes),
            Node::Remark => Entry::Remark,
            // Descriptions of how vectors were made do not affect them.
            Node::Dict(pairs) if pairs.iter().all(|(_, node)| node.is_remark()) => Entry::Remark,
            Node::Dict(_) => Entry::Other("a dict"),
            Node::Other(noun) => Entry::Other(noun),
        })
    }

    fn take_room(&mut self, elements: u64) -> Result<(), FormatError> {
        let bytes = elements.saturating_mul(4);
        let Some(left) = self.room.checked_sub(bytes) else {
            return Err(FormatError::LimitExceeded {
                what: "bytes of all tensors as f32",
                value: self.limit.saturating_sub(self.room).saturating_add(bytes),
                limit: self.limit,
            });
        };
        self.room = left;
        Ok(())
    }

    fn tensor(&mut self, name: &str, tensor: Tensor) -> Result<Entry<'a>, FormatError> {
        let bad = |reason: String| {
            FormatError::malformed("a tensor", format!("{:?} {reason}", shown(name)))
        };
        let storage = self
            .storages
            .get(tensor.storage)
            .ok_or_else(|| bad("has no storage".to_owned()))?;
        let dtype = || format!("torch.{}", shown(storage.class));
        let unsupported = || FormatError::UnsupportedType {
            tensor: shown(name),
            dtype: dtype(),
        };
        let of = Kind::of(storage.class).ok_or_else(unsupported)?;
        within(
            "dimensions of a tensor",
            tensor.shape.len() as u64,
            MAX_DIMENSIONS as u64,
        )?;
        if tensor.strides.len() != tensor.shape.len() {
            return Err(bad(
                "has another number of strides than dimensions".to_owned()
            ));
        }
        let count = elements(&tensor.shape).unwrap_or(u64::MAX);
        match of {
            Kind::Float(_) => self.take_room(count)?,
            Kind::Int(_) => within("numbers of a list", count, MAX_ARRAYS)?,
        }
        let data = self
            .archive
            .find(&format!("{}/data/{}", self.root, storage.key))
            .ok_or_else(|| bad(format!("has no storage data/{}", shown(storage.key))))?;
        if storage.elements.checked_mul(of.size()) != Some(data.len() as u64) {
            return Err(bad(format!(
                "declares a storage of {} {} values, data/{} has {} bytes",
                storage.elements,
                storage.class,
                shown(storage.key),
                data.len()
            )));
        }
        // The last element's place; none if the tensor is empty.
        let last = tensor.shape.iter().zip(&tensor.strides).try_fold(
            tensor.offset,
            |place, (&size, &stride)| {
                place.checked_add(stride.checked_mul(size.saturating_sub(1))?)
            },
        );
        if count > 0 && last.is_none_or(|last| last >= storage.elements) {
            return Err(bad(format!(
                "reaches past its storage of {} values (offset {}, strides {:?}, shape {:?})",
                storage.elements, tensor.offset, tensor.strides, tensor.shape
            )));
        }
        match of {
            Kind::Float(number) => Ok(Entry::Array(Array {
                shape: tensor.shape,
                element: Element::little(number),
                layout: Layout::Strided {
                    storage: data,
                    offset: tensor.offset,
                    strides: tensor.strides,
                },
            })),
            Kind::Int(size) => integers(&tensor, data, size, dtype()).ok_or_else(unsupported),
        }
    }
}

/// Whole numbers of a tensor of at most one dimension.
fn integers<'a>(tensor: &Tensor, data: &[u8], size: u64, dtype: String) -> Option<Entry<'a>> {
    let (count, stride) = match (tensor.shape.as_slice(), tensor.strides.as_slice()) {
        ([], []) => (1, 0),
        ([count], [stride]) => (*count, *stride),
        _ => return None,
    };
    let values = (0..count)
        .map(|index| {
            // Checked against the storage.
            let at = ((tensor.offset + index * stride) * size) as usize;
            let bytes = data.get(at..at + size as usize)?;
            Some(match size {
                4 => i32::from_le_bytes(bytes.try_into().ok()?).into(),
                _ => i64::from_le_bytes(bytes.try_into().ok()?),
            })
        })
        .collect::<Option<_>>()?;
    Some(Entry::Integers { values, dtype })
}

/// A list of layers or of texts.
fn list<'a>(nodes: &[Node<'_>]) -> Entry<'a> {
    let integers: Option<Vec<i64>> = nodes
        .iter()
        .map(|node| match node {
            Node::Int(number) => Some(*number),
            _ => None,
        })
        .collect();
    if let Some(values) = integers.filter(|values| !values.is_empty()) {
        let dtype = "a list of integers".to_owned();
        return Entry::Integers { values, dtype };
    }
    let texts: Option<Vec<String>> = nodes
        .iter()
        .map(|node| match node {
            Node::Text(text) => Some((*text).to_owned()),
            _ => None,
        })
        .collect();
    match texts {
        Some(texts) if !texts.is_empty() => Entry::Texts(texts),
        _ => Entry::Other("a list"),
    }
}

/// The number type of a storage.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Float(Number),
    /// By bytes.
    Int(u64),
}

impl Kind {
    fn of(storage_class: &str) -> Option<Self> {
        Some(match storage_class {
            "HalfStorage" => Self::Float(Number::F16),
            "BFloat16Storage" => Self::Float(Number::Bf16),
            "FloatStorage" => Self::Float(Number::F32),
            "DoubleStorage" => Self::Float(Number::F64),
            "IntStorage" => Self::Int(4),
            "LongStorage" => Self::Int(8),
            _ => return None,
        })
    }

    fn size(self) -> u64 {
        match self {
            Self::Float(number) => Element::little(number).size() as u64,
            Self::Int(size) => size,
        }
    }
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    let arrays = arrays(vector);
    let described: Vec<_> = arrays
        .iter()
        .map(|(layer, shape, _)| (*layer, shape.as_slice()))
        .collect();
    let mut archive = Writer::new();
    archive.add("archive/data.pkl", &pickle::write(&described))?;
    archive.add("archive/byteorder", b"little")?;
    for (index, (.., values)) in arrays.iter().enumerate() {
        archive.add(&format!("archive/data/{index}"), values)?;
    }
    archive.add("archive/version", b"3\n")?;
    archive.finish()
}
