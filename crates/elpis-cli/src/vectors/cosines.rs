//! Cosine similarities of vectors.

use std::io::Write;

use serde_json::{Value, json};

/// A vector for comparison.
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) rows: Vec<(Option<usize>, Vec<f32>)>,
}

/// Maximum number of columns of a table.
const MAX_COLUMNS: usize = 8;
/// Maximum number of pairs that are listed if a table would be too wide.
const MAX_PAIRS: usize = 20;

/// The cosine of two vectors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cosine {
    a: usize,
    b: usize,
    /// Mean over the common layers.
    mean: f64,
    /// The number of layers.
    layers: usize,
}

/// The cosines of all pairs that have a layer in common.
pub(super) fn of(vectors: &[Shown]) -> Vec<Cosine> {
    let mut found = Vec::new();
    for (a, first) in vectors.iter().enumerate() {
        for (b, second) in vectors.iter().enumerate().skip(a + 1) {
            let common = first.rows.iter().filter_map(|(layer, row)| {
                let other = second.rows.iter().find(|(other, _)| other == layer)?;
                cosine(row, &other.1)
            });
            let cosines: Vec<f64> = common.collect();
            if !cosines.is_empty() {
                found.push(Cosine {
                    a,
                    b,
                    mean: cosines.iter().sum::<f64>() / cosines.len() as f64,
                    layers: cosines.len(),
                });
            }
        }
    }
    found
}

/// The cosine of two rows; `None` if they differ in width or one of them is zero.
fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y));
        products.sum()
    };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    (norms > 0.0).then(|| (dot(a, b) / norms).clamp(-1.0, 1.0))
}

pub(super) fn print(
    out: &mut impl Write,
    vectors: &[Shown],
    cosines: &[Cosine],
) -> std::io::Result<()> {
    if cosines.is_empty() {
        return Ok(());
    }
    let layers = cosines.iter().map(|cosine| cosine.layers).max();
    let over = match layers {
        Some(layers) if layers > 1 => ", mean over the layers that both have",
        _ => "",
    };
    if vectors.len() > MAX_COLUMNS {
        let mut strongest: Vec<&Cosine> = cosines.iter().collect();
        strongest.sort_by(|x, y| y.mean.abs().total_cmp(&x.mean.abs()));
        writeln!(
            out,
            "\ncosines{over}: the {} most alike or opposite of {} pairs",
            strongest.len().min(MAX_PAIRS),
            cosines.len()
        )?;
        for cosine in strongest.into_iter().take(MAX_PAIRS) {
            let name = |index: usize| vectors.get(index).map_or("", |v| v.name.as_str());
            writeln!(
                out,
                "  {:+.3}  {} and {}",
                cosine.mean,
                name(cosine.a),
                name(cosine.b)
            )?;
        }
        return Ok(());
    }
    writeln!(out, "\ncosines{over}\n")?;
    let width = |vector: &Shown| vector.name.chars().count().max(6);
    let first = vectors.iter().map(width).max().unwrap_or_default();
    write!(out, "{:first$}", "")?;
    for vector in vectors {
        write!(out, "  {:>width$}", vector.name, width = width(vector))?;
    }
    writeln!(out)?;
    for (row, vector) in vectors.iter().enumerate() {
        write!(out, "{:first$}", vector.name)?;
        for (column, other) in vectors.iter().enumerate() {
            let (a, b) = (row.min(column), row.max(column));
            let found = cosines.iter().find(|cosine| (cosine.a, cosine.b) == (a, b));
            let text = match found {
                _ if row == column => "1".to_owned(),
                Some(cosine) => format!("{:+.3}", cosine.mean),
                None => "-".to_owned(),
            };
            write!(out, "  {text:>width$}", width = width(other))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(super) fn as_json(vectors: &[Shown], cosines: &[Cosine]) -> Value {
    let name = |index: usize| vectors.get(index).map(|vector| vector.name.as_str());
    cosines
        .iter()
        .map(|cosine| {
            json!({
                "a": name(cosine.a),
                "b": name(cosine.b),
                "cosine": cosine.mean,
                "layers": cosine.layers,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, rows: &[(usize, [f32; 2])]) -> Shown {
        Shown {
            name: name.to_owned(),
            rows: rows
                .iter()
                .map(|&(k, row)| (Some(k), row.to_vec()))
                .collect(),
        }
    }

    #[test]
    fn vectors_are_compared_where_both_have_rows() {
        let vectors = [
            shown("calm", &[(1, [3.0, 0.0]), (2, [0.0, 1.0])]),
            shown("excited", &[(1, [-5.0, 0.0])]),
            shown("shy", &[(2, [1.0, 1.0]), (1, [0.0, 2.0])]),
            shown("late", &[(7, [1.0, 1.0])]),
            shown("nothing", &[(1, [0.0, 0.0])]),
        ];
        let found = of(&vectors);
        let half = 0.5_f64.sqrt() / 2.0;
        let expected = [(0, 1, -1.0, 1), (0, 2, half, 2), (1, 2, 0.0, 1)];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (cosine, (a, b, mean, layers)) in found.iter().zip(expected) {
            assert_eq!((cosine.a, cosine.b, cosine.layers), (a, b, layers));
            assert!((cosine.mean - mean).abs() < 1e-12, "{cosine:?}");
        }
        let mut out = Vec::new();
        print(&mut out, &vectors, &found).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("mean over"), "{text}");
        let row = text
            .lines()
            .find(|line| line.starts_with("excited"))
            .unwrap();
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells, ["excited", "-1.000", "1", "+0.000", "-", "-"]);
    }

    #[test]
    fn many_vectors_are_told_as_pairs() {
        let vectors: Vec<_> = (0..9)
            .map(|n| shown(&format!("e{n}"), &[(1, [1.0, n as f32])]))
            .collect();
        let mut out = Vec::new();
        print(&mut out, &vectors, &of(&vectors)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("20 most alike or opposite of 36 pairs"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 22);
        assert!(text.contains("e7 and e8"), "{text}");
    }
}
