//! Loads a GGUF model and owns it.

use std::ffi::{CStr, CString};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_sys_2 as sys;

use super::guard::{Assertions, Thrown, guarded, throwing};
use super::log;
use elpis_backend::ModelTrust;
use elpis_backend::WeightsDigest;
use elpis_backend::heartbeat;
use elpis_backend::memory::SystemMemory;
use elpis_backend::{
    BackendError, BackendKind, LoadOptions, ModelFacts, check_gguf, check_gguf_beginning,
};
use elpis_files::shard::Shard;

/// Receives the progress of loading, from 0 to 1, and lets it continue.
extern "C" fn go_on(_progress: f32, _data: *mut std::ffi::c_void) -> bool {
    heartbeat::beat();
    true
}

/// A model that stays loaded until the last owner is dropped.
#[derive(Debug)]
pub(super) struct Model {
    loaded: LlamaModel,
    path: PathBuf,
    name: String,
    /// See [`ModelFacts::weights_digest`].
    digest: String,
}

// `LlamaModel` is `repr(transparent)` over its pointer; its crate is pinned to one version. This line
// does not compile if its size ever changes.
const _: () = assert!(size_of::<LlamaModel>() == size_of::<*mut sys::llama_model>());

impl Model {
    /// Loads a model file.
    pub(super) fn from_file(path: &Path, options: &LoadOptions) -> Result<Self, BackendError> {
        if options.model.trust == ModelTrust::Trust {
            check_gguf_beginning(path)?;
        } else {
            check_gguf(path)?;
        }
        let name = path.file_stem().map_or_else(
            || path.display().to_string(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        let room = || {
            let memory = SystemMemory::look();
            memory.is_some_and(|memory| memory.has_room_for(size_of_parts(path)))
        };
        let mmap = is_mapped(options, room);
        tracing::info!(path = %path.display(), mapped = mmap, "loading the model");
        let model = Self::load(path, &name, options, mmap)?;
        let mut digest = WeightsDigest::default();
        for part in parts(path) {
            match std::fs::File::open(&part).and_then(|mut file| digest.add(&mut file)) {
                Ok(()) => {}
                // A complete model may have a name like that of a shard.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&part, &error)),
            }
        }
        Ok(model.with_digest(digest))
    }

    /// Loads a model from memory. llama.cpp only reads files, so the bytes are written to a temporary
    /// file. The weights are not mapped, so the file can be removed afterwards.
    pub(super) fn from_bytes(
        name: &str,
        bytes: &[u8],
        options: &LoadOptions,
    ) -> Result<Self, BackendError> {
        let unwritable = |error: std::io::Error| BackendError::Unreadable {
            path: name.into(),
            reason: format!("cannot write it to a temporary file: {error}"),
        };
        let mut file = tempfile::Builder::new()
            .prefix(name)
            .suffix(".gguf")
            .tempfile()
            .map_err(unwritable)?;
        file.write_all(bytes).map_err(unwritable)?;
        file.flush().map_err(unwritable)?;
        let mut digest = WeightsDigest::default();
        digest
            .add(&mut Cursor::new(bytes))
            .map_err(|error| unreadable(Path::new(name), &error))?;
        let model = Self::load(file.path(), name, options, false)?;
        Ok(model.with_digest(digest))
    }

    fn with_digest(mut self, digest: WeightsDigest) -> Self {
        self.digest = digest.finish();
        self
    }

    fn load(
        path: &Path,
        name: &str,
        options: &LoadOptions,
        mmap: bool,
    ) -> Result<Self, BackendError> {
        let load_error = |reason: String| BackendError::Load {
            path: path.to_owned(),
            reason,
        };
        let c_path = path
            .to_str()
            .and_then(|path| CString::new(path).ok())
            .ok_or_else(|| load_error("the path is not valid UTF-8 or holds a NUL byte".into()))?;
        let settings = &options.model;
        let gpus: Vec<_> = options.devices.iter().filter(|d| d.kind.is_gpu()).collect();
        // SAFETY: indices come from the same list of devices.
        let mut devices: Vec<sys::ggml_backend_dev_t> = gpus
            .iter()
            .map(|d| unsafe { sys::ggml_backend_dev_get(d.index) })
            .collect();
        devices.push(std::ptr::null_mut());
        let tensor_split = tensor_split(settings.tensor_split.as_deref(), gpus.len())?;
        // SAFETY: returns a plain struct of defaults.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.devices = devices.as_mut_ptr();
        params.n_gpu_layers = if gpus.is_empty() {
            0
        } else {
            settings.gpu_layers
        };
        params.load_mode = if mmap {
            sys::LLAMA_LOAD_MODE_MMAP
        } else {
            sys::LLAMA_LOAD_MODE_NONE
        };
        params.use_extra_bufts = settings.use_extra_bufts;
        params.progress_callback = Some(go_on);
        if let Some(split) = &tensor_split {
            params.tensor_split = split.as_ptr();
        }
        let (loaded, log) = log::collecting(|| {
            // SAFETY: `c_path`, `devices` and `tensor_split` outlive the call.
            guarded(Assertions::All, || unsafe {
                throwing::llama_model_load_from_file(c_path.as_ptr(), params)
            })
        });
        let pointer = loaded.map_err(|thrown| match thrown {
            Thrown::Exception(reason) => load_error(reason),
            assertion @ Thrown::Assertion(_) => assertion.of(path, "llama_model_load_from_file"),
        })?;
        let pointer =
            std::ptr::NonNull::new(pointer).ok_or_else(|| load_error(log::reason(&log)))?;
        // SAFETY: `LlamaModel` is a transparent wrapper of a non-null, owned
        // model pointer, which this is.
        let model = unsafe {
            std::mem::transmute::<std::ptr::NonNull<sys::llama_model>, LlamaModel>(pointer)
        };
        let name = model
            .meta_val_str("general.name")
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| name.to_owned());
        Ok(Self {
            loaded: model,
            path: path.to_owned(),
            name,
            digest: String::new(),
        })
    }

    /// The raw pointer. It is valid as long as `self` lives.
    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        // SAFETY: as in `load`, the wrapper is its pointer.
        unsafe { std::mem::transmute_copy(&self.loaded) }
    }

