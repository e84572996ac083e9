//! A backend in a worker process.
//!
//! The scheduler, sampling and steering plans stay in this process; the worker evaluates.
//! Evaluating a batch is one request and one reply over an unnamed socket; the logits are in shared
//! memory. If the worker ends, the pending call fails with [`BackendError::WorkerDied`].

mod child;
mod descriptors;
mod frame;
mod logits;
mod plans;
mod protocol;
mod serve;
#[cfg(test)]
mod tests;
mod tokenizer;

pub(super) use serve::serve;

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use child::{Process, Started};
use frame::{Channel, invalid};
use logits::SharedLogits;
use plans::PlanBook;
use protocol::{Decode, Encode, Load, Loaded, Reply, Request, WireRow, floats, push_floats};
use tokenizer::RemoteTokenizer;

use elpis_steering::{Projection, ReadingAxes};

use elpis_backend::{
    Backend, BackendError, Batch, DeathNotice, LoadOptions, ModelFacts, SequenceId, Token,
    Tokenizer, WorkerOptions,
};

/// A model in another process.
#[derive(Debug)]
pub(super) struct ProcessBackend {
    connection: Channel<UnixStream>,
    process: Process,
    bound: Option<Duration>,
    facts: Arc<ModelFacts>,
    tokenizer: Arc<RemoteTokenizer>,
    plans: PlanBook,
    logits: SharedLogits,
    /// For each row of the last batch, its index among the logits.
    places: Vec<Option<usize>>,
    /// A copy of the logits of the last batch. The worker can write to the shared memory at any
    /// time, and borrowed data must not change.
    copied: Vec<f32>,
    /// Whether batches are read.
    reads: bool,
    /// The projections of the rows with logits of the last batch.
    projections: Vec<Projection>,
    request: Decode,
    values: Vec<u8>,
}

impl ProcessBackend {
    /// Starts a worker and has it load a model.
    pub(super) fn load(
        options: &LoadOptions,
        worker: &WorkerOptions,
    ) -> Result<Self, BackendError> {
        let Started {
            process,
            connection,
            texts,
            logits,
        } = child::start(worker)?;
        let bound = worker.bound;
        let life = Arc::clone(process.life());
        let mut connection = Channel::new(connection);
        let load = Request::Load(Box::new(Load::new(options)));
        let loaded = connection
            .send(&load, &[])
            .and_then(|()| receive_loaded(&mut connection))
            .map_err(|error| life.failed(&error, bound))??;
        let facts = Arc::new(loaded.facts.clone());
        let pieces = connection.take_blob();
        let tokenizer = RemoteTokenizer::new(Arc::clone(&life), texts, bound, loaded, pieces)
            .map_err(|error| life.failed(&error, bound))?;
        Ok(Self {
            connection,
            process,
            bound,
            tokenizer: Arc::new(tokenizer),
            plans: PlanBook::new(facts.n_sequences),
            logits: SharedLogits::new(logits, facts.n_vocab),
            places: Vec::new(),
            copied: Vec::new(),
            reads: false,
            projections: Vec::new(),
            request: Decode::default(),
            values: Vec::new(),
            facts,
        })
    }

    /// Sends a request whose reply only consists of the blob.
    fn ask(&mut self, request: &Request, blob: &[u8]) -> Result<(), BackendError> {
        self.process.life().check()?;
        let reply = self
            .connection
            .send(request, blob)
            .and_then(|()| self.connection.receive());
        match reply {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Failed(error)) => Err(error),
            Ok(Reply::Loaded(_) | Reply::Loading) => {
                Err(self.failed(&invalid("an answer to another question")))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &io::Error) -> BackendError {
        self.process.life().failed(error, self.bound)
    }

    /// Fills the request for a batch, and the indices of its logits.
    fn describe(&mut self, batch: &Batch) -> Result<(), BackendError> {
        let wanted = batch.rows().iter().filter(|row| row.logits).count();
        // Reserve room for every sequence, so that the memory hardly ever grows.
        self.logits
            .grow(wanted.max(self.facts.n_sequences as usize))
            .map_err(|error| BackendError::Native {
                call: "shared memory",
                reason: error.to_string(),
            })?;
        self.request.plans.clear();
        self.values.clear();
        let plans = self
            .plans
            .place(batch, &mut self.request.plans, &mut self.values);
        self.request.rows.clear();
        let mut places = 0..wanted;
        for (index, row) in batch.rows().iter().enumerate() {
            let plan = batch.plan_index_of(index);
            let place = plan.and_then(|plan| plans.get(plan as usize)).copied();
            self.request.rows.push(WireRow::new(row, place));
            let logits = if row.logits { places.next() } else { None };
            self.places.push(logits);
        }
        self.request.room = self.logits.rows();
        Ok(())
    }
}

impl Backend for ProcessBackend {
    fn facts(&self) -> &Arc<ModelFacts> {
        &self.facts
    }

