//! The scheduler over a deterministic backend, without any actor.
#![expect(clippy::float_cmp, reason = "vectors along one axis have exact norms")]

mod failures;
mod fairness;
mod read;
mod steered;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::task::{Collected, task};
use elpis::inference::{FinishReason, RequestError};
use elpis::internal::scheduler::{AdmissionQueue, Outcome, Scheduler, SchedulerOptions};
use elpis::steering::{LibraryContext, LibraryFile, SteeringLibrary, SteeringVector};
use elpis::steering::{VectorFormat, write};
use elpis::{EngineError, ManualClock};
use elpis_testkit::scripted::{Probe, Scripted};

const NO_END: usize = usize::MAX;

fn scheduler(backend: Scripted) -> (Scheduler, Probe, Arc<ManualClock>) {
    scheduler_with(backend, SchedulerOptions::default())
}

fn scheduler_with(
    backend: Scripted,
    options: SchedulerOptions,
) -> (Scheduler, Probe, Arc<ManualClock>) {
    let probe = backend.probe.clone();
    let clock = Arc::new(ManualClock::new(100.0));
    let scheduler = Scheduler::new(
        Box::new(backend),
        Arc::new(SteeringLibrary::empty()),
        Arc::<ManualClock>::clone(&clock),
        options,
    );
    (scheduler, probe, clock)
}

fn run(scheduler: &mut Scheduler, collected: &[&Collected]) {
    for _ in 0..10_000 {
        if collected.iter().all(|c| c.ended()) {
            return;
        }
        scheduler.step().unwrap();
    }
    panic!("generations do not end");
}

fn alone(prompt: &str, max_tokens: u32) -> String {
    let (mut scheduler, ..) = scheduler(Scripted::new(1, 64, 1000, NO_END));
    let (task, collected) = task("alone", prompt, max_tokens);
    scheduler.admit(task).unwrap();
    run(&mut scheduler, &[&collected]);
    collected.text()
}

/// A library whose four vectors point along the four axes with these lengths.
fn library(lengths: [f32; 4]) -> Arc<SteeringLibrary> {
    built(library_files(lengths))
}

fn library_files(lengths: [f32; 4]) -> Vec<LibraryFile> {
    ["excited", "calm", "frustrated", "depleted"]
        .into_iter()
        .enumerate()
        .map(|(axis, name)| {
            let mut row = vec![0.0; 4];
            row[axis] = lengths[axis];
            let vector = SteeringVector::bare(row).unwrap();
            LibraryFile {
                name: format!("{name}.safetensors"),
                bytes: write(VectorFormat::Safetensors, &vector).unwrap(),
            }
        })
        .collect()
}

fn built(files: Vec<LibraryFile>) -> Arc<SteeringLibrary> {
    let mut context = LibraryContext::new(4, 4);
    context.default_layer = Some(1);
    Arc::new(SteeringLibrary::build(files, &context).unwrap())
}

#[test]
fn company_does_not_change_a_text() {
    let prompts = ["one", "another prompt", "a third one that is longer", "x"];
    let expected: Vec<String> = prompts.iter().map(|p| alone(p, 40)).collect();
    let (mut scheduler, probe, _) = scheduler(Scripted::new(3, 8, 1000, NO_END));
    let mut running = Vec::new();
    let mut queue = AdmissionQueue::default();
    for prompt in prompts {
        let (task, collected) = task(prompt, prompt, 40);
        queue.push(task);
        running.push(collected);
    }
    while running.iter().any(|c| !c.ended()) {
        while scheduler.free_slots() > 0
            && let Some(task) = queue.pop()
        {
            scheduler.admit(task).unwrap();
        }
        scheduler.step().unwrap();
    }
    let texts: Vec<String> = running.iter().map(Collected::text).collect();
    assert_eq!(texts, expected);
    assert!(texts.iter().all(|text| text.len() == 40));
    let together = probe.batches.lock().unwrap().iter().any(|b| b.len() == 3);
    assert!(together, "generations share batches");
    assert_eq!(
        probe.cached.load(Ordering::SeqCst),
        0,
        "the cache is given back"
    );
}

#[test]
fn penalties_of_a_request_spread_its_reply_over_more_letters() {
    let reply = |frequency_penalty| {
        let (mut scheduler, ..) = scheduler(Scripted::new(1, 64, 1000, NO_END));
        let (mut task, collected) = task("ada", "x", 60);
        task.options.frequency_penalty = Some(frequency_penalty);
        task.options.repetition_window = Some(4096);
        scheduler.admit(task).unwrap();
        run(&mut scheduler, &[&collected]);
        let sampling = collected.report().modulations[0].sampling;
        assert!((sampling.frequency_penalty - frequency_penalty).abs() < f32::EPSILON);
        assert_eq!(sampling.repetition_window, 4096);
        collected.text()
    };
    let most = |text: &str| ('a'..='z').map(|letter| text.matches(letter).count()).max();
    assert_eq!(reply(0.0), alone("x", 60));
    assert!(most(&reply(2.0)) < most(&reply(0.0)));
    assert!(most(&reply(-2.0)) > most(&reply(0.0)));
}

