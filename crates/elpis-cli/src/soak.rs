//! A soak test: many sessions chat and receive events on a real model while
//! vectors are reloaded and faults are injected, and everything is counted.
//!
//! `elpis soak` runs it on any model. It reports whether memory stays flat,
//! whether an acknowledged event was lost, and whether a token of one session
//! reached another.

pub(crate) mod command;
mod fault_injector;
mod load_client;
mod memory;
mod token_auditor;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use elpis::backend::BackendFactory;
use elpis::settings::Settings;
use elpis::{Elpis, Error};
use fault_injector::{Actors, FaultInjector, VectorFolder};
use load_client::chat_on;
use memory::Memory;
use token_auditor::TokenAuditor;

/// The duration, load and fault rate of a trial.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// Time under load.
    pub duration: Duration,
    /// Sessions that chat at once.
    pub sessions: usize,
    /// Time between two reloads of the steering vectors.
    pub reload_every: Duration,
    /// Time between two faults; `None`: nothing is broken.
    pub fault_every: Option<Duration>,
    /// Decides what is said, felt and broken.
    pub seed: u64,
}

impl Default for SoakOptions {
    fn default() -> Self {
        Self {
            duration: Duration::from_mins(1),
            sessions: 16,
            reload_every: Duration::from_secs(1),
            fault_every: Some(Duration::from_secs(5)),
            seed: 1,
        }
    }
}

/// Most memory for what finished conversations leave behind.
const PREFIX_CACHE_MIB: u32 = 4;

/// The time limit for a session's last turn.
const MAX_END: Duration = Duration::from_mins(1);

/// Largest growth of memory, as a share of what is resident.
pub const MAX_GROWTH: f64 = 0.02;

/// Largest growth of resident memory where the heap in use is known, as a share. Arenas of the
/// allocator and huge pages fill up for many minutes.
pub const MAX_RESIDENT_GROWTH: f64 = 0.1;

/// The result of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SoakReport {
    /// Seconds under load.
    pub seconds: f64,
    /// Generations that ended with a reply.
    pub replies: u64,
    /// Tokens of those replies.
    pub tokens: u64,
    /// Generations that were cancelled in the middle.
    pub cancelled: u64,
    /// Generations that a fault ended, with an error that says so.
    pub ended_by_faults: u64,
    /// Generations that ended with any other error.
    pub failed: u64,
    /// The first of those errors.
    pub first_failure: Option<String>,
    /// Emotion events that were acknowledged.
    pub events: u64,
    /// Acknowledged events that their session does not know of.
    pub lost_events: u64,
    /// Replies with a token that was not evaluated in their own sequence.
    pub foreign_replies: u64,
    /// Replies whose every token was found in their own sequence.
    pub witnessed_replies: u64,
    /// Sessions that did not end within a minute of being told to.
    pub hanging: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Reloads of the steering vectors that came into force.
    pub reloads: u64,
    /// Broken sets of vectors that were refused.
    pub refused_reloads: u64,
    /// Most resident memory in the fifth of the time that follows the warm-up,
    /// in bytes; `None` where it cannot be read.
    pub memory_after_warm_up: Option<u64>,
    /// Most resident memory in the last fifth of the time, in bytes.
    pub memory_at_end: Option<u64>,
    /// As `memory_after_warm_up`, for the bytes of the heap that are in use; `None` where the C
    /// library does not tell them.
    pub heap_after_warm_up: Option<u64>,
    /// As `memory_at_end`, for the bytes of the heap that are in use.
    pub heap_at_end: Option<u64>,
}

impl SoakReport {
    /// Growth of the memory after the warm-up, as a share of the resident memory: that of the heap
    /// in use or, where the C library does not tell it, of the resident memory itself.
    pub fn growth(&self) -> Option<f64> {
        let resident = self.memory_after_warm_up?;
        let (first, last) = match (self.heap_after_warm_up, self.heap_at_end) {
            (Some(first), Some(last)) => (first, last),
            _ => (resident, self.memory_at_end?),
        };
        Some((last as f64 - first as f64) / resident as f64)
    }

    /// The faults that were found, in words; empty if there were none.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut find = |wrong: bool, text: String| {
            if wrong {
                findings.push(text);
            }
        };
        // What never happened proves nothing.
        find(self.replies == 0, "no reply at all".to_owned());
        find(self.events == 0, "no event was acknowledged".to_owned());
        find(self.reloads == 0, "no vectors were reloaded".to_owned());
        find(
            self.replies > 0 && self.witnessed_replies + self.foreign_replies == 0,
            "no reply was long enough to tell whose it is".to_owned(),
        );
        find(
            self.hanging > 0,
            format!("{} sessions never came to an end", self.hanging),
        );
        find(
            self.lost_events > 0,
            format!("{} acknowledged events are lost", self.lost_events),
        );
        find(
            self.foreign_replies > 0,
            format!("{} replies hold foreign tokens", self.foreign_replies),
        );
        let first = self.first_failure.as_deref().unwrap_or_default();
        find(
            self.failed > 0,
            format!("{} generations failed: {first}", self.failed),
        );
        if let Some(growth) = self.growth() {
            find(
                growth > MAX_GROWTH,
                format!("memory grew by {:.1} %", growth * 100.0),
            );
        }
        if let (Some(first), Some(last)) = (self.memory_after_warm_up, self.memory_at_end) {
            let growth = last as f64 / first as f64 - 1.0;
            find(
                growth > MAX_RESIDENT_GROWTH,
                format!("resident memory grew by {:.1} %", growth * 100.0),
            );
        }
        findings
    }
}

