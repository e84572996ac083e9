//! Each row is steered by the mood of its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use elpis::emotion::Modulation;
use elpis::inference::{GenerationReport, ModulationTiming, ThinkingTracker, ToolFormat};
use elpis::internal::scheduler::{MoodSource, SchedulerOptions};
use elpis_testkit::scripted::{REPLY, Scripted};

use super::{NO_END, alone, library, run, scheduler, scheduler_with};
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

/// Replies with one letter, over and over.
fn stuck() -> Scripted {
    Scripted::new(1, 64, 1000, NO_END).saying(Arc::new(|_| "x".repeat(90)))
}

#[test]
fn the_steering_of_a_reply_that_loops_is_lowered() {
    for enabled in [true, false] {
        let options = SchedulerOptions {
            repetition_guard: enabled,
            ..SchedulerOptions::default()
        };
        let (mut scheduler, probe, _) = scheduler_with(stuck(), options);
        scheduler.set_library(library([8.0, 2.0, 3.0, 4.0]));
        let (mut task, collected) = task("a", &format!("prompt{REPLY}"), 90);
        let mood = SetMood::new(1.0, 1.0);
        task.mood = Some(Box::new(mood.clone()));
        task.timing = ModulationTiming::Live;
        scheduler.admit(task).unwrap();
        for _ in 0..40 {
            scheduler.step().unwrap();
        }
        // An event does not undo what the guard has lowered.
        mood.set(1.0, 1.0);
        run(&mut scheduler, &[&collected]);
        let norms: Vec<Option<f32>> = probe.batches.lock().unwrap()[1..]
            .iter()
            .map(|batch| batch[0].2)
            .collect();
        let report = collected.report();
        let found: Vec<(u32, f64)> = report
            .modulations
            .iter()
            .map(|m| (m.steering_from_token, m.steering_factor))
            .collect();
        if !enabled {
            assert!(norms.iter().all(|norm| *norm == Some(8.0)), "{norms:?}");
            assert!(found.iter().all(|(_, factor)| *factor == 1.0), "{found:?}");
            continue;
        }
        // The row of token `n` gives the logits of token `n + 1`.
        let expected = |row: usize| match row + 1 {
            0..24 => Some(8.0),
            24..48 => Some(4.0),
            48..72 => Some(2.0),
            _ => None,
        };
        for (row, norm) in norms.iter().enumerate() {
            assert_eq!(*norm, expected(row), "row {row}");
        }
        let lowered: Vec<_> = found.iter().filter(|(from, _)| from % 24 == 0).collect();
        assert_eq!(lowered, [&(0, 1.0), &(24, 0.5), &(48, 0.25), &(72, 0.0)]);
        assert_eq!(found.len(), 5, "{found:?}");
        // What was asked for stays on record beside what acted.
        let last = report.modulations.last().unwrap();
        assert_eq!(last.coefficients.get("excited"), Some(1.0));
        assert!(last.steering.is_empty());
        let text = serde_json::to_string(&report).unwrap();
        let read: GenerationReport = serde_json::from_str(&text).unwrap();
        assert_eq!(read, report);
        let older = text.replace("\"steering_factor\":1.0,", "");
        assert_ne!(older, text);
        assert_eq!(
            serde_json::from_str::<GenerationReport>(&older).unwrap(),
            report
        );
    }
}

#[test]
fn thinking_is_steered_only_if_asked() {
    let text = "Oh. <think>Let me see.</think>Here it is.";
    for (steer_thinking, opened) in [(false, false), (true, false), (false, true)] {
        let options = SchedulerOptions {
            steer_thinking,
            ..SchedulerOptions::default()
        };
        let said = if opened { &text[11..] } else { text };
        let backend = Scripted::new(1, 64, 1000, NO_END);
        let backend = backend.saying(Arc::new(|_| said.to_owned()));
        let (mut scheduler, probe, _) = scheduler_with(backend, options);
        scheduler.set_library(library([8.0, 2.0, 3.0, 4.0]));
        let (mut task, collected) = task("a", &format!("prompt{REPLY}"), 90);
        task.mood = Some(Box::new(SetMood::new(1.0, 1.0)));
        task.thinking = Some(ThinkingTracker::new(ToolFormat::Hermes, &[], opened));
        scheduler.admit(task).unwrap();
        run(&mut scheduler, &[&collected]);
        assert_eq!(collected.text(), said);
        let report = collected.report();
        let thought = said.find("</think>").unwrap() + "</think>".len();
        let from = said.find("<think>").map_or(0, |at| at + "<think>".len());
        let span = report.thinking.unwrap();
        // Letters of the first mark before its last one are not yet known to belong to it.
        let first = usize::from(!opened);
        assert_eq!(span.tokens as usize, thought - from + first);
        assert_eq!(span.steered, steer_thinking);
        // Row `n` is that of letter `n`, after the rows of the prompt.
        let batches = probe.batches.lock().unwrap();
        for (at, batch) in batches[1..].iter().enumerate() {
            let inside = (from..thought).contains(&(at + 1));
            let norm = (steer_thinking || !inside).then_some(8.0);
            assert_eq!(batch[0].2, norm, "row of {:?}", &said[at..=at]);
        }
        let last = batches[0].last().unwrap();
        assert_eq!(last.2.is_some(), !opened, "the prompt's last row");
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
fn what_lowers_the_steering_of_a_reply_keeps_the_vectors_it_started_with() {
    let options = SchedulerOptions {
        repetition_guard: true,
        ..SchedulerOptions::default()
    };
    let (mut scheduler, probe, _) = scheduler_with(stuck(), options);
    scheduler.set_library(library([8.0, 2.0, 3.0, 4.0]));
    let (mut task, collected) = task("a", &format!("prompt{REPLY}"), 40);
    task.mood = Some(Box::new(SetMood::new(1.0, 1.0)));
    scheduler.admit(task).unwrap();
    for _ in 0..10 {
        scheduler.step().unwrap();
    }
    scheduler.set_library(library([80.0, 2.0, 3.0, 4.0]));
    run(&mut scheduler, &[&collected]);
    let batches = probe.batches.lock().unwrap();
    assert_eq!(
        batches.last().unwrap()[0].2,
        Some(4.0),
        "half of 8, not of 80"
    );
    let report = collected.report();
    let versions: Vec<_> = report
        .modulations
        .iter()
        .map(|m| m.library_version.as_str())
        .collect();
    assert_eq!((versions.len(), versions[0]), (2, versions[1]));
}