#[test]
fn the_end_has_a_reason() {
    for (ends_at, context, max_tokens, stop, reason, tokens) in [
        (10, 100, 50, None, FinishReason::Stop, 7),
        (NO_END, 100, 5, None, FinishReason::Length, 5),
        (NO_END, 8, 50, None, FinishReason::ContextFull, 6),
        (NO_END, 100, 50, Some(2), FinishReason::StopString, 0),
    ] {
        let (mut scheduler, ..) = scheduler(Scripted::new(1, 64, context, ends_at));
        let (mut task, collected) = task("a", "abc", max_tokens);
        let full = alone("abc", 50);
        if let Some(from) = stop {
            task.options.stop = vec![full[from..from + 3].to_owned()];
        }
        scheduler.admit(task).unwrap();
        run(&mut scheduler, &[&collected]);
        let report = collected.report();
        assert_eq!(report.finish_reason, reason);
        if let Some(from) = stop {
            assert_eq!(collected.text(), full[..from]);
        } else {
            assert_eq!(report.completion_tokens, tokens, "{reason:?}");
            assert_eq!(collected.text(), full[..tokens as usize]);
        }
        assert_eq!(report.prompt_tokens, 3);
        assert_eq!(scheduler.free_slots(), 1);
    }
}

#[test]
fn a_dropped_stream_frees_its_slot_at_the_next_step() {
    let (mut scheduler, probe, _) = scheduler(Scripted::new(1, 16, 1000, NO_END));
    let (task, collected) = task("a", "prompt", 1000);
    scheduler.admit(task).unwrap();
    for _ in 0..3 {
        scheduler.step().unwrap();
    }
    collected.closed.store(true, Ordering::SeqCst);
    scheduler.step().unwrap();
    assert!(matches!(
        *collected.outcome.lock().unwrap(),
        Some(Outcome::Cancelled)
    ));
    assert_eq!((scheduler.running(), scheduler.free_slots()), (0, 1));
    assert_eq!(probe.cached.load(Ordering::SeqCst), 0);
}

#[test]
fn time_runs_out_for_running_and_waiting_generations() {
    let (mut scheduler, _, clock) = scheduler(Scripted::new(1, 16, 1000, NO_END));
    let (mut running, first) = task("a", "prompt", 1000);
    running.submitted = 100.0;
    running.options.timeout = Some(Duration::from_secs(5));
    scheduler.admit(running).unwrap();
    let (mut waiting, second) = task("b", "prompt", 1000);
    waiting.submitted = 100.0;
    waiting.options.timeout = Some(Duration::from_secs(2));
    let mut queue = AdmissionQueue::default();
    queue.push(waiting);
    clock.advance(Duration::from_secs(2));
    scheduler.step().unwrap();
    queue.retire(102.0);
    assert!(queue.is_empty());
    let timeout = |c: &Collected| match c.outcome.lock().unwrap().clone() {
        Some(Outcome::Failed(EngineError::Timeout { timeout })) => Some(timeout),
        _ => None,
    };
    assert_eq!(
        (timeout(&first), timeout(&second)),
        (None, Some(Duration::from_secs(2)))
    );
    clock.advance(Duration::from_secs(3));
    scheduler.step().unwrap();
    assert_eq!(timeout(&first), Some(Duration::from_secs(5)));
}

#[test]
fn a_reader_that_lags_pauses_its_generation_alone() {
    let (mut scheduler, ..) = scheduler(Scripted::new(2, 16, 1000, NO_END));
    let (slow, lagging) = task("a", "slow", 30);
    let (fast, reading) = task("b", "fast", 30);
    lagging.room.store(4, Ordering::SeqCst);
    scheduler.admit(slow).unwrap();
    scheduler.admit(fast).unwrap();
    run(&mut scheduler, &[&reading]);
    assert_eq!(lagging.text().len(), 4);
    assert!(!scheduler.can_step());
    assert_eq!(scheduler.step().unwrap().rows, 0);
    lagging.room.store(1000, Ordering::SeqCst);
    assert!(scheduler.can_step());
    run(&mut scheduler, &[&lagging]);
    assert_eq!(lagging.text(), alone("slow", 30));
}

#[test]
fn prompts_that_do_not_fit_are_refused_with_both_lengths() {
    let (mut scheduler, ..) = scheduler(Scripted::new(1, 16, 20, NO_END));
    for length in [0, 20, 500] {
        let (task, collected) = task("a", &"p".repeat(length), 10);
        scheduler.admit(task).unwrap();
        let outcome = collected.outcome.lock().unwrap().clone();
        let Some(Outcome::Failed(EngineError::Request(error))) = outcome else {
            panic!("{length}: {outcome:?}");
        };
        let expected = match length {
            0 => RequestError::EmptyPrompt,
            prompt => RequestError::PromptTooLong {
                prompt,
                context: 20,
            },
        };
        assert_eq!(error, expected);
        assert_eq!(scheduler.free_slots(), 1);
    }
}

#[test]
fn sessions_are_served_in_turn() {
    let mut queue = AdmissionQueue::default();
    for (session, prompt) in [
        ("a", "1"),
        ("a", "2"),
        ("a", "3"),
        ("b", "4"),
        ("c", "5"),
        ("b", "6"),
    ] {
        queue.push(task(session, prompt, 1).0);
    }
    assert_eq!(queue.len(), 6);
    let order: String = std::iter::from_fn(|| queue.pop())
        .map(|task| task.prompt[0] as u8 as char)
        .collect();
    assert_eq!(order, "145263");
    assert!(queue.is_empty());
}
