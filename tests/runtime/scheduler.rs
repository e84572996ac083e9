//! The scheduler over a deterministic backend, without any actor.
#![expect(clippy::float_cmp, reason = "vectors along one axis have exact norms")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::set_mood::SetMood;
use crate::task::{Collected, task};
use elpis::backend::BackendError;
use elpis::emotion::Modulation;
use elpis::inference::{FinishReason, ModulationTiming, RequestError};
use elpis::internal::scheduler::{
    AdmissionQueue, MoodSource, Outcome, Scheduler, SchedulerOptions,
};
use elpis::steering::{BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringVector};
use elpis::steering::{VectorFormat, write};
use elpis::{EngineError, ManualClock};
use elpis_testkit::scripted::{Probe, Scripted};

const NO_END: usize = usize::MAX;

fn scheduler(backend: Scripted) -> (Scheduler, Probe, Arc<ManualClock>) {
    let probe = backend.probe.clone();
    let clock = Arc::new(ManualClock::new(100.0));
    let options = SchedulerOptions {
        blend: BlendOptions::default(),
        ..SchedulerOptions::default()
    };
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
    let files = ["excited", "calm", "frustrated", "depleted"]
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
        .collect();
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
fn a_long_prompt_does_not_hold_running_streams_up() {
    let (mut scheduler, probe, _) = scheduler(Scripted::new(2, 16, 1000, NO_END));
    let (short, first) = task("a", "hi", 100);
    scheduler.admit(short).unwrap();
    for _ in 0..5 {
        scheduler.step().unwrap();
    }
    let (long, second) = task("b", &"p".repeat(300), 5);
    scheduler.admit(long).unwrap();
    let before = first.text().len();
    let mut steps = 0;
    while !second.ended() && second.text().is_empty() {
        let summary = scheduler.step().unwrap();
        steps += 1;
        assert!(summary.rows <= 16);
        assert_eq!(first.text().len(), before + steps, "one token a step");
    }
    assert_eq!(steps, 20, "300 rows beside a decoding row: 15 a step");
    assert!(probe.batches.lock().unwrap().iter().all(|b| b.len() <= 16));
}

/// Steps until a reply begins, how many.
fn steps_until(scheduler: &mut Scheduler, reply: &Collected) -> usize {
    for steps in 1..1000 {
        scheduler.step().unwrap();
        if !reply.text().is_empty() {
            return steps;
        }
    }
    panic!("no reply");
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    for recurrent in [false, true] {
        let backend = Scripted::new(3, 16, 1000, NO_END);
        let backend = if recurrent {
            backend.recurrent()
        } else {
            backend
        };
        let (mut scheduler, ..) = scheduler(backend);
        let (long, last) = task("a", &"p".repeat(320), 5);
        scheduler.admit(long).unwrap();
        scheduler.step().unwrap();
        let (short, first) = task("b", "a question", 1);
        scheduler.admit(short).unwrap();
        // Ten rows: 8 beside the long one, then the rest; or all at their turn.
        let expected = if recurrent { 1 } else { 2 };
        assert_eq!(steps_until(&mut scheduler, &first), expected, "{recurrent}");
        // Nor does the long one wait for short ones that keep coming.
        let mut steps = 3;
        while last.text().is_empty() {
            if scheduler.free_slots() > 0 {
                let (another, _) = task(&steps.to_string(), &"q".repeat(40), 1);
                scheduler.admit(another).unwrap();
            }
            scheduler.step().unwrap();
            steps += 1;
            assert!(steps <= 42, "{recurrent}");
        }
    }
}

/// llama.cpp goes through a mixed batch of a recurrent model in another order.
#[test]
fn batches_of_a_recurrent_model_hold_alike_rows() {
    let prompts = ["one", "b", "a third one that is longer than a batch", "xy"];
    let lengths = [3, 30, 12, 20];
    let expected = prompts.iter().zip(lengths).map(|(p, n)| alone(p, n));
    let expected: Vec<String> = expected.collect();
    let backend = Scripted::new(3, 8, 1000, NO_END).recurrent();
    let (mut scheduler, probe, _) = scheduler(backend);
    let mut running = Vec::new();
    let mut queue = AdmissionQueue::default();
    for (prompt, length) in prompts.iter().zip(lengths) {
        let (task, collected) = task(prompt, prompt, length);
        queue.push(task);
        running.push(collected);
    }
    while running.iter().any(|c| !c.ended()) {
        while scheduler.free_slots() > 0
            && let Some(task) = queue.pop()
        {
            scheduler.admit(task).unwrap();
        }
        let summary = scheduler.step().unwrap();
        assert!(summary.rows > 0, "a step is never spent on nothing");
    }
    let texts: Vec<String> = running.iter().map(Collected::text).collect();
    assert_eq!(texts, expected);
    let batches = probe.batches.lock().unwrap();
    for batch in batches.iter() {
        let mut pairs = batch.windows(2);
        let one = batch.iter().all(|row| row.0 == batch[0].0);
        assert!(one || pairs.all(|pair| pair[0].0 < pair[1].0), "{batch:?}");
    }
    assert!(batches.iter().any(|batch| {
        let mut sequences: Vec<_> = batch.iter().map(|row| row.0).collect();
        sequences.dedup();
        sequences.len() == 3
    }));
}

#[test]
fn a_prompt_and_streams_of_a_recurrent_model_take_turns() {
    let backend = Scripted::new(2, 16, 1000, NO_END).recurrent();
    let (mut scheduler, ..) = scheduler(backend);
    let (short, first) = task("a", "hi", 100);
    scheduler.admit(short).unwrap();
    for _ in 0..5 {
        scheduler.step().unwrap();
    }
    let (long, second) = task("b", &"p".repeat(160), 5);
    scheduler.admit(long).unwrap();
    let before = first.text().len();
    let mut steps = 0;
    while second.text().is_empty() {
        scheduler.step().unwrap();
        steps += 1;
        let tokens = first.text().len() - before;
        assert_eq!(tokens, steps / 2, "a token every other step");
    }
    assert_eq!(steps, 19, "ten parts of the prompt, a row between them");
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
fn a_failed_evaluation_ends_its_generations_and_the_next_ones_work() {
    let (mut scheduler, probe, _) = scheduler(Scripted::new(2, 16, 1000, NO_END));
    let failure = BackendError::Native {
        call: "decode",
        reason: "injected".into(),
    };
    let (one, first) = task("a", "one", 10);
    let (two, second) = task("b", "two", 10);
    scheduler.admit(one).unwrap();
    scheduler.admit(two).unwrap();
    scheduler.step().unwrap();
    probe.failures.lock().unwrap().push(failure.clone());
    scheduler.step().unwrap();
    for collected in [&first, &second] {
        let outcome = collected.outcome.lock().unwrap().clone();
        assert!(
            matches!(&outcome, Some(Outcome::Failed(EngineError::Backend(e))) if *e == failure),
            "{outcome:?}"
        );
    }
    assert_eq!(probe.cached.load(Ordering::SeqCst), 0);
    let (three, third) = task("c", "three", 10);
    scheduler.admit(three).unwrap();
    run(&mut scheduler, &[&third]);
    assert_eq!(third.text(), alone("three", 10));
}

#[test]
fn a_full_cache_ends_the_largest_generation_alone() {
    let full = BackendError::CacheFull { rows: 3 };
    let expected = ["one", "three"].map(|prompt| alone(prompt, 20));
    // In a prompt and in the replies.
    for steps in [0, 1, 2, 7] {
        let (mut scheduler, probe, _) = scheduler(Scripted::new(3, 64, 1000, NO_END));
        let mut running = Vec::new();
        for prompt in ["one", "two is longer", "three"] {
            let (task, collected) = task(prompt, prompt, 20);
            scheduler.admit(task).unwrap();
            running.push(collected);
        }
        for _ in 0..steps {
            scheduler.step().unwrap();
        }
        probe.failures.lock().unwrap().push(full.clone());
        scheduler.step().unwrap();
        let outcome = running[1].outcome.lock().unwrap().clone();
        assert!(
            matches!(&outcome, Some(Outcome::Failed(EngineError::Backend(e))) if *e == full),
            "{steps}: {outcome:?}"
        );
        // The others lose neither a token nor a step.
        run(&mut scheduler, &[&running[0], &running[2]]);
        assert_eq!([running[0].text(), running[2].text()], expected, "{steps}");
        assert_eq!(probe.cached.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_backend_that_fails_again_and_again_is_given_up() {
    for failure in [
        BackendError::Aborted,
        BackendError::CacheFull { rows: 1 },
        BackendError::Native {
            call: "decode",
            reason: "injected".into(),
        },
    ] {
        let (mut scheduler, probe, _) = scheduler(Scripted::new(2, 16, 1000, NO_END));
        let mut failed = 0;
        let error = loop {
            if scheduler.running() == 0 {
                scheduler.admit(task("a", "one", 10).0).unwrap();
            }
            probe.failures.lock().unwrap().push(failure.clone());
            failed += 1;
            match scheduler.step() {
                Ok(_) => assert!(failed < 8, "{failure}"),
                Err(error) => break error,
            }
        };
        // One without room has ended; others end with the engine.
        let running = usize::from(!matches!(failure, BackendError::CacheFull { .. }));
        assert_eq!((error, failed), (failure, 8));
        assert_eq!(scheduler.running(), running);
    }
    // One that succeeds in between is a new beginning.
    let (mut scheduler, probe, _) = scheduler(Scripted::new(1, 16, 1000, NO_END));
    for _ in 0..30 {
        scheduler.admit(task("a", "one", 10).0).unwrap();
        scheduler.step().unwrap();
        probe.failures.lock().unwrap().push(BackendError::Aborted);
        scheduler.step().unwrap();
        assert_eq!(scheduler.running(), 0);
    }
}

#[test]
fn the_end_of_the_backend_is_no_end_of_a_generation() {
    let (mut scheduler, probe, _) = scheduler(Scripted::new(2, 16, 1000, NO_END));
    let death = BackendError::WorkerDied {
        reason: "injected".into(),
    };
    let (one, first) = task("a", "one", 10);
    scheduler.admit(one).unwrap();
    scheduler.step().unwrap();
    probe.failures.lock().unwrap().push(death.clone());
    assert_eq!(scheduler.step().unwrap_err(), death);
    // Whoever drops the scheduler tells the readers that the engine restarts.
    assert!(!first.ended());
    assert_eq!(scheduler.running(), 1);
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
fn every_row_carries_its_own_vector() {
    let (mut scheduler, probe, _) = scheduler(Scripted::new(3, 16, 1000, NO_END));
    scheduler.set_library(library([1.0, 2.0, 3.0, 4.0]));
    let moods = [Some((1.0, 1.0, 1.0)), Some((-1.0, 1.0, 3.0)), None];
    let mut running = Vec::new();
    for (index, mood) in moods.into_iter().enumerate() {
        let (mut task, collected) = task(&index.to_string(), "prompt", 8);
        task.mood = mood.map(|(v, a, _)| Box::new(SetMood::new(v, a)) as _);
        scheduler.admit(task).unwrap();
        running.push(collected);
    }
    run(&mut scheduler, &running.iter().collect::<Vec<_>>());
    for batch in probe.batches.lock().unwrap().iter() {
        for &(sequence, _, norm) in batch {
            let expected = moods[sequence as usize].map(|(_, _, norm)| norm);
            assert_eq!(norm, expected);
        }
    }
    let texts: Vec<String> = running.iter().map(Collected::text).collect();
    assert_ne!(texts[0], texts[1]);
    assert_eq!(
        texts[2],
        alone("prompt", 8),
        "the unsteered row is untouched"
    );
    let report = running[1].report();
    let felt = report.modulation().unwrap();
    assert_eq!(felt.steering[0].layer, 1);
    assert_eq!(felt.steering[0].norm, 3.0);
    assert_eq!(felt.coefficients.get("frustrated"), Some(1.0));
    assert_eq!(felt.library_version.len(), 16);
}

#[test]
fn events_reach_running_generations_only_when_live() {
    for timing in [ModulationTiming::AtStart, ModulationTiming::Live] {
        let (mut scheduler, probe, _) = scheduler(Scripted::new(1, 16, 1000, NO_END));
        scheduler.set_library(library([1.0, 2.0, 3.0, 4.0]));
        let mood = SetMood::new(1.0, 1.0);
        let (mut task, collected) = task("a", "prompt", 20);
        task.mood = Some(Box::new(mood.clone()));
        task.timing = timing;
        scheduler.admit(task).unwrap();
        for _ in 0..5 {
            scheduler.step().unwrap();
        }
        mood.set(-1.0, -1.0);
        run(&mut scheduler, &[&collected]);
        let norms: Vec<f32> = probe.batches.lock().unwrap()[1..]
            .iter()
            .map(|batch| batch[0].2.unwrap())
            .collect();
        let (before, after) = norms.split_at(4);
        assert!(before.iter().all(|&norm| norm == 1.0));
        let report = collected.report();
        if timing == ModulationTiming::Live {
            assert!(after.iter().all(|&norm| norm == 4.0), "{after:?}");
            let from: Vec<u32> = report.modulations.iter().map(|m| m.from_token).collect();
            assert_eq!(from, [0, 5]);
        } else {
            assert!(after.iter().all(|&norm| norm == 1.0), "{after:?}");
            assert_eq!(report.modulations.len(), 1);
        }
    }
}

/// An emotion that changes when it is looked at for the `at`-th time.
struct ChangesAt {
    mood: SetMood,
    looks: AtomicUsize,
    at: usize,
}

impl MoodSource for ChangesAt {
    fn modulation(&mut self, now: f64) -> Modulation {
        self.mood.modulation(now)
    }

    fn has_changed(&self) -> bool {
        if self.looks.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            self.mood.set(-1.0, -1.0);
        }
        self.mood.has_changed()
    }
}

#[test]
fn an_event_during_an_evaluation_reaches_the_token_it_is_for() {
    // A step looks before its evaluation and after it.
    for (at, token, steered) in [(7, 3, 3), (8, 3, 4)] {
        let (mut scheduler, probe, _) = scheduler(Scripted::new(1, 16, 1000, NO_END));
        scheduler.set_library(library([1.0, 2.0, 3.0, 4.0]));
        let (mut task, collected) = task("a", "prompt", 8);
        task.timing = ModulationTiming::Live;
        task.mood = Some(Box::new(ChangesAt {
            mood: SetMood::new(1.0, 1.0),
            looks: AtomicUsize::new(0),
            at,
        }));
        scheduler.admit(task).unwrap();
        run(&mut scheduler, &[&collected]);
        let report = collected.report();
        let found = &report.modulations[1];
        assert_eq!(
            (found.from_token, found.steering_from_token),
            (token, steered)
        );
        let batches = probe.batches.lock().unwrap();
        // The batch of the prompt gives the logits of token 0.
        for (index, batch) in batches.iter().enumerate() {
            let expected = if index as u32 >= steered { 4.0 } else { 1.0 };
            assert_eq!(batch[0].2, Some(expected), "batch {index}");
        }
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
