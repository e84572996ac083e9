//! The report on a file, as text and as JSON.

use std::io::Write;

use elpis::steering::{SteeringVector, VectorFormat};
use elpis_files::printable::{printable, printable_path};
use serde_json::{Value, json};

use super::{Inspected, Model};

/// A row of the report.
pub(super) struct Row {
    layer: Option<usize>,
    norm: f64,
    /// `norm` times the manifest's scale over the residual stream's norm at this layer.
    share: Option<f64>,
}

impl Inspected {
    pub(super) fn print(&self, out: &mut impl Write, model: Option<&Model>) -> std::io::Result<()> {
        let width = self.vectors.first().map_or(0, |(_, v)| v.width());
        write!(out, "{}: width {width}", printable_path(&self.path))?;
        if self.pack {
            write!(out, ", a pack of {} emotions", self.vectors.len())?;
        }
        writeln!(out)?;
        for (name, vector) in &self.vectors {
            if self.pack {
                writeln!(out, "  {name}")?;
            }
            self.print_vector(out, vector, model)?;
        }
        Ok(())
    }

    fn print_vector(
        &self,
        out: &mut impl Write,
        vector: &SteeringVector,
        model: Option<&Model>,
    ) -> std::io::Result<()> {
        if let Some(model) = vector.model_hint() {
            writeln!(out, "  made for {}", printable(model))?;
        }
        if vector.is_stacked() {
            let rows = vector.rows().count();
            writeln!(
                out,
                "  {rows} rows without layers, for a model with {rows} layers or, as hidden states that \
                 begin with the embedding, with {}",
                rows - 1
            )?;
        }
        for (index, row) in self.rows(vector, model).into_iter().enumerate() {
            match row.layer {
                Some(layer) => write!(out, "  layer {layer:3}  ")?,
                None if vector.is_stacked() => write!(out, "  row {index:5}  ")?,
                None => write!(out, "  no layer   ")?,
            }
            write!(out, "norm {:.4}", row.norm)?;
            if let Some(share) = row.share {
                write!(
                    out,
                    "  {:.1} % of the residual stream's norm",
                    share * 100.0
                )?;
            }
            if self.told.is_some() {
                write!(out, "  (layer from the file name)")?;
            }
            writeln!(out)?;
            if self.format == VectorFormat::Gguf && row.layer == Some(0) {
                writeln!(
                    out,
                    "             llama.cpp itself skips layer 0: it cannot apply this row, and its \
                     --control-vector refuses the file"
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn rows(&self, vector: &SteeringVector, model: Option<&Model>) -> Vec<Row> {
        let norms = model.and_then(|model| model.context.residual_norms.as_ref());
        vector
            .rows()
            .map(|(layer, row)| {
                let layer = layer.or(self.told);
                let norm = row
                    .iter()
                    .map(|&x| f64::from(x) * f64::from(x))
                    .sum::<f64>()
                    .sqrt();
                // A vector without a layer is applied at the layer of the manifest or the settings.
                let usual = || self.used.layer.or_else(|| model?.context.default_layer);
                let place = layer.or_else(|| usual().filter(|_| vector.is_bare()));
                let residual = norms.and_then(|norms| norms.get(place?));
                Row {
                    layer,
                    norm,
                    share: residual.map(|&residual| norm * self.used.scale / f64::from(residual)),
                }
            })
            .collect()
    }

    pub(super) fn as_json(&self, model: Option<&Model>) -> Value {
        let vectors = self.vectors.iter().map(|(name, vector)| {
            let rows = self.rows(vector, model);
            json!({
                "emotion": name,
                "model_hint": vector.model_hint(),
                "rows": rows.iter().map(|row| json!({
                    "layer": row.layer,
                    "norm": row.norm,
                    "residual_fraction": row.share,
                })).collect::<Vec<_>>(),
            })
        });
        json!({
            "file": self.path.to_string_lossy(),
            "format": self.format.extension(),
            "width": self.vectors.first().map(|(_, vector)| vector.width()),
            "vectors": vectors.collect::<Vec<_>>(),
        })
    }
}
