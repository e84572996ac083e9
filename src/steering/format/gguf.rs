//! GGUF control vectors as repeng writes them and llama.cpp reads them
//! (`common_control_vector_load` in llama.cpp's `common/common.cpp`; the container:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).

use super::bytes::Cursor;
use super::{Element, FormatError, Rows, encode, row_length, shown, within};
use crate::steering::vector::{MAX_LAYERS, SteeringVector};

const WHAT: &str = "the GGUF header";
const MAGIC: &[u8; 4] = b"GGUF";
const ARCHITECTURE: &str = "controlvector";
const PREFIX: &str = "direction.";
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;
const MAX_DIMENSIONS: u64 = 4;
/// Deepest arrays of arrays in the metadata.
const MAX_DEPTH: u32 = 4;

const TYPE_U32: u32 = 4;
const TYPE_I32: u32 = 5;
const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

#[derive(Default)]
struct Metadata<'a> {
    architecture: &'a str,
    model_hint: Option<&'a str>,
    layer_count: Option<u32>,
    alignment: Option<u32>,
}

struct TensorInfo<'a> {
    name: &'a str,
    element: Element,
    length: u64,
    offset: u64,
}

pub(super) fn parse(bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    let mut cursor = Cursor::new(WHAT, bytes);
    if cursor.take(4)? != MAGIC {
        return Err(FormatError::malformed(WHAT, "it does not begin with GGUF"));
    }
    let version = cursor.u32()?;
    if !(2..=3).contains(&version) {
        let hint = if (2..=3).contains(&version.swap_bytes()) {
            " (a big-endian file)"
        } else {
            ""
        };
        return Err(FormatError::malformed(
            WHAT,
            format!("version is {version}{hint}, must be 2 or 3 in little-endian order"),
        ));
    }
    let tensors = cursor.u64()?;
    let pairs = cursor.u64()?;
    within("number of tensors", tensors, MAX_LAYERS as u64)?;

    let metadata = metadata(&mut cursor, pairs)?;
    if metadata.architecture != ARCHITECTURE {
        return Err(FormatError::NotAControlVector {
            architecture: shown(metadata.architecture),
        });
    }
    let infos = (0..tensors)
        .map(|_| tensor_info(&mut cursor))
        .collect::<Result<Vec<_>, _>>()?;
    let data = data(bytes, cursor.position() as u64, metadata.alignment)?;

    check_overlap(&infos)?;
    let mut rows = Rows::new(infos.len())?;
    for info in &infos {
        let layer = layer(info.name)?;
        let row = tensor_bytes(data, info)?;
        rows.add_layer(layer, info.element.decode(row))?;
    }
    let vector = rows.finish()?;
    Ok(vector.described(metadata.model_hint.map(str::to_owned), metadata.layer_count))
}

fn metadata<'a>(cursor: &mut Cursor<'a>, pairs: u64) -> Result<Metadata<'a>, FormatError> {
    let mut metadata = Metadata::default();
    // Each pair takes bytes, so a false count ends with the file.
    for _ in 0..pairs {
        let key = string(cursor)?;
        let kind = cursor.u32()?;
        match (key, kind) {
            ("general.architecture", TYPE_STRING) => metadata.architecture = string(cursor)?,
            ("general.alignment", TYPE_U32) => metadata.alignment = Some(cursor.u32()?),
            ("controlvector.model_hint", TYPE_STRING) => {
                metadata.model_hint = Some(string(cursor)?);
            }
            ("controlvector.layer_count", TYPE_U32) => {
                metadata.layer_count = Some(cursor.u32()?);
            }
            ("controlvector.layer_count", TYPE_I32) => {
                metadata.layer_count = u32::try_from(cursor.i32()?).ok();
            }
            ("general.alignment", _) => {
                return Err(FormatError::malformed(
                    WHAT,
                    format!("general.alignment has type {kind}, must be a 32-bit integer"),
                ));
            }
            _ => skip(cursor, kind, MAX_DEPTH)?,
        }
    }
    Ok(metadata)
}

fn skip(cursor: &mut Cursor<'_>, kind: u32, depth: u32) -> Result<(), FormatError> {
    if let Some(size) = scalar_size(kind) {
        cursor.take(size)?;
        return Ok(());
    }
    match kind {
        TYPE_STRING => drop(string(cursor)?),
        TYPE_ARRAY => {
            let depth = depth
                .checked_sub(1)
                .ok_or_else(|| FormatError::malformed(WHAT, "arrays stand too deep"))?;
            let kind = cursor.u32()?;
            let count = cursor.u64()?;
            if let Some(size) = scalar_size(kind) {
                cursor.take(count.saturating_mul(size))?;
            } else {
                for _ in 0..count {
                    skip(cursor, kind, depth)?;
                }
            }
        }
        other => {
            return Err(FormatError::malformed(
                WHAT,
                format!("there is no value type {other}"),
            ));
        }
    }
    Ok(())
}

fn scalar_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, FormatError> {
    let length = cursor.u64()?;
    cursor.text(length)
}

