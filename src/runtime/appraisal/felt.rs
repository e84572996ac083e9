//! Appraises texts and applies their events, within the budget of the turn.

use std::sync::Arc;
use std::time::Duration;

use super::appraiser::{AppraisalError, AppraisedText};
use super::reported_outcomes::is_outcome;
use crate::emotion::{AppliedEvent, EmotionEvent};
use crate::error::Error;
use crate::event::{Event, EventSource};
use crate::inference::{ChatMessage, Role};
use crate::runtime::Elpis;
use crate::runtime::session::Session;
use crate::steering::Expressed;
use crate::telemetry;

/// Time limit for one appraisal.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The change that the texts of one turn may still cause.
#[derive(Debug)]
pub(in crate::runtime) struct AppraisalBudget {
    left: f64,
    /// Whether the turn began with the outcome of a task.
    outcome_reported: bool,
}

impl AppraisalBudget {
    /// The budget of a turn that begins with these messages.
    pub fn new(elpis: &Elpis, messages: &[ChatMessage]) -> Self {
        let emotion = &elpis.settings().emotion;
        let answers_tool = messages.last().is_some_and(|last| last.role == Role::Tool);
        Self {
            // The texts of a turn together may not go further than a single event.
            left: emotion.appraisal_max_delta.min(emotion.max_delta),
            outcome_reported: answers_tool,
        }
    }

    fn spend(&mut self, event: &EmotionEvent, way: f64) {
        self.left = (self.left - way).max(0.0);
        self.outcome_reported |= is_outcome(event.name());
    }
}

/// Appraises the message that a turn begins with, if it is the user's.
pub(in crate::runtime) async fn message(
    session: &Session,
    messages: &[ChatMessage],
    budget: &mut AppraisalBudget,
) {
    let Some(last) = messages.last() else { return };
    if last.role == Role::User && session.elpis().settings().emotion.message_analysis_enabled {
        let text = last.content.clone();
        felt(session, EventSource::Message, (text, None), budget).await;
    }
}

/// Appraises a text, with what it expressed in the residual stream, and applies the event. Failures
/// are only logged and published.
pub(super) async fn felt(
    session: &Session,
    source: EventSource,
    (text, expressed): (String, Option<Expressed>),
    budget: &mut AppraisalBudget,
) {
    if text.trim().is_empty() {
        return;
    }
    let reported = budget.outcome_reported
        || session
            .elpis()
            .inner
            .reported_outcomes
            .contains(session.id());
    let outcome = match appraised(session, source, (text, expressed), reported).await {
        Ok(None) => "nothing",
        Ok(Some(event)) => match felt_within(session, event, source, budget.left).await {
            Ok(Some((event, applied))) => {
                budget.spend(&event, applied.way());
                "felt"
            }
            Ok(None) => "limited",
            Err(error) => {
                failed(session, source, "refused", error.to_string());
                "refused"
            }
        },
        Err(error) => {
            failed(session, source, error.kind(), error.to_string());
            error.kind()
        }
    };
    telemetry::appraisal(source, outcome);
}

/// Applies an event within a bound; `None` if the bound leaves no effect.
async fn felt_within(
    session: &Session,
    event: EmotionEvent,
    source: EventSource,
    bound: f64,
) -> Result<Option<(EmotionEvent, AppliedEvent)>, Error> {
    let event = session.elpis().settings().emotion.declared(event)?;
    let sessions = &session.elpis().inner.parts.sessions;
    let applied = sessions
        .feel(session.id(), &event, source, Some(bound))
        .await?;
    Ok(applied.map(|applied| (event, applied)))
}

async fn appraised(
    session: &Session,
    source: EventSource,
    (text, expressed): (String, Option<Expressed>),
    outcome_reported: bool,
) -> Result<Option<EmotionEvent>, AppraisalError> {
    let appraiser = Arc::clone(&session.elpis().inner.appraiser);
    let text = AppraisedText {
        session: session.unappraised(),
        source,
        text,
        outcome_reported,
        expressed,
    };
    // A separate task contains a panic.
    let mut work = tokio::spawn(async move { appraiser.appraise(text).await });
    match tokio::time::timeout(TIME_LIMIT, &mut work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(AppraisalError::Panicked),
        Err(_) => {
            work.abort();
            Err(AppraisalError::TimedOut {
                seconds: TIME_LIMIT.as_secs_f64(),
            })
        }
    }
}

fn failed(session: &Session, source: EventSource, kind: &'static str, reason: String) {
    tracing::warn!(session = %session.id(), source = source.as_str(), reason, "appraisal failed; text ignored");
    session
        .elpis()
        .inner
        .parts
        .bus
        .publish(Event::AppraisalFailed {
            session: session.id().clone(),
            source,
            kind,
            reason,
        });
}
