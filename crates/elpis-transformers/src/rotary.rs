//! Rotary position embedding of queries and keys.

use tch::{Device, Kind, Tensor};

use super::rope::RopeSpec;

type Result<T> = std::result::Result<T, tch::TchError>;

/// Frequencies of one kind of rotary embedding.
#[derive(Debug)]
pub(super) struct Rotary {
    /// `[1, pairs]`, f32.
    frequencies: Tensor,
    /// Factor of sine and cosine.
    factor: f64,
    dim: usize,
}

/// The sine and cosine of each row of a batch.
#[derive(Debug)]
pub(super) struct RotaryTable {
    /// `[rows, 1, dim]`.
    cosine: Tensor,
    /// `[rows, 1, dim]`, negative in the first half.
    sine: Tensor,
    dim: i64,
}

impl Rotary {
    /// Computes the frequencies for sequences of at most `length` tokens.
    pub fn new(spec: &RopeSpec, length: usize) -> Result<Self> {
        let pairs = spec.dim / 2;
        // Computed in f32 like torch, because a difference in the last bit grows with the position.
        let exponents: Vec<f32> = (0..pairs)
            .map(|i| (2 * i) as f32 / spec.dim as f32)
            .collect();
        let powers = Tensor::f_pow_scalar(spec.theta, &Tensor::f_from_slice(&exponents)?)?;
        let mut frequencies = vec![0_f32; pairs];
        powers
            .f_reciprocal()?
            .f_to_kind(Kind::Float)?
            .f_copy_data(&mut frequencies, pairs)?;
        let factor = spec.scale(&mut frequencies, length);
        Ok(Self {
            frequencies: Tensor::f_from_slice(&frequencies)?.f_view([1, pairs as i64])?,
            factor,
            dim: spec.dim,
        })
    }

    /// Sine and cosine for the given positions `[rows]`.
    pub fn table(&self, positions: &Tensor, kind: Kind, device: Device) -> Result<RotaryTable> {
        let angles = positions
            .f_to_kind(Kind::Float)?
            .f_unsqueeze(1)?
            .f_mul(&self.frequencies)?;
        let table = |part: Tensor, first: f64| -> Result<Tensor> {
            let part = part.f_mul_scalar(self.factor)?;
            Tensor::f_cat(&[part.f_mul_scalar(first)?, part], 1)?
                .f_unsqueeze(1)?
                .f_to_device_(device, kind, false, false)
        };
        Ok(RotaryTable {
            cosine: table(angles.f_cos()?, 1.0)?,
            sine: table(angles.f_sin()?, -1.0)?,
            dim: self.dim as i64,
        })
    }
}

impl RotaryTable {
    /// Rotates `x` `[rows, heads, width]`. The channels of a pair are half of the rotated part
    /// apart.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let width = x.size().last().copied().unwrap_or(0);
        if width == self.dim {
            return self.turn(x);
        }
        let turned = self.turn(&x.f_narrow(2, 0, self.dim)?)?;
        Tensor::f_cat(&[turned, x.f_narrow(2, self.dim, width - self.dim)?], 2)
    }

    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let mut swapped = x.f_roll([self.dim / 2].as_slice(), [2_i64].as_slice())?;
        x.f_mul(&self.cosine)?.f_add_(&swapped.f_mul_(&self.sine)?)
    }
}
