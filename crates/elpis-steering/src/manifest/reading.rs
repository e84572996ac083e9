//! The table `reading` of a manifest.

use std::ops::RangeInclusive;

use toml::{Table, Value};

use super::{ManifestError, file_name, known_keys, layer, number, out_of_range, wrong_type};

const KEYS: [&str; 5] = ["file", "layer", "mean", "deviation", "span"];

/// Maximum magnitude of a mean or deviation.
const MAX_PROJECTION: f64 = 1e12;

/// Smallest deviation and span.
const MIN_DEVIATION: f64 = 1e-9;

/// Maximum span, in deviations.
const MAX_SPAN: f64 = 1000.0;

/// How replies are read from the residual stream. Pairs are of valence and of arousal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadingEntry {
    /// The file with the axes, a pack of two vectors, `valence` and `arousal`.
    pub file: String,
    /// The layer whose output is read.
    pub layer: usize,
    /// Mean projections of the model's own neutral replies.
    pub mean: [f64; 2],
    /// Standard deviations among these replies, above 0.
    pub deviation: [f64; 2],
    /// Number of deviations that are 1 on the plane, above 0.
    pub span: [f64; 2],
}

pub(super) fn parse(table: &Table) -> Result<ReadingEntry, ManifestError> {
    known_keys("reading", table, &KEYS)?;
    let needed = |key: &str| {
        let field = format!("reading.{key}");
        let missing = ManifestError::Missing {
            field: field.clone(),
        };
        table.get(key).map(|value| (field, value)).ok_or(missing)
    };
    let pair = |key: &str, range| {
        let (field, value) = needed(key)?;
        pair(&field, value, range)
    };
    let (field, file) = needed("file")?;
    let file = file_name(&field, file)?;
    let (field, at) = needed("layer")?;
    Ok(ReadingEntry {
        file,
        layer: layer(&field, at)?,
        mean: pair("mean", -MAX_PROJECTION..=MAX_PROJECTION)?,
        deviation: pair("deviation", MIN_DEVIATION..=MAX_PROJECTION)?,
        span: pair("span", MIN_DEVIATION..=MAX_SPAN)?,
    })
}

/// A list of two numbers in a range.
fn pair(field: &str, value: &Value, range: RangeInclusive<f64>) -> Result<[f64; 2], ManifestError> {
    let (Value::Array(values), limit) = (value, "a list of two numbers, of valence and arousal")
    else {
        return Err(wrong_type(field, value, "a list of two numbers"));
    };
    let [valence, arousal] = &values[..] else {
        return Err(ManifestError::InvalidList {
            field: field.to_owned(),
            value: format!("{} values", values.len()),
            limit,
        });
    };
    let number = |value| {
        let number = number(field, value)?;
        if range.contains(&number) {
            return Ok(number);
        }
        let (low, high) = (range.start(), range.end());
        Err(out_of_range(field, number, format!("from {low} to {high}")))
    };
    Ok([number(valence)?, number(arousal)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "file = 'r.safetensors'\nlayer = 8\nmean = [0.5, -1]\n\
        deviation = [0.25, 2.0]\nspan = [4.0, 3.5]\n";

    fn read(text: &str) -> Result<ReadingEntry, ManifestError> {
        parse(&text.parse().unwrap())
    }

    #[test]
    fn a_whole_table_is_read() {
        let entry = read(WHOLE).unwrap();
        assert_eq!((entry.file.as_str(), entry.layer), ("r.safetensors", 8));
        assert_eq!(
            (entry.mean, entry.deviation, entry.span),
            ([0.5, -1.0], [0.25, 2.0], [4.0, 3.5])
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (from, to, error) in [
            ("layer = 8", "", "reading.layer"),
            ("layer = 8", "layer = -1", "reading.layer"),
            ("'r.safetensors'", "'../r'", "reading.file"),
            ("[0.5, -1]", "0.5", "reading.mean"),
            ("[0.5, -1]", "[nan, 1]", "reading.mean"),
            ("[0.5, -1]", "[1, 2, 3]", "reading.mean"),
            ("[0.25, 2.0]", "[0.0, 2.0]", "reading.deviation"),
            ("[4.0, 3.5]", "[4.0, 1e9]", "reading.span"),
            ("span =", "spam =", "reading.spam"),
        ] {
            let found = read(&WHOLE.replace(from, to)).unwrap_err().to_string();
            assert!(found.contains(error), "{to}: {found}");
        }
    }
}
