//! `[emotion]`: the table rows of [`EmotionConfig`](crate::emotion::EmotionConfig), which the emotion layer owns.
//!
//! The ranges are those that hold for one field alone; what fields must be to each other is the business of
//! [`EmotionConfig::validate`](crate::emotion::EmotionConfig::validate).

use std::time::Duration;

use super::schema::{limit, table};
use super::value::{Fault, Raw, SettingValue, choices};
use crate::emotion::{AppraiserChoice, DeclaredEvent};

impl SettingValue for DeclaredEvent {
    fn type_name() -> String {
        "event".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Fault> {
        let text = String::read(raw)?;
        text.parse().map_err(|error| Fault::Type {
            found: format!("`{text}`: {error}"),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

choices!(AppraiserChoice);

/// Takes the rows as those of settings.
macro_rules! rows {
    ($(
        $(#[doc = $doc:literal])+ $name:ident : $ty:ty = $default:expr
        $(, in [$min:expr, $max:expr $(, $zero:ident)?] $(as $Unit:ident $key:literal)?)? $(, unset $unset:literal)?
        $(, serde $serde:tt)?;
    )+) => {
        table! {
            Emotion, emotion, "emotion";
            $( $(#[doc = $doc])+ $name: $ty
               $(, in limit($min, $max, rows!(@zero $($zero)?)))? $(, unset $unset)?
               $($(, as $Unit $key)?)?; )+
        }
    };
    (@zero) => { false };
    (@zero or_zero) => { true };
}
elpis_emotion::emotion_fields!(rows);
