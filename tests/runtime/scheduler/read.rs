//! What a reply expresses is read while it is generated.

use std::sync::Arc;

use elpis::inference::{GenerationReport, ThinkingTracker, ToolFormat};
use elpis::internal::scheduler::SchedulerOptions;
use elpis::steering::{LibraryFile, MANIFEST_FILE, ReadingAxes, SteeringLibrary};
use elpis_testkit::scripted::{REPLY, Scripted};

use super::{NO_END, built, library, library_files, run, scheduler, scheduler_with};
use crate::set_mood::SetMood;
use crate::task::task;

/// As `library`, with axes that read the letter `m` as neutral: later ones are pleasant, and every
/// letter is as neutral as any other in arousal.
fn library_that_reads(lengths: [f32; 4]) -> Arc<SteeringLibrary> {
    let mut files = library_files(lengths);
    let axes = ReadingAxes::new(
        1,
        vec![1.0, 0.0, 0.0, 0.0].into(),
        vec![0.0, 1.0, 0.0, 0.0].into(),
    );
    files.push(LibraryFile {
        name: "reading.safetensors".to_owned(),
        bytes: axes.to_safetensors().unwrap(),
    });
    let mean = f64::from(b'm');
    let manifest = format!(
        "[reading]\nfile = 'reading.safetensors'\nlayer = 1\nmean = [{mean:?}, 0.0]\n\
         deviation = [2.0, 1.0]\nspan = [4.0, 4.0]\n"
    );
    files.push(LibraryFile {
        name: MANIFEST_FILE.to_owned(),
        bytes: manifest.into_bytes(),
    });
    built(files)
}

#[test]
fn the_report_says_what_the_reply_expressed_and_nothing_of_the_prompt() {
    let says = |text: &'static str| {
        Scripted::new(2, 8, 1000, NO_END).saying(Arc::new(move |_| text.to_owned()))
    };
    for (text, valence, tokens) in [
        ("mmmm", 0.0, 4),
        ("oooooooo", 1.0, 8),
        ("kkkkoo", -1.0 / 3.0, 6),
    ] {
        let (mut scheduler, ..) = scheduler(says(text));
        scheduler.set_library(library_that_reads([8.0, 2.0, 3.0, 4.0]));
        // The prompt is longer than a batch and reads quite otherwise.
        let (task, collected) = task("a", &format!("{}{REPLY}", "z".repeat(20)), 90);
        scheduler.admit(task).unwrap();
        run(&mut scheduler, &[&collected]);
        let report = collected.report();
        let expressed = report.expressed.as_ref().unwrap();
        assert!((expressed.valence - valence).abs() < 1e-6, "{text}");
        assert!(
            (expressed.place.valence - valence / 4.0).abs() < 1e-6,
            "{text}"
        );
        assert_eq!(
            (expressed.arousal, expressed.tokens),
            (0.0, tokens),
            "{text}"
        );
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            serde_json::from_str::<GenerationReport>(&json).unwrap(),
            report
        );
    }
    // At its limit a reply's last token is not evaluated, and without axes nothing is read.
    let (mut scheduler, ..) = scheduler(says("oooooooo"));
    scheduler.set_library(library_that_reads([8.0, 2.0, 3.0, 4.0]));
    let (task_, collected) = task("a", &format!("hello{REPLY}"), 5);
    scheduler.admit(task_).unwrap();
    run(&mut scheduler, &[&collected]);
    assert_eq!(collected.report().expressed.unwrap().tokens, 4);
    scheduler.set_library(library([8.0, 2.0, 3.0, 4.0]));
    let (task_, collected) = task("b", &format!("hello{REPLY}"), 5);
    scheduler.admit(task_).unwrap();
    run(&mut scheduler, &[&collected]);
    assert_eq!(collected.report().expressed, None);
}

#[test]
fn thinking_is_not_read() {
    let text = "<think>zzzz</think>oooo";
    let backend = Scripted::new(1, 64, 1000, NO_END).saying(Arc::new(move |_| text.to_owned()));
    let (mut scheduler, ..) = scheduler(backend);
    scheduler.set_library(library_that_reads([8.0, 2.0, 3.0, 4.0]));
    let (mut task, collected) = task("a", &format!("hello{REPLY}"), 90);
    task.thinking = Some(ThinkingTracker::new(ToolFormat::Hermes, &[], false));
    scheduler.admit(task).unwrap();
    run(&mut scheduler, &[&collected]);
    let expressed = collected.report().expressed.unwrap();
    let last = expressed.course.last().unwrap();
    assert!(
        expressed.tokens < text.len() as u32 && last.valence > 0.0,
        "{expressed:?}"
    );
}

#[test]
fn the_steering_is_corrected_until_the_reply_expresses_what_is_felt() {
    for (feedback, said) in [(0.0, "m"), (0.5, "m"), (0.5, "u")] {
        let options = SchedulerOptions {
            expression_feedback: feedback,
            ..SchedulerOptions::default()
        };
        let text = said.repeat(90);
        let backend = Scripted::new(1, 64, 1000, NO_END).saying(Arc::new(move |_| text.clone()));
        let (mut scheduler, probe, _) = scheduler_with(backend, options);
        scheduler.set_library(library_that_reads([8.0, 2.0, 8.0, 2.0]));
        let (mut task, collected) = task("a", &format!("prompt{REPLY}"), 90);
        // It feels pleasant; its text is neutral, or as pleasant as that.
        task.mood = Some(Box::new(SetMood::new(0.5, 0.0)));
        scheduler.admit(task).unwrap();
        run(&mut scheduler, &[&collected]);
        let report = collected.report();
        let offsets: Vec<Option<f64>> = report
            .modulations
            .iter()
            .map(|m| m.expression_offset.map(|offset| offset.valence))
            .collect();
        if feedback > 0.0 && said == "m" {
            assert_eq!(offsets, [None, Some(0.25), Some(0.5)]);
            let last = report.modulations.last().unwrap();
            assert_eq!((last.valence, last.steering_from_token), (0.5, 33));
            assert!(last.coefficients.get("frustrated").unwrap_or(0.0) < 1e-9);
            let batches = probe.batches.lock().unwrap();
            let norm = |row: usize| batches[row][0].2.unwrap();
            assert!(norm(batches.len() - 1) > norm(1), "it is steered further");
        } else {
            // Expressed 1.0, felt 0.5: it is held back.
            let held: &[Option<f64>] = if feedback > 0.0 {
                &[None, Some(-0.25), Some(-0.5)]
            } else {
                &[None]
            };
            assert_eq!(offsets, held, "{feedback} {said}");
        }
    }
}