/// Counters that all parts of the trial share.
#[derive(Debug, Default)]
struct Counters {
    replies: AtomicU64,
    tokens: AtomicU64,
    cancelled: AtomicU64,
    ended_by_faults: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    events: AtomicU64,
    foreign_replies: AtomicU64,
    witnessed_replies: AtomicU64,
    hanging: AtomicU64,
    faults: AtomicU64,
    reloads: AtomicU64,
    refused_reloads: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn counted(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Runs the trial on the model of the settings; `tell` hears about once a
/// second of how it stands. It ends early, with what is known by then, when
/// `enough` does.
///
/// The folder of vectors and the restart intensity of the settings are
/// replaced, since vectors are broken and the engine is on purpose, and
/// `runtime.prefix_cache_mib` is lowered, so that it does not fill up for as
/// long as the trial takes. Sessions that it makes are forgotten at the end.
///
/// # Errors
/// As [`Elpis::start`](elpis::Elpis::start), or [`Error::Stopped`] if the
/// runtime gave up.
pub async fn soak(
    settings: Settings,
    options: &SoakOptions,
    mut tell: impl FnMut(&SoakReport),
    enough: impl Future<Output = ()>,
) -> Result<SoakReport, Error> {
    let folder = VectorFolder::new()?;
    let actors = Actors::default();
    let token_auditor = Arc::new(TokenAuditor::default());
    let mut settings = settings;
    settings.model.emotion_vectors_dir = Some(folder.path().to_owned());
    // What the sessions feel of themselves would make up for an event that is lost.
    settings.emotion.response_analysis_enabled = false;
    settings.emotion.message_analysis_enabled = false;
    settings.emotion.behavioral_monitoring_enabled = false;
    settings.runtime.restart_max = 1000;
    settings.runtime.restart_backoff_initial = Duration::from_millis(10);
    settings.runtime.restart_backoff_max = Duration::from_millis(100);
    // Full long before the end of the warm-up.
    settings.runtime.prefix_cache_mib = settings.runtime.prefix_cache_mib.min(PREFIX_CACHE_MIB);
    settings.runtime.queue_limit = settings.runtime.queue_limit.max(options.sessions);
    let builder = Elpis::builder(settings).backend(token_auditor::watched(
        BackendFactory::default(),
        &token_auditor,
    ));
    #[cfg(feature = "fault-injection")]
    let builder = builder.probe(actors.probe());
    let elpis = builder.start().await?;
    let facts = elpis
        .model()
        .ok_or_else(|| Error::failed("the start of the trial", "the model is gone"))?;
    folder.fill(&facts)?;

    let counters = Arc::new(Counters::default());
    let stop = tokio::sync::watch::Sender::new(false);
    let mut chatting = tokio::task::JoinSet::new();
    for number in 0..options.sessions {
        let session = elpis.session(format!("soak-{}-{number}", options.seed))?;
        let parts = (
            Arc::clone(&token_auditor),
            Arc::clone(&counters),
            stop.subscribe(),
        );
        chatting.spawn(chat_on(session, number, options.seed, parts));
    }
    let fault_injector = FaultInjector {
        actors,
        elpis: elpis.clone(),
        folder,
        token_auditor,
        counters: Arc::clone(&counters),
        facts,
    };
    let troubling = tokio::spawn(fault_injector.make(options.clone(), stop.subscribe()));

    let start = Instant::now();
    let mut memory = Memory::default();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    tokio::pin!(enough);
    while start.elapsed() < options.duration {
        tokio::select! {
            () = &mut enough => break,
            _ = second.tick() => {
                memory.look(start.elapsed());
                tell(&report(&counters, start.elapsed(), 0, None));
            }
        }
    }
    let elapsed = start.elapsed();
    stop.send_replace(true);
    let mut lost = 0;
    let mut failure = None;
    let patience = tokio::time::Instant::now() + MAX_END;
    loop {
        let ended = match tokio::time::timeout_at(patience, chatting.join_next()).await {
            Ok(Some(ended)) => ended,
            Ok(None) => break,
            Err(_) => {
                let hanging = chatting.len() as u64;
                counters.hanging.store(hanging, Ordering::Relaxed);
                chatting.abort_all();
                break;
            }
        };
        match ended {
            Ok(Ok(missing)) => lost += missing,
            Ok(Err(error)) => failure = Some(error),
            Err(panic) => {
                failure = Some(Error::failed("a session of the trial", panic));
            }
        }
    }
    // Lets go of what it waits for, should it wait for something that hangs.
    elpis.shutdown().await;
    let _ = troubling.await;
    match failure {
        Some(error) => Err(error),
        None => Ok(report(&counters, elapsed, lost, memory.span(elapsed))),
    }
}

fn report(
    counters: &Counters,
    elapsed: Duration,
    lost_events: u64,
    memory: Option<memory::Span>,
) -> SoakReport {
    let first = counters.first_failure.lock();
    SoakReport {
        seconds: elapsed.as_secs_f64(),
        replies: counted(&counters.replies),
        tokens: counted(&counters.tokens),
        cancelled: counted(&counters.cancelled),
        ended_by_faults: counted(&counters.ended_by_faults),
        failed: counted(&counters.failed),
        first_failure: first.unwrap_or_else(PoisonError::into_inner).clone(),
        events: counted(&counters.events),
        lost_events,
        foreign_replies: counted(&counters.foreign_replies),
        witnessed_replies: counted(&counters.witnessed_replies),
        hanging: counted(&counters.hanging),
        faults: counted(&counters.faults),
        reloads: counted(&counters.reloads),
        refused_reloads: counted(&counters.refused_reloads),
        memory_after_warm_up: memory.map(|memory| memory.resident.0),
        memory_at_end: memory.map(|memory| memory.resident.1),
        heap_after_warm_up: memory.and_then(|memory| Some(memory.heap?.0)),
        heap_at_end: memory.and_then(|memory| Some(memory.heap?.1)),
    }
}
