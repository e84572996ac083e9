//! A random model: the real one evaluates, and then every token is as likely as any other.

use elpis::backend::{Backend, BackendError, BackendFactory, BackendLayer, Batch};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

struct Noise {
    real: Box<dyn Backend>,
    random: ChaCha8Rng,
    /// By row of the last batch.
    logits: Vec<Option<Vec<f32>>>,
}

/// The backend that the settings name, with noise in place of what it computes.
pub fn factory(seed: u64) -> BackendFactory {
    BackendFactory::default().map(move |real| {
        Box::new(Noise {
            real,
            random: ChaCha8Rng::seed_from_u64(seed),
            logits: Vec::new(),
        })
    })
}

impl BackendLayer for Noise {
    fn inner(&self) -> &dyn Backend {
        &*self.real
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut *self.real
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.real.decode(batch)?;
        let tokens = self.real.facts().n_vocab;
        let random = &mut self.random;
        let noise = |_| (random.next_u32() % 1000) as f32 / 100.0;
        let mut noise = std::iter::repeat_with(|| 0).map(noise);
        self.logits.clear();
        for row in batch.rows() {
            let row = row.logits.then(|| noise.by_ref().take(tokens).collect());
            self.logits.push(row);
        }
        Ok(())
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        self.real.logits(row)?;
        match self.logits.get(row) {
            Some(Some(logits)) => Ok(logits),
            _ => Err(BackendError::NoLogits { row }),
        }
    }
}
