//! An exponential that gives the same bits on every platform, and sums of it.
//!
//! The standard library uses the system's exponential, which differs in the last bit between
//! systems. This one only uses additions and multiplications, which IEEE 754 specifies exactly, in
//! a form that compilers vectorise.

/// Below this argument the result is 0; `exp(-87)` is just above the smallest normal f32.
const UNDERFLOW: f32 = -87.0;
/// 1.5 · 2²³: adding it to a small number rounds that to an integer, kept in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few bits, so that its product with an integer is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
const LANES: usize = 16;

/// Computes e^x for x ≤ 0 with a relative error below 3 · 10⁻⁷; 0 below [`UNDERFLOW`].
///
/// Cody and Waite's range reduction, then a Taylor polynomial on |r| ≤ ln 2 / 2.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    let clamped = if x < UNDERFLOW { UNDERFLOW } else { x };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0));
    let poly = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * tail)));
    // The low nine bits of `rounded` hold n; shifted, they land in the exponent.
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x < UNDERFLOW { 0.0 } else { poly * scale }
}

/// Sums `exp((logit - max) · inverse_temperature)` in a fixed order.
pub(super) fn sum(logits: &[f32], max: f32, inverse_temperature: f32) -> f64 {
    let mut total = 0.0;
    for block in logits.chunks(1024) {
        let mut lanes = [0.0_f32; LANES];
        let mut chunks = block.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (lane, &logit) in lanes.iter_mut().zip(chunk) {
                *lane += exp((logit - max) * inverse_temperature);
            }
        }
        for (lane, &logit) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane += exp((logit - max) * inverse_temperature);
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_true_exponential() {
        let mut worst = 0.0_f64;
        for step in 0..1_000_000 {
            let x = -(step as f32) * 87e-6;
            let truth = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - truth).abs() / truth);
        }
        assert!(worst < 3e-7, "{worst}");
        assert_eq!(exp(0.0).to_bits(), 1.0_f32.to_bits());
        assert_eq!(exp(-87.5).to_bits(), 0);
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
    }
}
