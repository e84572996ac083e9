//! Random weights in the encodings of model files.

use std::thread;

use half::{bf16, f16};

/// Values that share a scale in `q8_0`.
const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 2 + BLOCK;
const HALF_BLOCK_BYTES: usize = 2 + BLOCK / 2;

/// The encoding of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    F32,
    F16,
    Bf16,
    /// Blocks of 32 signed bytes with an f16 scale.
    Q8,
    /// Blocks of 32 half bytes with an f16 scale.
    Q4,
}

impl Encoding {
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8_0",
            Self::Q4 => "q4_0",
        }
    }

    /// The encoding's number in a tensor's entry of GGUF.
    pub const fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 30,
            Self::Q8 => 8,
            Self::Q4 => 2,
        }
    }

    /// The encoding's number for a whole GGUF file.
    pub const fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Q8 => 7,
            Self::Q4 => 2,
        }
    }

    /// Size in bytes of `count` numbers.
    pub const fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => 4 * values,
            Self::F16 | Self::Bf16 => 2 * values,
            Self::Q8 => values / BLOCK * BLOCK_BYTES,
            Self::Q4 => values / BLOCK * HALF_BLOCK_BYTES,
        }
    }

    fn encode(self, values: &[f32], out: &mut [u8]) {
        match self {
            Self::F32 => {
                for (out, value) in out.chunks_exact_mut(4).zip(values) {
                    out.copy_from_slice(&value.to_le_bytes());
                }
            }
            Self::F16 => {
                for (out, &value) in out.chunks_exact_mut(2).zip(values) {
                    out.copy_from_slice(&f16::from_f32(value).to_le_bytes());
                }
            }
            Self::Bf16 => {
                for (out, &value) in out.chunks_exact_mut(2).zip(values) {
                    out.copy_from_slice(&bf16::from_f32(value).to_le_bytes());
                }
            }
            Self::Q8 => {
                let blocks = values.chunks_exact(BLOCK);
                for (out, block) in out.chunks_exact_mut(BLOCK_BYTES).zip(blocks) {
                    encode_block(block, out);
                }
            }
            Self::Q4 => {
                let blocks = values.chunks_exact(BLOCK);
                for (out, block) in out.chunks_exact_mut(HALF_BLOCK_BYTES).zip(blocks) {
                    encode_half_block(block, out);
                }
            }
        }
    }
}

fn encode_block(values: &[f32], out: &mut [u8]) {
    let greatest = values
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = greatest / 127.0;
    let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
    let (head, bytes) = out.split_at_mut(2);
    head.copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = ((value * inverse).round() as i8).cast_unsigned();
    }
}

/// The value furthest from 0 becomes −8. The two halves of a byte are 16 values apart.
fn encode_half_block(values: &[f32], out: &mut [u8]) {
    let furthest = values.iter().fold(0.0_f32, |most, &value| {
        if value.abs() > most.abs() {
            value
        } else {
            most
        }
    });
    let scale = furthest / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { scale.recip() };
    let nibble = |value: f32| (value * inverse + 8.5).clamp(0.0, 15.0) as u8;
    let (head, bytes) = out.split_at_mut(2);
    head.copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let (low, high) = values.split_at(BLOCK / 2);
    for ((byte, &low), &high) in bytes.iter_mut().zip(low).zip(high) {
        *byte = nibble(low) | nibble(high) << 4;
    }
}

/// Random numbers by index, so that any part of a tensor can be generated separately.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    seed: u64,
}

impl Noise {
    /// The numbers of a stream.
    pub fn new(stream: u64) -> Self {
        Self { seed: mix(stream) }
    }

