//! Progress of downloads and model loading: on standard error, and only on a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::error::CliError;
use super::signal::{Signals, second_ends_at_once, unless};
use super::{Failure, complain, terminal, told};
use elpis::backend::Backend;
use elpis::hub::{DownloadProgress, HubError, NoProgress};
use elpis::internal::load_backend;
use elpis::settings::Settings;
use elpis::{Elpis, ShutdownReport};
use elpis::{ElpisBuilder, Error, SteeringError};

/// Runs work with a runtime and shuts it down. A signal ends it gracefully, a second one
/// immediately.
pub(super) fn with_elpis<T>(
    settings: Settings,
    quiet: bool,
    work: impl AsyncFnOnce(&Elpis) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen();
        let starting = start_settings(settings, quiet);
        let elpis = unless(&mut signals, starting).await?;
        let result = unless(&mut signals, work(&elpis)).await;
        second_ends_at_once(&result);
        kept(elpis.shutdown_and_report().await, result)
    });
    // Abandoned work, such as a download, must not delay the exit.
    runtime.shutdown_background();
    result
}

/// The result of the command. A store that lacks the last changes is a failure, and is reported in
/// addition to another one.
pub(super) fn kept<T>(report: ShutdownReport, result: Result<T, Failure>) -> Result<T, Failure> {
    match (report.store, result) {
        (Err(lost), Ok(_)) => Err(lost.into()),
        (Err(lost), Err(error)) => {
            complain(&format!("elpis: {}", told(&lost)));
            Err(error)
        }
        (Ok(()), result) => result,
    }
}

/// Starts a runtime with some settings. Errors of vectors that do not fit name their folder and the
/// model.
pub(super) async fn start_settings(settings: Settings, quiet: bool) -> Result<Elpis, Failure> {
    let folder = settings.model.emotion_vectors_dir.clone();
    let model = settings.model_source();
    // Boxed, because the future holds the settings more than once.
    let started = Box::pin(start(Elpis::builder(settings), quiet)).await;
    started.map_err(|error| match (error, folder, model) {
        (Error::Steering(SteeringError::Library(error)), Some(folder), Ok(model)) => {
            let place = format!("{}, for {model}", folder.display());
            let source = error.into();
            CliError::At { place, source }.into()
        }
        (error, ..) => error.into(),
    })
}

/// Starts a runtime and shows the progress.
pub(super) async fn start(builder: ElpisBuilder, quiet: bool) -> Result<Elpis, Error> {
    let waiting = Waiting::begin(quiet);
    builder.download_progress(waiting.downloads()).start().await
}

/// Loads a model without a runtime and shows the progress.
pub(super) async fn backend(settings: &Settings, quiet: bool) -> Result<Box<dyn Backend>, Error> {
    let waiting = Waiting::begin(quiet);
    load_backend(settings, waiting.downloads()).await
}

/// A progress bar with a count, shown on a terminal and removed when it is dropped.
#[derive(Debug)]
pub(super) struct Counting(Option<ProgressBar>);

impl Counting {
    /// Shows a stage without a count.
    pub(super) fn begin(what: &'static str, quiet: bool) -> Self {
        Self((!quiet && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner().with_message(what);
            bar.enable_steady_tick(TICK);
            bar
        }))
    }

    /// Continues with a stage of `count` items.
    pub(super) fn go_on(&self, what: &'static str, count: u64) {
        if let Some(bar) = &self.0 {
            let style =
                ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            bar.set_length(count);
            bar.set_position(0);
        }
    }

    /// Records a finished item.
    pub(super) fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Prints something without disturbing the bar.
    pub(super) fn aside(&self, tell: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The interval of a spinner.
const TICK: Duration = Duration::from_millis(100);

const FETCHING: &str = "fetching the model";
const LOADING: &str = "loading the model";

/// A spinner with a bar for each file that is downloaded, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting(Option<Arc<Bars>>);

impl Waiting {
    /// Shows progress unless `quiet` is set or there is no terminal.
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

/// The bars share one screen, so that none overwrites another.
#[derive(Debug)]
struct Bars {
    screen: MultiProgress,
    spinner: ProgressBar,
    /// The bars of files being downloaded; `None` once nothing is shown any more.
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

    /// A download that continues shows nothing afterwards.
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
            bar.set_message(terminal::plain(file).into_owned());
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

    fn repeating(&self, error: &HubError) {
        self.with(|_| {});
        self.spinner
            .set_message(terminal::plain(&format!("{error}; trying again")).into_owned());
    }
}
