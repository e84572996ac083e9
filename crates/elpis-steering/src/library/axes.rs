//! Loads the axes of reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assigned::read;
use super::{LibraryContext, LibraryError, LibraryFile, vector_name};
use crate::format::VectorFile;
use crate::manifest::Manifest;
use crate::reading::{AxisScale, Reading, ReadingAxes};
use crate::vector::SteeringVector;

/// Reads the axes that the manifest names.
pub(super) fn load(
    files: &[LibraryFile],
    manifest: &Manifest,
    context: &LibraryContext,
) -> Result<Option<Reading>, LibraryError> {
    let Some(entry) = &manifest.reading else {
        return Ok(None);
    };
    let found = files.iter().find(|file| file.name == entry.file);
    let found = found.and_then(|file| Some((file, vector_name(&file.name)?.1)));
    let Some((file, format)) = found else {
        return Err(LibraryError::MissingAxes {
            file: entry.file.clone(),
        });
    };
    if entry.layer >= context.n_layers {
        return Err(LibraryError::LayerOutOfRange {
            file: file.name.clone(),
            layer: entry.layer,
            limit: context.n_layers,
        });
    }
    let vectors = match read(file, format)? {
        VectorFile::Pack(vectors) => vectors,
        VectorFile::One(_) => BTreeMap::new(),
    };
    let axis = |name: &'static str| {
        let row = vectors.get(name).and_then(bare);
        let row = row.ok_or_else(|| LibraryError::NoAxis {
            file: file.name.clone(),
            axis: name,
        })?;
        if row.len() == context.n_embd {
            return Ok(Box::from(row));
        }
        Err(LibraryError::Width {
            file: file.name.clone(),
            width: row.len(),
            n_embd: context.n_embd,
        })
    };
    let axes = ReadingAxes::new(entry.layer, axis("valence")?, axis("arousal")?);
    let scale = |at: usize| {
        let of = |pair: [f64; 2]| pair.get(at).copied().unwrap_or(1.0);
        AxisScale::new(of(entry.mean), of(entry.deviation), of(entry.span))
    };
    Ok(Some(Reading::new(Arc::new(axes), scale(0), scale(1))))
}

/// The only row of a vector that names no layer.
fn bare(vector: &SteeringVector) -> Option<&[f32]> {
    let (layer, row) = vector.rows().next()?;
    (vector.is_bare() && layer.is_none()).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SteeringLibrary;
    use crate::format::{VectorFormat, write};
    use crate::manifest::MANIFEST_FILE;

    const TABLE: &str = "[reading]\nfile = 'r.safetensors'\nlayer = 2\nmean = [0.5, 1.0]\n\
        deviation = [2.0, 4.0]\nspan = [3.0, 5.0]\n";

    fn file(name: &str, bytes: Vec<u8>) -> LibraryFile {
        LibraryFile {
            name: name.to_owned(),
            bytes,
        }
    }

    fn axes(width: usize) -> Vec<u8> {
        let axis = |value| vec![value; width].into();
        let axes = ReadingAxes::new(2, axis(1.0), axis(-1.0));
        axes.to_safetensors().unwrap()
    }

    fn build(table: &str, axes: Vec<u8>) -> Result<SteeringLibrary, LibraryError> {
        let files = vec![
            file(MANIFEST_FILE, table.into()),
            file("r.safetensors", axes),
        ];
        SteeringLibrary::build(files, &LibraryContext::new(4, 3))
    }

    #[test]
    fn axes_are_no_emotion_and_belong_to_the_version() {
        let library = build(TABLE, axes(3)).unwrap();
        assert!(library.is_empty());
        let reading = library.reading().unwrap();
        assert_eq!(reading.axes.layer, 2);
        assert_eq!(*reading.axes.valence, [1.0; 3]);
        assert_eq!(*reading.axes.arousal, [-1.0; 3]);
        assert_eq!(reading.valence, AxisScale::new(0.5, 2.0, 3.0));
        assert_eq!(reading.arousal, AxisScale::new(1.0, 4.0, 5.0));
        let moved = build(&TABLE.replace("0.5", "0.25"), axes(3)).unwrap();
        assert_ne!(moved.version(), library.version());
    }

    #[test]
    fn axes_that_cannot_be_used_are_refused_by_name() {
        let one = SteeringVector::bare(vec![1.0; 3]).unwrap();
        let one = write(VectorFormat::Safetensors, &one).unwrap();
        for (table, axes, kind) in [
            (TABLE.replace("r.safe", "s.safe"), axes(3), "missing_axes"),
            (
                TABLE.replace("layer = 2", "layer = 4"),
                axes(3),
                "layer_out_of_range",
            ),
            (TABLE.to_owned(), axes(4), "width"),
            (TABLE.to_owned(), one, "no_axis"),
            (TABLE.to_owned(), b"none".to_vec(), "truncated"),
        ] {
            let error = build(&table, axes).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("safetensors"), "{error}");
        }
    }
}
