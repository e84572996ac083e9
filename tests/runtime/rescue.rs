//! Generations that are taken from a scheduler while its backend evaluates.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock};

use crate::task::{Collected, task};
use elpis::ManualClock;
use elpis::backend::{Backend, BackendError, BackendLayer, Batch};
use elpis::internal::scheduler::{InFlightSlots, Recovered, Scheduler, SchedulerOptions};
use elpis::steering::SteeringLibrary;
use elpis_testkit::scripted::Scripted;

const WORDS: u32 = 20;
const PROMPTS: [&str; 2] = ["a long way to go", "b"];

/// How an evaluation ends whose generations were taken away.
#[derive(Debug, Clone, Copy)]
enum Comes {
    Well,
    Failed,
    Full,
    Dead,
    Panicking,
}

/// Has its scheduler's generations taken while it evaluates for the `at`th time.
struct Hanging {
    inner: Scripted,
    in_flight: Arc<OnceLock<Arc<InFlightSlots>>>,
    recovered: Arc<Mutex<Vec<Recovered>>>,
    at: usize,
    comes: Comes,
    evaluations: usize,
}

impl BackendLayer for Hanging {
    fn inner(&self) -> &dyn Backend {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut self.inner
    }

    fn decode(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.evaluations += 1;
        if self.evaluations != self.at {
            return self.inner.decode(batch);
        }
        let in_flight = self.in_flight.get().unwrap();
        self.recovered.lock().unwrap().extend(in_flight.recover());
        assert!(in_flight.recover().is_empty(), "they are taken once");
        match self.comes {
            Comes::Well => self.inner.decode(batch),
            Comes::Failed => Err(BackendError::Native {
                call: "decode",
                reason: "injected".to_owned(),
            }),
            Comes::Full => Err(BackendError::CacheFull { rows: batch.len() }),
            Comes::Dead => Err(BackendError::WorkerDied {
                reason: "injected".to_owned(),
            }),
            Comes::Panicking => panic!("injected panic"),
        }
    }
}

fn scheduler(backend: impl Backend + 'static) -> Scheduler {
    Scheduler::new(
        Box::new(backend),
        Arc::new(SteeringLibrary::empty()),
        Arc::new(ManualClock::new(0.0)),
        SchedulerOptions::default(),
    )
}

fn model() -> Scripted {
    Scripted::new(2, 8, 1000, usize::MAX)
}

fn run(scheduler: &mut Scheduler, collected: &[Collected]) {
    for _ in 0..1000 {
        if collected.iter().all(Collected::ended) {
            return;
        }
        scheduler.step().unwrap();
    }
    panic!("generations do not end");
}

fn begin(scheduler: &mut Scheduler) -> Vec<Collected> {
    let admit = |(name, prompt): (&str, &str)| {
        let (task, collected) = task(name, prompt, WORDS);
        scheduler.admit(task).unwrap();
        collected
    };
    ["a", "b"].into_iter().zip(PROMPTS).map(admit).collect()
}

/// Takes the generations of a scheduler at its `at`th evaluation.
fn recovered_at(
    at: usize,
    comes: Comes,
    begin: impl FnOnce(&mut Scheduler) -> Vec<Collected>,
) -> (Vec<Recovered>, Vec<Collected>) {
    let in_flight = Arc::<OnceLock<Arc<InFlightSlots>>>::default();
    let recovered = Arc::<Mutex<Vec<Recovered>>>::default();
    let mut scheduler = scheduler(Hanging {
        inner: model(),
        in_flight: Arc::clone(&in_flight),
        recovered: Arc::clone(&recovered),
        at,
        comes,
        evaluations: 0,
    });
    in_flight.set(scheduler.in_flight()).unwrap();
    assert!(
        scheduler.in_flight().recover().is_empty(),
        "nothing lies there"
    );
    let collected = begin(&mut scheduler);
    for _ in 1..at {
        scheduler.step().unwrap();
        assert_eq!(scheduler.running(), 2);
    }
    let step = std::panic::catch_unwind(AssertUnwindSafe(|| scheduler.step().map(drop)));
    match comes {
        Comes::Well | Comes::Failed | Comes::Full => step.unwrap().unwrap(),
        Comes::Dead => step.unwrap().unwrap_err().is_fatal().then_some(()).unwrap(),
        Comes::Panicking => drop(step.unwrap_err()),
    }
    assert_eq!(scheduler.running(), 0, "they are elsewhere");
    assert!(scheduler.recover().is_empty());
    assert!(!scheduler.can_step());
    let recovered = std::mem::take(&mut *recovered.lock().unwrap());
    (recovered, collected)
}

#[test]
fn generations_go_on_whatever_becomes_of_the_evaluation_that_had_them() {
    let mut undisturbed = scheduler(model());
    let expected = begin(&mut undisturbed);
    run(&mut undisturbed, &expected);
    for comes in [
        Comes::Well,
        Comes::Failed,
        Comes::Full,
        Comes::Dead,
        Comes::Panicking,
    ] {
        // In the prompts, at their end, in the replies.
        for at in [1, 2, 3, 9] {
            let (recovered, collected) = recovered_at(at, comes, begin);
            assert_eq!(recovered.len(), 2, "{comes:?} {at}");
            let mut next = scheduler(model());
            for one in recovered {
                next.resume(one);
            }
            run(&mut next, &collected);
            for (collected, expected) in collected.iter().zip(&expected) {
                assert_eq!(collected.text(), expected.text(), "{comes:?} {at}");
                assert_eq!(collected.report().resumes, 1);
            }
        }
    }
}

#[test]
fn a_generation_outlives_one_engine_that_hangs() {
    let (recovered, collected) = recovered_at(3, Comes::Well, begin);
    // One caller has gone meanwhile.
    collected[1]
        .closed
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let resume = |scheduler: &mut Scheduler| {
        for one in recovered {
            scheduler.resume(one);
        }
        Vec::new()
    };
    let (again, _) = recovered_at(1, Comes::Well, resume);
    assert!(again.is_empty(), "{again:?}");
    assert!(
        collected
            .iter()
            .all(|one| one.text().len() < WORDS as usize)
    );
}
