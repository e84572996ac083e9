//! The fuzz targets on their seeds and on small changes of them. `cargo xtask fuzz` searches further.

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::in_own_process;

/// Maximum time for the changes of the seeds of one target.
const TIME: Duration = Duration::from_millis(1500);

/// Number of changes of each seed.
const CHANGES: usize = 64;

type Target = (&'static str, fn(&[u8]), Option<&'static str>);

/// Each target with the extension of the files in `tests/data` that are seeds as well.
const TARGETS: [Target; 13] = [
    ("frames", targets::frames::run, None),
    ("gguf", targets::gguf::run, Some("steering/gguf")),
    ("gguf_model", targets::gguf_model::run, Some("gguf/gguf")),
    ("hub", targets::hub::run, None),
    ("manifest", targets::manifest::run, None),
    ("pt", targets::pt::run, Some("steering/pt")),
    (
        "safetensors",
        targets::safetensors::run,
        Some("steering/safetensors"),
    ),
    ("schemas", targets::schemas::run, None),
    ("settings", targets::settings::run, None),
    ("store_import", targets::store_import::run, None),
    ("store_rows", targets::store_rows::run, None),
    ("templates", targets::templates::run, None),
    ("tool_calls", targets::tool_calls::run, None),
];

fn files(folder: &Path, extension: Option<&str>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| extension.is_none_or(|wanted| path.extension().is_some_and(|e| e == wanted)))
        .collect();
    paths.sort();
    paths
}

fn seeds((name, _, data): &Target) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = files(&root.join("fuzz/seeds").join(name), None);
    if let Some((folder, extension)) = data.and_then(|data| data.split_once('/')) {
        paths.extend(files(
            &root.join("tests/data").join(folder),
            Some(extension),
        ));
    }
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes a few bytes: replaces, removes, repeats or cuts.
fn change(seed: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..5) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {
                let end = (at + random.random_range(1..32)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

fn run(target: &Target) {
    let (name, run, _) = target;
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in &seeds {
        run(seed);
    }
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (start, mut changes) = (Instant::now(), 0);
    'all: for _ in 0..CHANGES {
        for seed in &seeds {
            if start.elapsed() > TIME {
                break 'all;
            }
            run(&change(seed, &mut random));
            changes += 1;
        }
    }
    println!("{name}: {} seeds, {changes} changes", seeds.len());
}

#[test]
fn no_seed_and_no_small_change_of_one_is_a_finding() {
    in_own_process!(no_seed_and_no_small_change_of_one_is_a_finding);
    TARGETS.iter().for_each(run);
}

#[cfg(feature = "transformers")]
#[test]
fn no_seed_of_a_checkpoint_is_a_finding() {
    in_own_process!(no_seed_of_a_checkpoint_is_a_finding);
    run(&("checkpoint", targets::checkpoint::run, None));
}
