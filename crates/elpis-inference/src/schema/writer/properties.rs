//! Properties of objects, in the order of the schema, or in any order for the few arguments of a
//! call.

use std::collections::HashMap;

use serde_json::Value;

use super::arguments::Level;
use super::{Found, Ways, Writer};
use crate::schema::branch::{Branch, Count};
use crate::schema::document::NodeId;
use crate::schema::lark::Symbol;
use crate::schema::object;
use crate::schema::regex::Regex;

/// Maximum number of rules for counting the properties of one object.
const MAX_COUNTED: u64 = 20_000;

/// Maximum number of arguments of a call that may come in any order. There is a rule for each
/// subset that has been written, so at most 64.
const MAX_UNORDERED: usize = 6;

impl<'a> Writer<'_, '_, 'a> {
    /// The properties of an object, between its braces; `None` if no object is possible.
    pub(super) fn properties(
        &mut self,
        case: &Branch<'a>,
        level: Level,
    ) -> Found<Option<Vec<Symbol>>> {
        let fields = self.fields(case, level)?;
        let Some(fields) = fields else {
            return Ok(None);
        };
        let free = self.free(case, level)?;
        let required = fields.iter().filter(|field| field.required).count() as u64;
        let Count { least, most } = case.properties;
        if most.is_some_and(|most| most < least.max(required)) {
            return Ok(None);
        }
        let optional = fields.len() as u64 - required;
        let least = least.saturating_sub(required);
        let most = most.map(|most| most - required);
        // Undeclared properties must supply what the declared ones cannot.
        let missing = least.saturating_sub(optional);
        if free.is_none() && missing > 0 {
            return Ok(None);
        }
        if free.is_some() && least > 1 {
            let reason = format!(
                "is {} and {required} are required: of the others only one can be asked for, \
                 since names may repeat",
                case.properties.least
            );
            return self.error(case, "minProperties", reason);
        }
        let counted = least > 0 || most.is_some_and(|most| most < optional || free.is_some());
        if counted {
            return self
                .counted(case, &fields, free.as_ref(), (least, most), level)
                .map(Some);
        }
        if level != Level::Value && fields.len() <= MAX_UNORDERED {
            return Ok(Some(self.unordered(fields, free.as_ref(), level)));
        }
        let comma = || Symbol::Literal(self.comma(level).to_owned());
        let (mut head, mut tail) = match free {
            None => (Vec::new(), Vec::new()),
            Some(free) => {
                let more = Symbol::Repeat(vec![comma(), free.clone()], 0, None);
                let head = Symbol::Repeat(vec![free, more.clone()], 0, Some(1));
                (vec![head], vec![more])
            }
        };
        for field in fields.into_iter().rev() {
            let own = [field.symbols.clone(), tail.clone()].concat();
            let behind = [
                vec![Symbol::Literal(self.comma(level).to_owned())],
                own.clone(),
            ]
            .concat();
            if field.required {
                head = own;
                tail = behind;
            } else {
                head = vec![self.lark.choice(vec![own, head])];
                tail = vec![self.lark.choice(vec![behind, tail])];
                continue;
            }
            tail = vec![self.lark.choice(vec![tail])];
        }
        Ok(Some(head))
    }

    /// Properties in any order, each at most once, with undeclared ones last.
    fn unordered(
        &mut self,
        fields: Vec<Field>,
        free: Option<&Symbol>,
        level: Level,
    ) -> Vec<Symbol> {
        let comma = Symbol::Literal(self.comma(level).to_owned());
        let mut required = 0;
        let mut whole = Vec::new();
        for (at, field) in fields.into_iter().enumerate() {
            required |= usize::from(field.required) << at;
            whole.push(self.lark.choice(vec![field.symbols]));
        }
        let ends = |first: bool| match free {
            None => Vec::new(),
            Some(free) => {
                let more = Symbol::Repeat(vec![comma.clone(), free.clone()], 0, None);
                let behind = vec![free.clone(), more.clone()];
                vec![if first {
                    Symbol::Repeat(behind, 0, Some(1))
                } else {
                    more
                }]
            }
        };
        // The continuations after each subset of written properties. A superset has a larger
        // number, so its rule exists already.
        let mut following: HashMap<usize, Symbol> = HashMap::new();
        for written in (0..1_usize << whole.len()).rev() {
            let first = written == 0;
            let mut ways = Ways::new();
            for (at, field) in whole.iter().enumerate() {
                let Some(behind) = following.get(&(written | 1 << at)) else {
                    continue;
                };
                if written & 1 << at == 0 {
                    let comma = (!first).then(|| comma.clone());
                    ways.push(
                        comma
                            .into_iter()
                            .chain([field.clone(), behind.clone()])
                            .collect(),
                    );
                }
            }
            if written & required == required {
                ways.push(ends(first));
            }
            following.insert(written, self.lark.choice(ways));
        }
        following.remove(&0).into_iter().collect()
    }

