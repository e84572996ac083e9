//! `.npz`: a zip archive of `.npy` files, as `numpy.savez` and `savez_compressed` write it.

use super::contents::{Contents, MAX_ARRAYS};
use super::zip::{Archive, Entries, Writer};
use super::{FormatError, VectorFile, array_name, arrays, npy, within};
use crate::vector::SteeringVector;

/// What `numpy.savez` calls an array that was given without a name.
const UNNAMED: &str = "arr_0";

pub(super) fn parse(bytes: &[u8]) -> Result<VectorFile, FormatError> {
    let archive = Archive::read(bytes, Entries::Deflated)?;
    let names: Vec<&str> = archive.names().collect();
    within("number of arrays", names.len() as u64, MAX_ARRAYS)?;
    let mut contents = Contents::default();
    for (index, file) in names.iter().enumerate() {
        let name = file.strip_suffix(".npy").unwrap_or(file);
        let entry = npy::read(name, archive.data(index)?)?;
        if names.len() == 1 && name == UNNAMED {
            contents.add_whole(entry)?;
        } else {
            contents.add(name, entry)?;
        }
    }
    contents.finish()
}

pub(super) fn write(vector: &SteeringVector) -> Result<Vec<u8>, FormatError> {
    let mut archive = Writer::new();
    for (layer, shape, values) in arrays(vector) {
        let name = format!("{}.npy", array_name(vector, layer));
        archive.add(&name, &npy::array(&shape, &values))?;
    }
    archive.finish()
}
