//! `[emotion]`: the table rows of [`EmotionConfig`](crate::emotion::EmotionConfig), which the emotion layer owns.
//!
//! The ranges are those of single fields;
//! [`EmotionConfig::validate`](crate::emotion::EmotionConfig::validate) checks combinations of
//! fields.

use std::time::Duration;

use super::schema::{limit, table};
use super::value::{Raw, SettingValue, ValueError, choices};
use crate::emotion::{AppraiserChoice, DeclaredEvent};

impl SettingValue for DeclaredEvent {
    fn type_name() -> String {
        "event".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, ValueError> {
        let text = String::read(raw)?;
        text.parse().map_err(|error| ValueError::Type {
            found: format!("`{text}`: {error}"),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

choices!(AppraiserChoice);

/// Converts the rows to rows of settings.
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
