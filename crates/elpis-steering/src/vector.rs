//! One steering vector: a row of the residual stream's width, for one layer or for several.

use std::collections::BTreeMap;

use thiserror::Error;

/// Maximum number of rows of a vector; its layers are 0 to `MAX_LAYERS - 1`.
pub const MAX_LAYERS: usize = 1024;

/// Maximum number of values of a row.
pub const MAX_WIDTH: usize = 1 << 18;

/// Refusal of rows that are not a steering vector.
#[derive(
    Debug, Clone, PartialEq, Error, strum::IntoStaticStr, strum::VariantNames, strum::EnumProperty,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum VectorError {
    /// There is no row, or a row has no values.
    #[error("the vector is empty")]
    #[strum(props(
        hint = "the vector is of no use as it is; `elpis vectors train` makes new ones"
    ))]
    Empty,
    /// A row is wider than [`MAX_WIDTH`].
    #[error("width is {width}, must be at most {MAX_WIDTH}")]
    TooWide {
        /// Number of values in the row.
        width: usize,
    },
    /// A layer is not below [`MAX_LAYERS`].
    #[error("layer is {layer}, must be below {MAX_LAYERS}")]
    LayerOutOfRange {
        /// The layer that was given.
        layer: usize,
    },
    /// Rows differ in width.
    #[error("layer {layer} has {width} values, the rows before it have {expected}")]
    WidthMismatch {
        /// The first layer that differs.
        layer: usize,
        /// Its number of values.
        width: usize,
        /// The number of values of the rows below it.
        expected: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {index} {} is {value}, must be finite", at_layer(*layer))]
    #[strum(props(
        hint = "the vector is of no use as it is; `elpis vectors train` makes new ones"
    ))]
    NotFinite {
        /// The row's layer; `None` in a bare vector.
        layer: Option<usize>,
        /// Index in the row.
        index: usize,
        /// The value found.
        value: f32,
    },
    /// Every value is zero.
    #[error("every value is zero, at least one row must have a norm above 0")]
    #[strum(props(
        hint = "the vector is of no use as it is; `elpis vectors train` makes new ones"
    ))]
    ZeroNorm,
    /// A matrix does not have a row for each layer of the model.
    #[error(
        "the matrix has {rows} rows without layers, must have {n_layers} (one for each layer of the model) or \
         {} (hidden states, the first of them the embedding)",
        n_layers.saturating_add(1)
    )]
    #[strum(props(
        hint = "it was made for another model; or save the rows under their layers, such as a dict from layers to tensors"
    ))]
    StackHeight {
        /// Its number of rows.
        rows: usize,
        /// The model's number of layers.
        n_layers: usize,
    },
}

fn at_layer(layer: Option<usize>) -> String {
    layer.map_or_else(
        || "of the bare row".to_owned(),
        |layer| format!("of layer {layer}"),
    )
}

impl VectorError {
    /// Stable label for metrics.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// The meaning of the rows of a stacked vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StackedRows {
    /// Row *k* is the output of decoder layer *k*, counted from 0.
    Layers,
    /// Row 0 is the embedding and row *k* + 1 the output of decoder layer *k*, as in Hugging Face's
    /// `hidden_states`. The embedding's row is left out.
    HiddenStates,
}

/// A validated steering vector, in one of three forms:
///
/// - *layered*, with one row for each of its layers;
/// - *bare*, one row whose layer comes from the manifest or the settings;
/// - *stacked*, a matrix whose rows follow the layers without naming them: only a model's number of
///   layers tells whether the first row belongs to the embedding ([`Self::for_layers`]).
///
/// All rows have the same width (1 to [`MAX_WIDTH`] values), every value is finite and at least
/// one is not zero.
#[derive(Debug, Clone, PartialEq)]
pub struct SteeringVector {
    rows: Rows,
    model_hint: Option<String>,
    layer_count: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Rows {
    Bare(Vec<f32>),
    Stacked(Vec<Vec<f32>>),
    Layered(BTreeMap<usize, Vec<f32>>),
}

impl SteeringVector {
    /// Makes a vector with one row for each layer (counted from 0, below [`MAX_LAYERS`]).
    ///
    /// # Errors
    ///
    /// [`VectorError`] if there are no rows, a layer is out of range, the rows differ in width, a
    /// value is not finite or all are zero.
    pub fn layered(rows: BTreeMap<usize, Vec<f32>>) -> Result<Self, VectorError> {
        let expected = rows.values().next().map_or(0, Vec::len);
        for (&layer, row) in &rows {
            if layer >= MAX_LAYERS {
                return Err(VectorError::LayerOutOfRange { layer });
            }
            if row.len() != expected {
                return Err(VectorError::WidthMismatch {
                    layer,
                    width: row.len(),
                    expected,
                });
            }
            check_row(Some(layer), row)?;
        }
        Self::checked(Rows::Layered(rows))
    }

