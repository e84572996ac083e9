//! The metrics of one generation.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::{counter, histogram};

use super::PROVIDER;
use crate::inference::AppliedModulation;
use crate::scheduler::PromptAccount;
use crate::steering::{Expressed, SteeringLibrary};
use crate::telemetry::table::{
    DECODE_TIME, EXPRESSED_AROUSAL, EXPRESSED_VALENCE, INFERENCE_TIME, LATENCY, OTEL_DURATION,
    OTEL_PER_TOKEN, OTEL_TIME_TO_FIRST_TOKEN, OTEL_TOKENS, PREFILL_TIME, PREFIX_HITS,
    PREFIX_HITS_OTHER, PREFIX_QUERIES, PROMPT_TOKENS, QUEUE_TIME, REPETITION_GUARD,
    REQUEST_GENERATION_TOKENS, REQUEST_PROMPT_TOKENS, REQUESTS, RESUMES, STEERING_COEFFICIENT,
    STEERING_FRACTION, TIME_TO_FIRST_TOKEN,
};

/// Maximum number of emotions with their own series during the life of the process: each reload may
/// add others.
const MAX_EMOTIONS: usize = 32;

/// The label of all further emotions.
const OTHER: &str = "other";

static NAMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Records the metrics of one generation; times are in seconds.
#[derive(Debug)]
pub(super) struct Measures {
    /// The model's name; empty while unknown.
    pub(super) model: String,
    opentelemetry: bool,
}

impl Measures {
    pub(super) fn new(opentelemetry: bool) -> Self {
        Self {
            model: String::new(),
            opentelemetry,
        }
    }

    fn record(&self, name: &'static str, value: f64) {
        histogram!(name, "model" => self.model.clone()).record(value);
    }

    fn count(&self, name: &'static str, value: u32) {
        counter!(name, "model" => self.model.clone()).increment(value.into());
    }

    pub(super) fn queue(&self, seconds: f64) {
        self.record(QUEUE_TIME, seconds);
    }

    /// Records the first token, with the times since the submission and since the slot.
    pub(super) fn first_token(&self, submitted: f64, started: f64, prompt: PromptAccount) {
        self.record(TIME_TO_FIRST_TOKEN, submitted);
        self.record(PREFILL_TIME, started);
        self.record(REQUEST_PROMPT_TOKENS, prompt.tokens.into());
        self.count(PROMPT_TOKENS, prompt.tokens);
        self.count(PREFIX_QUERIES, prompt.tokens);
        self.count(PREFIX_HITS, prompt.cached);
        self.count(PREFIX_HITS_OTHER, prompt.under_other_steering);
        if self.opentelemetry {
            histogram!(OTEL_TIME_TO_FIRST_TOKEN, &self.labels(None)).record(submitted);
            let labels = self.labels(Some(("gen_ai.token.type", "input")));
            histogram!(OTEL_TOKENS, &labels).record(prompt.tokens);
        }
    }

    /// Records a modulation. Only emotions that steer get a series, up to the maximum.
    pub(super) fn modulation(&self, applied: &AppliedModulation, library: &SteeringLibrary) {
        for (emotion, coefficient) in applied.coefficients.iter() {
            if coefficient != 0.0 && library.emotion(emotion).is_some() {
                let (model, emotion) = (self.model.clone(), label_of(emotion));
                histogram!(STEERING_COEFFICIENT, "model" => model, "emotion" => emotion)
                    .record(coefficient);
            }
        }
        for fraction in applied.steering.iter().filter_map(|s| s.residual_fraction) {
            self.record(STEERING_FRACTION, fraction.into());
        }
    }

    pub(super) fn steering_lowered(&self) {
        self.count(REPETITION_GUARD, 1);
    }

    /// Records what a reply expresses.
    pub(super) fn expressed(&self, expressed: &Expressed) {
        self.record(EXPRESSED_VALENCE, expressed.valence);
        self.record(EXPRESSED_AROUSAL, expressed.arousal);
    }

    pub(super) fn resumes(&self, resumes: u32) {
        self.count(RESUMES, resumes);
    }

    /// Records how long it held a slot and how long it generated.
    pub(super) fn served(&self, seconds: f64, decoding: Option<f64>, generated: Option<u32>) {
        self.record(INFERENCE_TIME, seconds);
        if let Some(decoding) = decoding {
            self.record(DECODE_TIME, decoding);
        }
        let Some(tokens) = generated else { return };
        self.record(REQUEST_GENERATION_TOKENS, tokens.into());
        if !self.opentelemetry {
            return;
        }
        let labels = self.labels(Some(("gen_ai.token.type", "output")));
        histogram!(OTEL_TOKENS, &labels).record(tokens);
        if let (Some(decoding), 2..) = (decoding, tokens) {
            let per_token = decoding / f64::from(tokens - 1);
            histogram!(OTEL_PER_TOKEN, &self.labels(None)).record(per_token);
        }
    }

    pub(super) fn ended(&self, outcome: &'static str) {
        counter!(REQUESTS, "model" => self.model.clone(), "outcome" => outcome).increment(1);
    }

    /// Records the total time. Requests that were refused immediately are left out, because they
    /// would distort the latencies.
    pub(super) fn whole(&self, seconds: f64, waited: bool, error: Option<&'static str>) {
        if waited {
            self.record(LATENCY, seconds);
        }
        if self.opentelemetry {
            let labels = self.labels(error.map(|error| ("error.type", error)));
            histogram!(OTEL_DURATION, &labels).record(seconds);
        }
    }

    /// The labels of OpenTelemetry's metrics.
    fn labels(&self, further: Option<(&'static str, &str)>) -> Vec<(&'static str, String)> {
        let mut labels = vec![
            ("gen_ai.operation.name", "chat".to_owned()),
            ("gen_ai.provider.name", PROVIDER.to_owned()),
            ("gen_ai.request.model", self.model.clone()),
        ];
        labels.extend(further.map(|(name, value)| (name, value.to_owned())));
        labels
    }
}

fn label_of(emotion: &str) -> String {
    // The set is consistent even after a panic.
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    if !named.contains(emotion) {
        if named.len() >= MAX_EMOTIONS {
            return OTHER.to_owned();
        }
        named.insert(emotion.to_owned());
    }
    emotion.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emotions_beyond_the_bound_share_a_series() {
        let labels: BTreeSet<_> = (0..1000).map(|n| label_of(&format!("e{n}"))).collect();
        assert!(labels.contains(OTHER));
        assert!(labels.len() <= MAX_EMOTIONS + 1);
        assert_eq!(label_of("e0"), "e0", "known ones keep theirs");
    }
}
