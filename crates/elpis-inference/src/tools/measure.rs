//! Measures untrusted JSON.

use serde_json::Value;

/// Size of a JSON value.
pub(crate) struct Measured {
    /// Approximate size of its text, in bytes.
    pub bytes: usize,
    /// Levels of nesting; 1 for a scalar.
    pub depth: usize,
}

/// Measures a value without recursion, because it is untrusted.
pub(crate) fn measure(value: &Value) -> Measured {
    let mut measured = Measured { bytes: 0, depth: 0 };
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        measured.depth = measured.depth.max(depth);
        measured.bytes += match value {
            Value::String(text) => text.len() + 2,
            Value::Array(items) => {
                open.extend(items.iter().map(|item| (item, depth + 1)));
                2 + items.len()
            }
            Value::Object(fields) => {
                open.extend(fields.values().map(|value| (value, depth + 1)));
                2 + fields.keys().map(|key| key.len() + 4).sum::<usize>()
            }
            _ => 8,
        };
    }
    measured
}
