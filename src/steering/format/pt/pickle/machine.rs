//! The stack machine that a pickle is a program for.

use std::collections::BTreeMap;

use super::{Key, Loaded, Storage, Tensor};
use crate::steering::format::bytes::Cursor;
use crate::steering::format::{FormatError, shown, within};

const WHAT: &str = "data.pkl";
/// Each makes at most one value, so this bounds everything that the machine allocates.
const MAX_INSTRUCTIONS: u64 = 1 << 16;
const MAX_DIMENSIONS: usize = 8;

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

#[derive(Clone, Copy)]
enum Global {
    Storage(&'static str),
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
}

/// Values are small and copied; what can grow stands in a list of the machine.
#[derive(Clone, Copy)]
enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    List,
    Global(Global),
    /// A range of `Machine::items`.
    Tuple(usize, usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

impl Value<'_> {
    fn noun(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an integer",
            Self::Float => "a float",
            Self::Text(_) => "text",
            Self::List => "a list",
            Self::Global(_) => "a class or function",
            Self::Tuple(..) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
    items: Vec<Value<'a>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Tensor>,
}

pub(super) fn run(bytes: &[u8]) -> Result<Loaded<'_>, FormatError> {
    let mut machine = Machine::default();
    let mut cursor = Cursor::new(WHAT, bytes);
    let mut count = 0;
    loop {
        count += 1;
        within("pickle instructions", count, MAX_INSTRUCTIONS)?;
        let offset = cursor.position();
        let opcode = cursor.u8()?;
        if opcode == b'.' {
            let result = machine.pop()?;
            return machine.finish(result);
        }
        machine.step(opcode, offset, &mut cursor)?;
    }
}

impl<'a> Machine<'a> {
    fn step(
        &mut self,
        opcode: u8,
        offset: usize,
        cursor: &mut Cursor<'a>,
    ) -> Result<(), FormatError> {
        match opcode {
            0x80 => {
                let protocol = cursor.u8()?;
                within("pickle protocol", u64::from(protocol), 5)?;
            }
            0x95 => drop(cursor.u64()?), // a frame's length
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'K' => self.int(cursor.u8()?.into()),
            b'M' => self.int(cursor.u16()?.into()),
            b'J' => self.int(cursor.i32()?.into()),
            0x8a => {
                let length = cursor.u8()?;
                self.int(long(cursor.take(length.into())?)?);
            }
            b'G' => {
                cursor.take(8)?;
                self.stack.push(Value::Float);
            }
            0x8c => {
                let length = cursor.u8()?;
                self.text(cursor, length.into())?;
            }
            b'X' => {
                let length = cursor.u32()?;
                self.text(cursor, length.into())?;
            }
            0x8d => {
                let length = cursor.u64()?;
                self.text(cursor, length)?;
            }
            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let count = self.since_mark()?;
                self.tuple(count)?;
            }
            b']' => self.stack.push(Value::List),
            b'a' => drop(self.pop()?),
            b'e' => {
                let count = self.since_mark()?;
                self.take(count)?;
            }
            b'}' => self.dict(),
            b's' => self.set_items(2)?,
            b'u' => {
                let count = self.since_mark()?;
                self.set_items(count)?;
            }
            b'q' => self.remember(cursor.u8()?.into())?,
            b'r' => self.remember(cursor.u32()?)?,
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => self.recall(cursor.u8()?.into())?,
            b'j' => self.recall(cursor.u32()?)?,
            b'c' => {
                let (module, name) = (cursor.line()?, cursor.line()?);
                self.stack.push(global(module, name)?);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (module, name) {
                    (Value::Text(module), Value::Text(name)) => {
                        self.stack.push(global(module, name)?);
                    }
                    _ => return Err(broken("a global's name is not text")),
                }
            }
            b'i' => {
                let (module, name) = (cursor.line()?, cursor.line()?);
                return Err(refused_global(module, name));
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.set_state()?,
            other => return Err(refused_opcode(other, offset)),
        }
        Ok(())
    }

    fn int(&mut self, value: i64) {
        self.stack.push(Value::Int(value));
    }

