//! `elpis chat`

mod actions;
mod changes;
mod commands;
mod input;
mod keeping;
mod live;
mod quiet;
mod reply;
mod screen;
mod wrap;

use std::io::IsTerminal;
use std::io::{stdin, stdout};
use std::path::PathBuf;

use clap::Args;

use self::changes::Changes;
use self::commands::Command;
use self::input::{Input, Typed};
use self::keeping::resumed;
use self::quiet::Quiet;
use self::screen::{Acting, Meter, Screen};
use super::doctor::Notices;
use super::error::CliError;
use super::events;
use super::signal::{Signal, Signals, second_ends_at_once, unless};
use super::{Failure, load_settings, people, progress, told};
use elpis::emotion::{DeclaredEvent, EmotionSnapshot};
use elpis::inference::Conversation;
use elpis::settings::{ContextOverflow, Origin};
use elpis::{Elpis, Session};

/// Holds a conversation with the model and shows its mood.
///
/// Each line is a message. `/feel success 1.5` is an event, and `/help` lists the other commands.
/// Ctrl-C stops a reply. At the prompt, Ctrl-C twice or Ctrl-D ends the program. If standard input is
/// a pipe, each line is answered.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The session. With a store, its mood and the conversation are kept.
    #[arg(long, value_name = "ID", default_value = "chat")]
    session: String,
    /// Keeps the session's mood and the conversation in this file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Begins a new conversation instead of continuing the stored one.
    #[arg(long)]
    new: bool,
    /// A system message that precedes the conversation.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of tokens of a reply.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// How strongly the mood steers, 0 to 3.
    #[arg(long, value_name = "X")]
    strength: Option<f64>,
    /// Does not save the input history.
    #[arg(long)]
    no_history: bool,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let mut loaded = load_settings(config)?;
    people::settle(&mut loaded);
    let notices = Notices::of_settings(&loaded, quiet);
    let mut settings = loaded.settings;
    if let Some(store) = &options.store {
        settings.store.path = Some(store.clone());
    }
    // A conversation may outgrow the context.
    if loaded.origins.get("model.context_overflow") == Some(&Origin::Default) {
        settings.model.context_overflow = ContextOverflow::DropOldest;
    }
    let terminal = stdin().is_terminal() && stdout().is_terminal();
    let quiet_terminal = terminal.then(Quiet::of_terminal);
    let restored = quiet_terminal.as_ref().map(Quiet::begin);
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen();
        if terminal {
            signals = signals.and_hang_ups();
        }
        let starting = progress::start_settings(settings, quiet);
        let elpis = unless(&mut signals, starting).await?;
        notices.of_model(&elpis);
        let chat = Chat::open(&elpis, options, signals, quiet_terminal, quiet).await;
        let result = match chat {
            Ok(mut chat) => chat.hold().await,
            Err(error) => Err(error),
        };
        // The terminal is restored, so Ctrl-C is a signal again.
        drop(restored);
        second_ends_at_once(&result);
        progress::kept(elpis.shutdown_and_report().await, result)
    });
    // The thread that waits for input cannot be stopped, so the runtime does not wait for it.
    runtime.shutdown_background();
    result
}

/// A conversation at the terminal.
struct Chat<'a> {
    elpis: &'a Elpis,
    session: Session,
    options: &'a Options,
    /// The messages, after the system message.
    talk: Conversation,
    input: Input,
    screen: Screen,
    signals: Signals,
    changes: Changes,
    /// The measurements of the last reply.
    meter: Option<Meter>,
    terminal: Option<Quiet>,
    quiet: bool,
    /// Number of messages that no longer fit into the context.
    dropped: usize,
    /// Number of messages that were not answered.
    failed: usize,
    /// Whether there was any input.
    begun: bool,
}

/// Maximum number of messages of a conversation, so that endless input does not fill the memory.
const MAX_MESSAGES: usize = 1000;

/// The response to Ctrl-C at a prompt.
const HOW_TO_END: &str = "Ctrl-C again, Ctrl-D or /quit ends the chat";

/// An introduction for new users.
const WHAT_TO_TRY: &str = "Your messages change its mood. Try \"I had a wonderful day!\", /feel \
                           failure, or /state; /help lists all commands.";

