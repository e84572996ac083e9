//! All settings, section by section.

use super::schema::Field;
use super::{emotion, metrics, model, runtime, server, store};

/// Returns the table of all settings: model, emotion, runtime, store, metrics, server.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    model::FIELDS
        .iter()
        .chain(emotion::FIELDS)
        .chain(runtime::FIELDS)
        .chain(store::FIELDS)
        .chain(metrics::FIELDS)
        .chain(server::FIELDS)
}