    fn tokenizer(&self) -> Arc<dyn Tokenizer> {
        Arc::clone(&self.tokenizer) as Arc<dyn Tokenizer>
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.places.clear();
        let result = self.describe(batch).and_then(|()| {
            // Moved into the request and back, to reuse the allocations.
            let request = Request::Decode(std::mem::take(&mut self.request));
            let values = std::mem::take(&mut self.values);
            let result = self.ask(&request, &values);
            if let Request::Decode(request) = request {
                (self.request, self.values) = (request, values);
            }
            result
        });
        let wanted = self.places.iter().flatten().count();
        self.projections.clear();
        if self.reads && result.is_ok() {
            let (pairs, _) = self.connection.blob().as_chunks::<8>();
            self.projections.extend(pairs.iter().map(|pair| {
                let mut pair = floats(pair);
                let mut next = || pair.next().unwrap_or(f32::NAN);
                Projection::new(next(), next())
            }));
        }
        if result.is_err() || !self.logits.copy_rows(wanted, &mut self.copied) {
            self.places.clear();
        }
        result
    }

    fn logits(&self, row: usize) -> Result<&[f32], BackendError> {
        let place = self.places.get(row).copied().flatten();
        let n_vocab = self.facts.n_vocab;
        place
            .and_then(|place| self.copied.chunks_exact(n_vocab.max(1)).nth(place))
            .ok_or(BackendError::NoLogits { row })
    }

    fn set_reading(&mut self, axes: Option<Arc<ReadingAxes>>) -> Result<(), BackendError> {
        let mut blob = Vec::new();
        for axis in axes.iter().flat_map(|axes| [&axes.valence, &axes.arousal]) {
            push_floats(axis, &mut blob);
        }
        self.projections.clear();
        let layer = axes.as_ref().map(|axes| axes.layer);
        self.ask(&Request::SetReading { layer }, &blob)?;
        self.reads = layer.is_some();
        Ok(())
    }

    fn projection(&self, row: usize) -> Option<Projection> {
        let place = self.places.get(row).copied().flatten()?;
        let found = self.projections.get(place).copied()?;
        found.valence.is_finite().then_some(found)
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        self.ask(&Request::Truncate { sequence, from }, &[])
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        to: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        self.ask(&Request::SharePrefix { from, to, length }, &[])
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        // Data from a socket grows as it arrives.
        drop(memory);
        self.ask(&Request::Save { sequence }, &[])?;
        Ok(self.connection.take_blob())
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.ask(&Request::Restore { sequence, length }, bytes)
    }

    fn residual_stream(
        &mut self,
        tokens: &[Token],
        layers: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
        let request = Request::ResidualStream {
            tokens: tokens.to_vec(),
            layers: layers.to_vec(),
        };
        self.ask(&request, &[])?;
        let blob = self.connection.take_blob();
        let width = self.facts.n_embd;
        let row = width.max(1) * 4;
        if blob.len() != layers.len() * tokens.len() * width * 4 {
            return Err(self.failed(&invalid("activations of another size")));
        }
        let layers = blob.chunks_exact((row * tokens.len()).max(1));
        Ok(layers
            .map(|rows| {
                rows.chunks_exact(row)
                    .map(|row| floats(row).collect())
                    .collect()
            })
            .collect())
    }

    fn on_death(&mut self, tell: DeathNotice) {
        self.process.on_death(tell);
    }
}

impl Drop for ProcessBackend {
    fn drop(&mut self) {
        // This ends the worker, and `process` then waits for it.
        let _ = self.connection.stream().shutdown(Shutdown::Both);
    }
}

/// Waits until the model is loaded. There is no time limit as long as heartbeats arrive.
fn receive_loaded(
    connection: &mut Channel<UnixStream>,
) -> io::Result<Result<Loaded, BackendError>> {
    loop {
        match connection.receive()? {
            Reply::Loading => {}
            Reply::Loaded(loaded) => return Ok(Ok(*loaded)),
            Reply::Failed(error) => return Ok(Err(error)),
            Reply::Done => return Err(invalid("an answer to another question")),
        }
    }
}

/// Reads bytes like both sides of the protocol.
pub(super) fn read_frames(bytes: &[u8]) {
    let from_runtime = Channel::new(bytes).receive::<Request>();
    if let Ok(Request::Decode(decode)) = from_runtime {
        let mut plans = plans::Plans::default();
        let mut blob = bytes;
        let _ = decode.plans.iter().all(|plan| plans.take(plan, &mut blob));
    }
    let _ = Channel::new(bytes).receive::<Encode>();
    let _ = Channel::new(bytes).receive::<Reply>();
}
