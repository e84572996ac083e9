//! Finds the known name that was probably meant.

use super::registry::fields;
use super::schema::{Field, Section};

/// Finds the field that `name`, written in `section` (or in none), refers to.
pub(super) fn find(section: Section, name: &str) -> Option<&'static Field> {
    fields().find(|field| field.section == section && field.name == name)
}

/// Returns the field whose name is nearest to `name`. Of equally near ones, the same section wins.
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

/// Returns the candidate nearest to `word`, if one is similar.
pub(super) fn nearest(word: &str, candidates: &[&'static str]) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .min()
        .filter(|(distance, _)| *distance <= reach(&word))
        .map(|(_, candidate)| candidate)
}

/// Variables with the prefix that are not settings but belong to the command and its workers.
const OTHERS: [&str; 2] = ["ELPIS_LOG", "ELPIS_WORKER"];

/// Prefixes of variables of the project's own tests and benchmarks.
const OTHER_PREFIXES: [&str; 2] = ["ELPIS_TEST_", "ELPIS_BENCH_"];

/// Returns whether a variable is meant as a setting, spelt correctly or not. Other tools share the
/// environment and `.env` but do not use the prefix.
pub(super) fn is_ours(variable: &str, value: Option<&str>) -> bool {
    variable.starts_with(PREFIX)
        && !OTHERS.contains(&variable)
        && !OTHER_PREFIXES
            .iter()
            .any(|prefix| variable.starts_with(prefix))
        && !is_of_kubernetes(variable, value)
}

/// The prefix of all variables of elpis.
const PREFIX: &str = "ELPIS_";

/// Returns whether Kubernetes sets this variable for services whose name begins with `elpis`, see
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
fn is_of_kubernetes(variable: &str, value: Option<&str>) -> bool {
    let is_address = value.is_some_and(|value| {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    });
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().unwrap_or_default();
        let protocol = parts.next();
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && matches!(protocol, Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
            && parts.next().is_none()
    };
    variable.ends_with("_SERVICE_HOST")
        || variable.ends_with("_SERVICE_PORT")
        || variable.contains("_SERVICE_PORT_")
        || (variable.ends_with("_PORT") && is_address)
        || variable
            .match_indices("_PORT_")
            .any(|(at, found)| is_port(&variable[at + found.len()..]))
}

/// Returns the variable that was probably meant by an unknown one.
pub(super) fn nearest_variable(variable: &str) -> Option<String> {
    let name = variable.to_ascii_uppercase();
    fields()
        .map(Field::variable)
        .chain(OTHERS.map(str::to_owned))
        .map(|known| (strsim::damerau_levenshtein(&name, &known), known))
        .min()
        .filter(|(distance, _)| *distance <= reach(&name[PREFIX.len().min(name.len())..]))
        .map(|(_, known)| known)
}

/// Maximum number of typing errors in a word of this length.
fn reach(word: &str) -> usize {
    (word.chars().count() / 3).clamp(1, 4)
}
