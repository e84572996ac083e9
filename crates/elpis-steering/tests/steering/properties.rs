//! Properties of parsers, blends and training arithmetic.

#![expect(clippy::float_cmp, reason = "the compared results are exact")]

use std::collections::BTreeMap;

use elpis_steering::{
    BlendOptions, LibraryContext, LibraryError, LibraryFile, Manifest, SteeringLibrary,
    SteeringPlan, SteeringVector, VectorFormat, contrast, parse, write,
};
use proptest::prelude::*;

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> LibraryFile {
    LibraryFile {
        name: name.to_owned(),
        bytes: bytes.into(),
    }
}

fn layered(rows: &[(usize, Vec<f32>)]) -> SteeringVector {
    SteeringVector::layered(rows.iter().cloned().collect()).unwrap()
}

fn vector(name: &str, rows: &[(usize, Vec<f32>)]) -> LibraryFile {
    let bytes = write(VectorFormat::Safetensors, &layered(rows)).unwrap();
    file(&format!("{name}.safetensors"), bytes)
}

fn context() -> LibraryContext {
    LibraryContext {
        n_layers: 8,
        n_embd: 3,
        default_layer: Some(4),
        residual_norms: Some(vec![10.0; 8]),
        unsteerable: None,
    }
}

fn build(files: Vec<LibraryFile>) -> Result<SteeringLibrary, LibraryError> {
    SteeringLibrary::build(files, &context())
}

fn blend(library: &SteeringLibrary, coefficients: &[(&str, f64)]) -> Option<SteeringPlan> {
    library.blend(coefficients.iter().copied(), &BlendOptions::default())
}

const NAMES: [&str; 4] = ["calm", "depleted", "excited", "frustrated"];

fn rows(width: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let row = prop::collection::vec(-2.0_f32..2.0, width);
    prop::collection::vec(row, 4).prop_filter("not zero", |rows| {
        rows.iter().all(|row| row.iter().any(|&x| x != 0.0))
    })
}

fn four_files(rows: &[Vec<f32>]) -> Vec<LibraryFile> {
    let layers = [2, 3, 3, 5];
    NAMES
        .iter()
        .zip(rows)
        .zip(layers)
        .map(|((name, row), layer)| vector(name, &[(layer, row.clone()), (6, row.clone())]))
        .collect()
}

fn four(rows: &[Vec<f32>]) -> SteeringLibrary {
    build(four_files(rows)).unwrap()
}

fn length(row: &[f32]) -> f64 {
    let squares = row.iter().map(|&x| f64::from(x) * f64::from(x));
    squares.sum::<f64>().sqrt()
}

fn unit() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0_f64, 4)
}

fn values(plan: Option<&SteeringPlan>) -> BTreeMap<usize, Vec<f32>> {
    plan.into_iter()
        .flat_map(|plan| &plan.layers)
        .map(|steering| (steering.layer, steering.values.to_vec()))
        .collect()
}

