//! The scheduler over a failing backend.

use std::sync::atomic::Ordering;

use elpis::EngineError;
use elpis::backend::BackendError;
use elpis::internal::scheduler::Outcome;
use elpis_testkit::scripted::Scripted;

use super::{NO_END, alone, run, scheduler};
use crate::task::task;

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
