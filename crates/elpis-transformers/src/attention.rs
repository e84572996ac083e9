//! Attention of a batch's rows over the cells of their sequences.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::cache::LayerCache;
use super::config::DecoderConfig;
use super::step::{Group, Mask};

type Result<T> = std::result::Result<T, tch::TchError>;

/// A group's cells and mask on a device, for one window.
#[derive(Debug)]
pub(super) struct Prepared {
    group: Group,
    cells: Range<usize>,
    causal: bool,
    /// `[rows, cells]`, added to the scores.
    mask: Option<Tensor>,
}

/// Copies the groups' masks to a device.
pub(super) fn prepare(
    groups: &[Group],
    window: Option<usize>,
    kind: Kind,
    device: Device,
) -> Result<Vec<Prepared>> {
    groups
        .iter()
        .map(|group| {
            let view = group.view(window);
            let mask = match &view.mask {
                Mask::Table(table) => {
                    let size = [group.rows() as i64, view.cells.len() as i64];
                    let table = Tensor::f_from_slice(table)?.f_view(size)?;
                    Some(table.f_to_device_(device, kind, false, false)?)
                }
                _ => None,
            };
            Ok(Prepared {
                group: group.clone(),
                cells: view.cells,
                causal: view.mask == Mask::Causal,
                mask,
            })
        })
        .collect()
}

/// Computes attention for `queries` `[rows, heads, width]` and returns `[rows, heads × width]`.
pub(super) fn attend(
    config: &DecoderConfig,
    prepared: &[Prepared],
    queries: &Tensor,
    cache: &LayerCache,
    context: usize,
) -> Result<Tensor> {
    let outputs = prepared
        .iter()
        .map(|group| attend_group(config, group, queries, cache, context))
        .collect::<Result<Vec<_>>>()?;
    match &outputs[..] {
        [one] => Ok(one.shallow_clone()),
        many => Tensor::f_cat(many, 0),
    }
}

fn attend_group(
    config: &DecoderConfig,
    prepared: &Prepared,
    queries: &Tensor,
    cache: &LayerCache,
    context: usize,
) -> Result<Tensor> {
    let (kv, group, width) = (
        config.n_kv_heads as i64,
        config.group() as i64,
        config.head_dim as i64,
    );
    let (from, cells) = (prepared.cells.start as i64, prepared.cells.len() as i64);
    let (first_row, first_sequence, sequences) = match &prepared.group {
        Group::Rows {
            first_row,
            first_sequence,
            lengths,
        } => (*first_row, *first_sequence, lengths.len()),
        Group::Chunk {
            first_row,
            sequence,
            ..
        } => (*first_row, *sequence, 1),
    };
    let rows = prepared.group.rows() as i64;
    // [sequences, heads, cells, width], views of the cache.
    let window = |tensor: &Tensor| {
        tensor
            .f_view([-1, context as i64, kv, width])?
            .f_narrow(0, first_sequence as i64, sequences as i64)?
            .f_narrow(1, from, cells)?
            .f_transpose(1, 2)
    };
    let (keys, values) = (window(&cache.keys)?, window(&cache.values)?);
    let queries = if rows == queries.size().first().copied().unwrap_or(0) {
        queries.shallow_clone()
    } else {
        queries.f_narrow(0, first_row as i64, rows)?
    };
    let queries = queries.f_view([rows, kv, group, width])?;
    let attended = match &prepared.group {
        // Query heads that share keys take the place of query positions, so that keys are read
        // once.
        Group::Rows { .. } => {
            let mask = match &prepared.mask {
                Some(mask) => Some(mask.f_view([rows, 1, 1, cells])?),
                None => None,
            };
            kernel(config, &queries, &keys, &values, mask.as_ref(), false)?
        }
        // They take the place of sequences, which share keys by a stride of 0.
        Group::Chunk { .. } => {
            let queries = queries.f_permute([2, 1, 0, 3])?;
            let shared = [group, kv, cells, width];
            let (keys, values) = (
                keys.f_expand(shared, false)?,
                values.f_expand(shared, false)?,
            );
            let mask = match &prepared.mask {
                Some(mask) => Some(mask.f_view([1, 1, rows, cells])?),
                None => None,
            };
            kernel(
                config,
                &queries,
                &keys,
                &values,
                mask.as_ref(),
                prepared.causal,
            )?
            .f_permute([2, 1, 0, 3])?
        }
    };
    attended.f_reshape([rows, kv * group * width])
}

fn kernel(
    config: &DecoderConfig,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
    causal: bool,
) -> Result<Tensor> {
    let Some(cap) = config.attention_softcap else {
        return Tensor::f_scaled_dot_product_attention(
            queries,
            keys,
            values,
            mask,
            0.0,
            causal,
            config.attention_scale,
            false,
        );
    };
    // No fused kernel supports a soft cap on scores.
    let mut scores = queries.f_matmul(&keys.f_transpose(2, 3)?)?;
    scores = scores.f_mul_scalar(config.attention_scale)?;
    scores = scores.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?;
    if causal {
        let size = scores.size();
        let rows = size.get(2).copied().unwrap_or(0);
        let hidden = Tensor::f_full(
            [rows, rows],
            f64::NEG_INFINITY,
            (scores.kind(), scores.device()),
        )?
        .f_triu(1)?;
        scores = scores.f_add(&hidden)?;
    }
    if let Some(mask) = mask {
        scores = scores.f_add(mask)?;
    }
    scores
        .f_softmax(-1, Kind::Float)?
        .f_to_kind(values.kind())?
        .f_matmul(values)
}
