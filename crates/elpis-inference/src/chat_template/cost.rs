//! Weighs template values before they are walked, and limits their depth.
//!
//! minijinja charges its own work as fuel. When it passes whole values to Rust code (comparisons,
//! conversions to text, hashing), it only counts their first level, and a value that shares its
//! parts is cheap to build but endless to walk. Therefore values are weighed before they are
//! walked, and values that a template keeps must be shallow and free of cycles.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Maximum nesting of values.
pub(super) const MAX_VALUE_DEPTH: usize = 64;
/// Number of items walked per unit of fuel.
const ITEMS_PER_FUEL: u64 = 4;
/// Number of bytes of text read per unit of fuel.
const BYTES_PER_FUEL: u64 = 256;

/// A mapping from the caller, whose depth and size are already bounded. It behaves like any
/// mapping, but is not weighed again.
#[derive(Debug)]
pub(super) struct Given(Value);

impl Given {
    pub fn wrap(mapping: Value) -> Value {
        Value::from_object(Self(mapping))
    }
}

impl Object for Given {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.as_object()?.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.0.try_iter() {
            Ok(keys) => Enumerator::Values(keys.collect()),
            Err(_) => Enumerator::NonEnumerable,
        }
    }
}

/// Charges for a walk through a value.
///
/// # Errors
/// Out of fuel, or nested more deeply than [`MAX_VALUE_DEPTH`].
pub(super) fn weigh(state: &State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => pay_for_text(state, value),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            let mut scale = Scale {
                state,
                unpaid: 0,
                namespaces: true,
                skips_given: false,
            };
            scale.walk(value, 0)?;
            scale.pay()
        }
        _ => Ok(()),
    }
}

/// Checks a value that a template stores under a name. It must not be nested too deeply, and a
/// value in a namespace must not contain a namespace, which could be the same one.
pub(super) fn check_kept(state: &State, value: &Value, into_namespace: bool) -> Result<(), Error> {
    if !is_container(value) {
        return Ok(());
    }
    let mut scale = Scale {
        state,
        unpaid: 0,
        namespaces: !into_namespace,
        skips_given: true,
    };
    scale.walk(value, 0)?;
    scale.pay()
}

fn pay_for_text(state: &State, value: &Value) -> Result<(), Error> {
    let bytes = value.as_str().map_or(0, str::len) as u64;
    state.consume_fuel(bytes / BYTES_PER_FUEL)
}

pub(super) fn is_container(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain
    )
}

struct Scale<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    unpaid: u64,
    /// Whether it may contain namespaces.
    namespaces: bool,
    skips_given: bool,
}

impl Scale<'_, '_, '_> {
    fn pay(&mut self) -> Result<(), Error> {
        let fuel = self.unpaid / ITEMS_PER_FUEL;
        self.unpaid = 0;
        self.state.consume_fuel(fuel)
    }

    fn walk(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_VALUE_DEPTH {
            return Err(too_deep());
        }
        self.unpaid += 1;
        if self.unpaid >= ITEMS_PER_FUEL * 64 {
            self.pay()?;
        }
        let Some(object) = value.as_object() else {
            let bytes = value.as_str().map_or(0, str::len) as u64;
            self.unpaid += bytes * ITEMS_PER_FUEL / BYTES_PER_FUEL;
            return Ok(());
        };
        if self.skips_given && value.downcast_object_ref::<Given>().is_some() {
            return Ok(());
        }
        // The contents of a namespace can change later, but never to a namespace.
        if !self.namespaces && object.type_name().ends_with("Namespace") {
            let message = "a namespace cannot hold a namespace";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        match value.kind() {
            ValueKind::Map => {
                for (key, item) in object.try_iter_pairs().into_iter().flatten() {
                    self.walk(&key, depth + 1)?;
                    self.walk(&item, depth + 1)?;
                }
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for item in object.try_iter().into_iter().flatten() {
                    self.walk(&item, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

pub(super) fn too_deep() -> Error {
    let message = format!("a value is nested more than {MAX_VALUE_DEPTH} deep");
    Error::new(ErrorKind::InvalidOperation, message)
}
