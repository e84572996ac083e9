//! Renders the table of settings as documentation.

use std::fmt::Write as _;

use super::registry::fields;
use super::schema::Section;

/// Renders every setting as Markdown: a table for each section with variable, type, range, default and meaning.
pub fn reference_markdown() -> String {
    let mut text = String::new();
    for &section in Section::ALL {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "### `[{}]`, `{}…`\n\n| setting | type | range | default | meaning |\n|---|---|---|---|---|\n",
            section.as_str(),
            section.prefix()
        );
        for field in fields().filter(|field| field.section == section) {
            let default = match field.unset {
                Some(meaning) if field.is_unset_by_default() => format!("unset: {meaning}"),
                Some(meaning) => format!("`{}`; unset: {meaning}", field.default_text()),
                None => format!("`{}`", field.default_text()),
            };
            let _ = writeln!(
                text,
                "| `{}`<br>`{}` | {} | {} | {} | {} |",
                field.name,
                field.variable(),
                field.type_name(),
                field.range().unwrap_or_default(),
                default,
                field.doc()
            );
        }
        text.push('\n');
    }
    text
}
