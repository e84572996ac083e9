//! `elpis vectors inspect`

mod report;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::convert::named_layer;
use super::cosines::{self, Shown};
use super::model::ModelChoice;
use super::{CliError, Failure, format_of, read, unread};
use crate::terminal;
use crate::{complain, told};
use elpis::internal::vectors::{is_library_file, library_context, read_file};
use elpis::steering::{
    LibraryContext, LibraryError, LibraryFile, MANIFEST_FILE, Manifest, SteeringLibrary,
    SteeringVector, VectorFile, VectorFormat, is_emotion_name,
};
use elpis_files::printable::{printable, printable_path};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Files (.safetensors, .pt, .npy, .npz or .gguf), or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelChoice,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// A file and its vectors.
struct Inspected {
    path: PathBuf,
    format: VectorFormat,
    /// Names and vectors. A single vector is named after its file.
    vectors: Vec<(String, SteeringVector)>,
    /// Whether the file names its emotions itself.
    pack: bool,
    /// The layer in the file's name.
    told: Option<usize>,
    used: Used,
}

/// The manifest's use of a folder's vectors.
#[derive(Clone, Copy)]
struct Used {
    /// Factor on all of them.
    scale: f64,
    /// The layer for vectors without one, if the manifest sets it.
    layer: Option<usize>,
}

impl Default for Used {
    fn default() -> Self {
        Self {
            scale: 1.0,
            layer: None,
        }
    }
}

/// The model that vectors are checked against.
struct Model {
    name: String,
    context: LibraryContext,
}

pub(super) fn run(config: Option<PathBuf>, options: &Options, quiet: bool) -> Result<(), Failure> {
    let model = options
        .model
        .is_given()
        .then(|| look_at_model(config, options, quiet))
        .transpose()?;
    let mut found = Found::default();
    for path in &options.paths {
        found.add(path, model.as_ref());
    }
    // The failure of a single file is an ordinary error.
    if options.paths.len() == 1 && found.count == 1 && found.bad.len() == 1 && !options.json {
        return Err(found.bad.remove(0).1);
    }
    let shown: Vec<Shown> = found.good.iter().flat_map(Inspected::shown).collect();
    let alike = cosines::of(&shown);
    let mut out = terminal::out();
    if options.json {
        let json = json!({
            "files": found.as_json(model.as_ref()),
            "axes": found.axes.iter().map(|(path, layer)| json!({
                "file": path.display().to_string(),
                "layer": layer,
            })).collect::<Vec<_>>(),
            "cosines": cosines::as_json(&shown, &alike),
            "model": model.as_ref().map(|model| &model.name),
        });
        let text = serde_json::to_string_pretty(&json)?;
        writeln!(out, "{text}")?;
    } else {
        for file in &found.good {
            file.print(&mut out, model.as_ref())?;
        }
        for (path, layer) in &found.axes {
            let path = printable_path(path);
            writeln!(
                out,
                "{path}: axes that replies are read along, at layer {layer}"
            )?;
        }
        cosines::print(&mut out, &shown, &alike)?;
    }
    out.flush()?;
    if found.bad.is_empty() {
        return Ok(());
    }
    for (_, failure) in &found.bad {
        complain(&format!("elpis: {}", told(failure.as_ref())));
    }
    Err(CliError::Uninspected {
        bad: found.bad.len(),
        all: found.count,
    }
    .into())
}

fn look_at_model(
    config: Option<PathBuf>,
    options: &Options,
    quiet: bool,
) -> Result<Model, Failure> {
    let loaded = options.model.load(config, 1, quiet)?;
    let facts = loaded.backend.facts();
    Ok(Model {
        name: facts.name.clone(),
        context: library_context(&loaded.settings.model, facts),
    })
}

#[derive(Default)]
struct Found {
    good: Vec<Inspected>,
    /// Files with axes that replies are read along, each with its layer.
    axes: Vec<(PathBuf, usize)>,
    /// Path and reason.
    bad: Vec<(PathBuf, Failure)>,
    /// Number of inspected files and sets.
    count: usize,
}

impl Found {
    fn add(&mut self, path: &Path, model: Option<&Model>) {
        if path.is_dir() {
            self.add_folder(path, model);
        } else {
            self.add_file(path, Used::default(), model);
        }
    }

    fn refuse(&mut self, path: &Path, failure: Failure) {
        self.bad.push((path.to_owned(), failure));
    }

    fn add_file(&mut self, path: &Path, used: Used, model: Option<&Model>) {
        self.count += 1;
        match inspect(path, used).and_then(|file| file.fit(model)) {
            Ok(file) => self.good.push(file),
            Err(failure) => self.refuse(path, failure),
        }
    }

    fn add_axes(&mut self, path: &Path, layer: usize) {
        self.count += 1;
        match inspect(path, Used::default()) {
            Ok(_) => self.axes.push((path.to_owned(), layer)),
            Err(failure) => self.refuse(path, failure),
        }
    }

