//! Steering vectors: files read into validated values, blended by emotion into what a backend adds
//! to the residual stream, and the arithmetic that trains them.
//!
//! Everything here is pure: bytes in, values out. No file is opened and no clock is read.
//!
//! # Layers
//!
//! Layer *k* is the output of decoder layer *k*, counted from 0. The same place is called
//! `hidden_states[k + 1]` by Hugging Face transformers and `l_out-k` by llama.cpp's graph. A GGUF
//! control vector's tensor `direction.N`, as repeng writes it and llama.cpp applies it, belongs to
//! our layer *N*. llama.cpp alone cannot steer layer 0: it turns a file with `direction.0` away.
//!
//! # From files to a plan
//!
//! ```
//! use elpis_steering::{
//!     BlendOptions, LibraryContext, LibraryFile, SteeringLibrary, SteeringVector, VectorFormat, write,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let calm = SteeringVector::bare(vec![0.6, 0.8, 0.0, 0.0])?;
//! let files = vec![LibraryFile {
//!     name: "calm.safetensors".to_owned(),
//!     bytes: write(VectorFormat::Safetensors, &calm)?,
//! }];
//! let mut context = LibraryContext::new(8, 4);
//! context.default_layer = Some(4);
//! context.residual_norms = Some(vec![2.0; 8]);
//!
//! let library = SteeringLibrary::build(files, &context)?;
//! let plan = library
//!     .blend([("calm", 0.5)].into_iter(), &BlendOptions::default())
//!     .ok_or("nothing is steered")?;
//! assert_eq!(plan.layers[0].layer, 4);
//! assert_eq!(plan.layers[0].norm, 0.5);
//! assert_eq!(plan.layers[0].residual_fraction, Some(0.25));
//! # Ok(())
//! # }
//! ```
//!
//! # Bounds
//!
//! A vector has at most [`MAX_LAYERS`] rows of at most [`MAX_WIDTH`] values. While a file is
//! parsed, what is allocated stays within twice the file's size plus 16 MB, whatever sizes its
//! header declares (a compressed `.npz` counts as inflated, see [`parse`]). A library holds at most [`MAX_EMOTIONS`] emotions.

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod blend;
pub mod contrast;
pub mod discriminant;
mod format;
mod library;
mod manifest;
mod reading;
mod vector;

pub use blend::{
    BlendOptions, LayerSteering, MAX_COEFFICIENT, MIN_COEFFICIENT, PlanKey, SteeringPlan,
};
pub use contrast::ContrastError;
pub use format::{FormatError, VectorFile, VectorFormat, parse, parse_file, write};
#[doc(hidden)]
pub use format::{NamedLayer, layer_in_stem};
pub use library::{
    EmotionInfo, LayerInfo, LibraryContext, LibraryError, LibraryFile, MAX_EMOTIONS,
    MAX_RESIDUAL_MULTIPLE, SteeringLibrary,
};
pub use manifest::{
    BASE_EMOTIONS, EmotionEntry, MANIFEST_FILE, MAX_CAP, MAX_MANIFEST_BYTES, MAX_SCALE, Manifest,
    ManifestError, Place, ReadingEntry, is_emotion_name,
};
pub use reading::{
    AxisScale, Expressed, ExpressedPoint, ExpressionMeter, MAX_COURSE, Projection, Reading,
    ReadingAxes,
};
pub use vector::{MAX_LAYERS, MAX_WIDTH, StackedRows, SteeringVector, VectorError};
