//! Axes that replies are read along.

use std::path::Path;

use elpis::steering::{MANIFEST_FILE, ReadingAxes};

/// Adds axes without any meaning to a folder of vectors for the scripted model, and a manifest.
pub fn add(vectors: &Path) {
    let axes = ReadingAxes::new(1, vec![1.0; 4].into(), vec![-1.0; 4].into());
    let bytes = axes.to_safetensors().unwrap();
    std::fs::write(vectors.join("reading.safetensors"), bytes).unwrap();
    let manifest = "[reading]\nfile = 'reading.safetensors'\nlayer = 1\nmean = [0.0, 0.0]\n\
        deviation = [1.0, 1.0]\nspan = [4.0, 4.0]\n";
    std::fs::write(vectors.join(MANIFEST_FILE), manifest).unwrap();
}
