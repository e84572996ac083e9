//! The worker's side.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use rustix::process::{Signal, getpid, kill_process};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::descriptors;
use super::frame::{Channel, invalid};
use super::logits::SharedLogits;
use super::plans::Plans;
use super::protocol::{Decode, Encode, Hello, Load, Loaded, Reply, Request, floats, push_floats};
use elpis_steering::ReadingAxes;

use elpis_backend::{Backend, BackendError, Batch, Loader, Token, Tokenizer, heartbeat, load_with};

/// Serves the runtime that started this process until the connection is closed.
pub(crate) fn serve(loaders: &[Loader]) -> ! {
    let code = match run(loaders) {
        Ok(()) => 0,
        // The runtime ended while its model was still being loaded, and reports the reason itself.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            eprintln!(
                "elpis: as {} is set, this process serves a model to the program that \
                 started it, which failed: {error}",
                crate::MARKER
            );
            2
        }
    };
    std::process::exit(code)
}

fn run(loaders: &[Loader]) -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.write_all(&Hello::own().to_bytes())?;
    // Native libraries must not read from or print to the runtime's connection.
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    let [texts, logits] = match descriptors::receive(&stream) {
        // The runtime is of another build, and reports that.
        Err(error) if is_end(&error) => return Ok(()),
        received => received?,
    };
    let tokenizer = Arc::<OnceLock<Arc<dyn Tokenizer>>>::default();
    let served = Arc::clone(&tokenizer);
    std::thread::Builder::new()
        .name("elpis-texts".to_owned())
        .spawn(move || serve_texts(texts, &served))?;
    let mut connection = Channel::new(stream);
    let Request::Load(load) = connection.receive()? else {
        return Err(invalid("a model must be loaded first"));
    };
    // Heartbeats tell the runtime that the model is still being loaded.
    let connection = Rc::new(RefCell::new(connection));
    let told = Rc::clone(&connection);
    let tell = move || {
        // The thread for texts notices if the runtime is gone.
        let _ = told.borrow_mut().send(&Reply::Loading, &[]);
    };
    let loaded = heartbeat::listening(tell, || load_model(loaders, *load));
    let Some(mut connection) = Rc::into_inner(connection).map(RefCell::into_inner) else {
        return Err(invalid("the connection is in use"));
    };
    match loaded {
        Ok((backend, loaded, pieces)) => {
            tokenizer.get_or_init(|| backend.tokenizer());
            let logits = SharedLogits::new(File::from(logits), loaded.facts.n_vocab);
            connection.send(&Reply::Loaded(Box::new(loaded)), &pieces)?;
            let served = Worker {
                backend,
                logits,
                plans: Plans::default(),
                batch: Batch::default(),
                reads: false,
            };
            served.serve(connection)
        }
        Err(error) => connection.send(&Reply::Failed(error), &[]),
    }
}

type LoadedModel = (Box<dyn Backend>, Loaded, Vec<u8>);

