//! The cache stays within its bounds of memory and cells.

use std::sync::atomic::Ordering;

use elpis::backend::{Backend, BackendError, BackendLayer, SequenceId};
use elpis::inference::SessionId;
use elpis::internal::scheduler::Scheduler;
use elpis::settings::PrefixPolicy;
use elpis_testkit::scripted::Scripted;

use super::{NO_END, SYSTEM, TOKEN_BYTES, alone, over, say, scheduler, with};

#[test]
fn the_least_recently_used_past_goes_first() {
    let prompt = |name: &str| format!("{name} asks something of its own, at some length");
    let bytes = (prompt("a").len() + 11) * TOKEN_BYTES;
    let backend = Scripted::new(1, 32, 400, NO_END);
    let (mut scheduler, _) = with(backend, PrefixPolicy::Keep, 2 * bytes);
    for name in ["a", "b", "a", "c", "aside"] {
        say(&mut scheduler, name, &prompt(name), None);
    }
    assert!(scheduler.cache_usage().stored_bytes <= 2 * bytes);
    let cached = |scheduler: &mut Scheduler, name: &str| {
        let report = say(scheduler, name, &prompt(name), None).report();
        report.cached_prompt_tokens
    };
    assert!(cached(&mut scheduler, "a") > 0);
    assert_eq!(cached(&mut scheduler, "b"), 0);
}

/// Two conversations in turn: each is written into the memory that the other
/// one was read from.
#[test]
fn the_memory_of_a_past_is_used_again() {
    let (mut scheduler, probe) = scheduler(PrefixPolicy::Keep);
    let mut prompts = ["one? ", "two? "].map(|question| format!("{question}{SYSTEM}"));
    for turn in 0..4 {
        for (name, prompt) in ["a", "b"].iter().zip(&mut prompts) {
            let reply = say(&mut scheduler, name, prompt, None);
            assert_eq!(reply.text(), alone(prompt, None), "{name} {turn}");
            assert_eq!(reply.report().cached_prompt_tokens > 0, turn > 0);
            *prompt = format!("{prompt}{} and? ", reply.text());
        }
    }
    // What is saved first finds nothing yet.
    assert_eq!(probe.used_again.load(Ordering::SeqCst), 6);
    for name in ["a", "b"] {
        scheduler.forget(&SessionId::new(name).unwrap()).unwrap();
    }
    assert_eq!(scheduler.cache_usage().spare_bytes, 0);
}

/// A backend that asks for more memory than it fills.
struct Wasteful(Scripted);

impl BackendLayer for Wasteful {
    fn inner(&self) -> &dyn Backend {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut self.0
    }

    fn save_sequence(
        &mut self,
        sequence: SequenceId,
        memory: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        let mut bytes = self.inner_mut().save_sequence(sequence, memory)?;
        bytes.reserve_exact(8 * bytes.len());
        Ok(bytes)
    }
}

#[test]
fn memory_that_is_not_filled_takes_no_room_from_others() {
    let prompt = |name: &str| format!("{name} {SYSTEM}");
    let bytes = (prompt("a").len() + 11) * TOKEN_BYTES;
    let backend = Wasteful(Scripted::new(1, 32, 400, NO_END));
    let mut scheduler = over(backend, PrefixPolicy::Keep, 2 * bytes);
    for name in ["a", "b", "c"] {
        say(&mut scheduler, name, &prompt(name), None);
    }
    let usage = scheduler.cache_usage();
    assert_eq!((usage.entries, usage.stored_bytes), (3, 2 * bytes));
}

#[test]
fn a_past_that_is_larger_than_all_memory_does_not_empty_it() {
    let short = |name: &str| format!("{name} has a few words of its own to ask about");
    let bytes = (short("a").len() + 11) * TOKEN_BYTES;
    let backend = Scripted::new(1, 32, 400, NO_END);
    let (mut scheduler, _) = with(backend, PrefixPolicy::Keep, 2 * bytes);
    let cached = |scheduler: &mut Scheduler, name: &str, prompt: &str| {
        let report = say(scheduler, name, prompt, None).report();
        report.cached_prompt_tokens as usize
    };
    let long = SYSTEM.repeat(3);
    for (name, prompt) in [("a", &short("a")), ("b", &long), ("c", &short("c"))] {
        assert_eq!(cached(&mut scheduler, name, prompt), 0);
    }
    assert_eq!(scheduler.cache_usage().stored_bytes, bytes, "that of a");
    assert_eq!(
        cached(&mut scheduler, "a", &short("a")),
        short("a").len() - 1
    );
    assert_eq!(cached(&mut scheduler, "b", &long), 0);
}

#[test]
fn memory_and_cells_stay_within_their_bounds() {
    let backend = Scripted::new(2, 32, 100, NO_END);
    let (mut scheduler, probe) = with(backend, PrefixPolicy::Keep, 1900);
    for n in 0..12 {
        let prompt = format!("{n} {}", "long ".repeat(14));
        let text = say(&mut scheduler, &n.to_string(), &prompt, None).text();
        assert_eq!(text, alone(&prompt, None));
        let usage = scheduler.cache_usage();
        assert!(usage.used <= 200 && usage.capacity == 200);
        assert!(usage.stored_bytes + usage.spare_bytes <= 1900);
        assert_eq!(probe.cached.load(Ordering::SeqCst), usage.used);
    }
    assert_eq!(scheduler.cache_usage().entries, 3);
    let (mut off, _) = with(Scripted::new(2, 32, 100, NO_END), PrefixPolicy::Keep, 0);
    say(&mut off, "a", SYSTEM, None);
    assert_eq!(off.cache_usage().entries, 0);
}
