//! Values of a wrong type or out of range.

use elpis::settings::fields;

use super::{load, message};

#[test]
fn ranges_name_field_value_limit_and_origin() {
    let table = [
        (
            "ELPIS_MODEL_TEMPERATURE",
            "2.5",
            "model.temperature is 2.5, but must be 0 to 2",
        ),
        (
            "ELPIS_MODEL_TEMPERATURE",
            "NaN",
            "model.temperature is NaN, but must be 0 to 2",
        ),
        (
            "ELPIS_MODEL_TOP_P",
            "0",
            "model.top_p is 0.0, but must be more than 0, at most 1",
        ),
        (
            "ELPIS_MODEL_CONTEXT_LENGTH",
            "511",
            "model.context_length is 511, but must be 512 to 131072",
        ),
        (
            "ELPIS_MODEL_CONTEXT_LENGTH",
            "-1",
            "model.context_length is -1, but must be 512 to 131072",
        ),
        (
            "ELPIS_MODEL_GPU_LAYERS",
            "-2",
            "model.gpu_layers is -2, but must be -1 or more",
        ),
        (
            "ELPIS_MODEL_SEED",
            "-1",
            "model.seed is -1, but must be 0 to 18446744073709551615",
        ),
        (
            "ELPIS_MODEL_BATCH_SIZE",
            "8193",
            "model.batch_size is 8193, but must be 32 to 8192",
        ),
        (
            "ELPIS_MODEL_TENSOR_SPLIT",
            "1,-1",
            "model.tensor_split is 1.0,-1.0, but must be 0 or more",
        ),
        (
            "ELPIS_EMOTION_DECAY_RATE",
            "inf",
            "emotion.decay_rate is inf, but must be 0 to 100",
        ),
        (
            "ELPIS_EMOTION_BASELINE_VALENCE",
            "1.01",
            "emotion.baseline_valence is 1.01, but must be -1 to 1",
        ),
        (
            "ELPIS_RUNTIME_N_PARALLEL",
            "0",
            "runtime.n_parallel is 0, but must be 1 to 254",
        ),
    ];
    for (variable, value, expected) in table {
        let expected = format!("{expected} (from {variable} in the environment)");
        assert_eq!(message("", &[(variable, value)]), expected);
    }
    let message = message(
        "[model]\n\ntemperature = 3",
        &[("ELPIS_MODEL_TEMPERATURE", "1")],
    );
    assert!(
        message.starts_with("model.temperature is 3.0") && message.contains("elpis.toml:3"),
        "{message}"
    );
}

/// The bounds of a range as it is documented: lowest, whether it is itself refused, highest; and
/// whether 0 is allowed besides.
fn bounds(range: &str) -> (f64, bool, Option<f64>, bool) {
    let number = |text: &str| text.parse::<f64>().unwrap();
    if let Some(rest) = range.strip_prefix("more than ") {
        let (low, high) = match rest.split_once(", at most ") {
            Some((low, high)) => (low, Some(number(high))),
            None => (rest, None),
        };
        return (number(low), true, high, false);
    }
    let (range, or_zero) = match range.strip_prefix("0, or ") {
        Some(rest) => (rest, true),
        None => (range, false),
    };
    match range.split_once(" to ") {
        Some((low, high)) => (number(low), false, Some(number(high)), or_zero),
        None => (
            number(range.strip_suffix(" or more").unwrap()),
            false,
            None,
            or_zero,
        ),
    }
}

