//! Attention heads, their sizes and what of them is rotated.

use elpis_files::gguf::Value;

use super::{MAX_SIZE, Numbers};
use crate::gguf::defect::Defect;
use crate::gguf::names::{RECURRENT, WITHOUT_ROPE};

impl Numbers<'_, '_> {
    /// Checks attention heads, their sizes and their rotated dimensions.
    pub(super) fn heads(&self, layers: u64, width: u64) -> Result<(), Defect> {
        let heads = self.per_layer("attention.head_count", layers, 0..=MAX_SIZE)?;
        let heads = heads.unwrap_or_default();
        let most = heads.iter().copied().max().unwrap_or_default();
        if most == 0 {
            if RECURRENT.contains(&self.architecture) {
                return Ok(());
            }
            let key = "attention.head_count";
            return Err(match self.value(key) {
                Some(_) => Defect::invalid(&self.key(key), 0, "at least 1 in some layer"),
                None => Defect::missing(&self.key(key)),
            });
        }
        let name = "attention.head_count_kv";
        let shared = self.per_layer(name, layers, 0..=MAX_SIZE)?;
        for (&heads, shared) in heads.iter().zip(shared.into_iter().flatten()) {
            if heads > 0 && shared > 0 && !heads.is_multiple_of(shared) {
                let limit = format!("a divisor of the {heads} heads of its layer");
                return Err(Defect::invalid(&self.key(name), shared, limit));
            }
        }
        // llama.cpp uses the heads of the first layer for all layers with attention.
        let first = heads.first().copied().filter(|&n| n > 0).unwrap_or(most);
        let own = self.size("attention.key_length")?;
        let full = own.unwrap_or(width / first);
        if full == 0 {
            let limit = format!("at most the width of {width}");
            return Err(Defect::invalid(
                &self.key("attention.head_count"),
                first,
                limit,
            ));
        }
        let mla = self.size("attention.key_length_mla")?;
        if WITHOUT_ROPE.contains(&self.architecture) {
            return Ok(());
        }
        self.rotated("rope.dimension_count", mla.unwrap_or(full), full)?;
        let window = self.size("attention.key_length_swa")?;
        if window.is_some() || self.value("rope.dimension_count_swa").is_some() {
            let window = window.unwrap_or(full);
            self.rotated("rope.dimension_count_swa", window, window)?;
        }
        self.sections(full)
    }

    /// Checks the number of rotated dimensions of a head, which is even.
    fn rotated(&self, name: &str, head: u64, usual: u64) -> Result<(), Defect> {
        // With no rotated dimensions, llama.cpp's loop over pairs does not end.
        let rotated = self.count(name, 2..=head.max(2))?.unwrap_or(usual);
        if rotated.is_multiple_of(2) {
            return Ok(());
        }
        Err(Defect::invalid(&self.key(name), rotated, "even"))
    }

    /// Checks how the rotated dimensions are divided among kinds of positions.
    fn sections(&self, head: u64) -> Result<(), Defect> {
        let name = "rope.dimension_sections";
        let Some(value) = self.value(name) else {
            return Ok(());
        };
        let limit = format!("up to 4 whole numbers with a sum of at most {head}");
        let Value::Array(sections) = value else {
            return Err(self.refused(name, value, limit));
        };
        let mut sum = 0_i128;
        for section in sections.values() {
            match section.integer() {
                Some(number) if number >= 0 => sum += number,
                _ => return Err(self.refused(name, &section, limit)),
            }
        }
        if sections.count > 4 || sum > i128::from(head) {
            return Err(self.refused(name, value, limit));
        }
        Ok(())
    }
}