    fn add_folder(&mut self, folder: &Path, model: Option<&Model>) {
        let names = match library_names(folder) {
            Ok(names) => names,
            Err(failure) => {
                self.count += 1;
                return self.refuse(folder, failure);
            }
        };
        let manifest = folder.join(MANIFEST_FILE);
        let mut used = Used::default();
        let mut axes = None;
        if names.iter().any(|name| name == MANIFEST_FILE) {
            self.count += 1;
            match read_manifest(&manifest) {
                Ok(read) => {
                    used.scale = read.scale;
                    axes = read.reading;
                    used.layer = read.layers.and_then(|layers| layers.first().copied());
                }
                Err(failure) => self.refuse(&manifest, failure),
            }
        }
        let before = self.bad.len();
        for name in names.iter().filter(|name| *name != MANIFEST_FILE) {
            let path = folder.join(name);
            match axes.as_ref().filter(|axes| axes.file == *name) {
                Some(axes) => self.add_axes(&path, axes.layer),
                None => self.add_file(&path, used, model),
            }
        }
        // Files that are valid by themselves may still not form a library for this model.
        if let Some(model) = model
            && self.bad.len() == before
            && let Err(failure) = as_set(folder, &names, &model.context)
        {
            self.count += 1;
            self.refuse(folder, failure);
        }
    }

    fn as_json(&self, model: Option<&Model>) -> Value {
        let good = self.good.iter().map(|file| file.as_json(model));
        let bad = self.bad.iter().map(|(path, failure)| {
            json!({ "file": path.to_string_lossy(), "error": failure.to_string() })
        });
        good.chain(bad).collect()
    }
}

/// The names of a folder's vector files and manifest, sorted.
fn library_names(folder: &Path) -> Result<Vec<String>, Failure> {
    let unreadable = CliError::unreadable(folder);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(&unreadable)? {
        let name = entry.map_err(&unreadable)?.file_name();
        if let Some(name) = name.to_str()
            && is_library_file(name)
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    if names.iter().all(|name| name == MANIFEST_FILE) {
        return Err(format!("{} holds no vectors", printable_path(folder)).into());
    }
    Ok(names)
}

fn read_manifest(file: &Path) -> Result<Manifest, Failure> {
    let bytes = read_file(file).map_err(|error| unread(file, error))?;
    let parsed = Manifest::parse(&bytes).map_err(|source| LibraryError::Manifest {
        file: file.display().to_string(),
        source,
    });
    Ok(parsed?)
}

fn as_set(folder: &Path, names: &[String], context: &LibraryContext) -> Result<(), Failure> {
    let files = names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            let bytes = read_file(&path).map_err(|error| unread(&path, error))?;
            Ok(LibraryFile {
                name: name.clone(),
                bytes,
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    SteeringLibrary::build(files, context).map_err(CliError::at(folder))?;
    Ok(())
}

fn inspect(path: &Path, used: Used) -> Result<Inspected, Failure> {
    let format = format_of(path)?;
    let (vectors, pack) = match read(path)? {
        VectorFile::One(vector) => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = if is_emotion_name(&stem) {
                stem.into_owned()
            } else {
                printable(&stem).into_owned()
            };
            (vec![(name, vector)], false)
        }
        VectorFile::Pack(vectors) => (vectors.into_iter().collect(), true),
    };
    let told = match vectors.first() {
        Some((_, vector)) => named_layer(path, vector)?,
        None => None,
    };
    Ok(Inspected {
        path: path.to_owned(),
        format,
        vectors,
        pack,
        told,
        used,
    })
}

impl Inspected {
    /// Assigns the rows of matrices to the model's layers, and refuses vectors of a different width.
    fn fit(mut self, model: Option<&Model>) -> Result<Self, Failure> {
        let Some(Model { context, .. }) = model else {
            return Ok(self);
        };
        let file = self.path.display().to_string();
        for (_, vector) in &mut self.vectors {
            if vector.width() != context.n_embd {
                return Err(LibraryError::Width {
                    file,
                    width: vector.width(),
                    n_embd: context.n_embd,
                }
                .into());
            }
            let fitted = vector.clone().for_layers(context.n_layers);
            *vector = fitted.map_err(|source| LibraryError::Vector {
                file: file.clone(),
                source,
            })?;
        }
        Ok(self)
    }

    fn shown(&self) -> impl Iterator<Item = Shown> {
        self.vectors.iter().map(|(name, vector)| Shown {
            name: name.clone(),
            rows: vector
                .rows()
                .enumerate()
                .map(|(index, (layer, row))| {
                    // Rows of matrices are compared by position.
                    let place = vector.is_stacked().then_some(index);
                    (layer.or(self.told).or(place), row.to_vec())
                })
                .collect(),
        })
    }
}