    fn text(&mut self, cursor: &mut Cursor<'a>, length: u64) -> Result<(), FormatError> {
        self.stack.push(Value::Text(cursor.text(length)?));
        Ok(())
    }

    /// Values above the last mark are out of reach until the mark is taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value<'a>, FormatError> {
        if self.stack.len() <= self.floor() {
            return Err(broken("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| broken("the stack is empty"))
    }

    fn since_mark(&mut self) -> Result<usize, FormatError> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| broken("a mark is missing"))?;
        Ok(self.stack.len().saturating_sub(mark))
    }

    /// Takes the topmost values, the lowest first.
    fn take(&mut self, count: usize) -> Result<Vec<Value<'a>>, FormatError> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= self.floor())
            .ok_or_else(|| broken("the stack is empty"))?;
        Ok(self.stack.split_off(start))
    }

    fn tuple(&mut self, count: usize) -> Result<(), FormatError> {
        let values = self.take(count)?;
        let start = self.items.len();
        self.items.extend(values);
        self.stack.push(Value::Tuple(start, self.items.len()));
        Ok(())
    }

    fn tuple_items(&self, value: Value<'a>) -> Result<&[Value<'a>], FormatError> {
        match value {
            Value::Tuple(start, end) => Ok(self.items.get(start..end).unwrap_or_default()),
            other => Err(broken(format!("{} stands for a tuple", other.noun()))),
        }
    }

    fn dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn set_items(&mut self, count: usize) -> Result<(), FormatError> {
        let values = self.take(count)?;
        let dict = match self.stack.last() {
            Some(&Value::Dict(index)) if self.stack.len() > self.floor() => {
                self.dicts.get_mut(index)
            }
            _ => None,
        };
        let dict = dict.ok_or_else(|| broken("entries without a dict"))?;
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(broken("a key without a value"));
        }
        dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), FormatError> {
        let value = self
            .stack
            .last()
            .copied()
            .ok_or_else(|| broken("the stack is empty"))?;
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), FormatError> {
        let value = self
            .memo
            .get(&place)
            .copied()
            .ok_or_else(|| broken(format!("memo {place} is not set")))?;
        self.stack.push(value);
        Ok(())
    }

    /// A persistent id: `("storage", class, key, location, number of elements)`.
    fn storage(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        let storage = match self.tuple_items(id)? {
            &[
                Value::Text("storage"),
                Value::Global(Global::Storage(class)),
                Value::Text(key),
                Value::Text(_location),
                Value::Int(elements),
            ] => Storage {
                class,
                key,
                elements: size(elements)?,
            },
            _ => return Err(broken("a persistent id is not a storage's")),
        };
        self.stack.push(Value::Storage(self.storages.len()));
        self.storages.push(storage);
        Ok(())
    }

    /// Calls one of the few functions that build tensors.
    fn call(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else {
            return Err(broken(format!("{} is called", function.noun())));
        };
        let arguments = self.tuple_items(arguments)?;
        match function {
            Global::RebuildTensor => {
                // Storage, offset, size, strides, requires_grad, hooks, and in some versions
                // metadata that only subclasses use.
                let (&[
                    Value::Storage(storage),
                    Value::Int(offset),
                    shape,
                    strides,
                    Value::Bool,
                    Value::Dict(_),
                ]
                | &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    shape,
                    strides,
                    Value::Bool,
                    Value::Dict(_),
                    Value::None | Value::Dict(_),
                ]) = arguments
                else {
                    return Err(broken("a tensor's arguments are not those of torch.save"));
                };
                let tensor = Tensor {
                    storage,
                    offset: size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                self.stack.push(Value::Tensor(self.tensors.len()));
                self.tensors.push(tensor);
            }
            Global::RebuildParameter => match arguments {
                &[tensor @ Value::Tensor(_), Value::Bool, Value::Dict(_)] => {
                    self.stack.push(tensor);
                }
                _ => {
                    return Err(broken(
                        "a parameter's arguments are not those of torch.save",
                    ));
                }
            },
            Global::OrderedDict => match arguments {
                [] => self.dict(),
                _ => return Err(broken("an OrderedDict is made from arguments")),
            },
            Global::Storage(class) => return Err(broken(format!("{class} is called"))),
        }
        Ok(())
    }

    fn sizes(&self, value: Value<'a>) -> Result<Vec<u64>, FormatError> {
        let items = self.tuple_items(value)?;
        within(
            "dimensions of a tensor",
            items.len() as u64,
            MAX_DIMENSIONS as u64,
        )?;
        items
            .iter()
            .map(|item| match *item {
                Value::Int(value) => size(value),
                other => Err(broken(format!("{} stands for a size", other.noun()))),
            })
            .collect()
    }

    /// Attributes of a dict, such as `_metadata` of a module's `state_dict`: not needed.
    fn set_state(&mut self) -> Result<(), FormatError> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            Some(other) => Err(broken(format!("{} is given a state", other.noun()))),
            None => Err(broken("the stack is empty")),
        }
    }

    fn finish(mut self, result: Value<'a>) -> Result<Loaded<'a>, FormatError> {
        let mut entries = Vec::new();
        match result {
            Value::Tensor(index) => entries.push((Key::Whole, self.tensor(index)?)),
            Value::Dict(index) => {
                let dict = self.dicts.get_mut(index).map(std::mem::take);
                for (key, value) in dict.unwrap_or_default() {
                    let key = match key {
                        Value::Int(layer) => Key::Int(layer),
                        Value::Text(name) => Key::Text(name),
                        other => {
                            return Err(broken(format!("{} is a key of the dict", other.noun())));
                        }
                    };
                    match value {
                        Value::Tensor(index) => entries.push((key, self.tensor(index)?)),
                        other => return Err(refused_entry(&key, other)),
                    }
                }
            }
            other => return Err(refused_entry(&Key::Whole, other)),
        }
        Ok(Loaded {
            entries,
            storages: self.storages,
        })
    }

    fn tensor(&self, index: usize) -> Result<Tensor, FormatError> {
        self.tensors
            .get(index)
            .cloned()
            .ok_or_else(|| broken("a tensor is missing"))
    }
}

