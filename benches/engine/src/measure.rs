//! Shared parts of all figures: runs, rounds and outcomes.

use std::cell::RefCell;
use std::path::PathBuf;

use anyhow::Result;
use elpis::HardwareReport;
use elpis::settings::{BackendKind, HardwareBackend, ModelSettings};
use serde_json::{Map, Value};

use crate::model::{Format, ModelSpec};
use crate::stats::median;

/// The measurement of a figure on a model.
pub struct Run {
    pub spec: &'static ModelSpec,
    /// The model's file.
    pub path: PathBuf,
    pub rounds: usize,
    /// Whether this is a quick pass whose numbers mean nothing.
    pub smoke: bool,
    /// The hardware that the model runs on, on both sides.
    pub hardware: HardwareBackend,
    /// A description of the GPUs.
    pub gpu: Option<String>,
    /// Number of threads that evaluate, on both sides.
    pub threads: usize,
    /// Number of turns of each side in a round. A machine's speed varies within seconds, so short turns
    /// give both sides the same conditions.
    pub turns: usize,
}

/// The outcome of a figure.
pub struct Outcome {
    /// The value that the bound applies to.
    pub value: f64,
    /// The value of each round.
    pub rounds: Vec<f64>,
    /// Whether all further conditions, besides the bound, are met.
    pub sound: bool,
    /// Further values by name.
    pub details: Map<String, Value>,
}

impl Outcome {
    /// An outcome whose value is the median of the rounds.
    pub fn median(rounds: Vec<f64>) -> Self {
        Self {
            value: median(&rounds),
            rounds,
            sound: true,
            details: Map::new(),
        }
    }

    /// Adds a further value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

impl Run {
    /// A run with the number of threads that the library chooses.
    pub fn new(spec: &'static ModelSpec, path: PathBuf, rounds: usize, smoke: bool) -> Self {
        let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            spec,
            path,
            rounds,
            smoke,
            hardware: HardwareBackend::Cpu,
            gpu: None,
            threads: num_cpus::get_physical().clamp(1, usable),
            turns: if smoke { 1 } else { 4 },
        }
    }

    /// The same run on other hardware.
    ///
    /// # Errors
    /// An error if the machine does not have it.
    pub fn on(mut self, hardware: HardwareBackend) -> Result<Self> {
        let backend = match self.spec.format {
            Format::Gguf => BackendKind::LlamaCpp,
            Format::Folder => BackendKind::Transformers,
        };
        let model = ModelSettings::default()
            .backend(backend)
            .hardware_backend(hardware);
        let mut selected = HardwareReport::take(&model)?.selected_devices();
        selected.retain(|device| device.kind.is_gpu());
        let names: Vec<_> = selected.into_iter().map(|gpu| gpu.description).collect();
        self.gpu = (!names.is_empty()).then(|| names.join(" + "));
        self.hardware = hardware;
        Ok(self)
    }

    /// Prints the result of a round.
    pub fn tell(&self, round: usize, text: &str) {
        eprintln!("   round {} of {}: {text}", round + 1, self.rounds);
    }

    /// Measures two rates in turn and returns the median of the rounds' ratios. Each function
    /// is given a number that differs from call to call.
    pub fn ratio(
        &self,
        ours: impl FnMut(u64) -> Result<f64>,
        theirs: impl FnMut(u64) -> Result<f64>,
    ) -> Result<Outcome> {
        self.ratio_of("tokens", ours, theirs)
    }

    /// As [`ratio`](Self::ratio), for units other than tokens.
    pub fn ratio_of(
        &self,
        things: &str,
        mut ours: impl FnMut(u64) -> Result<f64>,
        mut theirs: impl FnMut(u64) -> Result<f64>,
    ) -> Result<Outcome> {
        // The first pass of each side warms the caches.
        ours(0)?;
        theirs(0)?;
        let mut rounds = Rounds::new(things);
        for round in 0..self.rounds {
            let rates = self.take_turns(round, &mut ours, &mut theirs)?;
            rounds.add(self, rates);
        }
        Ok(rounds.outcome())
    }

