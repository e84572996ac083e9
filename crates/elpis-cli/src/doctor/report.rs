//! Prints the findings of `doctor`.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::warning::Warning;
use super::{ModelView, gibibytes};
use crate::library::vector_line;
use elpis::HardwareReport;
use elpis::backend::available_backends;
use elpis::settings::LoadedSettings;
use elpis_files::printable::printable;
use elpis_worker::environment;

/// All findings.
pub(super) struct Report<'a> {
    pub(super) loaded: &'a LoadedSettings,
    pub(super) hardware: &'a HardwareReport,
    pub(super) model: Option<&'a ModelView>,
    pub(super) warnings: &'a [Warning],
}

impl Report<'_> {
    pub(super) fn write_json(&self, out: &mut impl Write) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(&self.as_json())?;
        writeln!(out, "{text}")
    }

    fn as_json(&self) -> Value {
        let settings: Map<String, Value> = self
            .loaded
            .rows()
            .map(|(field, value, origin)| {
                let row = json!({ "value": value, "origin": origin.to_string() });
                (field.full_name().to_owned(), row)
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "backends": available_backends(),
            "hardware": self.hardware,
            "openmp_spin_count": std::env::var(environment::SPIN_COUNT).ok(),
            "model": self.model.map(|model| model.facts.as_ref()),
            "template": self.model.map(|model| &model.template),
            "vectors": self.model.map(|model| json!({
                "version": model.library.version().to_string(),
                "emotions": model.library.emotions().map(|e| json!({
                    "name": e.name,
                    "layers": e.layers.iter().map(|l| l.layer).collect::<Vec<_>>(),
                    "cap": e.cap,
                })).collect::<Vec<_>>(),
                "reading_layer": model.library.reading().map(|reading| reading.axes.layer),
            })),
            "settings": settings,
            "warnings": self.warnings.iter().map(Warning::as_json).collect::<Vec<_>>(),
        })
    }

    pub(super) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "elpis {}", env!("CARGO_PKG_VERSION"))?;
        let backends: Vec<_> = available_backends().iter().map(|b| b.as_str()).collect();
        writeln!(out, "\nbackends\n  {}", backends.join(", "))?;
        self.print_hardware(out)?;
        if let Some(model) = self.model {
            print_model(out, model)?;
        }
        writeln!(out, "\nsettings")?;
        for (field, value, origin) in self.loaded.rows() {
            writeln!(out, "  {:40} {value:24} {origin}", field.full_name())?;
        }
        if self.warnings.is_empty() {
            return writeln!(out, "\nno warnings");
        }
        writeln!(out, "\nwarnings")?;
        for warning in self.warnings {
            writeln!(out, "  {}", warning.problem())?;
            writeln!(out, "    {}", warning.advice())?;
        }
        Ok(())
    }

    fn print_hardware(&self, out: &mut impl Write) -> std::io::Result<()> {
        let hardware = self.hardware;
        writeln!(out, "\nhardware")?;
        writeln!(
            out,
            "  runs on {}; {} physical cores, {} usable processors",
            hardware.selected, hardware.physical_cores, hardware.usable_processors
        )?;
        if let Ok(count) = std::env::var(environment::SPIN_COUNT) {
            writeln!(out, "  OpenMP threads spin {count} times before they sleep")?;
        }
        for device in &hardware.devices {
            writeln!(
                out,
                "  {:8} {} ({}), {} of {} free",
                device.kind.as_str(),
                device.description,
                device.name,
                gibibytes(device.memory_free),
                gibibytes(device.memory_total)
            )?;
        }
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn print_model(out: &mut impl Write, model: &ModelView) -> std::io::Result<()> {
    let (facts, library) = (&model.facts, &model.library);
    writeln!(out, "\nmodel")?;
    writeln!(
        out,
        "  {}: {} on {}",
        printable(&facts.name),
        printable(&facts.description),
        facts.backend
    )?;
    writeln!(
        out,
        "  {} layers, width {}, vocabulary {}, context {} of {} tokens",
        facts.n_layers, facts.n_embd, facts.n_vocab, facts.context_length, facts.context_trained
    )?;
    writeln!(
        out,
        "  {:.1} M parameters, {} of weights",
        facts.n_params as f64 / 1e6,
        mebibytes(facts.size_bytes)
    )?;
    writeln!(out, "  {}", model.template.line())?;
    writeln!(out, "\nvectors {}", library.version())?;
    for emotion in library.emotions() {
        writeln!(out, "  {}", vector_line(emotion))?;
    }
    if library.is_empty() {
        writeln!(
            out,
            "  none: the mood changes sampling but does not steer the model"
        )?;
    }
    if let Some(reading) = library.reading() {
        let layer = reading.axes.layer;
        writeln!(out, "  what replies express is read at layer {layer}")?;
    }
    Ok(())
}
