//! safetensors: eight bytes of header length, a JSON header, raw tensors
//! (<https://huggingface.co/docs/safetensors>).

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use super::array::{Array, Bytes, Element, MAX_DIMENSIONS, Number};
use super::contents::{Contents, Entry, MAX_ARRAYS, Meaning};
use super::{FormatError, VectorFile, array_name, arrays, shown, within};
use crate::vector::SteeringVector;
use elpis_files::cursor::Cursor;

/// Maximum length of the JSON header. A thousand tensors need about a tenth of it, and its parser's
/// allocations stay within the bound that `parse` promises.
const MAX_HEADER_BYTES: u64 = 1 << 19;

const MODEL_HINT: &str = "model_hint";

pub(super) fn parse(bytes: &[u8]) -> Result<VectorFile, FormatError> {
    let mut start = Cursor::new("the safetensors header", bytes);
    let length = start.u64()?;
    within("the safetensors header's length", length, MAX_HEADER_BYTES)?;
    start.take(length)?;

    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| refused(&error))?;
    let mut contents = Contents::default();
    let mut texts: Vec<_> = metadata.metadata().iter().flatten().collect();
    // The crate keeps them in a hash map. Sorting makes the first error deterministic.
    texts.sort_unstable();
    for (key, value) in texts {
        if let Some(entry) = described(key, value) {
            contents.add(key, entry)?;
        }
    }
    drop(metadata);

    let tensors = SafeTensors::deserialize(bytes).map_err(|error| refused(&error))?;
    within("number of tensors", tensors.len() as u64, MAX_ARRAYS)?;
    let mut views: Vec<_> = tensors.iter().collect();
    views.sort_unstable_by_key(|(name, _)| *name);
    for (name, view) in views {
        contents.add(name, tensor(name, &view)?)?;
    }
    contents.finish()
}

/// Interprets a text of the metadata; safetensors has no other type.
fn described(key: &str, value: &str) -> Option<Entry<'static>> {
    let list = || -> Vec<String> {
        let read: Option<Vec<serde_json::Value>> = serde_json::from_str(value).ok();
        match read {
            Some(items) => items
                .into_iter()
                .map(|item| match item {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                })
                .collect(),
            None => value
                .split(',')
                .map(|item| item.trim().to_owned())
                .collect(),
        }
    };
    match Meaning::of(key) {
        Meaning::Emotions | Meaning::Layers => Some(Entry::Texts(list())),
        Meaning::Layer | Meaning::ModelHint => Some(Entry::Text(value.to_owned())),
        // Other programs may use these names for other numbers.
        Meaning::Size | Meaning::Unknown => None,
    }
}

fn tensor<'a>(name: &str, view: &TensorView<'a>) -> Result<Entry<'a>, FormatError> {
    let unsupported = || FormatError::UnsupportedType {
        tensor: shown(name),
        dtype: view.dtype().to_string(),
    };
    let shape = view.shape().iter().map(|&n| n as u64);
    let shape: Vec<u64> = shape.take(MAX_DIMENSIONS + 1).collect();
    within(
        "dimensions of a tensor",
        shape.len() as u64,
        MAX_DIMENSIONS as u64,
    )?;
    let number = match view.dtype() {
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        Dtype::I64 if Meaning::of(name) == Meaning::Layers && shape.len() == 1 => {
            let values = view.data().as_chunks::<8>().0;
            within("number of layers", values.len() as u64, MAX_ARRAYS)?;
            return Ok(Entry::Integers {
                values: values.iter().map(|&n| i64::from_le_bytes(n)).collect(),
                dtype: view.dtype().to_string(),
            });
        }
        _ => return Err(unsupported()),
    };
    let data = Cow::Borrowed(view.data());
    Array::packed(
        name,
        shape,
        Element::little(number),
        Bytes::Plain(data),
        false,
    )
    .map(Entry::Array)
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    let arrays: Vec<_> = arrays(vector)
        .into_iter()
        .map(|(layer, shape, values)| (array_name(vector, layer), shape, values))
        .collect();
    let views = arrays
        .iter()
        .map(|(name, shape, values)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), values)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|error| refused(&error))?;
    let metadata = vector
        .model_hint()
        .map(|hint| HashMap::from([(MODEL_HINT.to_owned(), hint.to_owned())]));
    safetensors::serialize(views, metadata).map_err(|error| refused(&error))
}

/// Writes a pack of bare vectors by name.
pub(super) fn write_pack(vectors: &[(&str, &[f32])]) -> Result<Vec<u8>, FormatError> {
    let bytes: Vec<(&str, Vec<u8>)> = vectors
        .iter()
        .map(|(name, row)| (*name, row.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, bytes)| {
            let shape = vec![bytes.len() / size_of::<f32>()];
            Ok((*name, TensorView::new(Dtype::F32, shape, bytes)?))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|error| refused(&error))?;
    safetensors::serialize(views, None).map_err(|error| refused(&error))
}

fn refused(error: &SafeTensorError) -> FormatError {
    FormatError::malformed("the safetensors header", shown(&error.to_string()))
}
