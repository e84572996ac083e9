//! The tree of values that a pickle has built.

use super::machine::{MAX_INSTRUCTIONS, Machine};
use super::value::{Made, Value, broken};
use super::{Key, Node};
use crate::format::FormatError;

/// Maximum depth of dicts and lists. A list in a dict in a dict needs three.
const MAX_DEPTH: usize = 6;

impl<'a> Machine<'a> {
    /// The tree below a value. Shared values are repeated in the tree, so the number of nodes has
    /// its own limit.
    pub(super) fn tree(&self, root: Value<'a>) -> Result<Node<'a>, FormatError> {
        let mut room = MAX_INSTRUCTIONS;
        self.node(root, MAX_DEPTH, &mut room)
    }

    fn node(
        &self,
        value: Value<'a>,
        depth: usize,
        room: &mut u64,
    ) -> Result<Node<'a>, FormatError> {
        *room = room.checked_sub(1).ok_or(FormatError::LimitExceeded {
            what: "values of data.pkl",
            value: MAX_INSTRUCTIONS + 1,
            limit: MAX_INSTRUCTIONS,
        })?;
        let deeper = || {
            depth.checked_sub(1).ok_or(FormatError::LimitExceeded {
                what: "depth of data.pkl",
                value: MAX_DEPTH as u64 + 1,
                limit: MAX_DEPTH as u64,
            })
        };
        Ok(match value {
            Value::Tensor(index) => {
                let tensor = self.tensors.get(index).cloned();
                Node::Tensor(tensor.ok_or_else(|| broken("a tensor is missing"))?)
            }
            Value::Array(index) => match self.arrays.get(index) {
                Some(Made::Numbers(array)) => Node::Numpy(array.clone()),
                Some(Made::Objects(list)) => {
                    return self.node(Value::List(*list), deeper()?, room);
                }
                Some(Made::Empty) | None => return Err(broken("an array is never filled")),
            },
            Value::Dict(index) => {
                let depth = deeper()?;
                let mut pairs = Vec::new();
                for &(key, value) in self.dicts.get(index).into_iter().flatten() {
                    let key = match key {
                        Value::Int(layer) => Key::Int(layer),
                        Value::Text(name) => Key::Text(name),
                        Value::Array(index) => Key::Int(self.number(index)?),
                        other => {
                            return Err(broken(format!("{} is a key of a dict", other.noun())));
                        }
                    };
                    pairs.push((key, self.node(value, depth, room)?));
                }
                Node::Dict(pairs)
            }
            Value::List(index) => {
                let depth = deeper()?;
                let items = self.lists.get(index).into_iter().flatten();
                let nodes = items.map(|&item| self.node(item, depth, room));
                Node::List(nodes.collect::<Result<_, _>>()?)
            }
            Value::Tuple(..) => {
                let depth = deeper()?;
                let items = self.tuple_items(value)?.iter();
                let nodes = items.map(|&item| self.node(item, depth, room));
                Node::List(nodes.collect::<Result<_, _>>()?)
            }
            Value::Int(number) => Node::Int(number),
            Value::Text(text) => Node::Text(text),
            Value::None | Value::Bool(_) => Node::Remark,
            other => Node::Other(other.noun()),
        })
    }

    /// The integer in a zero-dimensional array: `numpy.int64` as a key.
    fn number(&self, index: usize) -> Result<i64, FormatError> {
        use crate::format::contents::Entry;
        use crate::format::numpy;

        let Some(Made::Numbers(array)) = self.arrays.get(index) else {
            return Err(broken("an array is a key of a dict"));
        };
        let entry = numpy::entry(
            "a key",
            array.dtype,
            array.shape.clone(),
            array.fortran,
            array.bytes.clone(),
        )?;
        match entry {
            Entry::Integers { values, .. } => match values.as_slice() {
                [number] => Ok(*number),
                _ => Err(broken("an array is a key of a dict")),
            },
            _ => Err(broken("an array is a key of a dict")),
        }
    }
}
