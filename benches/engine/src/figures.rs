//! The figures that are measured, and their bounds.

mod bound;
mod clients;
mod decode;
mod feelings;
mod isolation;
pub mod memory;
mod modulation;
mod observed;
mod peers;
mod prefix;
mod recover;
mod reload;
mod roofline;
mod serving;
mod steering;

use anyhow::Result;
use elpis::settings::HardwareBackend;

use crate::measure::{Outcome, Run};
use crate::model::{
    Format, HUGE, LARGE, LARGE_Q4, ModelSpec, SMALL, TINY, TORCH_BF16, TORCH_F32, TORCH_LARGE,
    TORCH_TINY,
};
use crate::script;
pub use bound::Bound;

/// Both models of llama.cpp.
const SMALL_AND_LARGE: &[&ModelSpec] = &[&SMALL, &LARGE];

/// All of them.
const GGUF: &[&ModelSpec] = &[&SMALL, &LARGE, &LARGE_Q4];

/// All models that count.
pub const MODELS: &[&ModelSpec] = &[
    &SMALL,
    &LARGE,
    &LARGE_Q4,
    &HUGE,
    &TORCH_F32,
    &TORCH_BF16,
    &TORCH_LARGE,
];

/// The name on the command line for all figures that need a Python or libtorch.
pub const PEERS: &str = "peers";

/// One figure.
#[derive(Debug)]
pub struct Figure {
    pub name: &'static str,
    pub about: &'static str,
    pub unit: &'static str,
    pub bound: Bound,
    pub models: &'static [&'static ModelSpec],
    pub needs: Needs,
    pub run: fn(&Run) -> Result<Outcome>,
}

impl Figure {
    /// The requirement that is missing, if this figure cannot be measured.
    pub fn missing(&self, hardware: HardwareBackend) -> Option<&'static str> {
        let of_processors = self.needs != Needs::LlamaCpp || self.name == roofline::NAME;
        if of_processors && hardware != HardwareBackend::Cpu {
            return Some("its other side can only be measured on the processor");
        }
        if self.needs == Needs::LlamaPython {
            let missing = script::interpreter(script::LLAMA).is_none();
            return missing.then_some(
                "ELPIS_BENCH_LLAMA_PYTHON does not name a Python with llama-cpp-python",
            );
        }
        if self.needs == Needs::Anyone {
            let python = [script::LLAMA, script::TORCH];
            let missing = python
                .iter()
                .all(|name| script::interpreter(name).is_none());
            return missing.then_some(
                "neither ELPIS_BENCH_LLAMA_PYTHON nor ELPIS_TEST_PYTHON names a Python",
            );
        }
        if self.needs != Needs::LlamaCpp && !cfg!(feature = "transformers") {
            return Some("libtorch is not linked; `cargo xtask bench` links it if LIBTORCH is set");
        }
        if self.needs == Needs::Peer && script::interpreter(script::TORCH).is_none() {
            return Some("ELPIS_TEST_PYTHON does not name a Python with torch and transformers");
        }
        None
    }

    /// The model for a quick pass.
    pub fn tiny(&self) -> &'static ModelSpec {
        let folder = self.models.iter().any(|spec| spec.format == Format::Folder);
        if folder { &TORCH_TINY } else { &TINY }
    }
}

/// The programs and libraries that a figure needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing besides llama.cpp, which is always there.
    LlamaCpp,
    /// The backend on libtorch.
    Libtorch,
    /// llama-cpp-python.
    LlamaPython,
    /// The backend on libtorch, and Hugging Face's transformers.
    Peer,
    /// Nothing; the libraries that are there are measured.
    Anyone,
}

