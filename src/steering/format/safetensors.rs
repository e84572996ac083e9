//! safetensors: eight bytes of header length, a JSON header, raw tensors
//! (<https://huggingface.co/docs/safetensors>).

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use super::bytes::Cursor;
use super::{Element, FormatError, Rows, encode, row_length, shown, within};
use crate::steering::vector::SteeringVector;

/// Longest JSON header: a thousand tensors need about a tenth of it, and what its parser
/// allocates stays within the promise of `parse`.
const MAX_HEADER_BYTES: u64 = 1 << 19;

const MODEL_HINT: &str = "model_hint";

pub(super) fn parse(bytes: &[u8]) -> Result<SteeringVector, FormatError> {
    let mut start = Cursor::new("the safetensors header", bytes);
    let length = start.u64()?;
    within("the safetensors header's length", length, MAX_HEADER_BYTES)?;
    start.take(length)?;

    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| refused(&error))?;
    let model_hint = metadata
        .metadata()
        .as_ref()
        .and_then(|map| map.get(MODEL_HINT))
        .cloned();
    drop(metadata);

    let tensors = SafeTensors::deserialize(bytes).map_err(|error| refused(&error))?;
    let mut rows = Rows::new(tensors.len())?;
    let mut views: Vec<_> = tensors.iter().collect();
    // The crate keeps them in a hash map: without an order, so would be the first error.
    views.sort_unstable_by_key(|(name, _)| *name);
    for (name, view) in views {
        rows.add(name, row(name, &view)?)?;
    }
    Ok(rows.finish()?.described(model_hint, None))
}

fn row(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, FormatError> {
    let element = match view.dtype() {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Err(FormatError::UnsupportedType {
                tensor: shown(name),
                dtype: other.to_string(),
            });
        }
    };
    let shape: Vec<u64> = view.shape().iter().take(8).map(|&n| n as u64).collect();
    if row_length(&shape).is_none() {
        return Err(FormatError::Shape {
            tensor: shown(name),
            shape,
        });
    }
    Ok(element.decode(view.data()))
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    let rows: Vec<(String, Vec<u8>)> = vector
        .rows()
        .map(|(layer, row)| {
            let name = layer.map_or_else(|| "vector".to_owned(), |k| format!("layer.{k}"));
            (name, encode(row).collect())
        })
        .collect();
    let views = rows
        .iter()
        .map(|(name, data)| {
            let view = TensorView::new(Dtype::F32, vec![vector.width()], data)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|error| refused(&error))?;
    let metadata = vector
        .model_hint()
        .map(|hint| HashMap::from([(MODEL_HINT.to_owned(), hint.to_owned())]));
    safetensors::serialize(views, metadata).map_err(|error| refused(&error))
}

fn refused(error: &SafeTensorError) -> FormatError {
    FormatError::malformed("the safetensors header", shown(&error.to_string()))
}
