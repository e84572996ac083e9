//! The line of JSON for each figure.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::bare;
use crate::figures::Figure;
use crate::measure::{Outcome, Run};
use crate::model::Format;
use crate::stats::{greatest, least, rounded};

/// The variable with the measured revision, if the caller knows it.
const REVISION: &str = "ELPIS_BENCH_REVISION";
/// The variable with the compiler's version, if the caller knows it.
const RUSTC: &str = "ELPIS_BENCH_RUSTC";
const LLAMA_CPP: &str = "llama-cpp-sys-2 0.1.160";
const LIBTORCH: &str = "tch 0.24.0 on torch 2.11";

/// The line of a figure.
pub fn line(figure: &Figure, run: &Run, outcome: &Outcome) -> Value {
    let mut line = json!({
        "name": figure.name,
        "model": run.spec.name,
        "value": rounded(outcome.value),
        "unit": figure.unit,
        "bound": figure.bound.to_string(),
        "holds": (!run.smoke).then(|| outcome.sound && figure.bound.holds(outcome.value)),
        "min": rounded(least(&outcome.rounds)),
        "max": rounded(greatest(&outcome.rounds)),
        "rounds": outcome.rounds.len(),
        "threads": run.threads,
    });
    let more = json!({
        "model_description": run.spec.about,
        "smoke": run.smoke,
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        "elpis": std::env::var(REVISION).ok(),
        "date": Timestamp::now().strftime("%F").to_string(),
        "cpu": cpu(),
        "gpu": run.gpu,
        "cores": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        "memory_gib": field("/proc/meminfo", "MemTotal").map(|text| gib(&text)),
        "os": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        "rustc": std::env::var(RUSTC).ok(),
        "gomp_spincount": std::env::var("GOMP_SPINCOUNT").ok(),
    });
    let backend = match run.spec.format {
        Format::Gguf => json!({"llama_cpp": LLAMA_CPP, "kernels": bare::system_info()}),
        Format::Folder => json!({"libtorch": LIBTORCH}),
    };
    if let (Value::Object(line), Value::Object(more), Value::Object(backend)) =
        (&mut line, more, backend)
    {
        for (name, value) in &outcome.details {
            let value = value
                .as_f64()
                .filter(|_| value.is_f64())
                .map_or_else(|| value.clone(), |number| rounded(number).into());
            line.insert(name.clone(), value);
        }
        line.extend(backend);
        line.extend(more);
    }
    line
}

/// The processor's name, if the system reports it.
fn cpu() -> Option<String> {
    let name = field("/proc/cpuinfo", "model name")?;
    let flags = field("/proc/cpuinfo", "flags").unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|known| known == flag);
    let widest = [
        ("amx_tile", "AMX"),
        ("avx512f", "AVX-512"),
        ("avx2", "AVX2"),
    ];
    let widest = widest.into_iter().find(|(flag, _)| has(flag));
    Some(match widest {
        Some((_, vectors)) => format!("{name} ({vectors})"),
        None => name,
    })
}

/// A field of a file that consists of lines `name: value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| known.trim() == name)?;
    Some(value.trim().to_owned())
}

/// Converts a text such as `24000000 kB` to whole GiB.
fn gib(text: &str) -> Option<u64> {
    let kib: f64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1024.0 / 1024.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::FIGURES;

    #[test]
    fn a_line_has_the_value_its_bound_and_the_spread() {
        let run = Run::new(&crate::model::SMALL, "x".into(), 3, false);
        let outcome = Outcome::median(vec![0.99, 0.970_001, 1.0]).with("extra", 1.234_567_89);
        let figure = &FIGURES[0];
        let line = line(figure, &run, &outcome);
        assert_eq!(line["name"], figure.name);
        assert_eq!(gib("24625348 kB"), Some(23));
        assert_eq!(
            (&line["value"], &line["holds"]),
            (&json!(0.99), &json!(true))
        );
        assert_eq!((&line["min"], &line["max"]), (&json!(0.97), &json!(1.0)));
        assert_eq!(line["extra"], json!(1.2346));
        assert!(!line.to_string().contains('\n'));
        let unsound = Outcome {
            sound: false,
            ..outcome
        };
        assert_eq!(super::line(figure, &run, &unsound)["holds"], false);
    }
}