/// Every figure, in the order in which they run.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "decode-overhead",
        about: "one session's decode rate over that of bare llama.cpp",
        unit: "ratio",
        bound: Bound::AtLeast(0.98),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: decode::overhead,
    },
    Figure {
        name: "batching",
        about: "8 sessions' decode rate over that of the same batches in bare llama.cpp",
        unit: "ratio",
        bound: Bound::AtLeast(0.97),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: decode::batching,
    },
    Figure {
        name: "mixed-steering",
        about: "decode rate of 8 sessions with 8 different vectors over that of 8 unsteered ones",
        unit: "ratio",
        bound: Bound::AtLeast(0.98),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: steering::eight,
    },
    Figure {
        name: "mixed-steering-64",
        about: "decode rate of 64 sessions with 64 different vectors over that of 64 unsteered ones",
        unit: "ratio",
        bound: Bound::AtLeast(0.97),
        models: &[&SMALL],
        needs: Needs::LlamaCpp,
        run: steering::sixty_four,
    },
    Figure {
        name: "reading",
        about: "decode rate of 8 steered sessions whose replies are read over that of 8 whose are not",
        unit: "ratio",
        bound: Bound::AtLeast(0.99),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: steering::reading,
    },
    Figure {
        name: "set-modulation",
        about: "from an event in a task to the first token under it, less that token's time (p99)",
        unit: "ms",
        bound: Bound::AtMost(1.0),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: modulation::run,
    },
    Figure {
        name: "reload",
        about: "from a written vector file to the library in force, under 8 streams (p99)",
        unit: "ms",
        bound: Bound::AtMost(300.0),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: reload::run,
    },
    Figure {
        name: "prefix",
        about: "time to the first token of turn 10 over that of turn 1, after a long system prompt",
        unit: "ratio",
        bound: Bound::AtMost(0.15),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: prefix::run,
    },
    Figure {
        name: "alternating",
        about: "time to the first token of a turn after another conversation's over that after its own",
        unit: "ratio",
        bound: Bound::None,
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: prefix::alternating,
    },
    Figure {
        name: "ttft",
        about: "time to the first token over that of bare llama.cpp, a prompt of 512 tokens",
        unit: "ratio",
        bound: Bound::AtMost(1.03),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: decode::first_token,
    },
    Figure {
        name: "metrics-overhead",
        about: "decode rate with all metrics and spans on, scraped every second, over that without",
        unit: "ratio",
        bound: Bound::AtLeast(0.99),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: observed::overhead,
    },
    Figure {
        name: "scrape",
        about: "time of a scrape with 10,000 live sessions (p99); at most 200 kB",
        unit: "ms",
        bound: Bound::AtMost(50.0),
        models: &[&TINY],
        needs: Needs::LlamaCpp,
        run: observed::scrape,
    },
    Figure {
        name: roofline::NAME,
        about: "share of the measured memory bandwidth that decoding reaches",
        unit: "ratio",
        bound: Bound::None,
        models: GGUF,
        needs: Needs::LlamaCpp,
        run: roofline::run,
    },
    Figure {
        name: "emotion-apply",
        about: "events that one thread applies to a state, without any actor",
        unit: "/s",
        bound: Bound::AtLeast(1e6),
        models: &[&TINY],
        needs: Needs::LlamaCpp,
        run: feelings::apply,
    },
    Figure {
        name: "feel",
        about: "acknowledged events through the actor, from 4 producers",
        unit: "/s",
        bound: Bound::AtLeast(200_000.0),
        models: &[&TINY],
        needs: Needs::LlamaCpp,
        run: feelings::feel,
    },
    Figure {
        name: "feel-sqlite",
        about: "the same with a store in an SQLite file over that without",
        unit: "ratio",
        bound: Bound::AtLeast(0.5),
        models: &[&TINY],
        needs: Needs::LlamaCpp,
        run: feelings::feel_sqlite,
    },
    Figure {
        name: "sessions",
        about: "memory of each of 1,000,000 live sessions; an event takes 100 µs at most (p99)",
        unit: "bytes",
        bound: Bound::AtMost(1024.0),
        models: &[&TINY],
        needs: Needs::LlamaCpp,
        run: feelings::sessions,
    },
    Figure {
        name: "recover",
        about: "from a panic of the engine to the next token, beyond the time to load",
        unit: "s",
        bound: Bound::AtMost(1.0),
        models: &[&SMALL],
        needs: Needs::LlamaCpp,
        run: recover::run,
    },
    Figure {
        name: "soak",
        about: "growth of memory in a minute per round of load and faults; nothing lost, nothing mixed up",
        unit: "%",
        bound: Bound::AtMost(2.0),
        models: &[&TINY],
        needs: Needs::LlamaCpp,
        run: recover::trial,
    },
    Figure {
        name: "isolation",
        about: "one session's decode rate with the model in a separate process over that in this one",
        unit: "ratio",
        bound: Bound::AtLeast(0.97),
        models: SMALL_AND_LARGE,
        needs: Needs::LlamaCpp,
        run: isolation::run,
    },
    Figure {
        name: "peer-llama-cpp-python",
        about: "one session's decode rate over that of llama-cpp-python's stream",
        unit: "ratio",
        bound: Bound::MeanAtLeast(1.03),
        models: GGUF,
        needs: Needs::LlamaPython,
        run: clients::one,
    },
    Figure {
        name: "peer-llama-cpp-python-8",
        about: "decode rate of 8 clients together over that of 8 clients of llama-cpp-python",
        unit: "ratio",
        bound: Bound::AtLeast(2.5),
        models: &[&LARGE],
        needs: Needs::LlamaPython,
        run: clients::eight,
    },
    Figure {
        name: "serving",
        about: "tokens per second of 1 to 16 clients over those of the fastest Python library",
        unit: "ratio",
        bound: Bound::None,
        models: SMALL_AND_LARGE,
        needs: Needs::Anyone,
        run: serving::run,
    },
    Figure {
        name: "transformers-decode",
        about: "one session's decode rate over that of Hugging Face's generate(), on libtorch",
        unit: "ratio",
        bound: Bound::AtLeast(1.5),
        models: &[&TORCH_F32, &TORCH_BF16],
        needs: Needs::Peer,
        run: peers::decode,
    },
    Figure {
        name: "transformers-batch",
        about: "decode rate of 8 sessions with 8 vectors over that of generate() with a hook",
        unit: "ratio",
        bound: Bound::AtLeast(1.2),
        models: &[&TORCH_F32],
        needs: Needs::Peer,
        run: peers::batch,
    },
    Figure {
        name: "transformers-mixed",
        about: "mixed-steering on libtorch",
        unit: "ratio",
        bound: Bound::AtLeast(0.98),
        models: &[&TORCH_F32],
        needs: Needs::Libtorch,
        run: steering::eight,
    },
    Figure {
        name: "transformers-memory",
        about: "most memory without libtorch's own, over that of the weights and the cache",
        unit: "ratio",
        bound: Bound::AtMost(1.15),
        models: &[&TORCH_LARGE],
        needs: Needs::Libtorch,
        run: memory::run,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, figure) in FIGURES.iter().enumerate() {
            assert!(
                FIGURES[..index]
                    .iter()
                    .all(|other| other.name != figure.name)
            );
        }
    }

    #[test]
    fn models_fit_what_the_figures_need() {
        for figure in FIGURES {
            let folder = matches!(figure.needs, Needs::Libtorch | Needs::Peer);
            for spec in figure.models.iter().chain([&figure.tiny()]) {
                assert_eq!(spec.format == Format::Folder, folder, "{}", figure.name);
            }
        }
    }
}
