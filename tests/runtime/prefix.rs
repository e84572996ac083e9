//! What a prompt takes over of what was evaluated before, over a deterministic
//! backend whose text depends on every token and the steering it was evaluated
//! under.

mod bounds;
mod restored;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::set_mood::SetMood;
use crate::task::{Collected, task};
use elpis::ManualClock;
use elpis::backend::Backend;
use elpis::inference::SessionId;
use elpis::internal::scheduler::{PrefixOptions, Scheduler, SchedulerOptions};
use elpis::settings::PrefixPolicy;
use elpis::steering::{LibraryContext, LibraryFile, SteeringLibrary, SteeringVector};
use elpis::steering::{VectorFormat, write};
use elpis_testkit::scripted::{Probe, Scripted};
use proptest::prelude::*;

const NO_END: usize = usize::MAX;
const AMPLE: usize = 1 << 20;
/// Bytes that the backend writes down for a token.
const TOKEN_BYTES: usize = 8;
const SYSTEM: &str = "You are a helpful assistant who answers every question at once. ";

fn with(backend: Scripted, policy: PrefixPolicy, memory: usize) -> (Scheduler, Probe) {
    let probe = backend.probe.clone();
    (over(backend, policy, memory), probe)
}

fn over(backend: impl Backend + 'static, policy: PrefixPolicy, memory: usize) -> Scheduler {
    let options = SchedulerOptions {
        prefix: PrefixOptions { policy, memory },
        ..SchedulerOptions::default()
    };
    Scheduler::new(
        Box::new(backend),
        library([0.1, 0.2, 0.3, 0.4]),
        Arc::new(ManualClock::new(100.0)),
        options,
    )
}

