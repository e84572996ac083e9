//! `elpis doctor`

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};

use super::progress::Bars;
use super::{Failure, load_settings};
use crate::actors::hardware::HardwareReport;
use crate::backend::{ModelFacts, available_backends, spin};
use crate::runtime::Elpis;
use crate::settings::LoadedSettings;
use crate::steering::SteeringLibrary;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Does not load the model.
    #[arg(long)]
    no_model: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options) -> Result<(), Failure> {
    let loaded = load_settings(config)?;
    let hardware = HardwareReport::take(&loaded.settings.model)?;
    let model = if options.no_model {
        None
    } else {
        Some(look_at_model(&loaded)?)
    };
    let mut out = stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &as_json(&loaded, &hardware, model.as_ref()))
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &loaded, &hardware, model.as_ref())?;
    }
    Ok(())
}

type ModelView = (Arc<ModelFacts>, Arc<SteeringLibrary>);

/// Starts the runtime as an agent would, and looks at what is in force.
fn look_at_model(loaded: &LoadedSettings) -> Result<ModelView, Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let elpis = Elpis::builder(loaded.settings.clone())
            .download_progress(Arc::new(Bars::default()))
            .start()
            .await?;
        let model = elpis.model().ok_or("the model is gone")?;
        let library = elpis.steering_library();
        elpis.shutdown().await;
        Ok((model, library))
    })
}

fn as_json(loaded: &LoadedSettings, hardware: &HardwareReport, model: Option<&ModelView>) -> Value {
    let settings: Map<String, Value> = loaded
        .rows()
        .map(|(field, value, origin)| {
            let row = json!({ "value": value, "origin": origin.to_string() });
            (field.full_name().to_owned(), row)
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "backends": available_backends(),
        "hardware": hardware,
        "openmp_spin_count": std::env::var(spin::VARIABLE).ok(),
        "model": model.map(|(facts, _)| facts.as_ref()),
        "vectors": model.map(|(_, library)| json!({
            "version": library.version().to_string(),
            "emotions": library.emotions().map(|e| json!({
                "name": e.name,
                "layers": e.layers.iter().map(|l| l.layer).collect::<Vec<_>>(),
                "cap": e.cap,
            })).collect::<Vec<_>>(),
        })),
        "settings": settings,
    })
}

fn print(
    out: &mut impl Write,
    loaded: &LoadedSettings,
    hardware: &HardwareReport,
    model: Option<&ModelView>,
) -> std::io::Result<()> {
    writeln!(out, "elpis {}", env!("CARGO_PKG_VERSION"))?;
    let backends: Vec<_> = available_backends().iter().map(|b| b.as_str()).collect();
    writeln!(out, "\nbackends\n  {}", backends.join(", "))?;
    writeln!(out, "\nhardware")?;
    writeln!(
        out,
        "  runs on {}; {} physical cores, {} usable processors",
        hardware.selected, hardware.physical_cores, hardware.usable_processors
    )?;
    if let Ok(count) = std::env::var(spin::VARIABLE) {
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
    if let Some((facts, library)) = model {
        writeln!(out, "\nmodel")?;
        writeln!(
            out,
            "  {}: {} on {}",
            facts.name, facts.description, facts.backend
        )?;
        writeln!(
            out,
            "  {} layers, width {}, vocabulary {}, context {} of {} tokens",
            facts.n_layers,
            facts.n_embd,
            facts.n_vocab,
            facts.context_length,
            facts.context_trained
        )?;
        writeln!(out, "\nvectors {}", library.version())?;
        for emotion in library.emotions() {
            writeln!(
                out,
                "  {:12} layers {:?}, cap {}",
                emotion.name,
                emotion.layers.iter().map(|l| l.layer).collect::<Vec<_>>(),
                emotion.cap
            )?;
        }
        if library.is_empty() {
            writeln!(
                out,
                "  none: this model is sampled by emotion, but not steered"
            )?;
        }
    }
    writeln!(out, "\nsettings")?;
    for (field, value, origin) in loaded.rows() {
        writeln!(out, "  {:40} {value:24} {origin}", field.full_name())?;
    }
    Ok(())
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
