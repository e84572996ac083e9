//! JSON Schema: exact interpretation of schemas, and grammars for the values that they allow.
//!
//! A [`Document`] indexes all subschemas and references of a schema. The rest needs the cargo
//! feature `tools`: [`Cases`](cases::Cases) splits combined schemas into cases without
//! alternatives, and a [`Writer`] turns these into the rules of a grammar.

#![cfg_attr(
    not(feature = "tools"),
    allow(dead_code, reason = "without grammars, schemas are only looked up")
)]

#[cfg(feature = "tools")]
mod branch;
#[cfg(feature = "tools")]
mod cases;
#[cfg(feature = "tools")]
mod check;
mod decimal;
#[cfg(feature = "tools")]
mod digits;
mod document;
#[cfg(feature = "tools")]
mod empty;
#[cfg(feature = "tools")]
mod error;
mod exact;
mod keywords;
#[cfg(feature = "tools")]
mod language;
#[cfg(feature = "tools")]
mod lark;
mod lookup;
#[cfg(feature = "tools")]
mod merge;
mod notation;
#[cfg(feature = "tools")]
mod number;
#[cfg(feature = "tools")]
mod object;
#[cfg(feature = "tools")]
mod pattern;
#[cfg(feature = "tools")]
mod patterns;
#[cfg(feature = "tools")]
mod regex;
#[cfg(feature = "tools")]
mod string_formats;
#[cfg(feature = "tools")]
mod style;
mod types;
mod uri;
#[cfg(feature = "tools")]
mod writer;

pub(crate) use document::Document;
pub(crate) use exact::{LIMIT, first_rounded};
pub(crate) use keywords::{Holds, holds};
pub(crate) use lookup::Lookup;
pub(crate) use notation::{Arguments, Kind, Middle, Params, Style, is_bare};
pub(crate) use types::Types;

#[cfg(feature = "tools")]
pub(crate) use lark::{Lark, Symbol};
#[cfg(feature = "tools")]
pub(crate) use regex::{Codec, Regex};
#[cfg(feature = "tools")]
pub(crate) use style::split;
#[cfg(feature = "tools")]
pub(crate) use writer::Writer;
