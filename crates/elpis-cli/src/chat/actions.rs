//! The actions of the slash commands.

use elpis::inference::Role;

use super::commands::Command;
use super::{Chat, commands, screen};
use crate::library::vector_line;
use crate::{Failure, events};

impl Chat<'_> {
    pub(super) async fn carry_out(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Feel(felt) => {
                self.session.feel(felt.0).await?;
                if self.terminal.is_none() {
                    self.tell_state().await?;
                }
            }
            Command::Feelings => {
                let listed = events::listed(&self.elpis.settings().emotion);
                self.screen.tell(&listed)?;
            }
            Command::State => self.tell_state().await?,
            Command::Events => {
                self.changes.news();
                self.screen.tell(&self.changes.listed())?;
            }
            Command::Strength(strength) => self.session.set_strength(strength).await?,
            Command::Vectors => self.tell_vectors()?,
            Command::New => {
                self.begin_anew();
                self.keep().await?;
                self.screen.tell("a new conversation; the mood stays")?;
            }
            Command::Save(file) => self.save(&file)?,
            Command::Load(file) => self.load(&file).await?,
            Command::Reset => {
                self.session.reset().await?;
                self.screen
                    .tell("the mood is back at its baseline; the conversation stays")?;
            }
            Command::Forget => {
                self.session.forget().await?;
                self.begin_anew();
                self.changes.forget();
                self.screen
                    .tell("forgotten: the mood, its journal and the conversation")?;
            }
            Command::System(text) => self.set_system(text).await?,
            Command::Regenerate => self.regenerate().await?,
            Command::History => self.tell_history()?,
            Command::Model => {
                let meter = self.meter.map(|meter| format!("; {}", meter.context()));
                let model = format!("{}{}", self.model(), meter.unwrap_or_default());
                self.screen.tell(&model)?;
            }
            Command::Help => self.screen.tell(commands::HELP)?,
            Command::Quit => {}
        }
        Ok(())
    }

    async fn tell_state(&self) -> Result<(), Failure> {
        let mood = self.session.state().await?;
        self.screen
            .tell(&screen::state(&mood, &self.acting(&mood)))?;
        Ok(())
    }

    fn tell_vectors(&self) -> Result<(), Failure> {
        let library = self.elpis.steering_library();
        self.screen
            .tell(&format!("version {}", library.version()))?;
        if library.is_empty() {
            let told = "no vectors: the mood changes sampling but does not steer the model";
            self.screen.tell(told)?;
        }
        for emotion in library.emotions() {
            self.screen.tell(&vector_line(emotion))?;
        }
        Ok(())
    }

    async fn set_system(&mut self, text: Option<String>) -> Result<(), Failure> {
        if text.is_some() {
            self.talk.set_system(text);
            self.keep().await?;
        }
        let system = self.talk.system();
        self.screen
            .tell(system.unwrap_or("there is no system message"))?;
        Ok(())
    }

    fn tell_history(&self) -> Result<(), Failure> {
        if self.talk.is_empty() {
            self.screen.tell("nothing was said yet")?;
        }
        for message in self.talk.messages() {
            let who = match message.role {
                Role::System => continue,
                Role::User => "you: ",
                _ => "",
            };
            self.screen.tell(&format!("{who}{}", message.content))?;
        }
        Ok(())
    }

    /// Generates another answer to the last message.
    async fn regenerate(&mut self) -> Result<(), Failure> {
        let turn = self.talk.pop_turn();
        let Some(end) = turn.iter().rposition(|message| message.role == Role::User) else {
            self.talk.extend(turn);
            self.screen.tell("nothing was said yet")?;
            return Ok(());
        };
        self.talk.extend(turn.into_iter().take(end + 1));
        self.answer().await
    }
}