impl<'a> Chat<'a> {
    async fn open(
        elpis: &'a Elpis,
        options: &'a Options,
        signals: Signals,
        terminal: Option<Quiet>,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let session = elpis.session(&options.session)?;
        let changes = Changes::new(elpis.events(), session.id().clone());
        if let Some(strength) = options.strength {
            session.set_strength(strength).await?;
        }
        let talk = resumed(&session, options).await?;
        let history = input::history_file().filter(|_| !options.no_history);
        let own = elpis
            .settings()
            .emotion
            .events
            .iter()
            .map(DeclaredEvent::name);
        let names = events::known().map(|known| known.name).chain(own);
        let words = names.map(str::to_owned).collect();
        Ok(Self {
            elpis,
            session,
            options,
            talk,
            input: Input::open(terminal.clone(), history, words)?,
            screen: Screen::new(terminal.is_some()),
            signals,
            changes,
            meter: None,
            terminal,
            quiet,
            dropped: 0,
            failed: 0,
            begun: false,
        })
    }

    /// Holds the conversation until the input ends or a command or signal ends it.
    async fn hold(&mut self) -> Result<(), Failure> {
        if self.terminal.is_some() && !self.quiet {
            self.screen
                .tell(&format!("{}. {WHAT_TO_TRY}", self.model()))?;
            if !self.talk.is_empty() {
                let turns = self.turns();
                let told =
                    format!("The conversation continues after {turns}; /new begins another.");
                self.screen.tell(&told)?;
            }
        }
        let mut warned = false;
        loop {
            self.tell_changes()?;
            if !self.quiet {
                let mood = self.session.state().await?;
                self.screen.mood(&mood, &self.acting(&mood), self.meter)?;
            }
            let line = match self.line(&mut warned).await? {
                Typed::End => return self.ended(),
                Typed::Interrupted { .. } => continue,
                Typed::Line(line) => line,
            };
            warned = false;
            self.begun = true;
            let line = line.trim();
            match commands::parse(line) {
                Err(error) => Screen::error(&error),
                Ok(Some(Command::Quit)) => return self.ended(),
                Ok(Some(command)) => {
                    if let Err(error) = self.carry_out(command).await {
                        if error.is::<Signal>() {
                            return Err(error);
                        }
                        Screen::error(&told(error.as_ref()));
                    }
                }
                Ok(None) if line.is_empty() => {}
                Ok(None) => {
                    self.talk.push_user(line);
                    self.answer().await?;
                }
            }
        }
    }

    /// Waits for a line. Ctrl-C arrives as a key while a line is edited, and as a signal before that.
    /// It discards the line. If there is none, the second Ctrl-C ends the program.
    async fn line(&mut self, warned: &mut bool) -> Result<Typed, Failure> {
        let Self {
            input,
            signals,
            screen,
            terminal,
            changes,
            ..
        } = self;
        let typed = input.next("> ");
        tokio::pin!(typed);
        loop {
            let at_prompt = tokio::select! {
                news = changes.store_news() => {
                    screen.show(&news)?;
                    continue;
                }
                typed = &mut typed => match typed? {
                    Typed::Interrupted { typing: true } => {
                        *warned = false;
                        return Ok(Typed::Interrupted { typing: true });
                    }
                    Typed::Interrupted { .. } => true,
                    other => return Ok(other),
                },
                signal = signals.next() => match signal {
                    Signal::Interrupt if terminal.is_some() => false,
                    signal => return Err(signal.into()),
                },
            };
            if std::mem::replace(warned, true) {
                return Err(Signal::Interrupt.into());
            }
            screen.tell(HOW_TO_END)?;
            if at_prompt {
                return Ok(Typed::Interrupted { typing: false });
            }
        }
    }

    /// The result of the conversation. If the input is a pipe, unanswered messages are an error.
    fn ended(&self) -> Result<(), Failure> {
        match self.failed {
            0 if !self.begun && self.terminal.is_none() => Err(CliError::NothingToChat.into()),
            0 => Ok(()),
            _ if self.terminal.is_some() => Ok(()),
            count => Err(CliError::Unanswered { count }.into()),
        }
    }

    /// Shows the changes of the mood since the last call.
    fn tell_changes(&mut self) -> Result<(), Failure> {
        for news in self.changes.news() {
            if news.is_of_store || (!self.quiet && self.terminal.is_some()) {
                self.screen.show(&news)?;
            }
        }
        Ok(())
    }

    fn model(&self) -> String {
        let model = self.elpis.model().map(|facts| facts.name.clone());
        model.unwrap_or_default()
    }

    /// The coefficients of a mood that act on replies.
    fn acting(&self, mood: &EmotionSnapshot) -> Acting {
        Acting::new(mood, &self.elpis.steering_library())
    }
}
