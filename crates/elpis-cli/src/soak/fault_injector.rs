//! Replaces vectors and injects faults while the load clients chat.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::memory::WARM_UP;
use super::token_auditor::{InjectedFault, TokenAuditor};
use super::{Counters, SoakOptions, count};
use elpis::backend::ModelFacts;
use elpis::emotion::Quadrant;
use elpis::steering::{MANIFEST_FILE, SteeringVector, VectorFormat, write};
use elpis::{Elpis, Error, SteeringError};

/// Norm of the vectors, as a fraction of the residual stream's.
const STRENGTH: f32 = 0.1;

/// Longer than any trial.
const NEVER: Duration = Duration::from_hours(24 * 365 * 10);

/// A folder of vectors in random directions.
#[derive(Debug)]
pub(super) struct VectorFolder {
    folder: TempDir,
}

/// Number of kinds of faults: in vectors and the backend and, with the feature `fault-injection`,
/// in actors.
const KINDS: u64 = if cfg!(feature = "fault-injection") {
    5
} else {
    3
};

/// The part named in the error of a vector that cannot be created.
const PART: &str = "a vector of the trial";

impl VectorFolder {
    pub(super) fn new() -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("elpis-soak-").tempdir();
        let folder = folder.map_err(|error| unreadable(&std::env::temp_dir(), &error))?;
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the manifest and a vector for each quadrant.
    pub(super) fn fill(&self, facts: &ModelFacts) -> Result<(), Error> {
        for (index, quadrant) in Quadrant::ALL.into_iter().enumerate() {
            self.replace(quadrant, facts, index as u64)?;
        }
        let manifest = format!("layer = {}\n", layer(facts));
        self.put(MANIFEST_FILE, manifest.as_bytes())
    }

    fn replace(&self, quadrant: Quadrant, facts: &ModelFacts, seed: u64) -> Result<(), Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let norm = facts.residual_norms.get(layer(facts)).copied();
        // The norm of n numbers from -1 to 1 is close to the root of n / 3.
        let scale = STRENGTH * norm.unwrap_or(1.0) * (3.0 / facts.n_embd as f32).sqrt();
        let row = (0..facts.n_embd).map(|_| scale * rng.random_range(-1.0..1.0_f32));
        let vector =
            SteeringVector::bare(row.collect()).map_err(|error| Error::failed(PART, error))?;
        let bytes = write(VectorFormat::Safetensors, &vector)
            .map_err(|error| Error::failed(PART, error))?;
        self.put(&name(quadrant), &bytes)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = self.folder.path().join(name);
        std::fs::write(&file, bytes).map_err(|error| unreadable(&file, &error))
    }
}

fn name(quadrant: Quadrant) -> String {
    format!("{}.safetensors", quadrant.as_str())
}

/// A layer in the middle, never the last one, which affects no later token.
fn layer(facts: &ModelFacts) -> usize {
    (facts.n_layers / 2).min(facts.n_layers.saturating_sub(2))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Error {
    Error::Steering(SteeringError::Unreadable {
        file: file.display().to_string(),
        reason: error.to_string(),
    })
}

/// Injects faults into actors.
#[derive(Debug, Clone, Default)]
pub(super) struct Actors(Arc<Mutex<Option<&'static str>>>);

impl Actors {
    fn break_next(&self, actor: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    /// Panics at the next message of the chosen actor.
    #[cfg(feature = "fault-injection")]
    pub(super) fn probe(&self) -> elpis::internal::Probe {
        let broken = Arc::clone(&self.0);
        elpis::internal::Probe::new(move |actor, _| {
            let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
            let breaks = broken.take_if(|broken| *broken == actor).is_some();
            drop(broken);
            assert!(!breaks, "a fault of the trial");
        })
    }
}

/// Creates it.
pub(super) struct FaultInjector {
    pub(super) actors: Actors,
    pub(super) elpis: Elpis,
    pub(super) folder: VectorFolder,
    pub(super) token_auditor: Arc<TokenAuditor>,
    pub(super) counters: Arc<Counters>,
    pub(super) facts: Arc<ModelFacts>,
}

impl FaultInjector {
    /// Reloads vectors and injects faults until it is told to stop.
    pub(super) async fn make(self, options: SoakOptions, mut stop: watch::Receiver<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(!options.seed);
        let mut reload = tokio::time::interval(options.reload_every);
        let fault_every = options.fault_every.unwrap_or(NEVER);
        let start = Instant::now();
        let warm = options.duration.mul_f64(WARM_UP);
        let (mut number, mut last) = (0_u64, start);
        loop {
            // Memory settles after some engine restarts, so they are more frequent at first.
            let often = if start.elapsed() < warm { 10 } else { 1 };
            tokio::select! {
                _ = stop.changed() => return,
                _ = reload.tick() => self.reload(rng.random()).await,
                () = sleep_until(last + fault_every / often) => {
                    last = Instant::now();
                    number += 1;
                    self.cause(number).await;
                }
            }
        }
    }

    async fn reload(&self, seed: u64) {
        let quadrant = Quadrant::ALL[seed as usize % Quadrant::ALL.len()];
        if self.folder.replace(quadrant, &self.facts, seed).is_err() {
            return;
        }
        match self.elpis.reload_vectors().await {
            Ok(_) => count(&self.counters.reloads),
            Err(error) => tracing::warn!(%error, "a reload of the trial was refused"),
        }
    }

    async fn cause(&self, number: u64) {
        count(&self.counters.faults);
        match number % KINDS {
            0 => {
                let quadrant = Quadrant::ALL[number as usize % Quadrant::ALL.len()];
                if self.folder.put(&name(quadrant), b"no vector").is_ok()
                    && self.elpis.reload_vectors().await.is_err()
                {
                    count(&self.counters.refused_reloads);
                }
                let _ = self.folder.replace(quadrant, &self.facts, number);
            }
            1 => self.token_auditor.break_next(InjectedFault::Panic),
            2 => self.token_auditor.break_next(InjectedFault::Error),
            3 => self.actors.break_next("emotion"),
            _ => {
                self.actors.break_next("steering");
                // The restarted actor answers, or nobody does.
                let _ = self.elpis.reload_vectors().await;
            }
        }
    }
}
