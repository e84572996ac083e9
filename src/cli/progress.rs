//! Progress bars of downloads, on standard error and only on a terminal.

use std::collections::HashMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Elpis;
use crate::error::Error;
use crate::hub::DownloadProgress;
use crate::runtime::ElpisBuilder;

/// Starts a runtime, and shows that it is being done.
pub(super) async fn start(builder: ElpisBuilder, quiet: bool) -> Result<Elpis, Error> {
    if quiet || !stderr().is_terminal() {
        return builder.start().await;
    }
    let spinner = ProgressBar::new_spinner().with_message("loading the model");
    spinner.enable_steady_tick(TICK);
    let bars = Bars::default();
    let started = builder.download_progress(Arc::new(bars)).start().await;
    spinner.finish_and_clear();
    started
}

/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// One bar for each file.
#[derive(Debug, Default)]
pub(super) struct Bars {
    screen: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn with(&self, file: &str, work: impl FnOnce(&ProgressBar)) {
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.get(file) {
            work(bar);
        }
    }
}

impl DownloadProgress for Bars {
    fn started(&self, file: &str, done: u64, total: u64) {
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.screen.add(ProgressBar::new(total));
        bar.set_style(style);
        bar.set_message(file.to_owned());
        bar.set_position(done);
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        bars.insert(file.to_owned(), bar);
    }

    fn advanced(&self, file: &str, done: u64, total: u64) {
        self.with(file, |bar| {
            bar.set_length(total);
            bar.set_position(done);
        });
    }

    fn finished(&self, file: &str) {
        self.with(file, ProgressBar::finish);
    }
}
