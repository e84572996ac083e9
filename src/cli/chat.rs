//! `elpis chat`

mod commands;
mod input;
mod live;
mod screen;

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use self::commands::Command;
use self::input::{Input, Typed};
use self::live::Live;
use self::screen::Screen;
use super::fault::Fault;
use super::library::vector_line;
use super::progress;
use super::signal::{Signal, Signals, second_ends_at_once, unless};
use super::{Failure, load_settings, told};
use crate::inference::ChatMessage;
use crate::printable::printable;
use crate::settings::{ContextOverflow, Origin};
use crate::{Elpis, GenerationEvent, Session};

/// Talks with the model, and shows how it feels.
///
/// A line is a message; `/feel success 1.5` is an event, `/help` tells the
/// other commands. Ctrl-C stops a reply, and at the prompt, twice, the
/// program; so does Ctrl-D. From a pipe, each line is answered.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The session; with a store it remembers how it felt.
    #[arg(long, value_name = "ID", default_value = "chat")]
    session: String,
    /// Keeps the session's feelings in this file.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
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
    let loaded = load_settings(config)?;
    let mut settings = loaded.settings;
    if let Some(store) = &options.store {
        settings.store.path = Some(store.clone());
    }
    // A conversation has no end of its own.
    if loaded.origins.get("model.context_overflow") == Some(&Origin::Default) {
        settings.model.context_overflow = ContextOverflow::DropOldest;
    }
    let terminal = stdin().is_terminal() && stdout().is_terminal();
    let restored = terminal.then(Restored::new);
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen();
        if terminal {
            signals = signals.and_hang_ups();
        }
        let starting = async { Ok(progress::start(Elpis::builder(settings), quiet).await?) };
        let elpis = unless(&mut signals, starting).await?;
        let chat = Conversation::open(&elpis, options, signals, terminal, quiet).await;
        let result = match chat {
            Ok(mut chat) => chat.hold().await,
            Err(error) => Err(error),
        };
        // Keys are signals again.
        drop(restored);
        second_ends_at_once(&result);
        elpis.shutdown().await;
        result
    });
    // A thread that waits for a line is left behind.
    runtime.shutdown_background();
    result
}

/// How the terminal was, to which it returns however the program ends.
struct Restored {
    #[cfg(unix)]
    attributes: Option<rustix::termios::Termios>,
}

impl Restored {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            attributes: rustix::termios::tcgetattr(stdin()).ok(),
        }
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(attributes) = &self.attributes {
            use rustix::termios::{OptionalActions, tcsetattr};
            let _ = tcsetattr(stdin(), OptionalActions::Now, attributes);
        }
    }
}

/// A conversation.
struct Conversation<'a> {
    elpis: &'a Elpis,
    session: Session,
    options: &'a Options,
    messages: Vec<ChatMessage>,
    input: Input,
    screen: Screen,
    signals: Signals,
    terminal: bool,
    quiet: bool,
    /// Messages that were not answered.
    failed: usize,
    /// Whether anything was typed, or was in the pipe.
    begun: bool,
}

/// Messages that are kept, so that a pipe without end does not fill the memory.
const MOST_MESSAGES: usize = 1000;

/// How often the mood below a reply is looked at.
const MOOD_EVERY: Duration = Duration::from_millis(200);

/// What Ctrl-C at a prompt tells.
const HOW_TO_END: &str = "Ctrl-C again, Ctrl-D or /quit ends";

impl<'a> Conversation<'a> {
    async fn open(
        elpis: &'a Elpis,
        options: &'a Options,
        signals: Signals,
        terminal: bool,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let session = elpis.session(&options.session)?;
        if let Some(strength) = options.strength {
            session.set_strength(strength).await?;
        }
        let history = input::history_file().filter(|_| !options.no_history);
        Ok(Self {
            elpis,
            session,
            options,
            messages: opening(options),
            input: Input::open(terminal, history)?,
            screen: Screen::new(terminal),
            signals,
            terminal,
            quiet,
            failed: 0,
            begun: false,
        })
    }

