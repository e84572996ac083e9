//! `NumPy` arrays in pickles (`array_reduce` and `array_setstate` in `NumPy`'s
//! `methods.c`, `arraydescr_reduce` in `descriptor.c`).

use std::borrow::Cow;

use super::NumpyArray;
use super::machine::Machine;
use super::value::{Global, Made, Type, Value, broken};
use crate::format::array::Bytes;
use crate::format::numpy::DType;
use crate::format::{FormatError, shown};

impl<'a> Machine<'a> {
    pub(super) fn call_numpy(
        &mut self,
        function: Global,
        arguments: &[Value<'a>],
    ) -> Result<Value<'a>, FormatError> {
        let wrong = |what: &str| broken(format!("{what} are not those of numpy"));
        Ok(match (function, arguments) {
            (
                Global::Encode,
                &[
                    Value::Text(text),
                    Value::Text("latin1" | "latin-1" | "iso-8859-1"),
                ],
            ) => Value::Latin1(text),
            (Global::Encode, _) => return Err(broken("text is encoded otherwise than as latin1")),
            (Global::Bytes, []) => Value::Bytes(&[]),
            (Global::Bytes, _) => return Err(broken("bytes are made from arguments")),
            (Global::DType, &[name, _, _] | &[name]) => {
                let name = text_of(name).ok_or_else(|| wrong("a type's arguments"))?;
                self.types.push(match DType::of(name) {
                    Some(dtype) => Type::Known(dtype),
                    None if matches!(name, "O" | "O8" | "|O") => Type::Object,
                    None => Type::Other(shown(name)),
                });
                Value::Type(self.types.len() - 1)
            }
            (Global::Reconstruct, &[Value::Global(Global::NdArray), Value::Tuple(..), _]) => {
                self.arrays.push(Made::Empty);
                Value::Array(self.arrays.len() - 1)
            }
            (Global::Scalar, &[Value::Type(dtype), data]) => {
                self.array(dtype, Vec::new(), false, data)?
            }
            (Global::FromBuffer, &[data, Value::Type(dtype), shape, Value::Text(order)]) => {
                let fortran = match order {
                    "C" => false,
                    "F" => true,
                    _ => return Err(wrong("an array's arguments")),
                };
                let shape = self.sizes(shape)?;
                self.array(dtype, shape, fortran, data)?
            }
            (Global::NdArray, _) => return Err(broken("numpy.ndarray is called")),
            _ => return Err(wrong("a call's arguments")),
        })
    }

    fn array(
        &mut self,
        dtype: usize,
        shape: Vec<u64>,
        fortran: bool,
        data: Value<'a>,
    ) -> Result<Value<'a>, FormatError> {
        let made = self.made(dtype, shape, fortran, data)?;
        self.arrays.push(made);
        Ok(Value::Array(self.arrays.len() - 1))
    }

    fn made(
        &self,
        dtype: usize,
        shape: Vec<u64>,
        fortran: bool,
        data: Value<'a>,
    ) -> Result<Made<'a>, FormatError> {
        let dtype = self
            .types
            .get(dtype)
            .ok_or_else(|| broken("an array's type is missing"))?;
        let bytes = match data {
            Value::Bytes(bytes) => Some(Bytes::Plain(Cow::Borrowed(bytes))),
            Value::Latin1(text) => Some(Bytes::Latin1(text)),
            _ => None,
        };
        match (dtype, bytes, data) {
            (Type::Known(dtype), Some(bytes), _) => Ok(Made::Numbers(NumpyArray {
                dtype: *dtype,
                shape,
                fortran,
                bytes,
            })),
            (Type::Object, _, Value::List(list)) if shape.len() == 1 => Ok(Made::Objects(list)),
            (Type::Other(name), ..) => Err(FormatError::UnsupportedType {
                tensor: "an array".to_owned(),
                dtype: format!("numpy {name}"),
            }),
            (Type::Object, ..) => Err(FormatError::UnsupportedType {
                tensor: "an array".to_owned(),
                dtype: "numpy object".to_owned(),
            }),
            (Type::Known(_), None, other) => {
                Err(broken(format!("an array is filled with {}", other.noun())))
            }
        }
    }

    /// `(version, order of bytes, subtype, names, fields, size, alignment, flags)`.
    pub(super) fn set_type(&mut self, index: usize, state: Value<'a>) -> Result<(), FormatError> {
        let items = self.tuple_items(state)?;
        let &[_, order, subtype, names, fields, ..] = items else {
            return Err(broken("a type's state is not numpy's"));
        };
        let plain = [subtype, names, fields]
            .iter()
            .all(|value| matches!(value, Value::None));
        let order = text_of(order);
        let Some(found) = self.types.get_mut(index) else {
            return Err(broken("a type is missing"));
        };
        if !plain {
            *found = Type::Other("record".to_owned());
        } else if let Type::Known(dtype) = found {
            *dtype = order
                .and_then(|order| dtype.in_order(order))
                .ok_or_else(|| broken("a type's order of bytes is unknown"))?;
        }
        Ok(())
    }

    /// `(version, shape, type, whether in Fortran's order, data)`, the oldest without a version.
    pub(super) fn fill(&mut self, index: usize, state: Value<'a>) -> Result<(), FormatError> {
        let items = self.tuple_items(state)?;
        let (&[_, shape, Value::Type(dtype), fortran, data]
        | &[shape, Value::Type(dtype), fortran, data]) = items
        else {
            return Err(broken("an array's state is not numpy's"));
        };
        let fortran = match fortran {
            Value::Bool(fortran) => fortran,
            Value::Int(number) => number != 0,
            _ => return Err(broken("an array's state is not numpy's")),
        };
        let shape = self.sizes(shape)?;
        let made = self.made(dtype, shape, fortran, data)?;
        match self.arrays.get_mut(index) {
            Some(array) => *array = made,
            None => return Err(broken("an array is missing")),
        }
        Ok(())
    }
}

/// Text, which Python 2 wrote as bytes.
fn text_of(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
