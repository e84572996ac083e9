//! The latest results, kept in the repository: `benches/results.jsonl` holds the newest line
//! of each figure, model and machine, and `BENCHMARKS.md` shows them as tables.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::figures::{FIGURES, MODELS};
use crate::table;

const RESULTS: &str = "benches/results.jsonl";
const SHOWN: &str = "BENCHMARKS.md";

/// Between these lines of the page stands what is written here.
const BEGIN: &str = "<!-- measured: written by `cargo xtask bench --record` -->\n";
const END: &str = "<!-- /measured -->\n";

/// Adds a line in the place of an earlier one of the same figure, model and machine.
pub fn add(repository: &Path, line: &Value) -> Result<()> {
    if line["smoke"] != false {
        return Ok(());
    }
    let results = repository.join(RESULTS);
    let text = match fs::read_to_string(&results) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {RESULTS}")),
    };
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line).with_context(|| format!("{RESULTS}, line {}", number + 1))
        })
        .collect::<Result<Vec<Value>>>()?;
    lines.retain(|known| key(known) != key(line));
    lines.push(line.clone());
    lines.sort_by_key(|line| (machine(line), order(line)));
    let page = repository.join(SHOWN);
    let shown = fs::read_to_string(&page).with_context(|| format!("cannot read {SHOWN}"))?;
    let shown = with_results(&shown, &lines)?;
    fs::write(&results, table::jsonl(&lines)).with_context(|| format!("cannot write {RESULTS}"))?;
    fs::write(&page, shown).with_context(|| format!("cannot write {SHOWN}"))
}

/// The page with the tables of these lines.
fn with_results(page: &str, lines: &[Value]) -> Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (old, after) = rest.split_once(END)?;
        (!old.contains(BEGIN)).then_some((before, after))
    });
    let (before, after) =
        parts.with_context(|| format!("{SHOWN} does not have the lines {BEGIN:?} and {END:?}"))?;
    ensure!(!lines.is_empty(), "nothing was measured");
    let mut text = format!("{before}{BEGIN}");
    for lines in lines.chunk_by(|a, b| machine(a) == machine(b)) {
        let heading = machine(&lines[0]);
        text.extend(["\n### ", &heading, "\n\n", &table::markdown(lines)]);
    }
    text.push('\n');
    text.push_str(END);
    text.push_str(after);
    Ok(text)
}

/// Where a line was measured.
fn machine(line: &Value) -> String {
    let word = |name: &str| table::words(&line[name]).unwrap_or_else(|| "?".to_owned());
    let gpu = table::words(&line["gpu"]).map_or_else(String::new, |gpu| format!("{gpu}, "));
    format!(
        "{gpu}{}, {} cores, {} GiB, {}",
        word("cpu"),
        word("cores"),
        word("memory_gib"),
        word("os")
    )
}

fn key(line: &Value) -> (String, &Value, &Value) {
    (machine(line), &line["name"], &line["model"])
}

/// As the figures and models are listed; what is not listed any more comes last.
fn order(line: &Value) -> (usize, usize) {
    let figure = FIGURES
        .iter()
        .position(|figure| line["name"] == figure.name);
    let model = MODELS.iter().position(|model| line["model"] == model.name);
    (
        figure.unwrap_or(FIGURES.len()),
        model.unwrap_or(MODELS.len()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(name: &str, model: &str, cpu: &str, value: f64) -> Value {
        json!({
            "name": name, "model": model, "value": value, "unit": "ratio", "bound": ">= 0.98",
            "holds": true, "min": value, "max": value, "rounds": 5, "smoke": false, "cpu": cpu,
            "cores": 2, "memory_gib": 23, "os": "linux x86_64", "date": "2026-01-02",
        })
    }

    #[test]
    fn the_newest_line_of_each_figure_model_and_machine_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("benches")).unwrap();
        fs::write(
            root.join(SHOWN),
            format!("# Before\n{BEGIN}old\n{END}After\n"),
        )
        .unwrap();
        for line in [
            line("prefix", "large", "A", 0.1),
            line("decode-overhead", "small", "A", 0.9),
            line("prefix", "large", "B", 0.2),
            line("prefix", "large", "A", 0.3),
        ] {
            add(root, &line).unwrap();
        }
        let kept = fs::read_to_string(root.join(RESULTS)).unwrap();
        let kept: Vec<Value> = kept
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let values: Vec<_> = kept.iter().map(|line| line["value"].as_f64()).collect();
        assert_eq!(values, [Some(0.9), Some(0.3), Some(0.2)]);
        let page = fs::read_to_string(root.join(SHOWN)).unwrap();
        assert!(
            page.starts_with("# Before\n") && page.ends_with("After\n"),
            "{page}"
        );
        assert!(!page.contains("old"), "{page}");
        assert_eq!(page.matches("\n### ").count(), 2, "{page}");
    }

    #[test]
    fn a_gpu_makes_another_machine() {
        let processor = line("prefix", "large", "A", 0.1);
        let mut gpu = processor.clone();
        gpu["gpu"] = json!("Abacus 2000");
        assert_eq!(
            machine(&gpu),
            format!("Abacus 2000, {}", machine(&processor))
        );
        assert_ne!(key(&gpu), key(&processor));
    }

    #[test]
    fn the_page_has_a_place_for_the_tables() {
        let page = include_str!("../../../BENCHMARKS.md");
        with_results(page, &[line("prefix", "small", "A", 0.1)]).unwrap();
    }

    #[test]
    fn what_is_no_measurement_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let smoke = json!({"smoke": true});
        add(folder.path(), &smoke).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(with_results("# A page\n", &[smoke]).is_err());
    }
}
