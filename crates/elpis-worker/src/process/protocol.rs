//! The protocol between runtime and worker.
//!
//! The worker begins with a [`Hello`]. The runtime answers with two descriptors, the connection for
//! texts and the memory for logits, and with [`Request::Load`]; from then on every request has one
//! reply, before which come heartbeats while the model is loaded. Texts have a separate connection,
//! so that they do not wait for a batch.

use serde::{Deserialize, Serialize};

use elpis_backend::{
    BackendError, ControlToken, Device, FactsDef, LoadOptions, ModelFacts, Row, SequenceId, Token,
};
use elpis_backend::{ModelOptions, ModelSource};
use elpis_steering::{LayerSteering, PlanKey, SteeringPlan};

/// Protocol version, incremented with every change of the messages, including the model's settings.
pub(super) const PROTOCOL: u32 = 6;

const MAGIC: [u8; 8] = *b"elpis-wk";

/// The first bytes that a worker sends. Their format is the same in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    /// The protocol that is spoken from here on.
    pub(super) protocol: u32,
    /// The version of elpis, padded with zeros.
    pub(super) version: [u8; 20],
}

impl Hello {
    /// Length in bytes.
    pub(super) const LENGTH: usize = 32;

    /// The hello of this build.
    pub(super) fn own() -> Self {
        let mut version = [0; 20];
        for (to, from) in version.iter_mut().zip(env!("CARGO_PKG_VERSION").bytes()) {
            *to = from;
        }
        Self {
            protocol: PROTOCOL,
            version,
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.protocol.to_le_bytes());
        bytes[12..].copy_from_slice(&self.version);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (protocol, version) = rest.split_first_chunk()?;
        Some(Self {
            protocol: u32::from_le_bytes(*protocol),
            version: version.try_into().ok()?,
        })
    }
}

impl std::fmt::Display for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = String::from_utf8_lossy(&self.version);
        let version = version.trim_end_matches('\0').escape_debug();
        write!(f, "protocol {} of elpis {version}", self.protocol)
    }
}

/// A request of the runtime.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Load(Box<Load>),
    /// The blob holds the values of the plans.
    Decode(Decode),
    /// The layer that is read, with the axes of valence and arousal in the blob, one after the
    /// other; or none.
    SetReading {
        layer: Option<usize>,
    },
    Truncate {
        sequence: SequenceId,
        from: u32,
    },
    SharePrefix {
        from: SequenceId,
        to: SequenceId,
        length: u32,
    },
    Save {
        sequence: SequenceId,
    },
    /// The blob holds the keys and values.
    Restore {
        sequence: SequenceId,
        length: u32,
    },
    ResidualStream {
        tokens: Vec<Token>,
        layers: Vec<usize>,
    },
}

/// A reply of the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Done. The result is in the blob or in the shared memory. For a batch that was read, the blob
    /// holds the two projections of each row with logits, NaN for one that has none.
    Done,
    /// The model is still being loaded and makes progress.
    Loading,
    Loaded(Box<Loaded>),
    Failed(BackendError),
}

/// A text to tokenise, which is the blob.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Encode {
    pub(super) parse_special: bool,
    /// `None` for a whole text; for a part, whether it is the first.
    pub(super) part: Option<bool>,
}

/// The wire form of [`LoadOptions`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Load {
    model: ModelOptions,
    source: ModelSource,
    n_sequences: u32,
    devices: Vec<Device>,
}

impl Load {
    pub(super) fn new(options: &LoadOptions) -> Self {
        Self {
            model: options.model.clone(),
            source: options.source.clone(),
            n_sequences: options.n_sequences,
            devices: options.devices.clone(),
        }
    }

    pub(super) fn into_options(self) -> LoadOptions {
        LoadOptions::new(self.model, self.source)
            .n_sequences(self.n_sequences)
            .devices(self.devices)
    }
}

/// A loaded model; the blob holds the pieces of all its tokens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Loaded {
    #[serde(with = "FactsDef")]
    pub(super) facts: ModelFacts,
    /// Where the piece of each token ends in the blob.
    pub(super) piece_ends: Vec<u32>,
    /// The tokens that end a generation, ascending.
    pub(super) end_tokens: Vec<Token>,
    pub(super) control_tokens: Vec<ControlToken>,
}

/// A batch.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Decode {
    pub(super) rows: Vec<WireRow>,
    /// Plans that the worker has not seen yet, or not in this place.
    pub(super) plans: Vec<WirePlan>,
    /// Rows of logits that the shared memory has room for.
    pub(super) room: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireRow {
    pub(super) token: Token,
    pub(super) position: u32,
    pub(super) sequence: SequenceId,
    pub(super) logits: bool,
    /// The place of its steering plan.
    pub(super) plan: Option<u32>,
}

impl WireRow {
    pub(super) fn new(row: &Row, plan: Option<u32>) -> Self {
        Self {
            token: row.token,
            position: row.position,
            sequence: row.sequence,
            logits: row.logits,
            plan,
        }
    }
}

/// A steering plan and the place it is kept at.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WirePlan {
    pub(super) place: u32,
    key: [u8; 32],
    layers: Vec<WireLayer>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct WireLayer {
    layer: usize,
    length: usize,
    norm: f32,
    residual_fraction: Option<f32>,
    clamped: bool,
}

impl WirePlan {
    /// Appends the plan's values to the blob.
    pub(super) fn new(place: u32, plan: &SteeringPlan, blob: &mut Vec<u8>) -> Self {
        let layers = plan.layers.iter().map(|layer| {
            push_floats(&layer.values, blob);
            WireLayer {
                layer: layer.layer,
                length: layer.values.len(),
                norm: layer.norm,
                residual_fraction: layer.residual_fraction,
                clamped: layer.clamped,
            }
        });
        Self {
            place,
            layers: layers.collect(),
            key: *plan.key.as_bytes(),
        }
    }

    /// Takes the plan's values from the front of the blob, if it is long enough.
    pub(super) fn read(&self, blob: &mut &[u8]) -> Option<SteeringPlan> {
        let layers = self.layers.iter().map(|layer| {
            let bytes = blob.split_off(..layer.length.checked_mul(4)?)?;
            Some(LayerSteering {
                layer: layer.layer,
                values: floats(bytes).collect(),
                norm: layer.norm,
                residual_fraction: layer.residual_fraction,
                clamped: layer.clamped,
            })
        });
        Some(SteeringPlan {
            layers: layers.collect::<Option<_>>()?,
            key: PlanKey::from_bytes(self.key),
        })
    }
}

/// Appends numbers as bytes.
pub(super) fn push_floats(values: &[f32], blob: &mut Vec<u8>) {
    blob.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// Reads numbers from bytes.
pub(super) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| f32::from_le_bytes(*word))
}
