//! Series that are there from the start. Who counts what happened between two
//! readings must have read the 0 before the first time.

use metrics::counter;

use super::table::{
    BUS_MISSED, GENERATION_TOKENS, PREFIX_HITS, PREFIX_HITS_OTHER, PREFIX_QUERIES, PROMPT_TOKENS,
    REQUESTS, RESTARTS, RESUMES, SAFETY_LIMITS, SPIRALS, STEERING_RELOADS, STORE_ENTRIES,
    STORE_FAILURES,
};
use crate::emotion::{SafetyLimit, Spiral};
use crate::event::{ActorName, FailureKind};

const ACTORS: [ActorName; 4] = [
    ActorName::Hardware,
    ActorName::Steering,
    ActorName::Emotion,
    ActorName::Engine,
];

const CAUSES: [FailureKind; 7] = [
    FailureKind::Panic,
    FailureKind::Error,
    FailureKind::ThreadPanic,
    FailureKind::Hung,
    FailureKind::WorkerDied,
    FailureKind::Start,
    FailureKind::Stopped,
];

const LIMITS: [SafetyLimit; 6] = [
    SafetyLimit::Valence,
    SafetyLimit::Arousal,
    SafetyLimit::Strength,
    SafetyLimit::EventRate,
    SafetyLimit::Spiral,
    SafetyLimit::Appraisal,
];

const SPIRALS_OF: [Spiral; 4] = [
    Spiral::Positive,
    Spiral::Negative,
    Spiral::Escalating,
    Spiral::Withdrawing,
];

/// Why a store fails.
const STORE_REASONS: [&str; 14] = [
    "not_built",
    "in_use",
    "not_a_store",
    "future_version",
    "damaged",
    "damaged_session",
    "gone",
    "full",
    "read_only",
    "behind",
    "lost",
    "slow",
    "no_conversations",
    "failed",
];

/// Why steering vectors are refused.
const RELOAD_REASONS: &[&str] = &[
    "folder_missing",
    "unreadable",
    "duplicate_file",
    "duplicate_emotion",
    "missing_file",
    "not_in_pack",
    "no_pack",
    "layer_conflict",
    "unclear_layer",
    "no_place",
    "no_layer",
    "missing_row",
    "layer_out_of_range",
    "unsteerable",
    "width",
    "too_strong",
    "context",
    "too_many_emotions",
    "too_large",
    "not_utf8",
    "syntax",
    "unknown_key",
    "wrong_type",
    "out_of_range",
    "invalid_name",
    "layer_and_layers",
    "invalid_list",
    "missing",
    "vector_without_file",
    "fixed_place",
    "truncated",
    "malformed",
    "limit_exceeded",
    "lfs_pointer",
    "unsupported_type",
    "shape",
    "not_a_layer",
    "duplicate_layer",
    "layer_count",
    "declared_size",
    "pack",
    "emotion_count",
    "emotion_name",
    "not_an_emotion",
    "no_names",
    "no_tensors",
    "refused_global",
    "refused_opcode",
    "refused_entry",
    "legacy_pickle",
    "not_a_control_vector",
    "empty",
    "too_wide",
    "width_mismatch",
    "not_finite",
    "zero_norm",
    "stack_height",
];

/// How a generation ends.
const OUTCOMES: &[&str] = &[
    "stop",
    "stop_string",
    "tool_calls",
    "length",
    "context_full",
    "cancelled",
    "request",
    "template",
    "overloaded",
    "timeout",
    "backend",
    "kv_snapshot",
    "sampling",
    "engine_restarted",
    "unsupported",
    "stopped",
    "uncertain",
    "too_many_sessions",
    "constraint_limit",
    "constraint_refused",
    "constraint_not_built",
    "constraint_vocabulary",
    "constraint_unfinished",
    "constraint_failed",
    "constraint_sampling",
];