    /// The declared properties that are possible, in their order; `None` if a required one is
    /// impossible.
    fn fields(&mut self, case: &Branch<'a>, level: Level) -> Found<Option<Vec<Field>>> {
        let names_goal = object::name_goal(self.document, &case.nodes);
        let mut fields = Vec::new();
        for name in object::names(self.document, case) {
            let required = case.required.contains(&name);
            let mut possible = !case.absent.contains(&name);
            for node in &names_goal {
                possible = possible && self.document.allows(*node, &Value::from(name))?;
            }
            if !possible {
                if required {
                    return Ok(None);
                }
                continue;
            }
            let goal = object::property(self.document, &case.nodes, name)?;
            if self.is_never(&goal) {
                if required {
                    return Ok(None);
                }
                continue;
            }
            let symbols = self.field(case, level, name, &goal)?;
            fields.push(Field { symbols, required });
        }
        Ok(Some(fields))
    }

    fn is_never(&self, goal: &[NodeId]) -> bool {
        let never = |node: &NodeId| *self.document.value(*node) == Value::Bool(false);
        goal.iter().any(never)
    }

    /// An undeclared property; `None` if none is possible.
    fn free(&mut self, case: &Branch<'a>, level: Level) -> Found<Option<Symbol>> {
        let declared = object::names(self.document, case);
        let names_goal = object::name_goal(self.document, &case.nodes);
        let allowed = if names_goal.is_empty() {
            Regex::any()
        } else {
            self.strings(&names_goal)?
        };
        let mut ways = Ways::new();
        for (names, goal) in object::free_names(self.document, case, &declared)? {
            if self.is_never(&goal) {
                continue;
            }
            let names = Regex::and([names, allowed.clone()]);
            ways.extend(self.free_field(case, level, &names, &goal)?);
        }
        Ok((!ways.is_empty()).then(|| self.lark.choice(ways)))
    }

    /// Properties with a required number of optional ones.
    fn counted(
        &mut self,
        case: &Branch<'a>,
        fields: &[Field],
        free: Option<&Symbol>,
        (least, most): (u64, Option<u64>),
        level: Level,
    ) -> Found<Vec<Symbol>> {
        let cap = most
            .unwrap_or(least)
            .max(least)
            .min(fields.len() as u64 + 1);
        if (fields.len() as u64 + 1) * (cap + 1) * 2 > MAX_COUNTED {
            let reason = format!("cannot be counted over {} properties", fields.len());
            return self.error(case, "maxProperties", reason);
        }
        let comma = Symbol::Literal(self.comma(level).to_owned());
        // The end: undeclared properties for the missing and remaining count.
        let end = |count: u64, first: bool| -> Option<Vec<Symbol>> {
            let missing = least.saturating_sub(count);
            let room = most.map(|most| most.saturating_sub(count));
            match free {
                None if missing > 0 => None,
                _ if room == Some(0) => Some(Vec::new()),
                None => Some(Vec::new()),
                Some(free) => {
                    let following = vec![comma.clone(), free.clone()];
                    if !first {
                        return Some(vec![Symbol::Repeat(following, missing, room)]);
                    }
                    let rest = Symbol::Repeat(
                        following,
                        missing.saturating_sub(1),
                        room.map(|room| room - 1),
                    );
                    let some = vec![free.clone(), rest];
                    Some(if missing > 0 {
                        some
                    } else {
                        vec![Symbol::Repeat(some, 0, Some(1))]
                    })
                }
            }
        };
        // The states: the number of optional properties so far, and whether there is any property.
        let states: Vec<(u64, bool)> = (0..=cap)
            .flat_map(|count| [(count, true), (count, false)])
            .collect();
        let mut next: HashMap<(u64, bool), Option<Vec<Symbol>>> = states
            .iter()
            .map(|&(count, first)| ((count, first), end(count, first)))
            .collect();
        for field in fields.iter().rev() {
            let mut now = HashMap::new();
            for &(count, first) in &states {
                let counted = if field.required { count } else { count + 1 };
                let full = most.is_some_and(|most| counted > most);
                let behind = next.get(&(counted.min(cap), false)).cloned().flatten();
                let with = behind.filter(|_| !full).map(|behind| {
                    let comma = (!first).then(|| comma.clone());
                    let own = comma.into_iter().chain(field.symbols.iter().cloned());
                    own.chain(behind).collect::<Vec<_>>()
                });
                let without = next.get(&(count, first)).cloned().flatten();
                let without = without.filter(|_| !field.required);
                let ways: Ways = [with, without].into_iter().flatten().collect();
                let symbols = (!ways.is_empty()).then(|| vec![self.lark.choice(ways)]);
                now.insert((count, first), symbols);
            }
            next = now;
        }
        let start = next.remove(&(0, true)).flatten();
        // An impossible object is a rule without alternatives.
        Ok(start.unwrap_or_else(|| vec![self.lark.choice(Vec::new())]))
    }
}

/// A declared property: its key and its value.
#[derive(Debug, Clone)]
struct Field {
    symbols: Vec<Symbol>,
    required: bool,
}
