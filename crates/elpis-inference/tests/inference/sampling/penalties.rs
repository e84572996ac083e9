//! Penalties for repeated tokens.

use elpis_inference::{Sampler, SamplingParams};

#[test]
fn the_penalty_counts_a_token_once_and_forgets_it() {
    let params = SamplingParams {
        repetition_penalty: 2.0,
        repetition_window: 2,
        ..SamplingParams::greedy()
    };
    let mut sampler = Sampler::new(params, 3).expect("valid");
    let logits = [4.0, 1.5, 1.9];
    assert_eq!(sampler.sample(&logits), Ok(0));
    for token in [0, 0] {
        sampler.accept(token).expect("in range");
    }
    // 4 / 2 = 2 is still the highest; a second division would have made it 1.
    assert_eq!(sampler.sample(&logits), Ok(0));
    assert_eq!(sampler.sample(&[3.0, 1.6, 1.9]), Ok(2));
    assert_eq!(sampler.sample(&[-1.0, -1.9, -3.0]), Ok(1));
    sampler.accept(1).expect("in range");
    sampler.accept(2).expect("in range");
    assert_eq!(sampler.sample(&[3.0, 5.9, 5.8]), Ok(0));
    let wider = SamplingParams {
        repetition_window: 3,
        ..params
    };
    sampler.set_params(wider).expect("valid");
    assert_eq!(sampler.sample(&[3.0, 3.5, 3.4]), Ok(1));
}

#[test]
fn presence_counts_once_and_frequency_each_time() {
    let params = SamplingParams {
        presence_penalty: 1.0,
        ..SamplingParams::greedy()
    };
    let mut sampler = Sampler::new(params, 3).expect("valid");
    for token in [0, 0, 0, 1] {
        sampler.accept(token).expect("in range");
    }
    assert_eq!(sampler.sample(&[2.5, 0.0, 1.0]), Ok(0));
    assert_eq!(sampler.sample(&[1.5, 0.0, 1.0]), Ok(2));
    sampler
        .set_params(SamplingParams {
            frequency_penalty: 0.5,
            presence_penalty: 0.0,
            ..params
        })
        .expect("valid");
    // Token 0 loses 1.5 and token 1 loses 0.5.
    assert_eq!(sampler.sample(&[2.6, 0.0, 1.0]), Ok(0));
    assert_eq!(sampler.sample(&[2.4, 0.0, 1.0]), Ok(2));
    assert_eq!(sampler.sample(&[2.4, 1.6, 1.0]), Ok(1));
    // The penalties of the repeated token do not bring a masked one back.
    sampler
        .set_params(SamplingParams {
            presence_penalty: -2.0,
            ..params
        })
        .expect("valid");
    assert_eq!(sampler.sample_masked(&[9.0, 0.0, 1.0], &[0b110]), Ok(1));
    assert_eq!(
        sampler.sample(&[f32::NEG_INFINITY, f32::NEG_INFINITY, -5.0]),
        Ok(2)
    );
}
