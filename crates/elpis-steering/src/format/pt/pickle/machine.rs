//! The stack machine that interprets a pickle.

use std::collections::BTreeMap;

use super::globals::{global, long, refused_global, refused_opcode};
use super::value::{Global, Made, Type, Value, WHAT, broken};
use super::{Loaded, Storage, Tensor};
use crate::format::{FormatError, within};
use elpis_files::cursor::Cursor;

/// Maximum number of instructions. Each creates at most one value, so this bounds all allocations
/// of the machine.
pub(super) const MAX_INSTRUCTIONS: u64 = 1 << 16;
pub(super) const MAX_DIMENSIONS: usize = 8;

#[derive(Default)]
pub(super) struct Machine<'a> {
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
    items: Vec<Value<'a>>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) types: Vec<Type>,
    pub(super) arrays: Vec<Made<'a>>,
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
            let root = machine.tree(result)?;
            return Ok(Loaded {
                root,
                storages: machine.storages,
            });
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
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
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
            b'C' | b'U' => {
                let length = cursor.u8()?;
                self.bytes(cursor, length.into())?;
            }
            b'B' | b'T' => {
                let length = cursor.u32()?;
                self.bytes(cursor, length.into())?;
            }
            0x8e | 0x96 => {
                let length = cursor.u64()?;
                self.bytes(cursor, length)?;
            }
            0x98 => {} // marks a buffer as read-only
            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let count = self.since_mark()?;
                self.tuple(count)?;
            }
            b']' => {
                self.stack.push(Value::List(self.lists.len()));
                self.lists.push(Vec::new());
            }
            b'a' => self.append(1)?,
            b'e' => {
                let count = self.since_mark()?;
                self.append(count)?;
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

    fn bytes(&mut self, cursor: &mut Cursor<'a>, length: u64) -> Result<(), FormatError> {
        self.stack.push(Value::Bytes(cursor.take(length)?));
        Ok(())
    }

    fn append(&mut self, count: usize) -> Result<(), FormatError> {
        let values = self.take(count)?;
        let list = match self.stack.last() {
            Some(&Value::List(index)) if self.stack.len() > self.floor() => {
                self.lists.get_mut(index)
            }
            _ => None,
        };
        list.ok_or_else(|| broken("items without a list"))?
            .extend(values);
        Ok(())
    }

    /// Values above the last mark are out of reach until the mark is taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Value<'a>, FormatError> {
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

    pub(super) fn tuple_items(&self, value: Value<'a>) -> Result<&[Value<'a>], FormatError> {
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
        let made = match function {
            Global::RebuildTensor => {
                // Storage, offset, size, strides, requires_grad, hooks, and in some versions
                // metadata that only subclasses use.
                let (&[
                    Value::Storage(storage),
                    Value::Int(offset),
                    shape,
                    strides,
                    Value::Bool(_),
                    Value::Dict(_),
                ]
                | &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    shape,
                    strides,
                    Value::Bool(_),
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
                self.tensors.push(tensor);
                Value::Tensor(self.tensors.len() - 1)
            }
            Global::RebuildParameter => match arguments {
                &[tensor @ Value::Tensor(_), Value::Bool(_), Value::Dict(_)] => tensor,
                _ => {
                    return Err(broken(
                        "a parameter's arguments are not those of torch.save",
                    ));
                }
            },
            Global::OrderedDict => match arguments {
                [] => {
                    self.dicts.push(Vec::new());
                    Value::Dict(self.dicts.len() - 1)
                }
                _ => return Err(broken("an OrderedDict is made from arguments")),
            },
            Global::Storage(class) => return Err(broken(format!("{class} is called"))),
            numpy => {
                let arguments = arguments.to_vec();
                self.call_numpy(numpy, &arguments)?
            }
        };
        self.stack.push(made);
        Ok(())
    }

    pub(super) fn sizes(&self, value: Value<'a>) -> Result<Vec<u64>, FormatError> {
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

    /// The state of an array or of its type. Attributes of a dict, such as `_metadata` of a
    /// module's `state_dict`, are not needed.
    fn set_state(&mut self) -> Result<(), FormatError> {
        let state = self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            Some(&Value::Type(index)) => self.set_type(index, state),
            Some(&Value::Array(index)) => self.fill(index, state),
            Some(other) => Err(broken(format!("{} is given a state", other.noun()))),
            None => Err(broken("the stack is empty")),
        }
    }
}

fn size(value: i64) -> Result<u64, FormatError> {
    u64::try_from(value).map_err(|_| broken(format!("a size is {value}, must not be negative")))
}
