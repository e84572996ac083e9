//! Options of training, and its findings for each layer and emotion.

use std::str::FromStr;

use super::capture::ReadAt;
use super::pairs::{ContrastPairs, Form};

/// The method for finding a direction.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Mean of the positive activations minus mean of the negative ones.
    #[default]
    Mean,
    /// First principal component of the paired differences.
    Pca,
}

impl Method {
    /// The names of all values.
    pub const NAMES: &[&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Mean, Self::Pca]
            .into_iter()
            .find(|method| method.as_str() == name)
            .ok_or_else(|| format!("{name:?} is not one of {}", Self::NAMES.join(", ")))
    }
}

/// Options of training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// The layers; if empty, several in the middle of the model that separate the emotions.
    pub layers: Vec<usize>,
    /// The sentences to train on; with `None`, [`ContrastPairs::default_form`].
    pub form: Option<Form>,
    /// The method for finding a direction.
    pub method: Method,
    /// The tokens at which statements are read. Replies are read as a whole.
    pub at: ReadAt,
    /// Mean norm of the vectors, summed over their layers, in units of the median norm of the
    /// residual stream at each layer.
    pub strength: f32,
    /// Whether to keep the component that all emotions have in common. By default it is removed, so
    /// that a neutral state, a mixture of all emotions, steers nothing.
    pub keep_common: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            form: None,
            method: Method::default(),
            at: ReadAt::default(),
            strength: Self::DEFAULT_STRENGTH,
            keep_common: false,
        }
    }
}

impl TrainOptions {
    /// Default mean norm of the vectors.
    pub const DEFAULT_STRENGTH: f32 = 0.4;

    /// The sentences to train on.
    pub(super) fn form(&self, pairs: &ContrastPairs) -> Form {
        self.form.unwrap_or_else(|| pairs.default_form())
    }
}

/// The separation of held-out sentences at a layer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerScore {
    /// The layer.
    pub layer: usize,
    /// For each emotion, the probability that one of its sentences lies
    /// further along its direction than a neutral one or one of another
    /// emotion; 0.5 is chance.
    pub auc: Vec<(String, f64)>,
    /// Their mean.
    pub mean: f64,
}

/// The evidence for an emotion's vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// Number of its pairs.
    pub pairs: usize,
    /// Number of positive sentences of held-out pairs, by which the layers were judged.
    pub held_out: usize,
}
