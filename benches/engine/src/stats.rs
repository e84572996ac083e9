//! Order statistics of measured values.

/// The median, or 0 without values.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (n, middle) if n % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The smallest value that at least `percent` of the values do not exceed, or 0 without values.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    let index = rank.saturating_sub(1).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0.0)
}

/// The smallest value, or 0 without values.
pub fn least(values: &[f64]) -> f64 {
    sorted(values).first().copied().unwrap_or(0.0)
}

/// The largest value, or 0 without values.
pub fn greatest(values: &[f64]) -> f64 {
    sorted(values).last().copied().unwrap_or(0.0)
}

/// The geometric mean, or 0 without values.
pub fn geometric_mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (logarithms / values.len() as f64).exp()
}

/// Rounds to five digits, because further digits are noise.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() < 1e-12,
            "{value} is not {expected}"
        );
    }

    #[test]
    fn order_statistics_by_hand() {
        let values = [3.0, 1.0, 2.0];
        same(median(&values), 2.0);
        same(median(&[1.0, 2.0, 3.0, 10.0]), 2.5);
        same(least(&values), 1.0);
        same(greatest(&values), 3.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        same(percentile(&hundred, 99.0), 99.0);
        same(percentile(&hundred, 50.0), 50.0);
        same(percentile(&values, 99.0), 3.0);
        same(geometric_mean(&[2.0, 8.0]), 4.0);
        same(geometric_mean(&[]), 0.0);
        same(median(&[]) + percentile(&[], 99.0), 0.0);
    }
}