    /// Makes a vector of one row without a layer.
    ///
    /// # Errors
    ///
    /// [`VectorError`] if the row is empty or too wide, a value is not finite or all are zero.
    pub fn bare(row: Vec<f32>) -> Result<Self, VectorError> {
        check_row(None, &row)?;
        Self::checked(Rows::Bare(row))
    }

    /// Makes a vector of rows that follow the layers without naming them; a single row is bare.
    ///
    /// # Errors
    ///
    /// [`VectorError`] if there are no rows or more than [`MAX_LAYERS`] + 1, the rows differ in
    /// width, a value is not finite or all are zero.
    pub fn stacked(mut rows: Vec<Vec<f32>>) -> Result<Self, VectorError> {
        if rows.len() <= 1 {
            return Self::bare(rows.pop().unwrap_or_default());
        }
        if rows.len() > MAX_LAYERS + 1 {
            return Err(VectorError::LayerOutOfRange {
                layer: rows.len() - 1,
            });
        }
        let expected = rows.first().map_or(0, Vec::len);
        for (index, row) in rows.iter().enumerate() {
            if row.len() != expected {
                return Err(VectorError::WidthMismatch {
                    layer: index,
                    width: row.len(),
                    expected,
                });
            }
            check_row(Some(index), row)?;
        }
        Self::checked(Rows::Stacked(rows))
    }

    fn checked(rows: Rows) -> Result<Self, VectorError> {
        let vector = Self {
            rows,
            model_hint: None,
            layer_count: None,
        };
        if vector.width() == 0 {
            return Err(VectorError::Empty);
        }
        if !vector.rows().any(|(_, row)| row.iter().any(|&x| x != 0.0)) {
            return Err(VectorError::ZeroNorm);
        }
        Ok(vector)
    }

    /// Number of values in each row.
    pub fn width(&self) -> usize {
        self.rows().next().map_or(0, |(_, row)| row.len())
    }

    /// Whether this is one row without a layer.
    pub fn is_bare(&self) -> bool {
        matches!(self.rows, Rows::Bare(_))
    }

    /// Whether this is a matrix whose rows follow the layers without naming them.
    pub fn is_stacked(&self) -> bool {
        matches!(self.rows, Rows::Stacked(_))
    }

    /// Iterates over the layers in ascending order; only a layered vector has any.
    pub fn layers(&self) -> impl Iterator<Item = usize> {
        self.rows().filter_map(|(layer, _)| layer)
    }

    /// Iterates over the rows in ascending order, with their layers where they have any.
    pub fn rows(&self) -> impl Iterator<Item = (Option<usize>, &[f32])> {
        let (unnamed, layered) = match &self.rows {
            Rows::Bare(row) => (std::slice::from_ref(row), None),
            Rows::Stacked(rows) => (rows.as_slice(), None),
            Rows::Layered(rows) => (&[][..], Some(rows)),
        };
        unnamed.iter().map(|row| (None, row.as_slice())).chain(
            layered
                .into_iter()
                .flatten()
                .map(|(&layer, row)| (Some(layer), row.as_slice())),
        )
    }

    /// The row of a layer, or a bare vector's row, which applies to any layer. A stacked vector has
    /// none.
    pub fn row(&self, layer: usize) -> Option<&[f32]> {
        match &self.rows {
            Rows::Bare(row) => Some(row),
            Rows::Stacked(_) => None,
            Rows::Layered(rows) => rows.get(&layer).map(Vec::as_slice),
        }
    }

    /// Euclidean norm of [`Self::row`].
    pub fn norm(&self, layer: usize) -> Option<f64> {
        self.row(layer).map(norm)
    }

