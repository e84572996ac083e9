//! A folder of steering vectors in random directions.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use elpis::Coefficients;
use elpis::backend::ModelFacts;
use elpis::steering::{
    BlendOptions, MANIFEST_FILE, ReadingAxes, SteeringLibrary, SteeringVector, VectorFormat, write,
};

use crate::model::Noise;

/// Number of vectors in a folder.
pub const COUNT: usize = 8;

/// The file with the axes of reading.
const AXES: &str = "axes.safetensors";

/// Norm of a vector, as a fraction of the residual stream's norm.
const STRENGTH: f32 = 0.3;

/// Writes the manifest and all vectors.
pub fn fill(folder: &Path, facts: &ModelFacts) -> Result<()> {
    if folder.join(AXES).exists() {
        fs::remove_file(folder.join(AXES))?;
    }
    let mut manifest = format!("layer = {}\n", layer(facts));
    for index in 0..COUNT {
        // The place does not matter, because the coefficients are always given.
        let place = index as f64 / COUNT as f64;
        let name = name(index);
        writeln!(manifest, "\n[emotions.{name}]")?;
        writeln!(manifest, "valence = {place}\narousal = 0.5")?;
        replace(folder, index, facts, 0)?;
    }
    fs::write(folder.join(MANIFEST_FILE), manifest)?;
    Ok(())
}

/// Adds axes that replies are read along to the folder.
pub fn add_axes(folder: &Path, facts: &ModelFacts) -> Result<()> {
    let axis = |seed: u64| {
        let noise = Noise::new(seed);
        let values = (0..facts.n_embd as u64).map(|i| noise.normal(i));
        values.collect()
    };
    let layer = layer(facts) / 2;
    let axes = ReadingAxes::new(layer, axis(1), axis(2));
    fs::write(folder.join(AXES), axes.to_safetensors()?)?;
    let mut manifest = fs::read_to_string(folder.join(MANIFEST_FILE))?;
    writeln!(
        manifest,
        "\n[reading]\nfile = {AXES:?}\nlayer = {layer}\nmean = [0.0, 0.0]\n\
         deviation = [1.0, 1.0]\nspan = [1.0, 1.0]"
    )?;
    fs::write(folder.join(MANIFEST_FILE), manifest)?;
    Ok(())
}

/// Writes the `version`th content of a vector.
pub fn replace(folder: &Path, index: usize, facts: &ModelFacts, version: u64) -> Result<()> {
    let residual = facts
        .residual_norms
        .get(layer(facts))
        .copied()
        .unwrap_or(1.0);
    let noise = Noise::new(version << 8 | index as u64);
    // The norm of n normal numbers is close to the root of n.
    let scale = STRENGTH * residual / (facts.n_embd as f32).sqrt();
    let row = (0..facts.n_embd as u64).map(|i| noise.normal(i) * scale);
    let vector = SteeringVector::bare(row.collect())?;
    let bytes = write(VectorFormat::Safetensors, &vector)?;
    fs::write(folder.join(format!("{}.safetensors", name(index))), bytes)?;
    Ok(())
}

/// A mix of two vectors, different for each session.
pub fn mix(session: usize) -> Result<Coefficients> {
    let second = 0.1 * (1 + session / COUNT) as f64;
    let mut mix = Coefficients::new();
    mix.insert(name(session % COUNT), 0.8)?;
    mix.insert(name((session + 1) % COUNT), second)?;
    Ok(mix)
}

/// The steering of each row of a batch.
#[derive(Debug)]
pub struct Rows {
    /// The layer after which it is added, from 0.
    pub layer: usize,
    pub values: Vec<Vec<f32>>,
}

/// The blended steering of `count` sessions.
pub fn rows(library: &SteeringLibrary, sessions: usize) -> Result<Rows> {
    let mut rows = Rows {
        layer: 0,
        values: Vec::new(),
    };
    for session in 0..sessions {
        let mix = mix(session)?;
        let plan = library.blend(mix.iter(), &BlendOptions::default());
        let plan = plan.context("nothing is steered")?;
        let [steering] = &plan.layers[..] else {
            anyhow::bail!("more than one layer is steered");
        };
        ensure!(session == 0 || rows.layer == steering.layer);
        rows.layer = steering.layer;
        rows.values.push(steering.values.to_vec());
    }
    Ok(rows)
}

fn name(index: usize) -> String {
    // A number at the end of a name such as `direction` would be read as a layer.
    format!("mood-of-slot-{index}")
}

fn layer(facts: &ModelFacts) -> usize {
    facts.n_layers / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_differ() {
        let mixes: Vec<_> = (0..64).map(|session| mix(session).unwrap()).collect();
        for (index, one) in mixes.iter().enumerate() {
            assert!(mixes[..index].iter().all(|other| other != one), "{index}");
        }
    }
}
