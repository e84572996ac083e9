//! Finds the known name that someone probably meant.

use super::schema::{Field, Section, fields};

/// Finds the field that `name`, written in `section` (or in none), stands for.
pub(super) fn find(section: Section, name: &str) -> Option<&'static Field> {
    fields().find(|field| field.section == section && field.name == name)
}

/// Returns the field whose name is nearest to `name`; one of the same section wins over an equally near one.
pub(super) fn nearest_field(section: Option<Section>, name: &str) -> Option<&'static Field> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let distance = |field: &Field| {
        let elsewhere = usize::from(section.is_some_and(|section| section != field.section));
        strsim::damerau_levenshtein(&name, field.name) * 2 + elsewhere
    };
    fields()
        .map(|field| (distance(field), field))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| distance / 2 <= reach(&name))
        .map(|(_, field)| field)
}

/// Returns the candidate nearest to `word`, if it is near at all.
pub(super) fn nearest(word: &str, candidates: &[&'static str]) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .min()
        .filter(|(distance, _)| *distance <= reach(&word))
        .map(|(_, candidate)| candidate)
}

/// How many slips of the finger a word of this length may have.
fn reach(word: &str) -> usize {
    (word.chars().count() / 3).clamp(1, 4)
}
