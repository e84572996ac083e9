//! Arguments as elements, each between tags with its name.

use super::{Level, mistaken};
use crate::schema::branch::Branch;
use crate::schema::cases::Cases;
use crate::schema::document::NodeId;
use crate::schema::lark::Symbol;
use crate::schema::regex::Regex;
use crate::schema::style::split;
use crate::schema::types::Types;
use crate::schema::writer::{Form, Found, Ways, Writer};

impl<'a> Writer<'_, '_, 'a> {
    /// The inside of an element and its end.
    pub(in crate::schema::writer) fn element(
        &mut self,
        goal: &[NodeId],
        name: &str,
    ) -> Found<Ways> {
        let Some(mark) = self.mark else {
            return Ok(Ways::new());
        };
        let end = format!("{mark}</{name}>");
        let close = split(&end, self.control);
        let mut ways = Ways::new();
        let mut types = Types::NONE;
        let cases = Cases::of(self.document, goal)?;
        for case in &cases {
            types = types.or(case.kinds());
        }
        let scalars = types.without(Types::ARRAY).without(Types::OBJECT);
        for case in &cases {
            let composed = case
                .values
                .iter()
                .flatten()
                .any(|value| value.is_array() || value.is_object());
            if composed {
                return self.error(
                    case,
                    "enum",
                    "has lists or objects, which this model's notation cannot write",
                );
            }
            if case.values.is_none() && case.types.has(Types::OBJECT) {
                let inside = self.properties(case, Level::Elements(mark))?;
                ways.extend(inside.map(|inside| [inside, close.clone()].concat()));
            }
            if case.values.is_none() && case.types.has(Types::ARRAY) {
                let items = self.element_items(case, mark);
                ways.extend(items.map(|items| [items, close.clone()].concat()));
            }
        }
        if scalars.has(Types::STRING)
            && let Some(case) = cases.first()
        {
            let others = types.without(Types::STRING);
            let texts = Regex::and([self.strings(goal)?, mistaken(others).not()]);
            // An element without a text is one without items or properties.
            let texts = if others.has(Types::ARRAY) || others.has(Types::OBJECT) {
                Regex::and([texts, Regex::of_length(1, None)])
            } else {
                texts
            };
            ways.extend(self.raw(case, &texts, &end, Regex::Nothing)?);
        }
        for kind in [Types::NULL, Types::BOOLEAN, Types::NUMBER] {
            if scalars.has(kind) {
                let values = self.of_kind(goal, kind)?;
                ways.extend(if scalars.has(Types::STRING) {
                    self.beside_text(goal, values, &close)?
                } else {
                    let value = self.lark.choice(values);
                    vec![[vec![value], close.clone()].concat()]
                });
            }
        }
        Ok(ways)
    }

    /// The items of a list as elements.
    fn element_items(&mut self, case: &Branch<'a>, mark: &'static str) -> Option<Vec<Symbol>> {
        let open = split(&format!("{mark}<item>"), self.control);
        let item = |writer: &mut Self, goal: &[NodeId]| {
            let value = writer.wanted(goal, Form::Element("item".to_owned()));
            [open.clone(), vec![value]].concat()
        };
        self.list(case, "", item)
    }
}