/// What other settings must be so that this one may be at its bounds.
fn companions(name: &str) -> Vec<(&'static str, String)> {
    let pair = |variable, value: f64| (variable, value.to_string());
    let (history, spiral, steps) = (
        "ELPIS_EMOTION_TRAJECTORY_HISTORY_SIZE",
        "ELPIS_EMOTION_SPIRAL_HISTORY_COUNT",
        "ELPIS_EMOTION_SPIRAL_INCREASING_THRESHOLD",
    );
    match name {
        "emotion.trajectory_history_size" => vec![pair(spiral, 2.0), pair(steps, 1.0)],
        "emotion.spiral_history_count" => vec![pair(history, 1024.0), pair(steps, 1.0)],
        "emotion.spiral_increasing_threshold" => {
            vec![pair(history, 1024.0), pair(spiral, 1024.0)]
        }
        "emotion.strength_limit" => vec![pair("ELPIS_EMOTION_STEERING_STRENGTH", 0.0)],
        "runtime.restart_backoff_initial_ms" => {
            vec![pair("ELPIS_RUNTIME_RESTART_BACKOFF_MAX_MS", 600_000.0)]
        }
        "runtime.restart_backoff_max_ms" => {
            vec![pair("ELPIS_RUNTIME_RESTART_BACKOFF_INITIAL_MS", 0.0)]
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_documented_bound_is_allowed_and_one_step_beyond_is_refused_with_its_origin() {
    let mut tried = 0;
    for field in fields() {
        let Some(range) = field.range() else { continue };
        let name = field.full_name();
        let (low, open, high, or_zero) = bounds(&range);
        let step = if field.type_name() == "whole number" {
            1.0
        } else {
            1e-6
        };
        let text = |value: f64| match field.type_name().as_str() {
            // One share above 0 is asked of the list besides.
            "list of numbers" => format!("1,{value}"),
            _ => value.to_string(),
        };
        let try_it = |value: f64| {
            let mut variables = companions(name);
            let variable = field.variable();
            variables.push(("", text(value)));
            let pairs: Vec<(&str, &str)> = variables
                .iter()
                .map(|(known, value)| match *known {
                    "" => (variable.as_str(), value.as_str()),
                    known => (known, value.as_str()),
                })
                .collect();
            load("", &pairs)
        };
        let mut allowed = vec![if open { low + step } else { low }];
        allowed.extend(high);
        allowed.extend(or_zero.then_some(0.0));
        for value in allowed {
            let loaded = try_it(value);
            assert!(loaded.is_ok(), "{name} = {value} in {range}: {loaded:?}");
            tried += 1;
        }
        let below = if open { low } else { low - step };
        for value in [Some(below), high.map(|high| high + step)]
            .into_iter()
            .flatten()
        {
            let error = try_it(value).unwrap_err();
            assert_eq!(error.kind(), "out-of-range", "{name} = {value}: {error}");
            let told = error.to_string();
            assert!(
                told.contains(&range) && told.contains(&format!("from {}", field.variable())),
                "{told}"
            );
        }
    }
    assert!(tried > 100, "{tried} bounds");
}

#[test]
fn numbers_of_a_mood_that_do_not_fit_together_name_their_origin() {
    let told = message("", &[("ELPIS_EMOTION_SPIRAL_HISTORY_COUNT", "21")]);
    assert_eq!(
        told,
        "emotion.spiral_history_count is 21, but must be at most 20 (trajectory_history_size) \
         (from ELPIS_EMOTION_SPIRAL_HISTORY_COUNT in the environment)"
    );
    let told = message(
        "[emotion]\nvalence_limit = 0.2\nbaseline_valence = -0.5",
        &[],
    );
    assert!(
        told.contains("emotion.valence_limit is 0.2") && told.contains("elpis.toml:2"),
        "{told}"
    );
}

#[test]
fn wrong_types_and_words_are_named() {
    let table = [
        (
            "[model]\ntemperature = \"hot\"",
            "must be a value of type number, but is a string",
        ),
        (
            "[model]\nmmap = 1",
            "must be a value of type true or false, but is a whole number",
        ),
        (
            "[model]\npath = 3",
            "must be a value of type text, but is a whole number",
        ),
        (
            "[model]\nmax_tokens = 1.5",
            "must be a value of type whole number, but is a number",
        ),
        ("[model]\nseed = 1979-05-27", "but is a date"),
        (
            "model = 3",
            "model must be a value of type table, [model], but is a whole number",
        ),
        (
            "[model]\ntensor_split = [\"a\"]",
            "must be a value of type list of numbers, but is a string",
        ),
    ];
    for (toml, part) in table {
        let error = load(toml, &[]).unwrap_err();
        assert_eq!(error.kind(), "wrong-type");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(message("", &[("ELPIS_MODEL_MMAP", "maybe")]).contains("but is `maybe`"));
    let message = message("[model]\nbackend = \"llama_cp\"", &[]);
    assert!(
        message.contains("must be one of `llama-cpp`, `transformers`"),
        "{message}"
    );
    assert!(
        message.ends_with("; did you mean `llama-cpp`?"),
        "{message}"
    );
}
