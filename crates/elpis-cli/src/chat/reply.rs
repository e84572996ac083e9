//! Shows a reply as it is generated.

use std::io::{Stdout, stdout};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use super::screen::{Meter, Screen};
use super::wrap::Wrap;
use super::{Chat, MAX_MESSAGES};
use crate::signal::Signal;
use crate::{Failure, terminal, told};
use elpis::GenerationEvent;
use elpis::inference::{ChatMessage, GenerationReport};

/// Interval at which the mood below a reply is updated, since it also changes with time alone.
const MOOD_EVERY: Duration = Duration::from_millis(200);

/// How a reply ended.
#[derive(Debug, Default)]
struct Ending {
    /// The signal that stopped it.
    signal: Option<Signal>,
    report: Option<GenerationReport>,
}

impl Chat<'_> {
    /// Answers the last message. Ctrl-C only ends the answer.
    pub(super) async fn answer(&mut self) -> Result<(), Failure> {
        let mut chat = self.session.chat(&self.talk);
        if let Some(most) = self.options.max_tokens {
            chat = chat.max_tokens(most);
        }
        let mut reply = String::new();
        if let Some(terminal) = &self.terminal {
            terminal.reply_begins()?;
        }
        let streamed = self.stream(chat, &mut reply).await;
        if let Some(terminal) = &self.terminal {
            terminal.reply_ends();
        }
        let mut lowered = false;
        let mut expressed = None;
        match streamed {
            Ok(Ending {
                signal: None,
                report,
            }) => {
                let latest = report.as_ref().and_then(|r| r.modulations.last());
                lowered = latest.is_some_and(|latest| latest.steering_factor < 1.0);
                expressed = report.as_ref().and_then(side_by_side);
                self.meter = report.and_then(|report| self.measure(&report));
            }
            Ok(Ending {
                signal: Some(Signal::Interrupt),
                ..
            }) if self.terminal.is_some() => {
                self.screen.tell(" (stopped)")?;
            }
            Ok(Ending {
                signal: Some(signal),
                ..
            }) => return Err(signal.into()),
            Err(error) if error.is::<std::io::Error>() => return Err(error),
            Err(error) => {
                self.failed += 1;
                Screen::error(&told(error.as_ref()));
            }
        }
        if reply.is_empty() {
            self.talk.pop_turn();
            return Ok(());
        }
        Screen::reply("\n")?;
        if lowered && !self.quiet {
            let told = "the reply began to loop, so its steering was lowered";
            self.screen.tell(told)?;
        }
        if let (Some(expressed), false) = (expressed, self.quiet) {
            self.screen.tell(&expressed)?;
        }
        self.talk.push(ChatMessage::assistant(reply));
        while self.talk.messages().len() > MAX_MESSAGES && self.talk.drop_oldest_turns(1) > 0 {}
        // The conversation continues if the store fails, which is reported separately.
        if let Err(error) = self.keep().await {
            Screen::error(&told(error.as_ref()));
        }
        Ok(())
    }

    /// Reports messages that the model no longer sees, when their number grows.
    fn tell_dropped(&mut self, dropped: usize) -> Result<(), Failure> {
        if std::mem::replace(&mut self.dropped, dropped) < dropped && !self.quiet {
            let told = match dropped {
                1 => "the oldest message no longer fits the context and was left out".to_owned(),
                many => format!(
                    "the oldest {many} messages no longer fit the context and were left out"
                ),
            };
            self.screen.tell(&told)?;
        }
        Ok(())
    }

    fn measure(&self, report: &GenerationReport) -> Option<Meter> {
        let context = self.elpis.model()?.context_length;
        let decoding = report.total_time.saturating_sub(report.time_to_first_token);
        let seconds = decoding.as_secs_f64();
        // The first token belongs to the prompt.
        let tokens = report.completion_tokens.saturating_sub(1);
        let rate = if seconds > 0.0 {
            f64::from(tokens) / seconds
        } else {
            0.0
        };
        Some(Meter {
            tokens: report.prompt_tokens + report.completion_tokens,
            context,
            rate,
        })
    }

    /// Shows a reply as it is generated, on a terminal with the mood below it.
    async fn stream(&mut self, chat: elpis::Chat, reply: &mut String) -> Result<Ending, Failure> {
        let mut live = Live::new(stdout());
        let mut wrap = Wrap::default();
        let streamed = self.stream_above(chat, reply, &mut live, &mut wrap).await;
        let width = self.screen.columns();
        let rest = live
            .text(&wrap.end(width), width.unwrap_or_default())
            .and_then(|()| live.end());
        // The signal that stopped the reply is more informative than a lost terminal.
        if matches!(streamed, Ok(Ending { signal: None, .. })) {
            rest?;
        }
        streamed
    }

    async fn stream_above(
        &mut self,
        chat: elpis::Chat,
        reply: &mut String,
        live: &mut Live<Stdout>,
        wrap: &mut Wrap,
    ) -> Result<Ending, Failure> {
        let mut looks = interval(MOOD_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopped = |signal| Ending {
            signal: Some(signal),
            report: None,
        };
        let mut stream = tokio::select! {
            stream = chat.stream() => stream?,
            signal = self.signals.next() => return Ok(stopped(signal)),
        };
        // Changes caused by the message are shown above its answer.
        self.tell_changes()?;
        self.tell_dropped(stream.dropped_messages())?;
        let mut ending = Ending::default();
        loop {
            let width = self.screen.columns();
            let shown = width.filter(|_| !self.quiet);
            let event = tokio::select! {
                event = stream.next() => event,
                signal = self.signals.next() => return Ok(stopped(signal)),
                _ = looks.tick() => {
                    // A reply must not end because its mood cannot be read.
                    if let Some(width) = shown
                        && let Ok(mood) = self.session.state().await
                    {
                        let acting = self.acting(&mood);
                        let line = self.screen.fitting(&mood, &acting, None, width);
                        live.mood(line, width)?;
                    }
                    continue;
                }
            };
            match event {
                None => return Ok(ending),
                Some(event) => match event? {
                    GenerationEvent::Text(text) => {
                        let lines = wrap.push(&terminal::shown(&text), width);
                        live.text(&lines, shown.unwrap_or_default())?;
                        reply.push_str(&text);
                    }
                    GenerationEvent::Finished(report) => ending.report = Some((*report).clone()),
                    _ => {}
                },
            }
        }
    }
}

/// What was felt when a reply was written beside what it expressed, if it was read.
fn side_by_side(report: &GenerationReport) -> Option<String> {
    let expressed = report.expressed.as_ref()?;
    let felt = report.modulations.last()?;
    Some(format!(
        "felt valence {:+.2}, arousal {:+.2}; expressed {:+.2}, {:+.2}",
        felt.valence, felt.arousal, expressed.place.valence, expressed.place.arousal
    ))
}
