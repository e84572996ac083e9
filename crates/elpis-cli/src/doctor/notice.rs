//! Notices printed before an answer that may not be what the user expects.

use super::host::Host;
use super::template::{TemplateOrigin, TemplateSeen};
use super::warning::Warning;
use crate::complain;
use elpis::Elpis;
use elpis::settings::{LoadedSettings, Origin};

/// The few warnings of `doctor` that other commands also show, each on one line of standard error.
#[derive(Debug)]
pub(crate) struct Notices {
    chat_format: Option<String>,
    quiet: bool,
}

impl Notices {
    /// Shows notices that only depend on the settings, before a model is downloaded.
    pub(crate) fn of_settings(loaded: &LoadedSettings, quiet: bool) -> Self {
        let notices = Self {
            chat_format: loaded.settings.model.chat_format.clone(),
            quiet,
        };
        let model = &loaded.settings.model;
        let origin = loaded.origins.get("model.path");
        if let Some(origin) = origin.filter(|origin| **origin != Origin::Default)
            && model.path.is_none()
        {
            let origin = origin.to_string();
            notices.tell(&Warning::BundledInstead { origin });
        }
        if let Some(endpoint) = Host::token_in_the_clear(&loaded.settings) {
            notices.tell(&Warning::TokenInTheClear { endpoint });
        }
        if let Some(folder) = model
            .emotion_vectors_dir
            .clone()
            .filter(|folder| !folder.is_dir())
        {
            notices.tell(&Warning::VectorsFolderMissing { folder });
        }
        notices
    }

    /// Shows notices about the loaded model.
    pub(crate) fn of_model(&self, elpis: &Elpis) {
        let Some(facts) = elpis.model() else { return };
        // The first prompt reports an invalid template.
        let Ok(template) = TemplateSeen::of(&facts, self.chat_format.as_deref()) else {
            return;
        };
        if template.origin == TemplateOrigin::Guessed {
            let instead = template.name;
            self.tell(&Warning::NoChatTemplate { instead });
        }
    }

    fn tell(&self, warning: &Warning) {
        if !self.quiet {
            complain(&format!(
                "elpis: {}; {}",
                warning.problem(),
                warning.advice()
            ));
        }
    }
}
