//! Logits and parameters at their limits and beyond.

use elpis_inference::{MAX_REPETITION_WINDOW, Sampler, SamplingError, SamplingParams, greedy};

use super::plain;

#[test]
fn refuses_bad_logits() {
    let mut sampler = Sampler::new(plain(), 4).expect("valid");
    let before = sampler.clone();
    let lowest = f32::NEG_INFINITY;
    assert_eq!(
        sampler.sample(&[lowest; 4]),
        Err(SamplingError::NoCandidates)
    );
    assert_eq!(greedy(&[lowest; 4]), Err(SamplingError::NoCandidates));
    assert_eq!(greedy(&[]), Err(SamplingError::NoCandidates));
    for bad in [f32::NAN, f32::INFINITY] {
        let error = sampler.sample(&[0.0, 1.0, bad, 0.0]).expect_err("refused");
        assert!(
            matches!(error, SamplingError::InvalidLogit { token: 2, .. }),
            "{error}"
        );
        assert_eq!(error.kind(), "invalid_logit");
        assert!(greedy(&[bad]).is_err());
    }
    assert_eq!(
        sampler.sample(&[0.0; 3]),
        Err(SamplingError::LogitsLength {
            got: 3,
            expected: 4
        })
    );
    assert_eq!(
        sampler.sample_masked(&[0.0; 4], &[]),
        Err(SamplingError::MaskLength {
            got: 0,
            expected: 1
        })
    );
    assert_eq!(
        sampler.sample_masked(&[0.0; 4], &[0xF0]),
        Err(SamplingError::NoCandidates)
    );
    assert_eq!(
        sampler.accept(4),
        Err(SamplingError::TokenOutOfRange {
            token: 4,
            vocabulary: 4
        })
    );
    assert!(Sampler::new(plain(), 0).is_err());
    // A refusal takes no random number.
    let mut before = before;
    assert_eq!(sampler.sample(&[0.0; 4]), before.sample(&[0.0; 4]));
}

#[test]
fn survives_extremes() {
    for temperature in [f32::from_bits(1), 1e-30, 2.0] {
        let params = SamplingParams {
            temperature,
            ..plain()
        };
        let mut sampler = Sampler::new(params, 3).expect("valid");
        for _ in 0..20 {
            assert_eq!(sampler.sample(&[f32::MIN, f32::MAX, f32::MIN]), Ok(1));
        }
    }
    let harsh = SamplingParams {
        repetition_penalty: f32::from_bits(1),
        temperature: 1.0,
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(harsh, 2).expect("valid");
    sampler.accept(1).expect("in range");
    assert_eq!(sampler.sample(&[5.0, 1.0]), Ok(1));
}

#[test]
fn parameters_have_limits() {
    let base = SamplingParams::default();
    assert_eq!(base.validate(), Ok(()));
    assert_eq!(SamplingParams::greedy().validate(), Ok(()));
    for (params, field) in [
        (
            SamplingParams {
                temperature: 2.1,
                ..base
            },
            "temperature",
        ),
        (
            SamplingParams {
                temperature: -0.1,
                ..base
            },
            "temperature",
        ),
        (
            SamplingParams {
                temperature: f32::NAN,
                ..base
            },
            "temperature",
        ),
        (SamplingParams { top_p: 0.0, ..base }, "top_p"),
        (SamplingParams { top_p: 1.1, ..base }, "top_p"),
        (
            SamplingParams {
                top_p: f32::NAN,
                ..base
            },
            "top_p",
        ),
        (SamplingParams { min_p: 1.0, ..base }, "min_p"),
        (
            SamplingParams {
                min_p: f32::NAN,
                ..base
            },
            "min_p",
        ),
        (
            SamplingParams {
                repetition_penalty: 0.0,
                ..base
            },
            "repetition_penalty",
        ),
        (
            SamplingParams {
                repetition_penalty: f32::INFINITY,
                ..base
            },
            "repetition_penalty",
        ),
        (
            SamplingParams {
                repetition_penalty: f32::NAN,
                ..base
            },
            "repetition_penalty",
        ),
        (
            SamplingParams {
                repetition_window: MAX_REPETITION_WINDOW + 1,
                ..base
            },
            "repetition_window",
        ),
    ] {
        match params.validate() {
            Err(SamplingError::OutOfRange { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
        assert!(Sampler::new(params, 10).is_err());
    }
    let error = SamplingParams {
        temperature: 2.5,
        ..base
    }
    .validate()
    .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "sampling parameter temperature is 2.5, allowed is 0 to 2"
    );
    let read: SamplingParams = serde_json::from_str(r#"{"top_k": 7}"#).expect("reads");
    assert_eq!(read, SamplingParams { top_k: 7, ..base });
}

#[test]
fn penalties_are_bounded_in_both_directions() {
    for bad in [2.1, -2.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let presence = SamplingParams {
            presence_penalty: bad,
            ..plain()
        };
        let frequency = SamplingParams {
            frequency_penalty: bad,
            ..plain()
        };
        for (params, field) in [
            (presence, "presence_penalty"),
            (frequency, "frequency_penalty"),
        ] {
            match Sampler::new(params, 10) {
                Err(SamplingError::OutOfRange { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
    for good in [-2.0, 0.0, 2.0] {
        let params = SamplingParams {
            presence_penalty: good,
            frequency_penalty: good,
            ..plain()
        };
        assert_eq!(params.validate(), Ok(()));
    }
}
