//! Each row is steered by the mood of its session.

use std::sync::atomic::{AtomicUsize, Ordering};

use elpis::emotion::Modulation;
use elpis::inference::ModulationTiming;
use elpis::internal::scheduler::MoodSource;
use elpis_testkit::scripted::Scripted;

use super::{NO_END, alone, library, run, scheduler};
use crate::set_mood::SetMood;
use crate::task::{Collected, task};

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
