//! Explains what changed the mood of a conversation.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::people;
use elpis::emotion::{EmotionalState, EventSource};
use elpis::inference::SessionId;
use elpis::{Delivery, Event, Events};

/// Number of remembered changes.
const REMEMBERED: usize = 20;

/// An observed change.
#[derive(Debug)]
struct Change {
    seen: Instant,
    what: String,
    after: Option<EmotionalState>,
}

/// A message shown next to the conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub text: String,
    pub is_error: bool,
    /// Whether it concerns the store. Such messages are shown immediately, even in a pipe.
    pub is_of_store: bool,
}

/// Follows a session on the bus.
#[derive(Debug)]
pub(super) struct Changes {
    events: Events,
    session: SessionId,
    last: VecDeque<Change>,
    /// Messages that arrived while only those of the store were waited for.
    untold: Vec<News>,
}

impl Changes {
    pub fn new(events: Events, session: SessionId) -> Self {
        Self {
            events,
            session,
            last: VecDeque::new(),
            untold: Vec::new(),
        }
    }

    /// Processes pending events. Returns a line for each change that the user did not cause
    /// directly.
    pub fn news(&mut self) -> Vec<News> {
        let mut news = std::mem::take(&mut self.untold);
        while let Some(delivery) = self.events.try_next() {
            news.extend(self.take(delivery));
        }
        news
    }

    /// Waits until the store fails or works again. Cancel safe.
    pub async fn store_news(&mut self) -> News {
        loop {
            let Some(delivery) = self.events.next().await else {
                return std::future::pending().await;
            };
            match self.take(delivery) {
                Some(news) if news.is_of_store => return news,
                news => self.untold.extend(news),
            }
        }
    }

    fn take(&mut self, delivery: Delivery) -> Option<News> {
        let event = match delivery {
            Delivery::Event(event) => event,
            Delivery::Lagged(missed) => {
                self.note(format!("{missed} events of the runtime were missed"), None);
                return None;
            }
        };
        match *event {
            Event::Felt {
                session,
                event,
                source,
                after,
                ..
            } if session == self.session => {
                let line = people::felt(&event, source);
                self.note(line.clone(), Some(after));
                (source != EventSource::Caller).then_some(News {
                    text: line,
                    is_error: false,
                    is_of_store: false,
                })
            }
            Event::StoreFailing { reason } => Some(News {
                text: format!(
                    "the store has failed; changes are only kept in memory until it recovers: {reason}"
                ),
                is_error: true,
                is_of_store: true,
            }),
            Event::StoreRecovered => Some(News {
                text: "the store has recovered".to_owned(),
                is_error: false,
                is_of_store: true,
            }),
            Event::EmotionReset { session } if session == self.session => {
                self.note("back to the baseline".to_owned(), None);
                None
            }
            Event::AppraisalFailed {
                session, reason, ..
            } if session == self.session => {
                self.note(format!("appraisal failed; text ignored: {reason}"), None);
                None
            }
            _ => None,
        }
    }

    fn note(&mut self, what: String, after: Option<EmotionalState>) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(Change {
            seen: Instant::now(),
            what,
            after,
        });
    }

    /// The last changes in lines, the latest last.
    pub fn listed(&self) -> String {
        if self.last.is_empty() {
            return "nothing has changed the mood yet".to_owned();
        }
        let line = |change: &Change| {
            let after = change.after.map_or_else(String::new, |after| {
                format!(
                    " → valence {:+.2}, arousal {:+.2}",
                    after.valence(),
                    after.arousal()
                )
            });
            format!("{:>7}  {}{after}", ago(change.seen.elapsed()), change.what)
        };
        self.last.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Forgets the changes.
    pub fn forget(&mut self) {
        self.news();
        self.last.clear();
    }
}

/// The elapsed time, in short form.
fn ago(time: Duration) -> String {
    match time.as_secs() {
        0..=4 => "now".to_owned(),
        seconds @ 5..=99 => format!("{seconds} s"),
        seconds @ 100..=5999 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis::EventBus;
    use elpis::emotion::{EmotionEvent, known};

    #[test]
    fn changes_are_remembered_with_their_causes() {
        let bus = EventBus::new(100);
        let ada = SessionId::new("ada").unwrap();
        let mut changes = Changes::new(bus.subscribe(), ada.clone());
        assert!(changes.listed().contains("nothing"));
        let felt = |session: &SessionId, source| Event::Felt {
            session: session.clone(),
            event: EmotionEvent::from(known::FRUSTRATION).with_words("stuck"),
            source,
            before: EmotionalState::default(),
            after: EmotionalState::default(),
        };
        bus.publish(felt(&ada, EventSource::Reply));
        bus.publish(felt(&SessionId::new("bob").unwrap(), EventSource::Reply));
        bus.publish(felt(&ada, EventSource::Caller));
        // What the user did is remembered, and not told again.
        let told = |changes: &mut Changes| -> Vec<String> {
            changes.news().into_iter().map(|news| news.text).collect()
        };
        assert_eq!(
            told(&mut changes),
            ["felt frustration 1: its own reply, \"stuck\""]
        );
        bus.publish(Event::EmotionReset {
            session: ada.clone(),
        });
        assert_eq!(told(&mut changes), [""; 0]);
        let listed = changes.listed();
        assert_eq!(listed.lines().count(), 3, "{listed}");
        assert!(listed.ends_with("now  back to the baseline"), "{listed}");
        for _ in 0..30 {
            bus.publish(felt(&ada, EventSource::Reply));
        }
        changes.news();
        assert_eq!(changes.listed().lines().count(), REMEMBERED);
        changes.forget();
        assert!(changes.listed().contains("nothing"));
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "now"), (42, "42 s"), (150, "2 min"), (8000, "2 h")] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }
}
