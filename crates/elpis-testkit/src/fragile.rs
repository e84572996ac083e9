//! A backend with injected faults.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elpis_backend::{
    Backend, BackendError, BackendLayer, Batch, DeathNotice, LoadOptions, SequenceId, Token,
    Tokenizer,
};

use crate::scripted::{Letters, Scripted};

/// Where a backend can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// While the model is loaded.
    Load,
    /// In [`Backend::decode`].
    Decode,
    /// In [`Backend::logits`].
    Logits,
    /// In [`Backend::truncate`].
    Truncate,
    /// In [`Backend::share_prefix`].
    Share,
    /// In [`Backend::save_sequence`].
    Save,
    /// In [`Backend::restore_sequence`].
    Restore,
    /// In [`Tokenizer::append_piece`].
    Piece,
    /// In [`Backend::on_death`].
    Death,
}

const SITES: usize = 9;

/// Calls `fault` at each site.
#[derive(Clone)]
struct Faults {
    calls: Arc<[AtomicU32; SITES]>,
    fault: Arc<Fault>,
}

type Fault = dyn Fn(Site, u32) -> Result<(), BackendError> + Send + Sync;

struct Fragile {
    inner: Scripted,
    faults: Faults,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    fn at(&self, site: Site) -> Result<(), BackendError> {
        let number = self.calls[site as usize].fetch_add(1, Ordering::SeqCst);
        (self.fault)(site, number)
    }
}

/// Returns a function that loads backends. They call `fault` at each [`Site`], with the number of
/// calls there so far over all loaded backends. `fault` may panic, block or return an error.
pub fn loader(
    fault: impl Fn(Site, u32) -> Result<(), BackendError> + Send + Sync + 'static,
) -> impl Fn(&LoadOptions) -> Result<Box<dyn Backend>, BackendError> + Send + Sync + 'static {
    let fault: Arc<Fault> = Arc::new(fault);
    let faults = Faults {
        calls: Arc::default(),
        fault,
    };
    // Backends are loaded one after the other.
    let loading = Mutex::new(());
    move |options: &LoadOptions| {
        let _one = loading.lock();
        let fragile = Fragile {
            inner: Scripted::new(options.n_sequences, 64, 1000, usize::MAX),
            faults: faults.clone(),
        };
        faults.at(Site::Load)?;
        Ok(Box::new(fragile))
    }
}

#[derive(Debug)]
struct FragileLetters(Faults);

impl Tokenizer for FragileLetters {
    fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<Token>, BackendError> {
        Letters.encode(text, parse_special)
    }

    fn append_piece(&self, token: Token, out: &mut Vec<u8>) {
        // This call returns no error, so only a panic has an effect here.
        let _ = self.0.at(Site::Piece);
        Letters.append_piece(token, out);
    }

    fn is_end(&self, token: Token) -> bool {
        Letters.is_end(token)
    }
}

impl BackendLayer for Fragile {
    fn inner(&self) -> &dyn Backend {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut self.inner
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        Arc::new(FragileLetters(self.faults.clone()))
    }

    fn on_death(&mut self, tell: DeathNotice) {
        if let Err(error) = self.faults.at(Site::Death) {
            tell(error);
        }
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.faults.at(Site::Decode)?;
        std::thread::sleep(Duration::from_millis(1));
        self.inner.decode(batch)
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        self.faults.at(Site::Logits)?;
        self.inner.logits(row)
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        self.faults.at(Site::Truncate)?;
        self.inner.truncate(sequence, from)
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        self.faults.at(Site::Share)?;
        self.inner.share_prefix(from, to, length)
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        self.faults.at(Site::Save)?;
        self.inner.save_sequence(sequence, memory)
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.faults.at(Site::Restore)?;
        self.inner.restore_sequence(sequence, length, bytes)
    }
}