fn global<'a>(module: &str, name: &str) -> Result<Value<'a>, FormatError> {
    let global = match (module, name) {
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch", class) => STORAGES
            .into_iter()
            .find(|known| *known == class)
            .map(Global::Storage),
        _ => None,
    };
    global
        .map(Value::Global)
        .ok_or_else(|| refused_global(module, name))
}

fn refused_global(module: &str, name: &str) -> FormatError {
    FormatError::RefusedGlobal {
        global: format!("{}.{}", shown(module), shown(name)),
    }
}

fn refused_entry(key: &Key<'_>, value: Value<'_>) -> FormatError {
    FormatError::RefusedEntry {
        entry: shown(&key.to_string()),
        found: value.noun(),
    }
}

fn refused_opcode(opcode: u8, offset: usize) -> FormatError {
    let opcode = match opcode {
        b'o' => "OBJ".to_owned(),
        0x81 => "NEWOBJ".to_owned(),
        0x92 => "NEWOBJ_EX".to_owned(),
        0x82..=0x84 => "EXT".to_owned(),
        b'P' => "PERSID".to_owned(),
        b'2' => "DUP".to_owned(),
        b'0' => "POP".to_owned(),
        b'1' => "POP_MARK".to_owned(),
        b'B' | b'C' | 0x8e | 0x96 => "bytes".to_owned(),
        0x8f..=0x91 => "set".to_owned(),
        other => format!("{other:#04x}"),
    };
    FormatError::RefusedOpcode { opcode, offset }
}

/// A little-endian two's complement integer of any length that fits.
fn long(bytes: &[u8]) -> Result<i64, FormatError> {
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

fn size(value: i64) -> Result<u64, FormatError> {
    u64::try_from(value).map_err(|_| broken(format!("a size is {value}, must not be negative")))
}

fn broken(reason: impl Into<String>) -> FormatError {
    FormatError::malformed(WHAT, reason)
}
