//! Rotary position embeddings and their scaling beyond the trained context.
//!
//! Pair i of a head's channels is rotated by position × `inv_freq[i]`, where `inv_freq[i]` =
//! θ^(−2i/d) (Su et al., `RoFormer`, 2021). The scalings change the frequencies: linear
//! interpolation (Chen et al., 2023), `YaRN` (Peng et al., 2023), `LongRoPE` (Ding et al., 2024)
//! and the one of Llama 3.1.

use std::f64::consts::PI;

use super::fields::Fields;
use elpis_backend::BackendError;

/// One kind of rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RopeSpec {
    /// Base of the frequencies.
    pub theta: f64,
    /// Number of rotated channels of a head; the others are unchanged.
    pub dim: usize,
    scaling: Scaling,
}

#[derive(Debug, Clone, PartialEq)]
enum Scaling {
    None,
    Linear {
        factor: f64,
    },
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
    Yarn {
        factor: f64,
        attention: f64,
        fast: f64,
        slow: f64,
        original: f64,
        truncate: bool,
    },
    Long {
        short: Vec<f32>,
        long: Vec<f32>,
        attention: f64,
        original: usize,
    },
}

impl RopeSpec {
    /// Reads the embedding of a model, or of its layers of one kind.
    pub fn read(
        file: &Fields<'_>,
        kind: Option<&str>,
        default_theta: f64,
        head_dim: usize,
        context: usize,
    ) -> Result<Self, BackendError> {
        let parameters = match (file.object("rope_parameters")?, kind) {
            (Some(all), Some(kind)) => all.object(kind)?.or(Some(all)),
            (Some(all), None) => Some(all),
            (None, _) => file.object("rope_scaling")?,
        };
        Self::from_parameters(
            file,
            parameters.as_ref(),
            "rope_theta",
            default_theta,
            head_dim,
            context,
        )
    }

    /// Reads the embedding of Gemma 3's layers with a sliding window.
    pub fn read_local(
        file: &Fields<'_>,
        default_theta: f64,
        head_dim: usize,
        context: usize,
    ) -> Result<Self, BackendError> {
        let parameters = match file.object("rope_parameters")? {
            Some(all) => all.object("sliding_attention")?,
            None => None,
        };
        Self::from_parameters(
            file,
            parameters.as_ref(),
            "rope_local_base_freq",
            default_theta,
            head_dim,
            context,
        )
    }

    fn from_parameters(
        file: &Fields<'_>,
        parameters: Option<&Fields<'_>>,
        theta_name: &str,
        default_theta: f64,
        head_dim: usize,
        context: usize,
    ) -> Result<Self, BackendError> {
        let stated = |name: &str| match parameters {
            Some(parameters) => match parameters.optional_positive(name)? {
                Some(number) => Ok(Some(number)),
                None => file.optional_positive(name),
            },
            None => file.optional_positive(name),
        };
        let theta = match parameters
            .map(|p| p.optional_positive("rope_theta"))
            .transpose()?
            .flatten()
        {
            Some(theta) => theta,
            None => file.optional_positive(theta_name)?.unwrap_or(default_theta),
        };
        let share = stated("partial_rotary_factor")?.unwrap_or(1.0);
        let dim = (head_dim as f64 * share) as usize;
        if dim == 0 || dim > head_dim || !dim.is_multiple_of(2) {
            return Err(file.error(
                "partial_rotary_factor",
                format!("{share} of a head of {head_dim} is not an even number of values"),
            ));
        }
        let scaling = match parameters {
            Some(parameters) => Scaling::read(file, parameters, dim, context)?,
            None => Scaling::None,
        };
        Ok(Self {
            theta,
            dim,
            scaling,
        })
    }

    /// Scales the frequencies θ^(−2i/d), `[dim / 2]`, for sequences of at most `length` tokens, and
    /// returns the factor of sine and cosine.
    pub fn scale(&self, frequencies: &mut [f32], length: usize) -> f64 {
        match &self.scaling {
            Scaling::None => 1.0,
            Scaling::Linear { factor } => {
                for f in frequencies {
                    *f /= *factor as f32;
                }
                1.0
            }
            Scaling::Llama3 {
                factor,
                low,
                high,
                original,
            } => {
                for f in frequencies {
                    *f = llama3(
                        *f,
                        *factor as f32,
                        *low as f32,
                        *high as f32,
                        *original as f32,
                    );
                }
                1.0
            }
            Scaling::Yarn {
                factor,
                attention,
                fast,
                slow,
                original,
                truncate,
            } => {
                let (from, to) =
                    yarn_range(self.dim, self.theta, *original, *fast, *slow, *truncate);
                for (i, f) in frequencies.iter_mut().enumerate() {
                    let ramp = ((i as f32 - from) / (to - from)).clamp(0.0, 1.0);
                    let keep = 1.0 - ramp;
                    let interpolated = *f / *factor as f32;
                    *f = interpolated * (1.0 - keep) + *f * keep;
                }
                *attention
            }
            Scaling::Long {
                short,
                long,
                attention,
                original,
            } => {
                // One choice for the whole cache, because keys rotated with different frequencies
                // are incompatible.
                let factors = if length > *original { long } else { short };
                for (f, factor) in frequencies.iter_mut().zip(factors) {
                    *f /= factor;
                }
                *attention
            }
        }
    }
}

