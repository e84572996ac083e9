//! Writes the results of a run as JSON and as a Markdown table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::figures::FIGURES;
use crate::stats::geometric_mean;

/// Writes `figures.jsonl` and `figures.md` into a folder. This is called after each figure, so that an
/// interrupted run leaves its results so far.
pub fn write(folder: &Path, lines: &[Value]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in [
        ("figures.jsonl", jsonl(lines)),
        ("figures.md", markdown(lines)),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The lines as JSON.
pub fn jsonl(lines: &[Value]) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The values that all lines share, followed by a row for each line.
pub fn markdown(lines: &[Value]) -> String {
    let all = |field: &str| {
        let values: BTreeSet<_> = lines
            .iter()
            .filter_map(|line| words(&line[field]))
            .collect();
        values.into_iter().collect::<Vec<_>>().join("; ")
    };
    let mut text = String::new();
    for (name, field) in [
        ("processor", "cpu"),
        ("cores", "cores"),
        ("GPU", "gpu"),
        ("memory, GiB", "memory_gib"),
        ("system", "os"),
        ("kernel", "kernel"),
        ("rustc", "rustc"),
        ("threads", "threads"),
        ("commands", "command"),
        ("revision", "elpis"),
        ("llama.cpp", "llama_cpp"),
        ("kernels", "kernels"),
        ("libtorch", "libtorch"),
        ("beside", "reference"),
        ("GOMP_SPINCOUNT", "gomp_spincount"),
        ("profile", "profile"),
    ] {
        let told = all(field);
        if !told.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "- {name}: {told}");
        }
    }
    text.push_str(
        "\n| figure | model | value | least to greatest | rounds | bound | held | date | revision |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for lines in lines.chunk_by(|a, b| a["name"] == b["name"]) {
        let mean = Mean::of(lines);
        for line in lines {
            let word = |field: &str| words(&line[field]).unwrap_or_default();
            let held = match line["holds"].as_bool() {
                Some(true)
                    if line["bound"]
                        .as_str()
                        .is_some_and(|b| b.starts_with("mean")) =>
                {
                    ""
                }
                Some(true) => "yes",
                Some(false) => "no",
                None => "not measured",
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {} {} | {} – {} | {} | {} | {held} | {} | {} |",
                word("name"),
                word("model"),
                word("value"),
                word("unit"),
                word("min"),
                word("max"),
                word("rounds"),
                word("bound"),
                word("date"),
                word("elpis"),
            );
        }
        if let Some(Mean { value, least }) = mean {
            let name = words(&lines[0]["name"]).unwrap_or_default();
            let held = if value >= least { "yes" } else { "no" };
            let models = lines.len();
            let _ = writeln!(
                text,
                "| `{name}` | mean of {models} | {value:.4} ratio | | | >= {least} | {held} | | |"
            );
        }
    }
    for line in lines {
        if let Some(rows) = line["rows"].as_array() {
            let word = |field: &str| words(&line[field]).unwrap_or_default();
            let _ = writeln!(text, "\n`{}` on {}:\n", word("name"), word("model"));
            text.push_str(&table(rows));
        }
    }
    text
}

/// The geometric mean over the models of a figure that has a bound on it.
struct Mean {
    value: f64,
    least: f64,
}

impl Mean {
    /// `None` if a model is missing, was measured under another bound, or its measurement failed.
    fn of(lines: &[Value]) -> Option<Self> {
        let (name, bound) = (&lines.first()?["name"], &lines.first()?["bound"]);
        let figure = FIGURES.iter().find(|figure| name == figure.name)?;
        let least = bound.as_str()?.strip_prefix("mean >= ")?.parse().ok()?;
        let sound = |line: &Value| line["holds"] == true && &line["bound"] == bound;
        if lines.len() < figure.models.len() || !lines.iter().all(sound) {
            return None;
        }
        let values: Option<Vec<f64>> = lines.iter().map(|line| line["value"].as_f64()).collect();
        let value = geometric_mean(&values?);
        Some(Self { value, least })
    }
}

/// A table of objects with the same fields.
fn table(rows: &[Value]) -> String {
    let Some(first) = rows.first().and_then(Value::as_object) else {
        return String::new();
    };
    let names: Vec<_> = first.keys().map(|name| name.replace('_', " ")).collect();
    let mut text = format!("| {} |\n", names.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(names.len()));
    for row in rows {
        let cells: Vec<_> = first
            .keys()
            .map(|name| words(&row[name]).unwrap_or_default())
            .collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// A value as text.
pub fn words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_told_once_and_each_figure_has_a_row() {
        let line = |name: &str, holds: Value| {
            json!({
                "name": name, "model": "small", "value": 0.99, "unit": "ratio", "bound": ">= 0.98",
                "holds": holds, "min": 0.9, "max": 1.1, "rounds": 7, "cpu": "Abacus", "elpis": null,
                "date": "2026-01-02",
            })
        };
        let lines = [line("reload", json!(true)), line("prefix", Value::Null)];
        let text = markdown(&lines);
        assert_eq!(text.matches("Abacus").count(), 1);
        assert!(!text.contains("- revision"));
        let row = "| `reload` | small | 0.99 ratio | 0.9 – 1.1 | 7 | >= 0.98 | yes | 2026-01-02 |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.ends_with("| not measured | 2026-01-02 |  |\n"),
            "{text}"
        );
        let ratio = |model: &str, value: f64| {
            let mut line = line("peer-llama-cpp-python", json!(true));
            line["model"] = json!(model);
            line["value"] = json!(value);
            line["bound"] = json!("mean >= 1.03");
            line
        };
        let mut models = [
            ratio("small", 1.21),
            ratio("large", 1.1),
            ratio("large-q4", 1.0),
        ];
        let text = markdown(&models);
        assert!(text.contains("| mean >= 1.03 |  |"), "{text}");
        let mean = "mean of 3 | 1.1000 ratio | | | >= 1.03 | yes | | |\n";
        assert!(text.ends_with(mean), "{text}");
        assert!(!markdown(&models[..2]).contains("mean of"));
        models[1]["holds"] = json!(false);
        let text = markdown(&models);
        assert!(!text.contains("mean of") && text.contains("| mean >= 1.03 | no |"));
        let rows = json!([{"who": "us", "peak_mb": 7}, {"who": "them", "peak_mb": null}]);
        let rows = table(rows.as_array().unwrap());
        assert_eq!(
            rows,
            "| who | peak mb |\n|---|---|\n| us | 7 |\n| them |  |\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        write(&folder, &lines).unwrap();
        let jsonl = fs::read_to_string(folder.join("figures.jsonl")).unwrap();
        assert_eq!(jsonl.lines().count(), 2);
    }
}