    /// As [`ratio`](Self::ratio), with sides that `start` creates anew for each round. One instance can
    /// be faster or slower by a tenth for its whole life, perhaps because of its memory layout.
    pub fn ratio_afresh<S>(
        &self,
        start: impl FnMut(usize) -> Result<S>,
        ours: impl FnMut(&mut S, u64) -> Result<f64>,
        theirs: impl FnMut(&mut S, u64) -> Result<f64>,
    ) -> Result<Outcome> {
        self.ratio_afresh_of("tokens", start, ours, theirs)
    }

    /// As [`ratio_afresh`](Self::ratio_afresh), for units other than tokens.
    pub fn ratio_afresh_of<S>(
        &self,
        things: &str,
        mut start: impl FnMut(usize) -> Result<S>,
        mut ours: impl FnMut(&mut S, u64) -> Result<f64>,
        mut theirs: impl FnMut(&mut S, u64) -> Result<f64>,
    ) -> Result<Outcome> {
        let mut rounds = Rounds::new(things);
        for round in 0..self.rounds {
            let sides = RefCell::new(start(round)?);
            let mut ours = |seed| ours(&mut sides.borrow_mut(), seed);
            let mut theirs = |seed| theirs(&mut sides.borrow_mut(), seed);
            ours(0)?;
            theirs(0)?;
            let rates = self.take_turns(round, &mut ours, &mut theirs)?;
            rounds.add(self, rates);
        }
        Ok(rounds.outcome())
    }

    /// The rates of both sides in a round.
    fn take_turns(
        &self,
        round: usize,
        ours: &mut impl FnMut(u64) -> Result<f64>,
        theirs: &mut impl FnMut(u64) -> Result<f64>,
    ) -> Result<(f64, f64)> {
        let (mut our, mut their) = (Vec::new(), Vec::new());
        for turn in 1..=self.turns {
            let seed = (round * self.turns + turn) as u64;
            // The sides alternate in going first, so that a machine that slows down favours neither.
            if seed % 2 == 1 {
                our.push(ours(seed)?);
                their.push(theirs(seed)?);
            } else {
                their.push(theirs(seed)?);
                our.push(ours(seed)?);
            }
        }
        Ok((overall(&our), overall(&their)))
    }
}

/// The rates of all rounds.
struct Rounds<'a> {
    things: &'a str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    ratios: Vec<f64>,
}

impl<'a> Rounds<'a> {
    fn new(things: &'a str) -> Self {
        Self {
            things,
            ours: Vec::new(),
            theirs: Vec::new(),
            ratios: Vec::new(),
        }
    }

    fn add(&mut self, run: &Run, (our, their): (f64, f64)) {
        let (round, things, ratio) = (self.ratios.len(), self.things, our / their);
        run.tell(
            round,
            &format!("{our:.2} / {their:.2} {things}/s = {ratio:.4}"),
        );
        self.ours.push(our);
        self.theirs.push(their);
        self.ratios.push(ratio);
    }

    fn outcome(self) -> Outcome {
        let things = self.things;
        Outcome::median(self.ratios)
            .with(&format!("{things}_per_second"), median(&self.ours))
            .with(
                &format!("reference_{things}_per_second"),
                median(&self.theirs),
            )
    }
}

/// The overall rate of equal amounts of work that were done at these rates.
fn overall(rates: &[f64]) -> f64 {
    rates.len() as f64 / rates.iter().map(|rate| rate.recip()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_take_turns_after_a_warm_up() {
        let run = Run::new(&crate::model::TINY, PathBuf::new(), 3, true);
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char, rate: f64| {
            let order = &order;
            move |seed: u64| {
                order.borrow_mut().push(name);
                order.borrow_mut().push_str(&seed.to_string());
                Ok(rate)
            }
        };
        let outcome = run
            .ratio_afresh(
                Ok,
                |_, seed| side('c', 1.0)(seed),
                |_, seed| side('d', 1.0)(seed),
            )
            .unwrap();
        assert_eq!(*order.borrow(), "c0d0c1d1c0d0d2c2c0d0c3d3");
        assert_eq!(outcome.rounds.len(), 3);
        order.borrow_mut().clear();
        let outcome = run.ratio(side('a', 3.0), side('b', 2.0)).unwrap();
        assert_eq!(*order.borrow(), "a0b0a1b1b2a2a3b3");
        assert!((outcome.value - 1.5).abs() < 1e-12);
        assert!((overall(&[1.0, 3.0]) - 1.5).abs() < 1e-12);
        assert_eq!(outcome.rounds.len(), 3);
    }
}
