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

/// Talks with the model, and shows how it feels.
///
/// A line is a message; `/feel success 1.5` is an event, `/help` tells the
/// other commands. Ctrl-C stops a reply, and at the prompt, twice, the
/// program; so does Ctrl-D. From a pipe, each line is answered.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The session; with a store it remembers how it felt and what was said.
    #[arg(long, value_name = "ID", default_value = "chat")]
    session: String,
    /// Keeps the session's feelings and the conversation in this file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Begins a new conversation, where the store has one to go on with.
    #[arg(long)]
    new: bool,
    /// A system message in front.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of a reply.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// How strongly the mood steers, 0 to 3.
    #[arg(long, value_name = "X")]
    strength: Option<f64>,
    /// Does not remember what was typed.
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
    // A conversation has no end of its own.
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
        // Keys are signals again.
        drop(restored);
        second_ends_at_once(&result);
        progress::kept(elpis.shutdown_and_report().await, result)
    });
    // A thread that waits for a line is left behind.
    runtime.shutdown_background();
    result
}

/// A conversation at the terminal.
struct Chat<'a> {
    elpis: &'a Elpis,
    session: Session,
    options: &'a Options,
    /// What was said, with the system message in front.
    talk: Conversation,
    input: Input,
    screen: Screen,
    signals: Signals,
    changes: Changes,
    /// Of the last reply.
    meter: Option<Meter>,
    terminal: Option<Quiet>,
    quiet: bool,
    /// Messages that no longer fit into the context.
    dropped: usize,
    /// Messages that were not answered.
    failed: usize,
    /// Whether anything was typed, or was in the pipe.
    begun: bool,
}

/// Messages that are kept, so that a pipe without end does not fill the memory.
const MAX_MESSAGES: usize = 1000;

/// The answer to Ctrl-C at a prompt.
const HOW_TO_END: &str = "Ctrl-C again, Ctrl-D or /quit ends";

/// The opening of a conversation, for new users.
const WHAT_TO_TRY: &str = "Talk, and it feels what you say. Try \"I had a wonderful day!\", /feel \
                           failure, or /state; /help tells the rest.";

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

    /// Talks until the end of input, or until it is told to stop.
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

    /// Waits for a line. Ctrl-C comes as a key while a line is edited, and as a signal before. It
    /// discards a line, and ends the program the second time that there is none.
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

    /// Whoever reads the exit code of a pipe hears of what failed.
    fn ended(&self) -> Result<(), Failure> {
        match self.failed {
            0 if !self.begun && self.terminal.is_none() => Err(CliError::NothingToChat.into()),
            0 => Ok(()),
            _ if self.terminal.is_some() => Ok(()),
            count => Err(CliError::Unanswered { count }.into()),
        }
    }

    /// Tells what changed the mood since it was last told.
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

    /// What of a mood acts on replies.
    fn acting(&self, mood: &EmotionSnapshot) -> Acting {
        Acting::new(mood, &self.elpis.steering_library())
    }
}