fn load_model(loaders: &[Loader], load: Load) -> Result<LoadedModel, BackendError> {
    let backend = load_with(loaders, &load.into_options())?;
    let facts = backend.facts().as_ref().clone();
    let tokenizer = backend.tokenizer();
    let vocabulary = 0..facts.n_vocab as Token;
    let mut pieces = Vec::new();
    let piece_ends = vocabulary.clone().map(|token| {
        tokenizer.append_piece(token, &mut pieces);
        pieces.len() as u32
    });
    let loaded = Loaded {
        piece_ends: piece_ends.collect(),
        end_tokens: vocabulary
            .filter(|&token| tokenizer.is_end(token))
            .collect(),
        control_tokens: tokenizer.control_tokens().to_vec(),
        facts,
    };
    Ok((backend, loaded, pieces))
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// Tokenises texts in parallel to the batches. Because it always listens, it also detects the
/// runtime's death during a batch.
fn serve_texts(texts: OwnedFd, tokenizer: &OnceLock<Arc<dyn Tokenizer>>) {
    let mut channel = Channel::new(UnixStream::from(texts));
    while let Ok(Encode {
        parse_special,
        part,
    }) = channel.receive()
    {
        let Some(tokenizer) = tokenizer.get() else {
            break;
        };
        let text = String::from_utf8_lossy(channel.blob());
        let tokens = match part {
            None => tokenizer.encode(&text, parse_special),
            Some(first) => tokenizer.encode_part(&text, parse_special, first),
        };
        let sent = match tokens {
            Ok(tokens) => {
                let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
                channel.send(&Reply::Done, &bytes)
            }
            Err(error) => channel.send(&Reply::Failed(error), &[]),
        };
        if sent.is_err() {
            break;
        }
    }
    // The runtime is gone. A regular exit would tear down libraries that another thread is using.
    let _ = kill_process(getpid(), Signal::KILL);
}

/// A loaded model that answers requests.
struct Worker {
    backend: Box<dyn Backend>,
    logits: SharedLogits,
    plans: Plans,
    batch: Batch,
    /// Whether batches are read.
    reads: bool,
}

impl Worker {
    /// Answers requests until the connection is closed.
    fn serve(mut self, mut connection: Channel<UnixStream>) -> io::Result<()> {
        loop {
            let request = match connection.receive() {
                Err(error) if is_end(&error) => return Ok(()),
                received => received?,
            };
            match self.answer(request, connection.blob())? {
                Ok(blob) => connection.send(&Reply::Done, &blob)?,
                Err(error) => connection.send(&Reply::Failed(error), &[])?,
            }
        }
    }

    /// Handles a request. The outer error means that the runtime is broken.
    fn answer(
        &mut self,
        request: Request,
        blob: &[u8],
    ) -> io::Result<Result<Vec<u8>, BackendError>> {
        let nothing = |()| Vec::new();
        let backend = self.backend.as_mut();
        Ok(match request {
            Request::Load(_) => return Err(invalid("a model is loaded already")),
            Request::Decode(decode) => return self.decode(&decode, blob),
            Request::SetReading { layer } => {
                let axes = layer.map(|layer| {
                    let (valence, arousal) = blob.split_at(blob.len() / 8 * 4);
                    let axis = |bytes| floats(bytes).collect();
                    Arc::new(ReadingAxes::new(layer, axis(valence), axis(arousal)))
                });
                let reads = axes.is_some();
                let set = backend.set_reading(axes);
                // After a refusal those in force stay.
                self.reads = if set.is_ok() { reads } else { self.reads };
                set.map(nothing)
            }
            Request::Truncate { sequence, from } => backend.truncate(sequence, from).map(nothing),
            Request::SharePrefix { from, to, length } => {
                backend.share_prefix(from, to, length).map(nothing)
            }
            Request::Save { sequence } => backend.save_sequence(sequence, Vec::new()),
            Request::Restore { sequence, length } => backend
                .restore_sequence(sequence, length, blob)
                .map(nothing),
            Request::ResidualStream { tokens, layers } => {
                backend.residual_stream(&tokens, &layers).map(|stream| {
                    let mut blob = Vec::new();
                    for row in stream.iter().flatten() {
                        push_floats(row, &mut blob);
                    }
                    blob
                })
            }
        })
    }

    fn decode(
        &mut self,
        decode: &Decode,
        mut blob: &[u8],
    ) -> io::Result<Result<Vec<u8>, BackendError>> {
        for plan in &decode.plans {
            if !self.plans.take(plan, &mut blob) {
                return Err(invalid("a steering plan is cut off"));
            }
        }
        self.logits.see(decode.room)?;
        self.batch.clear();
        for row in &decode.rows {
            let plan = match row.plan {
                None => None,
                Some(place) => {
                    let known = self.plans.get(place);
                    Some(known.ok_or_else(|| invalid("a steering plan is missing"))?)
                }
            };
            let tokens = [row.token];
            self.batch
                .push(row.sequence, row.position, &tokens, row.logits, plan);
        }
        if let Err(error) = self.backend.decode(&self.batch) {
            return Ok(Err(error));
        }
        let rows = self.batch.rows().iter().enumerate();
        let wanted = rows.filter(|(_, row)| row.logits).map(|(index, _)| index);
        let mut projections = Vec::new();
        for (place, row) in wanted.enumerate() {
            match self.backend.logits(row) {
                Err(error) => return Ok(Err(error)),
                Ok(logits) if self.logits.write(place, logits) => {}
                Ok(_) => return Err(invalid("there is no room for the logits")),
            }
            if self.reads {
                let found = self.backend.projection(row);
                let pair = found.map_or([f32::NAN; 2], |found| [found.valence, found.arousal]);
                push_floats(&pair, &mut projections);
            }
        }
        Ok(Ok(projections))
    }
}
