//! A Hugging Face checkpoint: the folder's files and the location of each tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::CONFIG;
use elpis_backend::WeightsDigest;
use elpis_backend::{BackendError, BundledModel};
use elpis_files::lfs::LfsPointer;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Maximum length of a header, far more than that of any real model.
const MAX_TEXT: u64 = 256 << 20;

/// The source of a checkpoint's files.
#[derive(Debug)]
pub(super) enum Files {
    /// A folder.
    Folder(PathBuf),
    /// The files of the bundled model.
    Bundled(&'static [(&'static str, &'static [u8])]),
}

impl Files {
    /// The bundled model's files.
    pub fn bundled() -> Result<Self, BackendError> {
        match BundledModel::checkpoint() {
            [] => Err(BackendError::NoBundledModel),
            files => Ok(Self::Bundled(files)),
        }
    }

    /// The name that the model goes by.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(path) => folder_name(path),
            Self::Bundled(_) => BundledModel::NAME.to_owned(),
        }
    }

    /// The path of a file, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(name),
            Self::Bundled(_) => Path::new(BundledModel::NAME).join(name),
        }
    }

    /// Reads a small file; `None` if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, BackendError> {
        match self {
            Self::Bundled(files) => Ok(files
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, bytes)| bytes.to_vec())),
            Self::Folder(folder) => {
                let path = folder.join(name);
                let unreadable = |reason: String| BackendError::Unreadable {
                    path: path.clone(),
                    reason,
                };
                let length = match std::fs::metadata(&path) {
                    // Reading a pipe would block.
                    Ok(facts) if !facts.is_file() => {
                        return Err(unreadable("not a regular file".to_owned()));
                    }
                    Ok(facts) => facts.len(),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(unreadable(error.to_string())),
                };
                if length > MAX_TEXT {
                    return Err(unreadable(format!(
                        "{length} bytes are more than the {MAX_TEXT} that such a file may have"
                    )));
                }
                let bytes = std::fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
                refuse_pointer(&path, &bytes)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Reads a JSON file; `None` if it does not exist.
    pub fn json(&self, name: &str) -> Result<Option<Value>, BackendError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| BackendError::Checkpoint {
                path: self.path(name),
                item: "the file".to_owned(),
                reason: format!("is not valid JSON: {error}"),
            })
    }

    fn open(&self, name: &str) -> Result<Option<Bytes>, BackendError> {
        match self {
            Self::Bundled(files) => Ok(files
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, bytes)| Bytes::Static(bytes))),
            Self::Folder(folder) => {
                let path = folder.join(name);
                let unreadable = |error: std::io::Error| BackendError::Unreadable {
                    path: path.clone(),
                    reason: error.to_string(),
                };
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(unreadable(error)),
                };
                // SAFETY: the map is read-only. Should another process cut or rewrite the file, the
                // weights change or reading them fails, as for every mapped model file; the manual
                // says to replace checkpoints by renaming.
                let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
                refuse_pointer(&path, &map)?;
                Ok(Some(Bytes::Mapped(map)))
            }
        }
    }
}

/// Refuses Git LFS pointers, which a repository cloned without Git LFS has in place of large files.
fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), BackendError> {
    match LfsPointer::of(bytes) {
        None => Ok(()),
        Some(pointer) => Err(BackendError::LfsPointer {
            path: path.to_owned(),
            size: pointer.size,
        }),
    }
}

fn folder_name(path: &Path) -> String {
    let canonical = path.canonicalize();
    let path = canonical.as_deref().unwrap_or(path);
    // In the hub's cache a folder is `models--org--name/snapshots/REVISION`.
    let hub = path
        .ancestors()
        .nth(2)
        .and_then(|folder| folder.file_name()?.to_str()?.strip_prefix("models--"));
    match hub {
        Some(name) => name.replace("--", "/"),
        None => path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        ),
    }
}

/// Bytes of a file.
#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}

/// One tensor of a checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    shard: usize,
    range: Range<usize>,
    /// Number type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
}

/// The tensors of a checkpoint, without their data.
#[derive(Debug)]
pub(super) struct Checkpoint {
    shards: Vec<(PathBuf, Bytes)>,
    entries: BTreeMap<String, Entry>,
}

