//! `elpis doctor`

mod checks;
mod host;
mod notice;
mod report;
mod template;
mod warning;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use self::checks::{ModelSeen, Seen};
use self::host::Host;
pub(super) use self::notice::Notices;
use self::report::Report;
use self::template::TemplateSeen;
use super::{Failure, load_settings, progress, terminal};
use elpis::HardwareReport;
use elpis::backend::ModelFacts;
use elpis::backend::memory::SystemMemory;
use elpis::settings::LoadedSettings;
use elpis::steering::SteeringLibrary;

/// Shows the hardware, the model, the vectors and the settings in force, and warns about anything
/// that will not work as expected.
///
/// The exit code is 0 even with warnings, unless --strict is given.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Does not load the model.
    #[arg(long)]
    no_model: bool,
    /// Ends with exit code 1 if there are warnings.
    #[arg(long)]
    strict: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Why `--strict` ends with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} warning{}, and --strict accepts none", if *.count == 1 { "" } else { "s" })]
struct Warned {
    count: usize,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let loaded = load_settings(config)?;
    let host = Host::look(&loaded.settings);
    let hardware = HardwareReport::take(&loaded.settings.model)?;
    let model = if options.no_model {
        None
    } else {
        Some(look_at_model(&loaded, quiet)?)
    };
    let seen = model.as_ref().map(|model| ModelSeen {
        weights: model.facts.size_bytes,
        emotions: model.library.emotions().cloned().collect(),
        memory: model.memory,
        template: model.template.clone(),
    });
    let warnings = Seen {
        loaded: &loaded,
        hardware: &hardware,
        model: seen.as_ref(),
        host: &host,
    }
    .warnings();
    let report = Report {
        loaded: &loaded,
        hardware: &hardware,
        model: model.as_ref(),
        warnings: &warnings,
    };
    let mut out = terminal::out();
    if options.json {
        report.write_json(&mut out)?;
    } else {
        report.print(&mut out)?;
    }
    if options.strict && !warnings.is_empty() {
        let count = warnings.len();
        return Err(Warned { count }.into());
    }
    Ok(())
}

/// The facts about the loaded model.
struct ModelView {
    facts: Arc<ModelFacts>,
    template: TemplateSeen,
    library: Arc<SteeringLibrary>,
    /// Memory available while it was loaded, in bytes.
    memory: Option<u64>,
}

/// Starts the runtime like an agent, and inspects the model in force.
fn look_at_model(loaded: &LoadedSettings, quiet: bool) -> Result<ModelView, Failure> {
    let chat_format = loaded.settings.model.chat_format.as_deref();
    progress::with_elpis(loaded.settings.clone(), quiet, async |elpis| {
        let facts = elpis.model().ok_or("the model is gone")?;
        Ok(ModelView {
            template: TemplateSeen::of(&facts, chat_format)?,
            library: elpis.steering_library(),
            memory: SystemMemory::look().map(|memory| memory.available),
            facts,
        })
    })
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
