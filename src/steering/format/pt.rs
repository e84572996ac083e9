//! `.pt` as `torch.save` writes it: a zip archive of one pickle (`data.pkl`) and raw storages
//! (`data/0`, `data/1`, …), see `torch/serialization.py`.
//!
//! The pickle is never executed: a small machine builds tensors from it and refuses by name
//! whatever is not needed for that.

mod archive;
mod pickle;

use archive::{Archive, Writer};
use pickle::{Key, Loaded, Tensor};

use super::{Element, FormatError, Rows, encode, row_length, shown, within};
use crate::steering::vector::SteeringVector;

/// What all rows may take beyond twice the file: lets several small tensors share one storage.
const SHARED_BYTES: u64 = 4 << 20;

pub(super) fn parse(bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    if is_pickle(bytes) {
        return Err(FormatError::LegacyPickle);
    }
    let archive = Archive::read(bytes)?;
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
    check_sizes(&loaded, bytes.len() as u64)?;
    let mut rows = Rows::new(loaded.entries.len())?;
    for (key, tensor) in &loaded.entries {
        let name = key.to_string();
        let row = row(&archive, root, &loaded, &name, tensor)?;
        match key {
            // Integers are layers also when they stand alone.
            Key::Int(_) => rows.add_layer(layer(key, &name)?, row)?,
            Key::Text(text) => rows.add(text, row)?,
            Key::Whole => rows.add(&name, row)?,
        }
    }
    rows.finish()
}

/// Whether a file that is no archive begins as a pickle does: with the mark of protocol 2 and
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

fn layer(key: &Key<'_>, name: &str) -> Result<usize, FormatError> {
    match key {
        Key::Int(_) => super::layer_of(name),
        Key::Text(_) | Key::Whole => None,
    }
    .ok_or_else(|| FormatError::NotALayer {
        tensor: shown(name),
    })
}

/// A view may be longer than its storage (stride 0) and views may share one: bounds the sum.
fn check_sizes(loaded: &Loaded<'_>, file: u64) -> Result<(), FormatError> {
    let limit = file.saturating_mul(2).saturating_add(SHARED_BYTES);
    let total = loaded
        .entries
        .iter()
        .filter_map(|(_, tensor)| row_length(&tensor.shape))
        .fold(0_u64, u64::saturating_add);
    within(
        "bytes of all tensors as f32",
        total.saturating_mul(4),
        limit,
    )
}

fn row(
    archive: &Archive<'_>,
    root: &str,
    loaded: &Loaded<'_>,
    name: &str,
    tensor: &Tensor,
) -> Result<Vec<f32>, FormatError> {
    let bad = |reason: String| FormatError::malformed("a tensor", format!("{name:?} {reason}"));
    let storage = loaded
        .storages
        .get(tensor.storage)
        .ok_or_else(|| bad("has no storage".to_owned()))?;
    let element = element(storage.class).ok_or_else(|| FormatError::UnsupportedType {
        tensor: shown(name),
        dtype: format!("torch.{}", shown(storage.class)),
    })?;
    let length = row_length(&tensor.shape).ok_or_else(|| FormatError::Shape {
        tensor: shown(name),
        shape: tensor.shape.clone(),
    })?;
    if tensor.strides.len() != tensor.shape.len() {
        return Err(bad(
            "has another number of strides than dimensions".to_owned()
        ));
    }
    let data = archive
        .find(&format!("{root}/data/{}", storage.key))
        .ok_or_else(|| bad(format!("has no storage data/{}", shown(storage.key))))?;

    let size = element.size() as u64;
    if storage.elements.checked_mul(size) != Some(data.len() as u64) {
        return Err(bad(format!(
            "declares a storage of {} {} values, data/{} has {} bytes",
            storage.elements,
            storage.class,
            shown(storage.key),
            data.len()
        )));
    }
    if length == 0 {
        return Ok(Vec::new());
    }
    let stride = tensor.strides.last().copied().unwrap_or(1);
    let end = stride
        .checked_mul(length - 1)
        .and_then(|n| n.checked_add(tensor.offset))
        .and_then(|n| n.checked_add(1))
        .filter(|&end| end <= storage.elements)
        .ok_or_else(|| {
            bad(format!(
                "reaches past its storage of {} values (offset {}, stride {stride}, length {length})",
                storage.elements, tensor.offset
            ))
        })?;

    // `end` elements are in `data`, so none of these products overflows.
    let range = |from: u64, to: u64| {
        let (from, to) = ((from * size) as usize, (to * size) as usize);
        data.get(from..to).unwrap_or_default()
    };
    if stride == 1 {
        return Ok(element.decode(range(tensor.offset, end)));
    }
    let mut row = Vec::with_capacity(length as usize);
    for i in 0..length {
        let at = tensor.offset + i * stride;
        element.decode_into(range(at, at + 1), &mut row);
    }
    Ok(row)
}

fn element(storage_class: &str) -> Option<Element> {
    match storage_class {
        "HalfStorage" => Some(Element::F16),
        "BFloat16Storage" => Some(Element::Bf16),
        "FloatStorage" => Some(Element::F32),
        "DoubleStorage" => Some(Element::F64),
        _ => None,
    }
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    let layers: Vec<usize> = vector.layers().collect();
    let mut archive = Writer::new();
    archive.add("archive/data.pkl", &pickle::write(&layers, vector.width()))?;
    archive.add("archive/byteorder", b"little")?;
    for (index, (_, row)) in vector.rows().enumerate() {
        let data: Vec<u8> = encode(row).collect();
        archive.add(&format!("archive/data/{index}"), &data)?;
    }
    archive.add("archive/version", b"3\n")?;
    archive.finish()
}