impl Checkpoint {
    /// Maps the weight files and reads their headers.
    ///
    /// # Errors
    /// [`BackendError::Unreadable`], [`BackendError::LfsPointer`], [`BackendError::NotAModel`]
    /// without weights, [`BackendError::Checkpoint`] for a damaged file.
    pub fn open(files: &Files) -> Result<Self, BackendError> {
        let mut checkpoint = Self {
            shards: Vec::new(),
            entries: BTreeMap::new(),
        };
        if let Some(bytes) = files.open(SINGLE)? {
            checkpoint.add(files.path(SINGLE), bytes)?;
            return Ok(checkpoint);
        }
        let Some(index) = files.json(INDEX)? else {
            return Err(BackendError::NotAModel {
                path: files.path(""),
                expected: "Hugging Face model folder",
                found: format!("it has neither {SINGLE} nor {INDEX}"),
            });
        };
        for shard in shard_names(&files.path(INDEX), &index)? {
            let bytes = files
                .open(&shard)?
                .ok_or_else(|| BackendError::Checkpoint {
                    path: files.path(INDEX),
                    item: format!("shard {shard}"),
                    reason: "is not in the folder".to_owned(),
                })?;
            checkpoint.add(files.path(&shard), bytes)?;
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: PathBuf, bytes: Bytes) -> Result<(), BackendError> {
        let damaged = |reason: String| BackendError::Checkpoint {
            path: path.clone(),
            item: "the file".to_owned(),
            reason,
        };
        let all = bytes.as_slice();
        let (header, metadata) = SafeTensors::read_metadata(all).map_err(|error| {
            cut_off(&path, all)
                .unwrap_or_else(|| damaged(format!("is not a whole safetensors file: {error}")))
        })?;
        // Eight bytes of length, then the header, then the data.
        let start = header + size_of::<u64>();
        let shard = self.shards.len();
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let range = start + from..start + to;
            self.entries.insert(
                name.clone(),
                Entry {
                    shard,
                    range,
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                },
            );
        }
        self.shards.push((path, bytes));
        Ok(())
    }

    /// A digest of samples of the weights and of the model's configuration.
    ///
    /// # Errors
    /// [`BackendError::Unreadable`].
    pub fn digest(&self, files: &Files) -> Result<String, BackendError> {
        let mut digest = WeightsDigest::default();
        let config = files.read(CONFIG)?.unwrap_or_default();
        let shards = self.shards.iter();
        let shards = shards.map(|(path, bytes)| (path.clone(), bytes.as_slice()));
        for (path, bytes) in shards.chain([(files.path(CONFIG), config.as_slice())]) {
            digest
                .add(&mut Cursor::new(bytes))
                .map_err(|error| BackendError::Unreadable {
                    path,
                    reason: error.to_string(),
                })?;
        }
        Ok(digest.finish())
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Finds a tensor.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The file that contains a tensor, or the first one.
    pub fn path_of(&self, entry: Option<&Entry>) -> PathBuf {
        let shard = entry.map_or(0, |entry| entry.shard);
        self.shards
            .get(shard)
            .map(|(path, _)| path.clone())
            .unwrap_or_default()
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, entry: &Entry) -> &[u8] {
        self.shards
            .get(entry.shard)
            .and_then(|(_, bytes)| bytes.as_slice().get(entry.range.clone()))
            .unwrap_or_default()
    }

    /// Tells the system that a tensor has been copied, so that its pages can be reclaimed.
    pub fn release(&self, entry: &Entry) {
        #[cfg(unix)]
        if let Some((_, Bytes::Mapped(map))) = self.shards.get(entry.shard) {
            // SAFETY: of a shared, read-only map of a file; dropped pages are read again from it.
            let _ = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    entry.range.start,
                    entry.range.len(),
                )
            };
        }
        #[cfg(not(unix))]
        let _ = entry;
    }

    /// Number of parameters and bytes of all tensors.
    pub fn size(&self) -> (u64, u64) {
        self.entries.values().fold((0, 0), |(count, bytes), entry| {
            let numbers: usize = entry.shape.iter().product();
            (count + numbers as u64, bytes + entry.range.len() as u64)
        })
    }
}

/// Names the first incomplete tensor of a file, if its header is complete.
fn cut_off(path: &Path, bytes: &[u8]) -> Option<BackendError> {
    let (length, rest) = bytes.split_first_chunk()?;
    let header = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let metadata: Metadata = serde_json::from_slice(rest.get(..header)?).ok()?;
    let there = rest.len() - header;
    let tensors = metadata.tensors();
    let lacking = tensors
        .iter()
        .filter(|(_, info)| info.data_offsets.1 > there);
    let (name, info) = lacking.min_by_key(|(_, info)| info.data_offsets)?;
    let (from, to) = info.data_offsets;
    Some(BackendError::Checkpoint {
        path: path.to_owned(),
        item: format!("tensor `{name}`"),
        reason: format!(
            "is cut off: the file holds {} of its {} bytes",
            there.saturating_sub(from),
            to - from
        ),
    })
}

/// The shards that an index names, without duplicates.
fn shard_names(path: &Path, index: &Value) -> Result<Vec<String>, BackendError> {
    let wrong = |reason: &str| BackendError::Checkpoint {
        path: path.to_owned(),
        item: "field `weight_map`".to_owned(),
        reason: reason.to_owned(),
    };
    let map = index
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| wrong("is missing or no object"))?;
    let mut names = Vec::new();
    for file in map.values() {
        let name = file
            .as_str()
            .ok_or_else(|| wrong("holds what is no file name"))?;
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(wrong("names a file outside the folder"));
        }
        names.push(name.to_owned());
    }
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(names)
}
