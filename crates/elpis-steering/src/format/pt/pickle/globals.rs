//! The functions and classes that a pickle may name.

use super::value::{Global, Value, broken};
use crate::format::{FormatError, shown};

/// Storage classes of `PyTorch`: those that are read, and those that are refused with the tensor's
/// name instead of as an unknown global.
const STORAGES: [&str; 13] = [
    "HalfStorage",
    "BFloat16Storage",
    "FloatStorage",
    "DoubleStorage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
    "ComplexFloatStorage",
    "ComplexDoubleStorage",
    "QInt8Storage",
];

pub(super) fn global<'a>(module: &str, name: &str) -> Result<Value<'a>, FormatError> {
    let global = match (module, name) {
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch", class) => STORAGES
            .into_iter()
            .find(|known| *known == class)
            .map(Global::Storage),
        ("numpy", "ndarray") => Some(Global::NdArray),
        ("numpy", "dtype") => Some(Global::DType),
        // NumPy 2 has other names for its modules than 1.
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            Some(Global::Reconstruct)
        }
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Some(Global::Scalar),
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Some(Global::FromBuffer),
        ("_codecs", "encode") => Some(Global::Encode),
        ("__builtin__" | "builtins", "bytes") => Some(Global::Bytes),
        _ => None,
    };
    global
        .map(Value::Global)
        .ok_or_else(|| refused_global(module, name))
}

pub(super) fn refused_global(module: &str, name: &str) -> FormatError {
    FormatError::RefusedGlobal {
        global: format!("{}.{}", shown(module), shown(name)),
    }
}

pub(super) fn refused_opcode(opcode: u8, offset: usize) -> FormatError {
    let opcode = match opcode {
        b'o' => "OBJ".to_owned(),
        0x81 => "NEWOBJ".to_owned(),
        0x92 => "NEWOBJ_EX".to_owned(),
        0x82..=0x84 => "EXT".to_owned(),
        b'P' => "PERSID".to_owned(),
        b'2' => "DUP".to_owned(),
        b'0' => "POP".to_owned(),
        b'1' => "POP_MARK".to_owned(),
        0x8f..=0x91 => "set".to_owned(),
        0x97 => "NEXT_BUFFER".to_owned(),
        other => format!("{other:#04x}"),
    };
    FormatError::RefusedOpcode { opcode, offset }
}

/// A little-endian two's complement integer of any length that fits.
pub(super) fn long(bytes: &[u8]) -> Result<i64, FormatError> {
    let negative = bytes.last().is_some_and(|&high| high >= 0x80);
    let mut value = [if negative { 0xFF } else { 0 }; 8];
    for (to, &from) in value.iter_mut().zip(bytes) {
        *to = from;
    }
    if bytes.len() > value.len() {
        return Err(broken("an integer is longer than 64 bits"));
    }
    Ok(i64::from_le_bytes(value))
}