    /// The file that the model was loaded from. It may no longer exist.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The model as a type of `llama-cpp-2`.
    pub(super) fn inner(&self) -> &LlamaModel {
        &self.loaded
    }

    /// Context length the model was trained for, in tokens.
    pub(super) fn context_trained(&self) -> u32 {
        self.loaded.n_ctx_train()
    }

    /// The facts about the model. Those that depend on a context are 0.
    pub(super) fn facts(&self) -> ModelFacts {
        let model = &self.loaded;
        let vocab = model.vocab();
        // If a file names no such token, llama.cpp assumes a common number, which may be wrong.
        let text = |name: &str, token: LlamaToken| {
            if token.0 < 0 || model.meta_val_str(name).is_err() {
                return String::new();
            }
            vocab
                .text(token)
                .map(|text| text.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let mut facts = ModelFacts::new(self.name.clone(), BackendKind::LlamaCpp);
        facts.architecture = model
            .meta_val_str("general.architecture")
            .unwrap_or_default();
        facts.description = self.description();
        facts.n_layers = model.n_layer() as usize;
        facts.n_embd = usize::try_from(model.n_embd()).unwrap_or_default();
        facts.n_vocab = usize::try_from(model.n_vocab()).unwrap_or_default();
        facts.n_params = model.n_params();
        facts.size_bytes = model.size();
        facts.weights_digest.clone_from(&self.digest);
        facts.context_trained = self.context_trained();
        facts.supports_truncation = self.supports_truncation();
        facts.chat_template = model
            .chat_template(None)
            .ok()
            .and_then(|template| template.to_string().ok());
        facts.bos_token = text("tokenizer.ggml.bos_token_id", vocab.bos());
        facts.eos_token = text("tokenizer.ggml.eos_token_id", vocab.eos());
        facts
    }

    /// Number of positions in a sliding window, or 0 if no layer has one.
    pub(super) fn window(&self) -> u32 {
        // SAFETY: a plain query of a live model.
        let positions = unsafe { sys::llama_model_n_swa(self.as_ptr()) };
        u32::try_from(positions).unwrap_or(0)
    }

    /// Whether a sequence can be truncated anywhere. Recurrent models hold only the state of the last
    /// position, so theirs cannot.
    pub(super) fn supports_truncation(&self) -> bool {
        // SAFETY: plain queries of a live model.
        unsafe {
            !sys::llama_model_is_recurrent(self.as_ptr())
                && !sys::llama_model_is_hybrid(self.as_ptr())
        }
    }

    /// Architecture, number of parameters and quantisation. llama.cpp's own description guesses the
    /// number of parameters from the layers.
    fn description(&self) -> String {
        // SAFETY: plain queries of a live model; the name is a static text.
        let quantisation =
            unsafe { CStr::from_ptr(sys::llama_ftype_name(sys::llama_model_ftype(self.as_ptr()))) };
        let architecture = self.loaded.meta_val_str("general.architecture");
        format!(
            "{} {} {}",
            architecture.unwrap_or_default(),
            parameters(self.loaded.n_params()),
            quantisation.to_string_lossy()
        )
    }
}

/// Formats a number of parameters as in the names of models, such as `7.0B`.
fn parameters(count: u64) -> String {
    let count = count as f64;
    if count < 1e9 {
        format!("{:.1}M", count / 1e6)
    } else {
        format!("{:.1}B", count / 1e9)
    }
}

/// Extends the split to the number of devices that llama.cpp reads.
fn tensor_split(split: Option<&[f32]>, gpus: usize) -> Result<Option<Vec<f32>>, BackendError> {
    let Some(split) = split else {
        return Ok(None);
    };
    if split.len() > gpus {
        return Err(BackendError::Limit {
            field: "tensor_split",
            value: format!("{split:?}"),
            limit: format!("one share for each of the {gpus} GPUs in use"),
        });
    }
    // SAFETY: a plain query.
    let most = unsafe { sys::llama_max_devices() };
    let mut shares = split.to_vec();
    shares.resize(most.max(split.len()), 0.0);
    Ok(Some(shares))
}

/// Whether to map a model file. Computing with mapped pages is up to a tenth slower than with
/// anonymous memory, depending on how the file came into the page cache (BENCHMARKS.md). Weights for a
/// GPU are only copied from them, so they are mapped.
fn is_mapped(options: &LoadOptions, room: impl FnOnce() -> bool) -> bool {
    options.model.mmap.unwrap_or_else(|| {
        let on_gpu = options.devices.iter().any(|d| d.kind.is_gpu());
        (on_gpu && options.model.gpu_layers != 0) || !room()
    })
}

/// A model file and its further shards, which llama.cpp finds by their names.
fn parts(path: &Path) -> Box<dyn Iterator<Item = PathBuf> + '_> {
    match path.to_str().and_then(Shard::of) {
        Some(part) => Box::new(part.all().map(PathBuf::from)),
        None => Box::new(std::iter::once(path.to_owned())),
    }
}

/// Size of a model file with all its shards, in bytes.
fn size_of_parts(path: &Path) -> u64 {
    let size = |path: PathBuf| path.metadata().map_or(0, |file| file.len());
    parts(path).map(size).sum()
}

fn unreadable(path: &Path, error: &std::io::Error) -> BackendError {
    BackendError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elpis_backend::{Device, DeviceKind};
    use elpis_backend::{ModelOptions, ModelSource};

    #[test]
    fn weights_are_read_for_the_processor_where_there_is_room() {
        let device = |kind| Device {
            backend: BackendKind::LlamaCpp,
            kind,
            index: 0,
            name: String::new(),
            description: String::new(),
            memory_total: 0,
            memory_free: 0,
        };
        let mapped = |mmap: Option<bool>, kind, gpu_layers, room| {
            let model = ModelOptions {
                gpu_layers,
                mmap,
                ..ModelOptions::default()
            };
            let options = LoadOptions::new(model, ModelSource::Bundled).devices(vec![device(kind)]);
            is_mapped(&options, || room)
        };
        let (cpu, gpu) = (DeviceKind::Cpu, DeviceKind::Cuda);
        assert!(!mapped(None, cpu, -1, true));
        assert!(mapped(None, cpu, -1, false));
        assert!(mapped(None, gpu, -1, true));
        assert!(!mapped(None, gpu, 0, true));
        for said in [true, false] {
            assert_eq!(mapped(Some(said), cpu, -1, said), said);
            assert_eq!(mapped(Some(said), gpu, -1, !said), said);
        }
    }

    #[test]
    fn parameters_are_told_as_models_are_called() {
        for (count, told) in [
            (134_515_008, "134.5M"),
            (1_400_000, "1.4M"),
            (8_030_000_000, "8.0B"),
        ] {
            assert_eq!(parameters(count), told);
        }
    }

    #[test]
    fn a_model_is_as_large_as_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: usize| {
            let path = folder.path().join(name);
            std::fs::write(&path, vec![0; bytes]).unwrap();
            path
        };
        let first = file("m-00001-of-00003.gguf", 10);
        file("m-00002-of-00003.gguf", 200);
        file("m-00003-of-00003.gguf", 3000);
        file("n-00002-of-00003.gguf", 40_000);
        assert_eq!(size_of_parts(&first), 3210);
        assert_eq!(size_of_parts(&file("m.gguf", 7)), 7);
        assert_eq!(size_of_parts(&folder.path().join("none.gguf")), 0);
    }
}
