//! JSON schemas of Rust types, for tools and structured output.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{ResponseFormat, ToolDefinition};

/// Keywords whose schemas hold for the same value as the schema that has them.
const COMPOSING: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Returns the JSON schema of a type, for what is read into it.
///
/// It is that of [`schemars`], narrowed to what a model should write: an object has the declared
/// fields alone, unless the type takes others (a map, `#[serde(flatten)]`), and an integer fits
/// its type.
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
    }
    narrow(&mut schema, false);
    schema
}

/// Reads JSON that is valid under [`schema_of`] a type into the type.
///
/// A model may write the integer −0, which JSON schemas allow and Rust's integers do not read; it
/// is taken for 0.
///
/// # Errors
/// The type refuses the value all the same, as one with `#[serde(try_from)]` may.
pub fn read_typed<T: DeserializeOwned>(mut value: Value) -> Result<T, serde_json::Error> {
    unsign_zeros(&mut value);
    serde_json::from_value(value)
}

fn unsign_zeros(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(is_zero) => {
            *value = 0.into();
        }
        Value::Array(values) => values.iter_mut().for_each(unsign_zeros),
        Value::Object(fields) => fields.values_mut().for_each(unsign_zeros),
        _ => {}
    }
}

fn is_zero(number: f64) -> bool {
    number.abs() <= 0.0
}

impl ResponseFormat {
    /// JSON that can be read into a type; see [`schema_of`].
    pub fn of<T: JsonSchema>() -> Self {
        Self::json_schema(schema_of::<T>())
    }
}

impl ToolDefinition {
    /// A tool whose arguments are the fields of a type; see [`schema_of`]. The type's doc comment
    /// describes the tool.
    pub fn of<T: JsonSchema>(name: impl Into<String>) -> Self {
        let mut parameters = schema_of::<T>();
        let description = parameters
            .as_object_mut()
            .and_then(|schema| schema.remove("description"));
        Self {
            name: name.into(),
            description: match description {
                Some(Value::String(description)) => description,
                _ => String::new(),
            },
            parameters,
        }
    }
}

/// Narrows a schema and those within it. `composed` tells that another schema beside it may
/// declare further fields of the same value.
fn narrow(schema: &mut Value, composed: bool) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    let declares = schema.contains_key("properties");
    let composes = COMPOSING.iter().any(|key| schema.contains_key(*key));
    let refers = schema.contains_key("$ref");
    if !composed && !composes && !refers {
        close(schema);
    }
    bound(schema);
    for (key, value) in schema.iter_mut() {
        match (key.as_str(), value) {
            (key, Value::Array(schemas)) if COMPOSING.contains(&key) => {
                let composed = composed || declares || key == "allOf";
                for part in schemas {
                    narrow(part, composed);
                }
            }
            ("prefixItems", Value::Array(schemas)) => {
                for item in schemas {
                    narrow(item, false);
                }
            }
            ("properties" | "patternProperties" | "$defs", Value::Object(schemas)) => {
                for part in schemas.values_mut() {
                    narrow(part, false);
                }
            }
            ("items" | "additionalProperties", value) => narrow(value, false),
            _ => {}
        }
    }
}

fn close(schema: &mut Map<String, Value>) {
    let open = [
        "additionalProperties",
        "patternProperties",
        "unevaluatedProperties",
    ];
    let is_object = schema.get("type").is_some_and(|kind| {
        kind == "object"
            || kind
                .as_array()
                .is_some_and(|kinds| kinds.contains(&"object".into()))
    });
    if is_object && !open.iter().any(|key| schema.contains_key(*key)) {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

/// Larger integers have a format, but no bounds.
fn bound(schema: &mut Map<String, Value>) {
    let Some(format) = schema.get("format").and_then(Value::as_str) else {
        return;
    };
    let (least, most): (Value, Value) = match format {
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "uint32" => (0.into(), u32::MAX.into()),
        "int64" | "int" | "int128" => (i64::MIN.into(), i64::MAX.into()),
        "uint64" | "uint" | "uint128" => (0.into(), u64::MAX.into()),
        _ => return,
    };
    let bounded = |keys: [&str; 2]| keys.iter().any(|key| schema.contains_key(*key));
    let (below, above) = (
        bounded(["minimum", "exclusiveMinimum"]),
        bounded(["maximum", "exclusiveMaximum"]),
    );
    if !below {
        schema.insert("minimum".to_owned(), least);
    }
    if !above {
        schema.insert("maximum".to_owned(), most);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    /// Waters a plant.
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only the schema is looked at")]
    struct Water {
        /// Which one.
        plant: Plant,
        #[schemars(range(max = 9))]
        cups: u32,
        when: Option<i64>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Plant {
        Fern,
        Cactus,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only the schema is looked at")]
    struct Open {
        notes: BTreeMap<String, Vec<Note>>,
        #[serde(flatten)]
        rest: BTreeMap<String, String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only the schema is looked at")]
    struct Note {
        text: String,
        #[serde(flatten)]
        kind: Kind,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    #[expect(dead_code, reason = "only the schema is looked at")]
    enum Kind {
        Plain,
        Rated { stars: u8 },
    }

    #[test]
    fn a_schema_has_the_declared_fields_alone_and_bounded_integers() {
        let tool = ToolDefinition::of::<Water>("water");
        assert_eq!(
            (tool.name.as_str(), tool.description.as_str()),
            ("water", "Waters a plant.")
        );
        let parameters = &tool.parameters;
        assert_eq!(parameters["type"], "object");
        assert_eq!(parameters["additionalProperties"], false);
        assert_eq!(parameters["required"], json!(["plant", "cups"]));
        let names: Vec<_> = parameters["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(names, ["plant", "cups", "when"]);
        let number = |field: &str| {
            let field = &parameters["properties"][field];
            (field["minimum"].clone(), field["maximum"].clone())
        };
        assert_eq!(number("cups"), (json!(0), json!(9)));
        assert_eq!(number("when"), (json!(i64::MIN), json!(i64::MAX)));
        assert_eq!(
            parameters["$defs"]["Plant"]["enum"],
            json!(["fern", "cactus"])
        );
    }

    #[test]
    fn a_negative_zero_is_read_as_an_integer() {
        let value = serde_json::from_str(r#"[{"stars": -0}, {"stars": 3}]"#).unwrap();
        let read: Vec<BTreeMap<String, u8>> = read_typed(value).unwrap();
        assert_eq!((read[0]["stars"], read[1]["stars"]), (0, 3));
        let value = serde_json::from_str("[-1]").unwrap();
        assert!(read_typed::<Vec<u8>>(value).is_err());
    }

    #[test]
    fn what_takes_further_fields_stays_open() {
        let schema = schema_of::<Open>();
        assert_eq!(schema["additionalProperties"], json!({"type": "string"}));
        let note = &schema["$defs"]["Note"];
        assert_eq!(note.get("additionalProperties"), None);
        for variant in note["oneOf"].as_array().unwrap() {
            assert_eq!(variant.get("additionalProperties"), None, "{variant}");
        }
        let kind = schema_of::<Kind>();
        for variant in kind["oneOf"].as_array().unwrap() {
            assert_eq!(variant["additionalProperties"], false, "{variant}");
        }
    }
}
