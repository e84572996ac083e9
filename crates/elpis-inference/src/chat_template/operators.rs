//! Python's operators and look-ups, as functions that rewritten templates call.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Environment, Error, State, Value};

use super::arguments::{AnyArguments, plain};
use super::arithmetic::{concat, positive, powers, product, sum};
use super::bounds::invalid;
use super::compare::{equal, is_in, order};
use super::cost::{check_kept, is_container, weigh};
use super::expression::{DICT_CHANGES, DICT_METHODS, PREFIX};
use super::methods;
use super::number::Number;

type Holds = fn(Ordering) -> bool;

/// Registers the functions with an environment.
pub(super) fn register(env: &mut Environment<'_>) {
    let mut add = |name: &str, function: Value| env.add_global(format!("{PREFIX}{name}"), function);
    add("sum", Value::from_function(sum));
    add("concat", Value::from_function(concat));
    add("product", Value::from_function(product));
    add("power", Value::from_function(powers));
    add("positive", Value::from_function(positive));
    add("in", Value::from_function(is_in));
    add("call", Value::from_function(call));
    add("item", Value::from_function(item));
    add("attribute", Value::from_function(attribute));
    add("eq", Value::from_function(equal));
    add("sameas", Value::from_function(equal));
    add(
        "ne",
        Value::from_function(|state: &State, a: &Value, b: &Value| {
            equal(state, a, b).map(|it| !it)
        }),
    );
    let orders: [(&str, Holds); 4] = [
        ("lt", Ordering::is_lt),
        ("le", Ordering::is_le),
        ("gt", Ordering::is_gt),
        ("ge", Ordering::is_ge),
    ];
    for (name, holds) in orders {
        add(
            name,
            Value::from_function(move |state: &State, a: &Value, b: &Value| {
                order(state, a, b).map(holds)
            }),
        );
    }
    add(
        "weighed",
        Value::from_function(|state: &State, value: Value| weigh(state, &value).map(|()| value)),
    );
    for (name, into_namespace) in [("new", false), ("kept", false), ("stored", true)] {
        add(
            name,
            Value::from_function(move |state: &State, value: Value| {
                check_kept(state, &value, into_namespace).map(|()| value)
            }),
        );
    }
    add("key", Value::from_function(key));
}

/// Checks that a value may be a key of a mapping.
fn key(state: &State, value: Value) -> Result<Value, Error> {
    if is_container(&value) && !value.is_tuple() {
        return Err(invalid(format!("a {} cannot be a key", value.kind())));
    }
    weigh(state, &value)?;
    Ok(value)
}

/// A method that was looked up but not called. It is truthy, like every function.
#[derive(Debug)]
struct BoundMethod {
    of: Value,
    name: String,
}

impl Object for BoundMethod {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State, args: &[Value]) -> Result<Value, Error> {
        methods::call(state, &self.of, &self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.of.as_str().is_some() {
            "str"
        } else {
            "dict"
        };
        write!(f, "<built-in method {} of {kind} object>", self.name)
    }
}

fn is_dict(value: &Value) -> bool {
    let Some(object) = value.as_object() else {
        return false;
    };
    object.repr() == ObjectRepr::Map && !object.type_name().ends_with("Namespace")
}

fn bound(of: &Value, name: &str) -> Value {
    Value::from_object(BoundMethod {
        of: of.clone(),
        name: name.to_owned(),
    })
}

/// `value.name`, if Python has a method of that name.
fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    if is_dict(value) && DICT_CHANGES.contains(&name) {
        return Ok(Value::UNDEFINED);
    }
    let text_method = value.as_str().is_some() && !DICT_METHODS.contains(&name);
    if text_method || is_dict(value) && DICT_METHODS.contains(&name) {
        return Ok(bound(value, name));
    }
    value.get_attr(name)
}

/// `value[key]`.
fn item(state: &State, value: &Value, key: &Value) -> Result<Value, Error> {
    weigh(state, key)?;
    if let Some(text) = value.as_str() {
        let Some(Number::Int(index)) = Number::of(key) else {
            return Ok(Value::UNDEFINED);
        };
        weigh(state, value)?;
        let letter = if index < 0 {
            let back = usize::try_from(-index - 1).unwrap_or(usize::MAX);
            text.chars().rev().nth(back)
        } else {
            text.chars()
                .nth(usize::try_from(index).unwrap_or(usize::MAX))
        };
        return Ok(letter.map_or(Value::UNDEFINED, |letter| Value::from(letter.to_string())));
    }
    let found = value.get_item(key)?;
    match key.as_str() {
        Some(name) if found.is_undefined() && is_dict(value) && DICT_METHODS.contains(&name) => {
            Ok(bound(value, name))
        }
        _ => Ok(found),
    }
}

/// `value.name(…)`.
fn call(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: AnyArguments,
) -> Result<Value, Error> {
    methods::call(state, value, name, &plain(arguments))
}
