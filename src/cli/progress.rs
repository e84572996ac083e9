//! What is shown while a model is fetched and loaded: on standard error, and only on a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Failure;
use super::signal::{Signals, second_ends_at_once, unless};
use crate::Elpis;
use crate::backend::Backend;
use crate::error::Error;
use crate::hub::{DownloadProgress, NoProgress};
use crate::printable::printable;
use crate::runtime::{ElpisBuilder, load_backend};
use crate::settings::Settings;

/// Works with a runtime, and shuts it down. A signal ends it at any time, a second one at once.
pub(super) fn with_elpis<T>(
    settings: Settings,
    quiet: bool,
    work: impl AsyncFnOnce(&Elpis) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen();
        let starting = async { Ok(start(Elpis::builder(settings), quiet).await?) };
        let elpis = unless(&mut signals, starting).await?;
        let result = unless(&mut signals, work(&elpis)).await;
        second_ends_at_once(&result);
        elpis.shutdown().await;
        result
    });
    // What nobody waits for any more, such as a download, must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Starts a runtime, and shows that it is being done.
pub(super) async fn start(builder: ElpisBuilder, quiet: bool) -> Result<Elpis, Error> {
    let waiting = Waiting::begin(quiet);
    builder.download_progress(waiting.downloads()).start().await
}

/// Loads a model without a runtime around it, and shows that it is being done.
pub(super) async fn backend(settings: &Settings, quiet: bool) -> Result<Box<dyn Backend>, Error> {
    let waiting = Waiting::begin(quiet);
    load_backend(settings, waiting.downloads()).await
}

/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(100);

const FETCHING: &str = "fetching the model";
const LOADING: &str = "loading the model";

/// A spinner, with a bar above it for each file that is fetched; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Option<Arc<Bars>>);

impl Waiting {
    /// Shows something unless it is not wanted, or nobody would see it.
    pub(super) fn begin(quiet: bool) -> Self {
        Self((!quiet && stderr().is_terminal()).then(|| Arc::new(Bars::new())))
    }

    fn downloads(&self) -> Arc<dyn DownloadProgress> {
        match &self.0 {
            Some(bars) => Arc::clone(bars) as Arc<dyn DownloadProgress>,
            None => Arc::new(NoProgress),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bars) = &self.0 {
            bars.end();
        }
    }
}

/// They share one screen, so that none overwrites another.
#[derive(Debug)]
struct Bars {
    screen: MultiProgress,
    spinner: ProgressBar,
    /// Of files that are being fetched; `None` once nothing is shown any more.
    files: Mutex<Option<Vec<(String, ProgressBar)>>>,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let spinner = screen.add(ProgressBar::new_spinner().with_message(LOADING));
        spinner.tick();
        spinner.enable_steady_tick(TICK);
        Self {
            screen,
            spinner,
            files: Mutex::new(Some(Vec::new())),
        }
    }

    fn with(&self, work: impl FnOnce(&mut Vec<(String, ProgressBar)>)) {
        let mut bars = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bars) = bars.as_mut() {
            work(bars);
            let message = if bars.is_empty() { LOADING } else { FETCHING };
            self.spinner.set_message(message);
        }
    }

    /// A download that goes on meanwhile shows no more.
    fn end(&self) {
        let bars = self
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for (_, bar) in bars.into_iter().flatten() {
            bar.finish_and_clear();
        }
        self.spinner.finish_and_clear();
    }
}

impl DownloadProgress for Bars {
    fn started(&self, file: &str, done: u64, total: u64) {
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.with(|bars| {
            let bar = ProgressBar::new(total).with_style(style);
            let bar = self.screen.insert_before(&self.spinner, bar);
            bar.set_message(printable(file).into_owned());
            bar.set_position(done);
            bars.push((file.to_owned(), bar));
        });
    }

    fn advanced(&self, file: &str, done: u64, total: u64) {
        self.with(|bars| {
            if let Some((_, bar)) = bars.iter().find(|(name, _)| name == file) {
                bar.set_length(total);
                bar.set_position(done);
            }
        });
    }

    fn finished(&self, file: &str) {
        self.with(|bars| {
            bars.retain(|(name, bar)| {
                if name == file {
                    bar.finish_and_clear();
                }
                name != file
            });
        });
    }
}
