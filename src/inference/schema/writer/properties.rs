//! Properties of objects, in the order of the schema.

use std::collections::HashMap;

use serde_json::Value;

use super::arguments::Level;
use super::{Found, Ways, Writer};
use crate::inference::schema::branch::{Branch, Count};
use crate::inference::schema::document::NodeId;
use crate::inference::schema::lark::Symbol;
use crate::inference::schema::object;
use crate::inference::schema::regex::Regex;

/// Most rules for counting the properties of one object.
const MAX_COUNTED: u64 = 20_000;

impl<'a> Writer<'_, '_, 'a> {
    /// The properties of an object, between its braces. `None` if there can be no object.
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
        // What the declared properties cannot bring, free ones have to.
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

    /// The properties that are declared and can be there, in their order. `None` if one that has
    /// to be there cannot.
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

    /// A property that is not declared. `None` if there is none.
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

    /// Properties of which a number of optional ones has to be there.
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
        // The end: free properties for what is missing and what is left.
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
        // By how many optional properties there are so far, and whether any is.
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
        // Nothing at all is a rule without a way.
        Ok(start.unwrap_or_else(|| vec![self.lark.choice(Vec::new())]))
    }
}

/// A property that is declared: its key and its value.
#[derive(Debug, Clone)]
struct Field {
    symbols: Vec<Symbol>,
    required: bool,
}