    /// Talks until the end of input, or until it is told to stop.
    async fn hold(&mut self) -> Result<(), Failure> {
        if self.terminal && !self.quiet {
            let model = self.elpis.model().map(|facts| facts.name.clone());
            let model = model.unwrap_or_default();
            self.screen.tell(&format!(
                "{}; /help tells what can be done",
                printable(&model)
            ))?;
        }
        let mut warned = false;
        loop {
            if !self.quiet {
                self.screen.mood(&self.session.state().await?)?;
            }
            let line = match self.line(&mut warned).await? {
                Typed::End => return self.ended(),
                Typed::Interrupted => continue,
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
                        Screen::error(&told(error.as_ref()));
                    }
                }
                Ok(None) if line.is_empty() => {}
                Ok(None) => self.answer(line).await?,
            }
        }
    }

    /// Waits for a line. Ctrl-C comes as a key while a line is edited, and as a signal before.
    async fn line(&mut self, warned: &mut bool) -> Result<Typed, Failure> {
        let Self {
            input,
            signals,
            screen,
            terminal,
            ..
        } = self;
        let typed = input.next("> ");
        tokio::pin!(typed);
        loop {
            let interrupted = tokio::select! {
                typed = &mut typed => match typed? {
                    Typed::Interrupted => Typed::Interrupted,
                    other => return Ok(other),
                },
                signal = signals.next() => match signal {
                    Signal::Interrupt if *terminal => Typed::End,
                    signal => return Err(signal.into()),
                },
            };
            if std::mem::replace(warned, true) {
                return Err(Signal::Interrupt.into());
            }
            screen.tell(HOW_TO_END)?;
            if matches!(interrupted, Typed::Interrupted) {
                return Ok(Typed::Interrupted);
            }
        }
    }

    /// Whoever reads the exit code of a pipe hears of what failed.
    fn ended(&self) -> Result<(), Failure> {
        match self.failed {
            0 if !self.begun && !self.terminal => Err(Fault::NothingToChat.into()),
            0 => Ok(()),
            _ if self.terminal => Ok(()),
            count => Err(Fault::Unanswered { count }.into()),
        }
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Feel(felt) => {
                let note = felt.note().filter(|_| !self.quiet);
                self.session.feel(felt.0).await?;
                if let Some(note) = note {
                    self.screen.tell(&note)?;
                }
                if !self.terminal {
                    let mood = self.session.state().await?;
                    self.screen.tell(&screen::state(&mood))?;
                }
            }
            Command::State => {
                let mood = self.session.state().await?;
                self.screen.tell(&screen::state(&mood))?;
            }
            Command::Strength(strength) => self.session.set_strength(strength).await?,
            Command::Vectors => {
                let library = self.elpis.steering_library();
                self.screen
                    .tell(&format!("version {}", library.version()))?;
                if library.is_empty() {
                    let told = "none: this model is sampled by emotion, but not steered";
                    self.screen.tell(told)?;
                }
                for emotion in library.emotions() {
                    self.screen.tell(&vector_line(emotion))?;
                }
            }
            Command::Reset => {
                self.session.reset().await?;
                self.messages = opening(self.options);
            }
            Command::Help => self.screen.tell(commands::HELP)?,
            Command::Quit => {}
        }
        Ok(())
    }

    /// Answers a message; Ctrl-C ends the answer alone.
    async fn answer(&mut self, line: &str) -> Result<(), Failure> {
        self.messages.push(ChatMessage::user(line));
        let mut chat = self.session.chat(self.messages.clone());
        if let Some(most) = self.options.max_tokens {
            chat = chat.max_tokens(most);
        }
        let mut reply = String::new();
        match self.stream(chat, &mut reply).await {
            Ok(None) => {}
            Ok(Some(Signal::Interrupt)) if self.terminal => self.screen.tell(" (stopped)")?,
            Ok(Some(signal)) => return Err(signal.into()),
            Err(error) if error.is::<std::io::Error>() => return Err(error),
            Err(error) => {
                self.failed += 1;
                Screen::error(&told(error.as_ref()));
            }
        }
        if reply.is_empty() {
            self.messages.pop();
        } else {
            Screen::reply("\n")?;
            self.messages.push(ChatMessage::assistant(reply));
            if self.messages.len() > MOST_MESSAGES {
                let system = usize::from(self.options.system.is_some());
                self.messages.drain(system..system + 2);
            }
        }
        Ok(())
    }

    /// Shows a reply as it comes, on a terminal with the mood below it; returns the signal that
    /// stopped it.
    async fn stream(
        &mut self,
        chat: crate::runtime::Chat,
        reply: &mut String,
    ) -> Result<Option<Signal>, Failure> {
        let mut live = Live::new(stdout());
        let streamed = self.stream_above(chat, reply, &mut live).await;
        let ended = live.end();
        // What stopped the reply says more than a terminal that is gone.
        if matches!(streamed, Ok(None)) {
            ended?;
        }
        streamed
    }

    async fn stream_above(
        &mut self,
        chat: crate::runtime::Chat,
        reply: &mut String,
        live: &mut Live<Stdout>,
    ) -> Result<Option<Signal>, Failure> {
        let Self {
            signals,
            screen,
            session,
            quiet,
            ..
        } = self;
        let columns = || screen.columns().filter(|_| !*quiet);
        let mut looks = interval(MOOD_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream = tokio::select! {
            stream = chat.stream() => stream?,
            signal = signals.next() => return Ok(Some(signal)),
        };
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                signal = signals.next() => return Ok(Some(signal)),
                _ = looks.tick() => {
                    // A reply does not end because its mood cannot be told.
                    if let Some(width) = columns()
                        && let Ok(mood) = session.state().await
                    {
                        live.mood(screen::fitting(&mood, width), width)?;
                    }
                    continue;
                }
            };
            match event {
                None => return Ok(None),
                Some(event) => {
                    if let GenerationEvent::Text(text) = event? {
                        live.text(&text, columns().unwrap_or_default())?;
                        reply.push_str(&text);
                    }
                }
            }
        }
    }
}

/// What a conversation begins with.
fn opening(options: &Options) -> Vec<ChatMessage> {
    options.system.iter().map(ChatMessage::system).collect()
}