impl Scaling {
    fn read(
        file: &Fields<'_>,
        parameters: &Fields<'_>,
        dim: usize,
        context: usize,
    ) -> Result<Self, BackendError> {
        let name = match parameters.optional_text("rope_type")? {
            Some(name) => name,
            None => parameters.optional_text("type")?.unwrap_or("default"),
        };
        let original = match parameters.optional_positive("original_max_position_embeddings")? {
            Some(original) => original,
            None => file
                .optional_positive("original_max_position_embeddings")?
                .unwrap_or(context as f64),
        };
        // Early Phi-3 files use this name for LongRoPE.
        let long = parameters.get("short_factor").is_some();
        match name {
            // `dynamic` only differs beyond the trained length, which no sequence exceeds.
            "default" | "dynamic" => Ok(Self::None),
            "linear" => Ok(Self::Linear {
                factor: parameters.positive("factor")?,
            }),
            "llama3" => Ok(Self::Llama3 {
                factor: parameters.positive("factor")?,
                low: parameters.positive("low_freq_factor")?,
                high: parameters.positive("high_freq_factor")?,
                original,
            }),
            "longrope" | "su" => Self::read_long(parameters, dim, context, original),
            "yarn" if long => Self::read_long(parameters, dim, context, original),
            "yarn" => Self::read_yarn(parameters, context, original),
            other => Err(parameters.error("rope_type", format!("`{other}` is not supported"))),
        }
    }

    fn read_yarn(
        parameters: &Fields<'_>,
        context: usize,
        original: f64,
    ) -> Result<Self, BackendError> {
        let factor = parameters
            .optional_positive("factor")?
            .unwrap_or(context as f64 / original);
        let magnitude = |scale: f64| {
            if factor <= 1.0 {
                1.0
            } else {
                0.1 * scale * factor.ln() + 1.0
            }
        };
        let attention = match parameters.optional_positive("attention_factor")? {
            Some(given) => given,
            None => match (
                parameters.optional_positive("mscale")?,
                parameters.optional_positive("mscale_all_dim")?,
            ) {
                (Some(one), Some(all)) => magnitude(one) / magnitude(all),
                _ => magnitude(1.0),
            },
        };
        Ok(Self::Yarn {
            factor,
            attention,
            fast: parameters.optional_positive("beta_fast")?.unwrap_or(32.0),
            slow: parameters.optional_positive("beta_slow")?.unwrap_or(1.0),
            original,
            truncate: parameters.flag("truncate")?.unwrap_or(true),
        })
    }

    fn read_long(
        parameters: &Fields<'_>,
        dim: usize,
        context: usize,
        original: f64,
    ) -> Result<Self, BackendError> {
        let factor = parameters
            .optional_positive("factor")?
            .unwrap_or(context as f64 / original);
        let attention = match parameters.optional_positive("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        Ok(Self::Long {
            short: factors(parameters, "short_factor", dim)?,
            long: factors(parameters, "long_factor", dim)?,
            attention,
            original: original as usize,
        })
    }
}

fn factors(parameters: &Fields<'_>, name: &str, dim: usize) -> Result<Vec<f32>, BackendError> {
    let list = parameters
        .list(name)?
        .ok_or_else(|| parameters.error(name, "is missing"))?;
    if list.len() != dim / 2 {
        return Err(parameters.error(
            name,
            format!("has {} entries; a head turns {} pairs", list.len(), dim / 2),
        ));
    }
    list.iter()
        .map(|value| match value.as_f64() {
            Some(factor) if factor > 0.0 && factor.is_finite() => Ok(factor as f32),
            _ => Err(parameters.error(name, format!("holds {value}, which is not above 0"))),
        })
        .collect()
}

/// Llama 3.1: long wavelengths are scaled by `factor`, short ones kept, and those between
/// interpolated.
fn llama3(frequency: f32, factor: f32, low: f32, high: f32, original: f32) -> f32 {
    let wave = 2.0 * PI as f32 / frequency;
    if wave > original / low {
        frequency / factor
    } else if wave < original / high {
        frequency
    } else {
        let smooth = (original / wave - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

/// The range of pairs in which `YaRN` changes from keeping to interpolating.
fn yarn_range(
    dim: usize,
    theta: f64,
    original: f64,
    fast: f64,
    slow: f64,
    truncate: bool,
) -> (f32, f32) {
    let dim = dim as f64;
    let pair = |turns: f64| dim * (original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut from, mut to) = (pair(fast), pair(slow));
    if truncate {
        (from, to) = (from.floor(), to.ceil());
    }
    let from = from.max(0.0);
    let mut to = to.min(dim - 1.0);
    if from.total_cmp(&to).is_eq() {
        to += 0.001;
    }
    (from as f32, to as f32)
}
