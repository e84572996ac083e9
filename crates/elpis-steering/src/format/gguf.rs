//! GGUF control vectors as repeng, `EasySteer` and llama.cpp's `cvector-generator` write them (the
//! container: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
//!
//! `direction.k` belongs to the output of decoder layer *k*, counted from 0. llama.cpp itself
//! applies none to layer 0 (`llama_adapter_cvec::init`), and its tools turn away a file that has a
//! row for it (`common_control_vector_load` in `common/common.cpp`).

use std::borrow::Cow;

use super::array::{Array, Bytes, Element, Number};
use super::contents::{Contents, Entry, MAX_ARRAYS};
use super::{FormatError, VectorFile, encode, shown};
use crate::vector::SteeringVector;
use elpis_files::cursor::Cursor;
use elpis_files::gguf::{DEFAULT_ALIGNMENT, Header, Limits, TensorInfo, TensorType, Value};

const WHAT: &str = "the GGUF header";
const MAGIC: &[u8; 4] = b"GGUF";
const ARCHITECTURE: &str = "controlvector";
const PREFIX: &str = "direction.";
/// Maximum counts. A control vector has three pairs; some writers add a dozen.
const LIMITS: Limits = Limits {
    pairs: 1 << 16,
    tensors: MAX_ARRAYS,
};

const TYPE_U32: u32 = 4;
const TYPE_STRING: u32 = 8;

pub(super) fn parse(bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    let header = Header::parse(bytes, LIMITS)?;
    let architecture = header.text("general.architecture").unwrap_or_default();
    if architecture != ARCHITECTURE {
        return Err(FormatError::NotAControlVector {
            architecture: shown(architecture),
        });
    }
    let data = data(bytes, header.data)?;
    check_overlap(&header.tensors)?;
    let mut contents = Contents::default();
    for info in &header.tensors {
        contents.add(info.name, Entry::Array(array(data, info)?))?;
    }
    let VectorFile::One(vector) = contents.finish()? else {
        return Err(FormatError::NoLayer);
    };
    if vector.layers().next().is_none() {
        return Err(FormatError::NotALayer {
            tensor: header
                .tensors
                .first()
                .map_or_else(String::new, |info| shown(info.name)),
        });
    }
    let hint = header.text("controlvector.model_hint").map(str::to_owned);
    let count = header.get("controlvector.layer_count");
    let count = count
        .and_then(Value::integer)
        .and_then(|n| u32::try_from(n).ok());
    Ok(vector.described(hint, count))
}

/// The data after the header, from the next multiple of the alignment on.
fn data(bytes: &[u8], start: u64) -> Result<&[u8], FormatError> {
    let cursor = Cursor::at("the GGUF data", bytes, start)?;
    Ok(cursor.rest())
}

/// Tensors that share bytes would let a small file declare many rows.
fn check_overlap(infos: &[TensorInfo<'_>]) -> Result<(), FormatError> {
    let mut sorted: Vec<_> = infos.iter().collect();
    sorted.sort_unstable_by_key(|info| (info.offset, info.bytes, info.name));
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.offset.saturating_add(a.bytes) > b.offset
        {
            return Err(FormatError::malformed(
                WHAT,
                format!(
                    "tensors {:?} and {:?} overlap",
                    shown(a.name),
                    shown(b.name)
                ),
            ));
        }
    }
    Ok(())
}

fn array<'a>(data: &'a [u8], info: &TensorInfo<'_>) -> Result<Array<'a>, FormatError> {
    let number = match info.kind.number {
        TensorType::F32 => Number::F32,
        TensorType::F16 => Number::F16,
        TensorType::BF16 => Number::Bf16,
        TensorType::F64 => Number::F64,
        _ => {
            return Err(FormatError::UnsupportedType {
                tensor: shown(info.name),
                dtype: info.kind.name.to_owned(),
            });
        }
    };
    let bytes = Cursor::at("a GGUF tensor", data, info.offset)?.take(info.bytes)?;
    // GGUF has the innermost dimension first.
    let shape = info.shape.iter().take(info.dimensions).rev().copied();
    Array::packed(
        info.name,
        shape.collect(),
        Element::little(number),
        Bytes::Plain(Cow::Borrowed(bytes)),
        false,
    )
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    let count = vector.layers().count();
    if count == 0 {
        return Err(FormatError::NoLayer);
    }
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