proptest! {
    #[test]
    fn blends_are_linear_below_the_clamp(rows in rows(3), c in unit(), k in 0.05..0.5_f64) {
        let library = four(&rows);
        let options = BlendOptions { max_residual_fraction: f32::INFINITY, ..BlendOptions::default() };
        let all = |factor: f64| {
            // Kept away from the skipped range.
            let c = NAMES.into_iter().zip(&c).filter(|(_, c)| (*c * k).abs() > 0.011);
            values(library.blend(c.map(|(name, c)| (name, c * factor)), &options).as_ref())
        };
        let (whole, part) = (all(1.0), all(k));
        prop_assert_eq!(whole.len(), part.len());
        for (layer, row) in whole {
            for (x, y) in row.iter().zip(&part[&layer]) {
                prop_assert!((f64::from(*x) * k - f64::from(*y)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn blends_add_up_over_emotions(rows in rows(3), c in unit()) {
        let library = four(&rows);
        let options = BlendOptions { max_residual_fraction: f32::INFINITY, ..BlendOptions::default() };
        let mut sum: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (name, &c) in NAMES.iter().zip(&c) {
            for (layer, row) in values(library.blend([(*name, c)].into_iter(), &options).as_ref()) {
                let total = sum.entry(layer).or_insert_with(|| vec![0.0; row.len()]);
                total.iter_mut().zip(&row).for_each(|(t, &x)| *t += f64::from(x));
            }
        }
        let all = NAMES.into_iter().zip(c.iter().copied());
        for (layer, row) in values(library.blend(all, &options).as_ref()) {
            for (x, y) in row.iter().zip(&sum[&layer]) {
                prop_assert!((f64::from(*x) - y).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn no_layer_is_above_the_clamp(rows in rows(3), c in unit(), fraction in 0.01_f32..0.5) {
        let library = four(&rows);
        let all = || NAMES.into_iter().zip(c.iter().copied());
        let free = BlendOptions { max_residual_fraction: f32::INFINITY, ..BlendOptions::default() };
        let options = BlendOptions { max_residual_fraction: fraction, ..BlendOptions::default() };
        let free = library.blend(all(), &free);
        let plan = library.blend(all(), &options);
        prop_assert_eq!(free.is_some(), plan.is_some());
        for (steering, free) in plan.iter().flat_map(|p| &p.layers).zip(free.iter().flat_map(|p| &p.layers)) {
            let norm = steering.values.iter().map(|x| x * x).sum::<f32>().sqrt();
            prop_assert!(norm <= fraction * 10.0 * 1.000_01);
            prop_assert!((norm - steering.norm).abs() <= norm * 1e-5);
            prop_assert!((steering.residual_fraction.unwrap() - norm / 10.0).abs() < 1e-4);
            if steering.clamped {
                prop_assert!(norm >= fraction * 10.0 * 0.999_99);
            } else {
                prop_assert_eq!(steering, free);
            }
        }
    }

    #[test]
    fn no_strength_exceeds_a_cap(rows in rows(3), c in unit(), strength in 0.5..50.0_f64, cap in 0.1..2.0_f64) {
        let manifest = NAMES.map(|name| format!("[emotions.{name}]\ncap = {cap:?}\n")).concat();
        let mut files = four_files(&rows);
        files.push(file("vectors.toml", manifest));
        let capped = build(files).unwrap();
        let free = BlendOptions { max_residual_fraction: f32::INFINITY, ..BlendOptions::default() };
        let strong: Vec<_> = NAMES.into_iter().zip(c.iter().map(|c| c * strength)).collect();
        let plan = capped.blend(strong.iter().copied(), &free);
        let longest = rows.iter().map(|row| length(row)).fold(0.0, f64::max);
        for layer in plan.iter().flat_map(|plan| &plan.layers) {
            let most = cap * longest;
            prop_assert!(f64::from(layer.norm) <= most * 1.000_01, "{} above {most}", layer.norm);
        }
        // What exceeds the caps keeps its direction; all else is as without caps.
        let uncapped = BlendOptions { keep_caps: false, ..free };
        let unbound = capped.blend(strong.iter().copied(), &uncapped);
        let pairs = plan.iter().flat_map(|p| &p.layers).zip(unbound.iter().flat_map(|p| &p.layers));
        for (kept, unbound) in pairs {
            prop_assert_eq!(kept.layer, unbound.layer);
            let factor = f64::from(kept.norm) / f64::from(unbound.norm);
            prop_assert!(kept.clamped == (factor < 0.999_99) || factor > 0.999_9);
            for (a, b) in kept.values.iter().zip(&unbound.values) {
                let (a, b) = (f64::from(*a), f64::from(*b) * factor);
                prop_assert!((a - b).abs() <= 1e-4 * f64::from(kept.norm).max(1e-3), "{a} {b}");
            }
        }
        // Without a cap in the file, or if caps are not kept, strength has no such bound.
        let bare = four(&rows).blend(strong.iter().map(|(name, c)| (*name, c * cap)), &free);
        let (unbound, bare) = (values(unbound.as_ref()), values(bare.as_ref()));
        if strong.iter().all(|(_, c)| (c * cap).abs() > 0.02) {
            for (a, b) in unbound.values().flatten().zip(bare.values().flatten()) {
                prop_assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn the_order_of_coefficients_does_not_matter(
        rows in rows(3),
        c in unit(),
        order in Just([0, 1, 2, 3, 0, 2]).prop_shuffle(),
    ) {
        let library = four(&rows);
        let given = |order: &[usize]| {
            let c = order.iter().map(|&i| (NAMES[i], c[i]));
            library.blend(c, &BlendOptions::default())
        };
        prop_assert_eq!(given(&order), given(&[0, 0, 1, 2, 2, 3]));
    }

    #[test]
    fn small_coefficients_change_nothing(rows in rows(3), c in unit(), small in -0.009_9..0.009_9_f64) {
        let library = four(&rows);
        let without = blend(&library, &[("calm", c[0]), ("excited", c[1])]);
        let with = blend(&library, &[("calm", c[0]), ("excited", c[1]), ("depleted", small)]);
        prop_assert_eq!(with, without);
    }

    #[test]
    fn written_vectors_are_read_bit_for_bit(
        rows in prop::collection::btree_map(0..1024_usize, prop::collection::vec(any::<f32>(), 5), 1..6)
    ) {
        if let Ok(vector) = SteeringVector::layered(rows) {
            // A .npy file has no names for layers.
            for format in VectorFormat::ALL.iter().copied().filter(|f| *f != VectorFormat::Npy) {
                let again = parse(format, &write(format, &vector).unwrap()).unwrap();
                for ((a, x), (b, y)) in vector.rows().zip(again.rows()) {
                    prop_assert_eq!(a, b);
                    prop_assert!(x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits()));
                }
                prop_assert_eq!(vector.layers().count(), again.layers().count());
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for &format in VectorFormat::ALL {
            let _ = parse(format, &bytes);
        }
        let _ = Manifest::parse(&bytes);
        let _ = Manifest::parse(String::from_utf8_lossy(&bytes).as_bytes());
    }

    #[test]
    fn mutated_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let layers = layered(&[(1, vec![1.0; 9]), (3, vec![2.0; 9])]);
        let matrix = SteeringVector::stacked(vec![vec![1.0; 9]; 3]).unwrap();
        for &format in VectorFormat::ALL {
            let vector = if format == VectorFormat::Npy { &matrix } else { &layers };
            let mut bytes = write(format, vector).unwrap();
            for (index, value) in &changes {
                let index = index.index(bytes.len());
                bytes[index] = *value;
            }
            if let Some(cut) = cut {
                let length = cut.index(bytes.len());
                bytes.truncate(length);
            }
            let _ = parse(format, &bytes);
        }
    }

    #[test]
    fn pca_finds_the_direction_that_pairs_differ_in(
        direction in prop::collection::vec(-1.0_f32..1.0, 8),
        pairs in prop::collection::vec((0.5_f32..2.0, prop::collection::vec(-0.01_f32..0.01, 8)), 4..12),
    ) {
        let norm = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
        prop_assume!(norm > 0.5);
        let (positive, negative): (Vec<Vec<f32>>, Vec<Vec<f32>>) = pairs
            .iter()
            .map(|(length, noise)| {
                let p = direction.iter().zip(noise).map(|(d, n)| d * length + n).collect();
                (p, noise.iter().map(|n| -n).collect())
            })
            .unzip();
        let found = contrast::pca(&positive, &negative).unwrap();
        let cosine = found.iter().zip(&direction).map(|(f, d)| f * d).sum::<f32>() / norm;
        prop_assert!(cosine > 0.99, "cosine {}", cosine);
        let length = found.iter().map(|x| x * x).sum::<f32>().sqrt();
        prop_assert!((length - 1.0).abs() < 1e-5);
        let p = contrast::scores(&positive, &found).unwrap();
        let n = contrast::scores(&negative, &found).unwrap();
        prop_assert_eq!(contrast::auc(&p, &n).unwrap(), 1.0);
    }

    #[test]
    fn mean_difference_changes_its_sign_with_the_sets(rows in rows(5), other in rows(5)) {
        let there = contrast::mean_difference(&rows, &other).unwrap();
        let back = contrast::mean_difference(&other, &rows).unwrap();
        prop_assert!(there.iter().zip(&back).all(|(x, y)| *x == -y));
    }

    #[test]
    fn without_the_common_mean_vectors_sum_to_zero(rows in rows(5)) {
        let rest = contrast::remove_common_mean(&rows).unwrap();
        for i in 0..5 {
            let sum: f64 = rest.iter().map(|row| f64::from(row[i])).sum();
            prop_assert!(sum.abs() < 1e-5);
        }
    }

    #[test]
    fn auc_counts_pairs(
        positive in prop::collection::vec(-3..4_i8, 1..20),
        negative in prop::collection::vec(-3..4_i8, 1..20),
    ) {
        let p: Vec<f64> = positive.iter().map(|&x| f64::from(x)).collect();
        let n: Vec<f64> = negative.iter().map(|&x| f64::from(x)).collect();
        let pairs: f64 = p
            .iter()
            .flat_map(|p| n.iter().map(move |n| match p.total_cmp(n) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            }))
            .sum();
        let auc = contrast::auc(&p, &n).unwrap();
        prop_assert!((auc - pairs / (p.len() * n.len()) as f64).abs() < 1e-12);
        prop_assert!((contrast::auc(&n, &p).unwrap() - (1.0 - auc)).abs() < 1e-12);
    }
}