/// Shows what counts for a whole runtime.
pub(super) fn register() {
    for actor in ACTORS {
        for cause in CAUSES {
            counter!(RESTARTS, "actor" => actor.as_str(), "cause" => cause.as_str()).increment(0);
        }
    }
    for reason in STORE_REASONS {
        counter!(STORE_FAILURES, "reason" => reason).increment(0);
    }
    counter!(STEERING_RELOADS, "outcome" => "ok").increment(0);
    for reason in RELOAD_REASONS {
        counter!(STEERING_RELOADS, "outcome" => "refused", "reason" => *reason).increment(0);
    }
    for limit in LIMITS {
        counter!(SAFETY_LIMITS, "limit" => limit.as_str()).increment(0);
    }
    for spiral in SPIRALS_OF {
        counter!(SPIRALS, "kind" => spiral.as_str()).increment(0);
    }
    counter!(BUS_MISSED).increment(0);
    counter!(STORE_ENTRIES).increment(0);
}

/// Shows what counts for a model.
pub(super) fn register_model(model: &str) {
    // A store may be why a session cannot generate.
    for outcome in OUTCOMES.iter().chain(&STORE_REASONS) {
        counter!(REQUESTS, "model" => model.to_owned(), "outcome" => *outcome).increment(0);
    }
    for name in [
        PROMPT_TOKENS,
        GENERATION_TOKENS,
        PREFIX_QUERIES,
        PREFIX_HITS,
        PREFIX_HITS_OTHER,
        RESUMES,
    ] {
        counter!(name, "model" => model.to_owned()).increment(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a function of a source gives out: what stands quoted
    /// behind its arrows.
    fn given(source: &str, function: &str) -> Vec<String> {
        let mut bodies = source.split(function);
        bodies.next();
        let body = |rest: &str| rest.split("\n    }\n").next().unwrap().to_owned();
        bodies
            .flat_map(|rest| {
                let names: Vec<_> = body(rest)
                    .lines()
                    .filter_map(|line| line.split_once("=> \"")?.1.split_once('"'))
                    .map(|(name, _)| name.to_owned())
                    .collect();
                assert!(!names.is_empty(), "{function}");
                names
            })
            .collect()
    }

    fn assert_known(known: &[&str], given: &[String], but: &[&str]) {
        for name in given {
            assert!(
                known.contains(&name.as_str()) || but.contains(&name.as_str()),
                "`{name}` is not there from the start"
            );
        }
    }

    #[test]
    fn every_label_that_the_sources_know_is_there_from_the_start() {
        const KIND: &str = "fn kind(&self)";
        let store = given(include_str!("../../crates/elpis-store/src/error.rs"), KIND);
        assert_eq!(store, STORE_REASONS);
        // Of the runtime's errors, those that no generation ends with.
        let others = [
            "hardware",
            "chat_format",
            "too_many_events",
            "metrics",
            "failed",
        ];
        let errors = given(include_str!("../error.rs"), KIND);
        let both: Vec<_> = OUTCOMES.iter().chain(RELOAD_REASONS).copied().collect();
        assert_known(&both, &errors, &others);
        let constraints = given(
            include_str!("../../crates/elpis-inference/src/constraint/error.rs"),
            KIND,
        );
        assert_known(OUTCOMES, &constraints, &[]);
        let finish = given(
            include_str!("../../crates/elpis-inference/src/finish.rs"),
            "fn as_str(self)",
        );
        assert_known(OUTCOMES, &finish, &[]);
        for source in [
            include_str!("../../crates/elpis-steering/src/library/error.rs"),
            include_str!("../../crates/elpis-steering/src/manifest/error.rs"),
            include_str!("../../crates/elpis-steering/src/format/error.rs"),
            include_str!("../../crates/elpis-steering/src/vector.rs"),
        ] {
            assert_known(RELOAD_REASONS, &given(source, KIND), &[]);
        }
        let events = given(include_str!("../event.rs"), "fn as_str(self)");
        let sources = ["caller", "reply", "message", "behavior"];
        let mut known = sources.to_vec();
        known.extend(ACTORS.map(ActorName::as_str));
        known.extend(CAUSES.map(FailureKind::as_str));
        assert_known(&known, &events, &[]);
        let limits = given(
            include_str!("../../crates/elpis-emotion/src/limits.rs"),
            "fn as_str(self)",
        );
        assert_eq!(limits, LIMITS.map(SafetyLimit::as_str));
    }
}
