//! Long prompts, short prompts and running streams share the steps.

use elpis::internal::scheduler::{AdmissionQueue, Scheduler};
use elpis_testkit::scripted::Scripted;

use super::{NO_END, alone, scheduler};
use crate::task::{Collected, task};

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
