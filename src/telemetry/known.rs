//! Series that exist from the start. A rate between two scrapes is only right if the 0 before the
//! first event was scraped.

use metrics::counter;
use strum::VariantNames;

use super::table::{
    BUS_MISSED, GENERATION_TOKENS, PREFIX_HITS, PREFIX_HITS_OTHER, PREFIX_QUERIES, PROMPT_TOKENS,
    REPETITION_GUARD, REQUESTS, RESTARTS, RESUMES, SAFETY_LIMITS, SPIRALS, STEERING_RELOADS,
    STORE_ENTRIES, STORE_FAILURES,
};
use crate::emotion::{SafetyLimit, Spiral};
use crate::error::{EngineError, SteeringError};
use crate::event::{ActorName, FailureKind};
use crate::inference::{ConstraintError, FinishReason};
use crate::steering::{FormatError, LibraryError, ManifestError, VectorError};
use crate::store::StoreError;

/// Variants that wrap another error and use its kind.
const HOLDERS: [&str; 6] = [
    "library",
    "format",
    "manifest",
    "vector",
    "constraint",
    "constraint_call",
];

/// Why steering vectors are refused.
fn reload_reasons() -> impl Iterator<Item = &'static str> {
    let names = [
        SteeringError::VARIANTS,
        LibraryError::VARIANTS,
        ManifestError::VARIANTS,
        FormatError::VARIANTS,
        VectorError::VARIANTS,
    ];
    names
        .into_iter()
        .flatten()
        .copied()
        .filter(|name| !HOLDERS.contains(name))
}

/// How a generation ends. Errors of the store are included, because a session may have to be
/// loaded.
fn outcomes() -> impl Iterator<Item = &'static str> {
    let names = [
        FinishReason::VARIANTS,
        &["cancelled", "uncertain", "too_many_sessions"],
        EngineError::VARIANTS,
        ConstraintError::VARIANTS,
        StoreError::VARIANTS,
    ];
    names
        .into_iter()
        .flatten()
        .copied()
        .filter(|name| !HOLDERS.contains(name))
}

/// Registers the series of a runtime.
pub(super) fn register() {
    for actor in ActorName::VARIANTS {
        for cause in FailureKind::VARIANTS {
            counter!(RESTARTS, "actor" => *actor, "cause" => *cause).increment(0);
        }
    }
    for reason in StoreError::VARIANTS {
        counter!(STORE_FAILURES, "reason" => *reason).increment(0);
    }
    counter!(STEERING_RELOADS, "outcome" => "ok").increment(0);
    for reason in reload_reasons() {
        counter!(STEERING_RELOADS, "outcome" => "refused", "reason" => reason).increment(0);
    }
    for limit in SafetyLimit::ALL {
        counter!(SAFETY_LIMITS, "limit" => limit.as_str()).increment(0);
    }
    for spiral in Spiral::ALL
        .into_iter()
        .filter(|spiral| *spiral != Spiral::None)
    {
        counter!(SPIRALS, "kind" => spiral.as_str()).increment(0);
    }
    counter!(BUS_MISSED).increment(0);
    counter!(STORE_ENTRIES).increment(0);
}

/// Registers the series of a model.
pub(super) fn register_model(model: &str) {
    for outcome in outcomes() {
        counter!(REQUESTS, "model" => model.to_owned(), "outcome" => outcome).increment(0);
    }
    for name in [
        PROMPT_TOKENS,
        GENERATION_TOKENS,
        PREFIX_QUERIES,
        PREFIX_HITS,
        PREFIX_HITS_OTHER,
        RESUMES,
        REPETITION_GUARD,
    ] {
        counter!(name, "model" => model.to_owned()).increment(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_holds_another_goes_by_the_name_of_that() {
        let source = FormatError::from(VectorError::Empty);
        let file = "joy.npy".to_owned();
        let error = SteeringError::from(LibraryError::Format { file, source });
        assert_eq!(error.kind(), "empty");
        assert!(reload_reasons().any(|reason| reason == error.kind()));
        assert!(!reload_reasons().any(|reason| HOLDERS.contains(&reason)));
        let error = EngineError::from(ConstraintError::refused("schema", "because"));
        assert_eq!(error.kind(), "constraint_refused");
        assert!(outcomes().any(|outcome| outcome == error.kind()));
        assert!(!outcomes().any(|outcome| HOLDERS.contains(&outcome)));
    }

    #[test]
    fn the_names_are_those_of_dashboards_and_alerts() {
        let causes = [
            "panic",
            "error",
            "thread_panic",
            "hung",
            "worker_died",
            "start",
            "stopped",
        ];
        assert_eq!(FailureKind::VARIANTS, causes);
        assert_eq!(
            ActorName::VARIANTS,
            ["hardware", "steering", "emotion", "engine"]
        );
        assert_eq!(
            SafetyLimit::NAMES,
            [
                "valence",
                "arousal",
                "strength",
                "event_rate",
                "spiral",
                "appraisal"
            ]
        );
        assert_eq!(
            reload_reasons()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            59
        );
        assert_eq!(
            outcomes().collect::<std::collections::BTreeSet<_>>().len(),
            39
        );
    }
}
