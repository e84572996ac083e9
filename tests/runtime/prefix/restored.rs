//! Cached sequences are restored, or evaluated again where they cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use elpis::EngineError;
use elpis::backend::{Backend, BackendError, BackendLayer, SequenceId};
use elpis::inference::{KvSnapshotError, SessionId};
use elpis::settings::PrefixPolicy;
use elpis_testkit::scripted::Scripted;

use super::{
    AMPLE, DEPLETED, EXCITED, NO_END, SYSTEM, TOKEN_BYTES, alone, over, rows, run, say, scheduler,
    submit, with,
};
use crate::task::Collected;

/// Like a model with sliding windows whose cells were given to others: no sequence can go on from
/// anywhere but its end.
struct Windowed(Scripted, Arc<AtomicUsize>);

impl BackendLayer for Windowed {
    fn inner(&self) -> &dyn Backend {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        &mut self.0
    }

    fn restore_sequence(
        &mut self,
        sequence: SequenceId,
        length: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.restore_sequence(sequence, length, bytes)
    }

    fn truncate(&mut self, sequence: SequenceId, from: u32) -> Result<(), BackendError> {
        match from {
            0 => self.0.truncate(sequence, 0),
            length => Err(gone(sequence, length)),
        }
    }

    fn share_prefix(
        &mut self,
        from: SequenceId,
        _: SequenceId,
        length: u32,
    ) -> Result<(), BackendError> {
        Err(gone(from, length))
    }
}

fn gone(sequence: SequenceId, length: u32) -> BackendError {
    BackendError::PrefixEvicted {
        sequence,
        length,
        first: length,
    }
}

#[test]
fn what_cannot_be_gone_on_from_is_evaluated_again() {
    let backend = Scripted::new(4, 32, 400, NO_END);
    let probe = backend.probe.clone();
    let restored = Arc::<AtomicUsize>::default();
    let mut scheduler = over(
        Windowed(backend, Arc::clone(&restored)),
        PrefixPolicy::Keep,
        AMPLE,
    );
    let asked = |name: &str| format!("{SYSTEM}{name}?");
    let evaluated = |collected: &Collected, name: &str| {
        assert_eq!(collected.report().cached_prompt_tokens, 0, "{name}");
        assert_eq!(collected.text(), alone(&asked(name), None), "{name}");
    };
    // Of a past that is resident, and of one that is being evaluated.
    let first = say(&mut scheduler, "a", &asked("a"), None);
    evaluated(&say(&mut scheduler, "b", &asked("b"), None), "b");
    let both = ["c", "d"].map(|name| submit(&mut scheduler, name, &asked(name), None));
    run(&mut scheduler, &both.iter().collect::<Vec<_>>());
    for (collected, name) in both.iter().zip(["c", "d"]) {
        evaluated(collected, name);
    }
    // Of one that is stored: the first, with which most is in common.
    evaluated(&say(&mut scheduler, "e", &asked("a"), None), "a");
    // A session that goes on from the end of its past still does.
    let next = format!("{}{} two?", asked("a"), first.text());
    let before = rows(&probe);
    let second = say(&mut scheduler, "a", &next, None);
    assert!(second.report().cached_prompt_tokens as usize >= SYSTEM.len());
    assert!(rows(&probe) - before < SYSTEM.len());
    assert_eq!(second.text(), alone(&next, None));
    // All that was taken is given back.
    for name in ["a", "b", "c", "d", "e"] {
        scheduler.forget(&SessionId::new(name).unwrap()).unwrap();
    }
    assert_eq!(scheduler.cache_usage().used, 0);
    assert_eq!(probe.cached.load(Ordering::SeqCst), 0);
}

#[test]
fn what_cannot_be_cut_is_restored_in_vain_once() {
    let restored = Arc::<AtomicUsize>::default();
    let backend = Windowed(Scripted::new(4, 32, 400, NO_END), Arc::clone(&restored));
    let mut scheduler = over(backend, PrefixPolicy::Keep, AMPLE);
    let prompt = format!("{SYSTEM}one?");
    say(&mut scheduler, "a", &prompt, None);
    for aside in ["x", "y", "z"] {
        // It leaves the cache, and is asked for by another.
        say(&mut scheduler, aside, "something else", None);
        let other = say(&mut scheduler, "b", &prompt, None);
        assert_eq!(other.report().cached_prompt_tokens, 0);
        scheduler.forget(&SessionId::new("b").unwrap()).unwrap();
        assert_eq!(restored.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn models_that_cannot_rewind_go_on_from_the_end_alone() {
    let backend = Scripted::new(2, 32, 400, NO_END).recurrent();
    let (mut scheduler, _) = with(backend, PrefixPolicy::Keep, AMPLE);
    let prompt = format!("{SYSTEM}one?");
    let first = say(&mut scheduler, "a", &prompt, None);
    let aside = say(&mut scheduler, "a", &format!("{SYSTEM}else?"), None);
    assert_eq!(aside.report().cached_prompt_tokens, 0);
    let next = format!("{prompt}{} two?", first.text());
    let second = say(&mut scheduler, "a", &next, None);
    assert_eq!(
        second.report().cached_prompt_tokens as usize,
        prompt.len() + 11
    );
    assert_eq!(second.text(), alone(&next, None));
}

#[test]
fn a_saved_past_goes_on_elsewhere() {
    let (mut first, _) = scheduler(PrefixPolicy::Keep);
    let session = SessionId::new("a").unwrap();
    assert_eq!(first.save(&session).unwrap(), None);
    let prompt = format!("{SYSTEM}one?");
    let reply = say(&mut first, "a", &prompt, EXCITED);
    let next = format!("{prompt}{} two?", reply.text());
    let bytes = first.save(&session).unwrap().unwrap();
    let expected = say(&mut first, "a", &next, DEPLETED);

    let (mut second, _) = scheduler(PrefixPolicy::Keep);
    assert_eq!(second.restore(&session, &bytes).unwrap(), prompt.len() + 11);
    let found = say(&mut second, "a", &next, DEPLETED);
    assert_eq!(found.text(), expected.text());
    assert_eq!(
        found.report().cached_under_other_steering,
        expected.report().cached_under_other_steering
    );
}

#[test]
fn what_cannot_be_restored_is_refused_and_changes_nothing() {
    let (mut scheduler, _) = scheduler(PrefixPolicy::Keep);
    let session = SessionId::new("a").unwrap();
    say(&mut scheduler, "a", SYSTEM, None);
    let bytes = scheduler.save(&session).unwrap().unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let before = scheduler.cache_usage();
    let error = scheduler.restore(&session, &damaged).unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::KvSnapshot(KvSnapshotError::Checksum { .. })
        ),
        "{error}"
    );
    assert!(scheduler.restore(&session, b"nonsense").is_err());
    assert_eq!(scheduler.cache_usage(), before);

    let short = Scripted::new(1, 32, 40, NO_END);
    let (mut short, _) = with(short, PrefixPolicy::Keep, AMPLE);
    let error = short.restore(&session, &bytes).unwrap_err();
    let too_long = KvSnapshotError::TooLong {
        tokens: SYSTEM.len() + 11,
        limit: 40,
    };
    assert_eq!(error, too_long.into());
    let (mut off, _) = with(Scripted::new(1, 32, 400, NO_END), PrefixPolicy::Keep, 8);
    let error = off.restore(&session, &bytes).unwrap_err();
    let no_memory = KvSnapshotError::NoMemory {
        bytes: (SYSTEM.len() + 11) * TOKEN_BYTES,
        limit: 8,
    };
    assert_eq!(error, no_memory.into());
}