    /// Multiplies every value, rounding to f32; the model hint and layer count stay.
    ///
    /// # Errors
    ///
    /// [`VectorError::NotFinite`] if the factor is not finite or a product overflows,
    /// [`VectorError::ZeroNorm`] if all products are zero.
    pub fn scaled(&self, factor: f64) -> Result<Self, VectorError> {
        let scale = |row: &[f32]| -> Vec<f32> {
            row.iter()
                .map(|&x| (f64::from(x) * factor) as f32)
                .collect()
        };
        let scaled = match &self.rows {
            Rows::Bare(row) => Self::bare(scale(row))?,
            Rows::Stacked(rows) => Self::stacked(rows.iter().map(|row| scale(row)).collect())?,
            Rows::Layered(rows) => {
                Self::layered(rows.iter().map(|(&k, row)| (k, scale(row))).collect())?
            }
        };
        Ok(scaled.described(self.model_hint.clone(), self.layer_count))
    }

    /// Gives a bare vector its layer; any other stays as it is.
    ///
    /// # Errors
    ///
    /// [`VectorError::LayerOutOfRange`] if the layer is not below [`MAX_LAYERS`].
    pub fn at_layer(self, layer: usize) -> Result<Self, VectorError> {
        if layer >= MAX_LAYERS {
            return Err(VectorError::LayerOutOfRange { layer });
        }
        Ok(match self.rows {
            Rows::Bare(row) => Self {
                rows: Rows::Layered(BTreeMap::from([(layer, row)])),
                ..self
            },
            Rows::Stacked(_) | Rows::Layered(_) => self,
        })
    }

    /// Gives the rows of a stacked vector the layers of a model; any other stays as it is. A row
    /// for each of the model's layers is taken as such, one more as its hidden states.
    ///
    /// # Errors
    ///
    /// [`VectorError::StackHeight`] for any other number of rows, [`VectorError::ZeroNorm`] if
    /// only the embedding's row was not zero.
    pub fn for_layers(self, n_layers: usize) -> Result<Self, VectorError> {
        let Rows::Stacked(rows) = &self.rows else {
            return Ok(self);
        };
        match rows.len() {
            rows if rows == n_layers => self.with_rows_as(StackedRows::Layers),
            rows if rows == n_layers.saturating_add(1) => {
                self.with_rows_as(StackedRows::HiddenStates)
            }
            rows => Err(VectorError::StackHeight { rows, n_layers }),
        }
    }

    /// Gives the rows of a stacked vector their layers, according to `meaning`; any other stays as
    /// it is.
    ///
    /// # Errors
    ///
    /// [`VectorError::LayerOutOfRange`] if there are more layers than [`MAX_LAYERS`],
    /// [`VectorError::ZeroNorm`] if only the embedding's row was not zero.
    pub fn with_rows_as(self, meaning: StackedRows) -> Result<Self, VectorError> {
        let Rows::Stacked(rows) = self.rows else {
            return Ok(self);
        };
        let skipped = match meaning {
            StackedRows::Layers => 0,
            StackedRows::HiddenStates => 1,
        };
        let rows = rows.into_iter().skip(skipped).enumerate().collect();
        Ok(Self::layered(rows)?.described(self.model_hint, self.layer_count))
    }

    /// The architecture that the vector was made for, as its file says (`controlvector.model_hint`
    /// in GGUF, metadata `model_hint` in safetensors).
    pub fn model_hint(&self) -> Option<&str> {
        self.model_hint.as_deref()
    }

    /// The layer count that a GGUF control vector declares (`controlvector.layer_count`). Nothing
    /// here relies on it.
    pub fn layer_count(&self) -> Option<u32> {
        self.layer_count
    }

    /// Sets what [`Self::model_hint`] and [`Self::layer_count`] return; an empty hint, or
    /// `unknown`, counts as none.
    #[must_use]
    pub fn described(mut self, model_hint: Option<String>, layer_count: Option<u32>) -> Self {
        self.model_hint =
            model_hint.filter(|hint| !matches!(hint.trim(), "" | "unknown" | "Unknown"));
        self.layer_count = layer_count;
        self
    }
}

fn check_row(layer: Option<usize>, row: &[f32]) -> Result<(), VectorError> {
    if row.is_empty() {
        return Err(VectorError::Empty);
    }
    if row.len() > MAX_WIDTH {
        return Err(VectorError::TooWide { width: row.len() });
    }
    match row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        Some((index, &value)) => Err(VectorError::NotFinite {
            layer,
            index,
            value,
        }),
        None => Ok(()),
    }
}

/// Euclidean norm, accumulated in f64 so that finite rows never overflow.
pub(super) fn norm(row: &[f32]) -> f64 {
    row.iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum::<f64>()
        .sqrt()
}
