//! Values that replace others.

use super::{TEXTS, TOKENS};
use crate::gguf_models::file::{ARRAY, GgufFile, TEXT, Value, size};

pub(super) const WHOLE: [u64; 13] = [
    0,
    1,
    2,
    3,
    7,
    255,
    1000,
    65_535,
    1 << 20,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    u64::MAX,
];

const FLOATS: [f32; 8] = [0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, -1e30, 1e30, 1e-30];

fn number(kind: u32, number: u64) -> Value {
    let bytes = match kind {
        6 => (number.cast_signed() as f32).to_le_bytes().to_vec(),
        12 => (number.cast_signed() as f64).to_le_bytes().to_vec(),
        kind => number.to_le_bytes()[..size(kind)].to_vec(),
    };
    Value::Number(kind, bytes)
}

/// What a value could be instead: 0, 1, −1, something huge, of another type, next to it.
pub(super) fn others(value: &Value) -> Vec<Value> {
    let mut others: Vec<_> = match value {
        Value::Number(6, _) => FLOATS
            .iter()
            .map(|float| Value::Number(6, float.to_le_bytes().to_vec()))
            .collect(),
        &Value::Number(kind, ref bytes) => {
            let mut wide = [0; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            let old = u64::from_le_bytes(wide);
            let near = [
                old.wrapping_add(1),
                old.wrapping_sub(1),
                old.wrapping_mul(2),
                old / 2,
            ];
            WHOLE
                .iter()
                .chain(&near)
                .map(|&new| number(kind, new))
                .collect()
        }
        Value::Text(_) => TEXTS.iter().map(|text| Value::text(text)).collect(),
        Value::Array(kind, values) => {
            let half = values[..values.len() / 2].to_vec();
            let longer = values.iter().chain(values.last()).cloned().collect();
            let mut arrays = vec![Vec::new(), half, longer];
            if let Some(first) = values.first() {
                arrays.push(vec![first.clone(); values.len()]);
            }
            arrays
                .into_iter()
                .map(|values| Value::Array(*kind, values))
                .collect()
        }
    };
    others.extend([
        number(0, 1),
        number(5, u64::MAX),
        number(7, 1),
        number(10, 1),
        number(12, 1),
    ]);
    others.extend([number(4, 0), number(6, 1), Value::text("x")]);
    others.push(Value::Array(4, vec![Value::u32(1); 4]));
    others.retain(|other| other != value);
    others
}

/// An array with another element, or another length.
pub(super) fn altered(
    kind: u32,
    values: &[Value],
    below: &mut impl FnMut(usize) -> usize,
) -> Value {
    let mut values = values.to_vec();
    match below(5) {
        0 => drop(values.pop()),
        1 => values.extend(values.first().cloned()),
        _ if values.is_empty() => {}
        _ => {
            let place = below(values.len());
            values[place] = match kind {
                TEXT => Value::Text(TOKENS[below(TOKENS.len())].to_vec()),
                6 => Value::Number(6, FLOATS[below(FLOATS.len())].to_le_bytes().to_vec()),
                kind => number(kind, WHOLE[below(WHOLE.len())]),
            };
            if below(5) == 0 {
                values = vec![values[place].clone(); values.len()];
            }
        }
    }
    Value::Array(kind, values)
}

pub(super) fn any(file: &GgufFile, below: &mut impl FnMut(usize) -> usize) -> Value {
    let kind = [4, 4, 4, 5, 6, 7, TEXT, ARRAY][below(8)];
    match kind {
        TEXT => Value::text(TEXTS[below(TEXTS.len())]),
        ARRAY => {
            let kind = [4, 5, 6, 7][below(4)];
            let layers = match file.get(&format!("{}.block_count", file.architecture())) {
                Some(Value::Number(_, bytes)) => bytes[0],
                _ => 4,
            };
            let count = [0, 1, 4, layers][below(4)];
            let same = [0, 1, 2, 4, 1000][below(5)];
            Value::Array(kind, vec![number(kind, same); count.into()])
        }
        6 => Value::Number(6, FLOATS[below(FLOATS.len())].to_le_bytes().to_vec()),
        kind => number(kind, WHOLE[below(WHOLE.len())]),
    }
}