fn scheduler(policy: PrefixPolicy) -> (Scheduler, Probe) {
    with(Scripted::new(4, 32, 400, NO_END), policy, AMPLE)
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

/// Submits a generation, unsteered or in a corner of the plane.
fn submit(
    scheduler: &mut Scheduler,
    session: &str,
    prompt: &str,
    mood: Option<(f64, f64)>,
) -> Collected {
    let (mut task, collected) = task(session, prompt, 12);
    task.mood = mood.map(|(valence, arousal)| Box::new(SetMood::new(valence, arousal)) as _);
    scheduler.admit(task).unwrap();
    collected
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

fn say(
    scheduler: &mut Scheduler,
    session: &str,
    prompt: &str,
    mood: Option<(f64, f64)>,
) -> Collected {
    let collected = submit(scheduler, session, prompt, mood);
    run(scheduler, &[&collected]);
    collected
}

fn alone(prompt: &str, mood: Option<(f64, f64)>) -> String {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    say(&mut scheduler, "alone", prompt, mood).text()
}

fn rows(probe: &Probe) -> usize {
    probe.batches.lock().unwrap().iter().map(Vec::len).sum()
}

const EXCITED: Option<(f64, f64)> = Some((1.0, 1.0));
const DEPLETED: Option<(f64, f64)> = Some((-1.0, -1.0));

#[test]
fn the_next_turn_evaluates_only_what_is_new() {
    for policy in [
        PrefixPolicy::Keep,
        PrefixPolicy::Exact,
        PrefixPolicy::PromptUnsteered,
    ] {
        let (mut scheduler, probe) = scheduler(policy);
        let mut prompt = format!("{SYSTEM}one? ");
        for turn in 0..5 {
            let before = rows(&probe);
            let reply = say(&mut scheduler, "a", &prompt, None);
            assert_eq!(reply.text(), alone(&prompt, None), "{policy} turn {turn}");
            let cached = reply.report().cached_prompt_tokens as usize;
            // The last token that was sampled is not evaluated.
            assert_eq!(rows(&probe) - before, prompt.len() - cached + 11);
            if turn > 0 {
                assert_eq!(prompt.len() - cached, 1 + " and? ".len());
            }
            prompt = format!("{prompt}{} and? ", reply.text());
        }
        assert_eq!(scheduler.cache_usage().entries, 1, "one past, not five");
    }
}

/// A model writes in whatever tokens it likes; as part of the next prompt its
/// reply comes back in those that the tokenizer chooses.
#[test]
fn the_same_text_in_other_tokens_is_not_evaluated_again() {
    let (first, more) = ("Tell me about trains. ", "And the sea? ");
    let unusual = |text: &str| text.bytes().map(|byte| 128 + u32::from(byte)).collect();
    let cases = [
        (PrefixPolicy::Keep, "a", true),
        (PrefixPolicy::PromptUnsteered, "a", true),
        (PrefixPolicy::Exact, "a", false),
        (PrefixPolicy::Keep, "another session", false),
    ];
    for (policy, session, kept) in cases {
        let (mut scheduler, _) = scheduler(policy);
        let (mut told, answer) = task("a", "", 12);
        told.prompt = unusual(first);
        scheduler.admit(told).unwrap();
        run(&mut scheduler, &[&answer]);
        let prompt = format!("{first}{}{more}", answer.text());
        let reply = say(&mut scheduler, session, &prompt, None);
        let report = reply.report();
        assert_eq!(report.prompt_tokens as usize, prompt.len());
        let new = prompt.len() - report.cached_prompt_tokens as usize;
        let expected = if kept { 1 + more.len() } else { prompt.len() };
        assert_eq!(new, expected, "{policy} {session}");
    }
}

#[test]
fn a_prompt_that_many_sessions_share_is_evaluated_once() {
    let (mut scheduler, probe) = scheduler(PrefixPolicy::Keep);
    let prompts: Vec<String> = (0..4).map(|n| format!("{SYSTEM}{n} is next?")).collect();
    let all: Vec<_> = prompts
        .iter()
        .enumerate()
        .map(|(n, prompt)| submit(&mut scheduler, &n.to_string(), prompt, None))
        .collect();
    run(&mut scheduler, &all.iter().collect::<Vec<_>>());
    let own = prompts[0].len() - SYSTEM.len();
    assert_eq!(rows(&probe), SYSTEM.len() + 4 * (own + 11));
    for (collected, prompt) in all.iter().zip(&prompts) {
        assert_eq!(collected.text(), alone(prompt, None));
    }
    // And later ones, long after.
    let late = say(&mut scheduler, "late", &format!("{SYSTEM}later?"), None);
    assert_eq!(late.report().cached_prompt_tokens as usize, SYSTEM.len());
}

#[test]
fn shared_cells_are_counted_once() {
    let (mut scheduler, probe) = scheduler(PrefixPolicy::Keep);
    let all: Vec<_> = (0..4)
        .map(|n| {
            submit(
                &mut scheduler,
                &n.to_string(),
                &format!("{SYSTEM}{n}?"),
                None,
            )
        })
        .collect();
    while rows(&probe) < SYSTEM.len() + 4 * 2 {
        scheduler.step().unwrap();
    }
    // The first was ahead of the others, who waited for it.
    let used = scheduler.cache_usage().used;
    assert_eq!(used, rows(&probe), "what is shared was evaluated once");
    run(&mut scheduler, &all.iter().collect::<Vec<_>>());
}

#[test]
fn idle_pasts_leave_the_cache_when_another_begins() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    let length = SYSTEM.len() + 2 + 11;
    say(&mut scheduler, "a", &format!("{SYSTEM}1?"), None);
    let usage = scheduler.cache_usage();
    assert_eq!(
        (usage.used, usage.stored_bytes),
        (length, 0),
        "it may go on"
    );
    let running = submit(&mut scheduler, "b", "something else", None);
    scheduler.step().unwrap();
    let usage = scheduler.cache_usage();
    assert_eq!(usage.stored_bytes, length * TOKEN_BYTES);
    assert_eq!(usage.used, "something else".len());
    run(&mut scheduler, &[&running]);
    // And comes back when it goes on.
    let next = format!("{SYSTEM}1?{}", "abc");
    let report = say(&mut scheduler, "a", &next, None).report();
    assert_eq!(report.cached_prompt_tokens as usize, SYSTEM.len() + 2);
}

#[test]
fn keep_leaves_the_past_as_it_was_felt() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    let prompt = format!("{SYSTEM}one?");
    let first = say(&mut scheduler, "a", &prompt, EXCITED);
    let next = format!("{prompt}{} two?", first.text());
    let second = say(&mut scheduler, "a", &next, DEPLETED);
    let report = second.report();
    assert_eq!(report.cached_prompt_tokens as usize, prompt.len() + 11);
    assert_eq!(
        report.cached_under_other_steering,
        report.cached_prompt_tokens
    );
    assert_ne!(second.text(), alone(&next, DEPLETED), "the past is another");
}

#[test]
fn another_sessions_feelings_are_not_inherited() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    let prompt = format!("{SYSTEM}one?");
    say(&mut scheduler, "a", &prompt, EXCITED);
    let other = say(&mut scheduler, "b", &prompt, None);
    assert_eq!(other.report().cached_prompt_tokens, 0);
    assert_eq!(other.text(), alone(&prompt, None));
    let same = say(&mut scheduler, "c", &prompt, EXCITED);
    assert_eq!(
        same.report().cached_prompt_tokens as usize,
        prompt.len() - 1
    );
    assert_eq!(same.report().cached_under_other_steering, 0);
}

#[test]
fn exact_evaluates_anew_what_was_under_other_steering() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Exact);
    let prompt = format!("{SYSTEM}one?");
    let first = say(&mut scheduler, "a", &prompt, EXCITED);
    let next = format!("{prompt}{} two?", first.text());
    let second = say(&mut scheduler, "a", &next, DEPLETED);
    assert_eq!(second.report().cached_prompt_tokens, 0);
    assert_eq!(second.text(), alone(&next, DEPLETED));
    let again = say(&mut scheduler, "a", &next, DEPLETED);
    assert_eq!(again.report().cached_prompt_tokens as usize, next.len() - 1);
    assert_eq!(again.text(), second.text());
}

