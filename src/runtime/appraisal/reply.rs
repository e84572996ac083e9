//! Runs after a finished reply: records it for the session and appraises it.

use std::sync::Arc;
use std::time::Duration;

use super::felt::{AppraisalBudget, felt};
use crate::emotion::GenerationTime;
use crate::engine::{FinishFuture, FinishHook};
use crate::event::EventSource;
use crate::inference::{FinishReason, GenerationReport};
use crate::runtime::Elpis;
use crate::runtime::session::Session;
use crate::sessions::Activity;

/// Tags around a model's thinking before its reply.
const THINKING: [&str; 2] = ["<think>", "</think>"];

/// Creates the finish hook for a session's turn. It does not keep the runtime alive. A reply that
/// is `prose` is appraised if the settings allow it. `thinking` tells whether the reply begins
/// inside the model's thinking.
pub(in crate::runtime) fn finish_hook(
    session: &Session,
    prose: bool,
    thinking: bool,
    mut budget: AppraisalBudget,
) -> Option<FinishHook> {
    let emotion = &session.elpis().settings().emotion;
    let read = prose && emotion.response_analysis_enabled;
    let watched = emotion.behavioral_monitoring_enabled;
    if !read && !watched {
        return None;
    }
    let (elpis, id) = (Arc::downgrade(&session.elpis().inner), session.id().clone());
    Some(Box::new(move |reply, report| -> FinishFuture {
        Box::pin(async move {
            let Some(inner) = elpis.upgrade() else { return };
            let session = Session::new(Elpis { inner }, id);
            if watched {
                let work = Activity::Generation(time_of(&report));
                let sessions = &session.elpis().inner.parts.sessions;
                if let Err(error) = sessions.observe(session.id(), &work).await {
                    tracing::warn!(session = %session.id(), %error, "cannot record a generation for the behaviour monitor");
                }
            }
            if read {
                let cut = matches!(
                    report.finish_reason,
                    FinishReason::Length | FinishReason::ContextFull
                );
                let text = without_thinking(&reply, thinking);
                let text = if cut { whole_sentences(text) } else { text };
                let read = (text, report.expressed);
                felt(&session, EventSource::Reply, read, &mut budget).await;
            }
            session.elpis().inner.reported_outcomes.forget(session.id());
        })
    }))
}

/// Removes the last sentence, which was cut off, unless it is the only one.
fn whole_sentences(mut text: String) -> String {
    let end = text.rfind(['.', '!', '?', '\u{2026}', '\n']);
    if let Some(at) = end {
        let mark = text[at..].chars().next().map_or(0, char::len_utf8);
        text.truncate(at + mark);
    }
    text
}

/// The time that a generation took in its slot.
fn time_of(report: &GenerationReport) -> GenerationTime {
    let evaluated = report
        .prompt_tokens
        .saturating_sub(report.cached_prompt_tokens);
    let between = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
    GenerationTime {
        prompt_tokens: evaluated,
        prompt_seconds: between(report.queue_time, report.time_to_first_token),
        reply_tokens: report.completion_tokens,
        reply_seconds: between(report.time_to_first_token, report.total_time),
    }
}

/// The text of a reply after the model's thinking; empty if the thinking was cut off.
fn without_thinking(text: &str, thinking: bool) -> String {
    let [begin, end] = THINKING;
    let answer = match text.rsplit_once(end) {
        Some((_, answer)) => answer,
        None if thinking => return String::new(),
        None => text,
    };
    let answer = answer
        .split_once(begin)
        .map_or(answer, |(before, _)| before);
    answer.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_was_cut_off_is_not_read() {
        for (reply, read) in [
            ("It works. I am happ", "It works."),
            ("Really? Oh\u{2026} well", "Really? Oh\u{2026}"),
            ("It works.", "It works."),
            ("It wor", "It wor"),
            ("", ""),
        ] {
            assert_eq!(whole_sentences(reply.to_owned()), read);
        }
    }

    #[test]
    fn thinking_is_not_read_whether_it_ends_or_not() {
        for (reply, thinking, text) in [
            ("It works.", false, "It works."),
            ("<think>Bad.</think>It works.", false, "It works."),
            ("Bad, wrong.</think>It works.", true, "It works."),
            ("Bad, wrong, failed", true, ""),
            ("<think>Bad, wrong", false, ""),
            ("\n<think>Bad", true, ""),
            ("Bad.</think>It works. <think>Wrong", true, "It works. "),
        ] {
            assert_eq!(without_thinking(reply, thinking), text, "{reply:?}");
        }
    }
}