    /// A uniformly distributed number.
    pub fn bits(self, index: u64) -> u64 {
        mix(self
            .seed
            .wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// A number of mean 0 and variance 1, close to normal: the sum of four uniform ones.
    pub fn normal(self, index: u64) -> f32 {
        /// Mean of the sum of four numbers from 0 to 65535.
        const MEAN: i32 = 131_070;
        const DEVIATION: f32 = 37_837.2;
        let bits = self.bits(index);
        let part = |shift: u32| (bits >> shift) as u16;
        let sum: i32 = [0, 16, 32, 48]
            .map(|shift| i32::from(part(shift)))
            .iter()
            .sum();
        (sum - MEAN) as f32 / DEVIATION
    }
}

/// The output function of `SplitMix64`.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// A tensor to generate: normally distributed numbers, or ones if the deviation is 0.
#[derive(Debug, Clone, Copy)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub encoding: Encoding,
    /// Standard deviation of the numbers.
    pub deviation: f32,
    /// Rows at the front that are zero.
    pub zero_rows: usize,
}

impl Matrix {
    /// Size of the data in bytes.
    pub const fn bytes(&self) -> usize {
        self.rows * self.row_bytes()
    }

    const fn row_bytes(&self) -> usize {
        self.encoding.bytes(self.columns)
    }

    /// Generates the data on all cores.
    pub fn fill(&self, noise: Noise, out: &mut Vec<u8>) {
        out.clear();
        out.resize(self.bytes(), 0);
        let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let rows = self.rows.div_ceil(workers);
        thread::scope(|scope| {
            let parts = out.chunks_mut(rows * self.row_bytes());
            for (worker, part) in parts.enumerate() {
                scope.spawn(move || self.fill_rows(noise, worker * rows, part));
            }
        });
    }

    fn fill_rows(&self, noise: Noise, first: usize, out: &mut [u8]) {
        let mut values = vec![1.0; self.columns];
        for (row, out) in (first..).zip(out.chunks_exact_mut(self.row_bytes())) {
            if row < self.zero_rows {
                values.fill(0.0);
            } else if self.deviation > 0.0 {
                let start = (row * self.columns) as u64;
                for (index, value) in (start..).zip(&mut values) {
                    *value = noise.normal(index) * self.deviation;
                }
            }
            self.encoding.encode(&values, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_enough() {
        let noise = Noise::new(1);
        let values: Vec<f64> = (0..100_000).map(|i| f64::from(noise.normal(i))).collect();
        let moment = |power| values.iter().map(|x| x.powi(power)).sum::<f64>() / 1e5;
        assert!(moment(1).abs() < 0.02, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "{}", moment(2));
        assert!(values.iter().all(|x| x.abs() < 3.6));
        assert!((Noise::new(2).normal(0) - noise.normal(0)).abs() > 1e-6);
    }

    #[test]
    fn blocks_keep_values_to_half_a_step() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 - 40.0) * 0.1).collect();
        let mut bytes = vec![0; Encoding::Q8.bytes(64)];
        Encoding::Q8.encode(&values, &mut bytes);
        for (block, values) in bytes
            .chunks_exact(BLOCK_BYTES)
            .zip(values.chunks_exact(BLOCK))
        {
            let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
            for (&byte, value) in block[2..].iter().zip(values) {
                let back = f32::from(byte.cast_signed()) * scale;
                assert!((back - value).abs() <= scale * 0.6, "{back} {value}");
            }
        }
        let mut zero = [1; BLOCK_BYTES];
        encode_block(&[0.0; BLOCK], &mut zero);
        assert_eq!(zero, [0; BLOCK_BYTES]);
    }

    #[test]
    fn rows_are_the_same_however_they_are_split() {
        let matrix = Matrix {
            rows: 7,
            columns: 32,
            encoding: Encoding::F16,
            deviation: 0.5,
            zero_rows: 2,
        };
        let (mut whole, mut parallel) = (vec![0; matrix.bytes()], Vec::new());
        matrix.fill_rows(Noise::new(3), 0, &mut whole);
        matrix.fill(Noise::new(3), &mut parallel);
        assert_eq!(whole, parallel);
        assert!(whole[..128].iter().all(|&byte| byte == 0));
        assert!(whole[128..].iter().any(|&byte| byte != 0));
    }
}
