//! The model for training and calibration, and the progress display.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, Failure, Stop};
use crate::{load_settings, progress};
use elpis::backend::Backend;
use elpis::inference::ChatTemplate;
use elpis::internal::chat_template;
use elpis::settings::{BackendKind, PrefixPolicy, Settings};
use elpis::training::{ContrastPairs, Progress, TrainingError};

/// Number of replies that are generated in parallel.
pub(super) const SIDE_BY_SIDE: usize = 24;

/// Longest sequence of this work, in tokens: a question and a short reply.
const CONTEXT: u32 = 1024;

/// The model to inspect.
#[derive(Debug, Args)]
pub(super) struct ModelChoice {
    /// The model: a file, a folder or a Hugging Face id. By default the configured model or else
    /// the bundled one.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The code that runs it.
    #[arg(long, value_name = "BACKEND",
          value_parser = PossibleValuesParser::new(BackendKind::NAMES).try_map(|name| backend_kind(&name)))]
    backend: Option<BackendKind>,
}

/// The model to work with, and the pairs.
#[derive(Debug, Args)]
pub(super) struct ModelOptions {
    #[command(flatten)]
    choice: ModelChoice,
    /// Custom pairs instead of the shipped ones, as JSONL or TOML.
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
}

fn backend_kind(name: &str) -> Result<BackendKind, String> {
    [BackendKind::LlamaCpp, BackendKind::Transformers]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| format!("known are {}", BackendKind::NAMES.join(", ")))
}

/// A loaded model.
pub(super) struct Loaded {
    pub(super) backend: Box<dyn Backend>,
    pub(super) template: ChatTemplate,
    pub(super) settings: Settings,
    quiet: bool,
    stop: Arc<Stop>,
    // Listens for Ctrl-C while it exists.
    _runtime: tokio::runtime::Runtime,
}

impl ModelChoice {
    /// Whether any model was named.
    pub(super) fn is_given(&self) -> bool {
        self.model.is_some() || self.backend.is_some()
    }

    /// Loads the model with room for `sequences` sequences.
    pub(super) fn load(
        &self,
        config: Option<PathBuf>,
        sequences: usize,
        quiet: bool,
    ) -> Result<Loaded, Failure> {
        let mut settings = load_settings(config)?.settings;
        if let Some(model) = &self.model {
            settings.model.path = Some(model.clone());
        }
        if let Some(backend) = self.backend {
            settings.model.backend = backend;
        }
        settings.runtime.n_parallel = sequences;
        if sequences > 1 {
            let context = settings.model.context_length.unwrap_or(CONTEXT);
            settings.model.context_length = Some(context.min(CONTEXT));
        }
        settings.runtime.prefix_cache_mib = 0;
        let runtime = tokio::runtime::Runtime::new()?;
        let stop = Arc::<Stop>::default();
        let asked = Arc::clone(&stop);
        runtime.spawn(async move { asked.asked().await });
        let loaded = runtime.block_on(async {
            tokio::select! {
                backend = progress::backend(&settings, quiet) => Ok(backend?),
                signal = stop.came() => Err(Failure::from(signal)),
            }
        });
        let backend = match loaded {
            Ok(backend) => backend,
            Err(error) => {
                // An abandoned download must not delay the exit.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let template = chat_template(backend.facts(), settings.model.chat_format.as_deref())?;
        Ok(Loaded {
            backend,
            template,
            settings,
            quiet,
            stop,
            _runtime: runtime,
        })
    }
}

impl ModelOptions {
    /// Loads the model with room for `sequences` sequences.
    pub(super) fn load(
        &self,
        config: Option<PathBuf>,
        sequences: usize,
        quiet: bool,
    ) -> Result<Loaded, Failure> {
        self.choice.load(config, sequences, quiet)
    }

    /// The pairs of the file, or the shipped ones.
    pub(super) fn pairs(&self) -> Result<ContrastPairs, Failure> {
        let Some(file) = &self.pairs else {
            return Ok(ContrastPairs::shipped());
        };
        let text = std::fs::read_to_string(file).map_err(CliError::unreadable(file))?;
        let is_toml = file
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let pairs = if is_toml {
            ContrastPairs::from_toml(&text)
        } else {
            ContrastPairs::from_jsonl(&text)
        };
        Ok(pairs.map_err(CliError::at(file))?)
    }

    /// Adds the file's name to an error that training found in a pair.
    pub(super) fn at_pairs(&self, failure: Failure) -> Failure {
        match (&self.pairs, failure.downcast_ref()) {
            (Some(file), Some(TrainingError::TooLong { .. })) => CliError::at(file)(failure).into(),
            _ => failure,
        }
    }
}

impl Loaded {
    /// Runs the work with a progress bar. Ctrl-C ends it.
    pub(super) fn work<T>(
        &mut self,
        work: impl FnOnce(
            &mut dyn Backend,
            &ChatTemplate,
            &mut dyn FnMut(Progress) -> bool,
        ) -> Result<T, TrainingError>,
    ) -> Result<T, Failure> {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        let bar = if self.quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let stop = &self.stop;
        let mut on_progress = |progress: Progress| {
            bar.set_message(progress.stage);
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
            stop.signal().is_none()
        };
        let result = work(self.backend.as_mut(), &self.template, &mut on_progress);
        bar.finish_and_clear();
        self.check_stop()?;
        Ok(result?)
    }

    /// Whether the settings have prompts steered as their replies are.
    pub(super) fn steers_prompts(&self) -> bool {
        self.settings.runtime.prefix_policy != PrefixPolicy::PromptUnsteered
    }

    /// Fails if the user has asked to stop.
    pub(super) fn check_stop(&self) -> Result<(), Failure> {
        match self.stop.signal() {
            Some(signal) => Err(signal.into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_of_pairs_may_be_in_capitals() {
        let folder = tempfile::tempdir().unwrap();
        let toml = r#"
            [[pairs]]
            emotion = "calm"
            positive = "Rest."
            negative = "Sit."
            [[pairs]]
            emotion = "calm"
            positive = "Sleep."
            negative = "Stand."
        "#;
        for name in ["pairs.toml", "pairs.TOML", "pairs.Toml"] {
            let file = folder.path().join(name);
            std::fs::write(&file, toml).unwrap();
            let options = ModelOptions {
                choice: ModelChoice {
                    model: None,
                    backend: None,
                },
                pairs: Some(file),
            };
            assert_eq!(options.pairs().unwrap().pairs.len(), 2, "{name}");
        }
    }
}
