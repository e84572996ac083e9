//! Events of the bus as JSON.

use elpis::Event;
use elpis::emotion::EmotionalState;
use serde_json::{Value, json};

use crate::access::Client;

/// An event as a client gets it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) kind: &'static str,
    /// The session, as the client names it.
    pub(super) session: Option<String>,
    pub(super) data: Value,
}

/// All kinds of events.
pub(super) const KINDS: [&str; 16] = [
    "felt",
    "limit_acted",
    "appraisal_failed",
    "emotion_reset",
    "generation_started",
    "generation_finished",
    "generation_failed",
    "generation_cancelled",
    "steering_reloaded",
    "steering_refused",
    "actor_restarting",
    "actor_given_up",
    "actor_restarted",
    "store_failing",
    "store_recovered",
    "stopped",
];

/// Describes an event; `None` if the client may not see it. A client sees its own sessions, and
/// what concerns the whole runtime if it may administrate.
pub(super) fn describe(event: &Event, client: &Client) -> Option<Described> {
    if let Some((kind, session, mut data)) = of_session(event) {
        let session = client.name_of(session)?.to_owned();
        data["session"] = session.as_str().into();
        return Some(Described {
            kind,
            session: Some(session),
            data,
        });
    }
    let (kind, data) = of_runtime(event).filter(|_| client.rights.admin)?;
    Some(Described {
        kind,
        session: None,
        data,
    })
}

fn place(state: &EmotionalState) -> Value {
    json!({"valence": state.valence(), "arousal": state.arousal()})
}

/// The parts of an event of a session.
fn of_session(event: &Event) -> Option<(&'static str, &str, Value)> {
    Some(match event {
        Event::Felt {
            session,
            event,
            source,
            before,
            after,
        } => (
            "felt",
            session.as_str(),
            json!({
                "event": event.name(),
                "intensity": event.intensity(),
                "reason": event.words(),
                "source": source.as_str(),
                "before": place(before),
                "after": place(after),
            }),
        ),
        Event::LimitActed {
            session,
            limit,
            asked,
        } => (
            "limit_acted",
            session.as_str(),
            json!({"limit": limit, "asked": asked}),
        ),
        Event::AppraisalFailed {
            session,
            source,
            kind,
            reason,
        } => (
            "appraisal_failed",
            session.as_str(),
            json!({"source": source.as_str(), "kind": kind, "reason": reason}),
        ),
        Event::EmotionReset { session } => ("emotion_reset", session.as_str(), json!({})),
        Event::GenerationStarted { id, session } => (
            "generation_started",
            session.as_str(),
            json!({"request": id}),
        ),
        Event::GenerationFinished(report) => (
            "generation_finished",
            report.session.as_str(),
            json!({
                "request": report.id,
                "finish_reason": report.finish_reason,
                "prompt_tokens": report.prompt_tokens,
                "cached_prompt_tokens": report.cached_prompt_tokens,
                "completion_tokens": report.completion_tokens,
                "expressed": report.expressed,
                "total_seconds": report.total_time.as_secs_f64(),
            }),
        ),
        Event::GenerationFailed {
            id,
            session,
            kind,
            reason,
        } => (
            "generation_failed",
            session.as_str(),
            json!({"request": id, "kind": kind, "reason": reason}),
        ),
        Event::GenerationCancelled { id, session } => (
            "generation_cancelled",
            session.as_str(),
            json!({"request": id}),
        ),
        _ => return None,
    })
}

/// The parts of an event of the whole runtime.
fn of_runtime(event: &Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::SteeringReloaded { version, emotions } => (
            "steering_reloaded",
            json!({"version": version, "emotions": emotions}),
        ),
        Event::SteeringRefused { kind, file, reason } => (
            "steering_refused",
            json!({"kind": kind, "file": file, "reason": reason}),
        ),
        Event::ActorRestarting {
            actor,
            kind,
            cause,
            attempt,
        } => (
            "actor_restarting",
            json!({"actor": actor.as_str(), "kind": kind.as_str(), "cause": cause, "attempt": attempt}),
        ),
        Event::ActorGivenUp { actor, kind, cause } => (
            "actor_given_up",
            json!({"actor": actor.as_str(), "kind": kind.as_str(), "cause": cause}),
        ),
        Event::ActorRestarted { actor } => ("actor_restarted", json!({"actor": actor.as_str()})),
        Event::StoreFailing { reason } => ("store_failing", json!({"reason": reason})),
        Event::StoreRecovered => ("store_recovered", json!({})),
        Event::Stopped { reason } => ("stopped", json!({"reason": reason})),
        _ => return None,
    })
}