fn tensor_info<'a>(cursor: &mut Cursor<'a>) -> Result<TensorInfo<'a>, FormatError> {
    let name = string(cursor)?;
    let dimensions = u64::from(cursor.u32()?);
    within("dimensions of a tensor", dimensions, MAX_DIMENSIONS)?;
    // GGUF has the innermost dimension first; trailing ones have no meaning.
    let mut shape = (0..dimensions)
        .map(|_| cursor.u64())
        .collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    let kind = cursor.u32()?;
    let offset = cursor.u64()?;

    let element = match kind {
        0 => Element::F32,
        1 => Element::F16,
        28 => Element::F64,
        30 => Element::Bf16,
        other => {
            return Err(FormatError::UnsupportedType {
                tensor: shown(name),
                dtype: format!("ggml type {other}"),
            });
        }
    };
    match row_length(&shape) {
        Some(length) => Ok(TensorInfo {
            name,
            element,
            length,
            offset,
        }),
        None => Err(FormatError::Shape {
            tensor: shown(name),
            shape,
        }),
    }
}

/// What stands behind the header, from the next multiple of the alignment on.
fn data(bytes: &[u8], header: u64, alignment: Option<u32>) -> Result<&[u8], FormatError> {
    let alignment = alignment.map_or(DEFAULT_ALIGNMENT, u64::from);
    if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
        return Err(FormatError::malformed(
            WHAT,
            format!(
                "general.alignment is {alignment}, must be a power of two up to {MAX_ALIGNMENT}"
            ),
        ));
    }
    let start = header.next_multiple_of(alignment);
    let mut cursor = Cursor::at("the GGUF data", bytes, start)?;
    cursor.take(bytes.len() as u64 - start)
}

fn layer(name: &str) -> Result<usize, FormatError> {
    let layer = name
        .strip_prefix(PREFIX)
        .and_then(|_| super::layer_of(name));
    match layer {
        Some(0) => Err(FormatError::LayerZero),
        Some(layer) => Ok(layer),
        None => Err(FormatError::NotALayer {
            tensor: shown(name),
        }),
    }
}

/// First byte in the data and number of bytes.
fn extent(info: &TensorInfo<'_>) -> Option<(u64, u64)> {
    let length = info.length.checked_mul(info.element.size() as u64)?;
    info.offset.checked_add(length)?;
    Some((info.offset, length))
}

/// Tensors that share bytes would let a small file declare many rows.
fn check_overlap(infos: &[TensorInfo<'_>]) -> Result<(), FormatError> {
    let mut sorted: Vec<_> = infos
        .iter()
        .filter_map(|info| Some((extent(info)?, info.name)))
        .collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if let [((start, length), a), ((next, _), b)] = pair
            && start.saturating_add(*length) > *next
        {
            return Err(FormatError::malformed(
                WHAT,
                format!("tensors {:?} and {:?} overlap", shown(a), shown(b)),
            ));
        }
    }
    Ok(())
}

fn tensor_bytes<'a>(data: &'a [u8], info: &TensorInfo<'_>) -> Result<&'a [u8], FormatError> {
    let (start, length) = extent(info).ok_or_else(|| {
        FormatError::malformed(WHAT, format!("tensor {:?} is too large", shown(info.name)))
    })?;
    Cursor::at("a GGUF tensor", data, start)?.take(length)
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    if vector.is_bare() {
        return Err(FormatError::NoLayer);
    }
    if vector.layers().any(|layer| layer == 0) {
        return Err(FormatError::LayerZero);
    }
    let count = vector.layers().count();
    let stride = (vector.width() * 4).next_multiple_of(DEFAULT_ALIGNMENT as usize);

    let mut out = Vec::with_capacity(count * (stride + 64) + 256);
    out.extend(MAGIC);
    out.extend(3_u32.to_le_bytes());
    out.extend((count as u64).to_le_bytes());
    out.extend(3_u64.to_le_bytes());
    write_string_pair(&mut out, "general.architecture", ARCHITECTURE);
    write_string_pair(
        &mut out,
        "controlvector.model_hint",
        vector.model_hint().unwrap_or_default(),
    );
    write_string(&mut out, "controlvector.layer_count");
    out.extend(TYPE_U32.to_le_bytes());
    let layer_count = vector.layer_count().unwrap_or(count as u32);
    out.extend(layer_count.to_le_bytes());

    for (index, layer) in vector.layers().enumerate() {
        write_string(&mut out, &format!("{PREFIX}{layer}"));
        out.extend(1_u32.to_le_bytes());
        out.extend((vector.width() as u64).to_le_bytes());
        out.extend(0_u32.to_le_bytes()); // f32
        out.extend(((index * stride) as u64).to_le_bytes());
    }
    for (_, row) in vector.rows() {
        pad(&mut out);
        out.extend(encode(row));
    }
    // llama.cpp reads whole aligned tensors, the last one too.
    pad(&mut out);
    Ok(out)
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn write_string_pair(out: &mut Vec<u8>, key: &str, value: &str) {
    write_string(out, key);
    out.extend(TYPE_STRING.to_le_bytes());
    write_string(out, value);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
}