#[test]
fn a_vector_that_changed_under_its_name_is_another_vector() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Exact);
    let prompt = format!("{SYSTEM}one?");
    say(&mut scheduler, "a", &prompt, EXCITED);
    scheduler.set_library(library([0.5, 0.2, 0.3, 0.4]));
    let report = say(&mut scheduler, "a", &prompt, EXCITED).report();
    assert_eq!(report.cached_prompt_tokens, 0);
}

#[test]
fn unsteered_prompts_are_shared_whatever_is_felt() {
    let (mut scheduler, probe) = scheduler(PrefixPolicy::PromptUnsteered);
    let prompt = format!("{SYSTEM}one?");
    let excited = say(&mut scheduler, "a", &prompt, EXCITED);
    let depleted = say(&mut scheduler, "b", &prompt, DEPLETED);
    assert_eq!(
        depleted.report().cached_prompt_tokens as usize,
        prompt.len() - 1
    );
    assert_ne!(excited.text(), depleted.text());
    let batches = probe.batches.lock().unwrap();
    for &(_, position, norm) in batches.iter().flatten() {
        let generates = position as usize >= prompt.len() - 1;
        assert_eq!(norm.is_some(), generates, "position {position}");
    }
}

#[test]
fn a_generation_that_waits_for_a_prefix_survives_its_donor() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    let prompt = SYSTEM.repeat(3);
    let donor = submit(&mut scheduler, "a", &format!("{prompt}one?"), None);
    let waiting = submit(&mut scheduler, "b", &format!("{prompt}two?"), None);
    scheduler.step().unwrap();
    donor.closed.store(true, Ordering::SeqCst);
    run(&mut scheduler, &[&waiting]);
    assert_eq!(waiting.text(), alone(&format!("{prompt}two?"), None));
    let cached = waiting.report().cached_prompt_tokens;
    assert_eq!(cached, 32, "what the donor had evaluated is used");
}

#[test]
fn a_forgotten_session_leaves_nothing() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    let session = SessionId::new("a").unwrap();
    say(&mut scheduler, "a", SYSTEM, None);
    let running = submit(&mut scheduler, "a", &format!("{SYSTEM}more?"), None);
    scheduler.step().unwrap();
    scheduler.forget(&session).unwrap();
    run(&mut scheduler, &[&running]);
    let usage = scheduler.cache_usage();
    assert_eq!((usage.used, usage.entries), (0, 0));
}

/// A generation of the property below: who, which beginning, which rest, how
/// it feels, and after how many steps it comes.
type Plan = (u8, u8, String, Option<(bool, bool)>, u8);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is shared, evicted or waited for, a text is what it would be
    /// with nothing else running.
    #[test]
    fn sharing_is_never_seen_in_an_exact_text(
        plans in prop::collection::vec(
            (0_u8..3, 0_u8..3, "[a-c]{1,12}", prop::option::of(any::<(bool, bool)>()), 0_u8..6),
            1..12,
        ),
        memory in 0_usize..10_000,
    ) {
        let beginnings = [SYSTEM.to_owned(), SYSTEM[..40].to_owned(), SYSTEM.repeat(2)];
        let backend = Scripted::new(4, 24, 160, NO_END);
        let (mut scheduler, probe) = with(backend, PrefixPolicy::Exact, memory);
        let mut running = Vec::new();
        for (session, beginning, rest, mood, wait) in &plans as &Vec<Plan> {
            while scheduler.free_slots() == 0 {
                scheduler.step().unwrap();
            }
            let sign = |positive: bool| if positive { 1.0 } else { -1.0 };
            let mood = mood.map(|(valence, arousal)| (sign(valence), sign(arousal)));
            let prompt = format!("{}{rest}", beginnings[*beginning as usize]);
            let collected = submit(&mut scheduler, &session.to_string(), &prompt, mood);
            running.push((collected, prompt, mood));
            for _ in 0..*wait {
                scheduler.step().unwrap();
            }
        }
        run(&mut scheduler, &running.iter().map(|r| &r.0).collect::<Vec<_>>());
        for (collected, prompt, mood) in &running {
            prop_assert_eq!(collected.text(), alone(prompt, *mood));
        }
        for session in 0..3 {
            scheduler.forget(&SessionId::new(session.to_string()).unwrap()).unwrap();
        }
        let usage = scheduler.cache_usage();
        prop_assert_eq!((usage.used, usage.stored_bytes, usage.entries), (0, 0, 0));
        prop_assert_eq!(probe.cached.load(Ordering::SeqCst), 0);
    }
}
