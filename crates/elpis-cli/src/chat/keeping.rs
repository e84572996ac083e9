//! Persistence of conversations, in the store or in separate files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Chat, Options};
use crate::Failure;
use crate::error::CliError;
use elpis::Session;
use elpis::inference::Conversation;

/// Maximum length of a conversation's file, in bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// The conversation to continue: the stored one, unless a new one is requested.
pub(super) async fn resumed(session: &Session, options: &Options) -> Result<Conversation, Failure> {
    let mut talk = if options.new {
        Conversation::new()
    } else {
        session.conversation().await?
    };
    if options.system.is_some() {
        talk.set_system(options.system.clone());
    }
    Ok(talk)
}

impl Chat<'_> {
    /// Drops all messages except the system message.
    pub(super) fn begin_anew(&mut self) {
        self.talk.clear();
        self.meter = None;
        self.dropped = 0;
    }

    /// Writes the conversation to the store, if there is one.
    pub(super) async fn keep(&self) -> Result<(), Failure> {
        self.session.keep_conversation(&self.talk).await?;
        Ok(())
    }

    /// Writes the conversation to a new file.
    pub(super) fn save(&self, file: &str) -> Result<(), Failure> {
        let path = Path::new(file);
        let mut json = serde_json::to_vec_pretty(&self.talk)?;
        json.push(b'\n');
        File::create_new(path)
            .and_then(|mut out| std::io::Write::write_all(&mut out, &json))
            .map_err(CliError::unwritable(path))?;
        let turns = self.turns();
        self.screen.tell(&format!("{turns} written to {file}"))?;
        Ok(())
    }

    /// Continues with a conversation from a file. The mood stays.
    pub(super) async fn load(&mut self, file: &str) -> Result<(), Failure> {
        let unreadable = |reason: String| CliError::Conversation {
            file: file.to_owned(),
            reason,
        };
        let mut text = String::new();
        let read = File::open(file).and_then(|opened| {
            let mut opened = opened.take(FILE_LIMIT + 1);
            opened.read_to_string(&mut text)
        });
        let size = read.map_err(|error| unreadable(error.to_string()))?;
        if size as u64 > FILE_LIMIT {
            let reason = format!("it is longer than {} MiB", FILE_LIMIT >> 20);
            return Err(unreadable(reason).into());
        }
        let talk: Conversation =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        self.begin_anew();
        self.talk = talk;
        self.keep().await?;
        let turns = self.turns();
        self.screen
            .tell(&format!("{turns} read from {file}; the mood stays"))?;
        Ok(())
    }

    /// The number of turns, as text.
    pub(super) fn turns(&self) -> String {
        crate::counted(self.talk.turns() as u64, "turn", "turns")
    }
}
