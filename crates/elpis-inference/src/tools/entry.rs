//! Parses a tool definition in the formats of common APIs.

use serde_json::{Map, Value, json};

use super::definition::{MAX_TOOL_NAME, ToolDefinition, ToolError};

/// The keys of the arguments' schema in the formats of `OpenAI`, MCP and Anthropic.
const SCHEMAS: [&str; 3] = ["parameters", "inputSchema", "input_schema"];

/// Other known keys, which do not affect the arguments.
const OTHERS: [&str; 24] = [
    "name",
    "description",
    "type",
    "strict",
    // The result's description from Hugging Face's `get_json_schema`.
    "return",
    "returns",
    "title",
    "annotations",
    "outputSchema",
    "output_schema",
    "icons",
    "execution",
    "_meta",
    "meta",
    "cache_control",
    "defer_loading",
    "allowed_callers",
    "input_examples",
    "eager_input_streaming",
    "examples",
    "tags",
    "version",
    "id",
    "enabled",
];

const EXPECTED: &str = "expected is {\"type\": \"function\", \"function\": {\"name\", \"description\", \
     \"parameters\"}} (OpenAI), {\"name\", \"description\", \"inputSchema\"} (MCP) or {\"name\", \
     \"description\", \"input_schema\"} (Anthropic)";

/// Parses the entry at this index of the list.
///
/// # Errors
/// [`ToolError::Field`].
pub(super) fn definition(index: usize, entry: &Value) -> Result<ToolDefinition, ToolError> {
    let wrong = |field, reason: String| ToolError::Field {
        index,
        field,
        reason,
    };
    let fields = entry.as_object();
    let fields =
        fields.ok_or_else(|| wrong("the entry", format!("is not an object; {EXPECTED}")))?;
    let kind = fields.get("type");
    let known = kind.is_none_or(|kind| {
        kind == "function" || kind == "custom" && !fields.contains_key("custom")
    });
    if !known {
        let kind = kind.map(short).unwrap_or_default();
        let reason = format!("is {kind}, which only its provider's servers can run; {EXPECTED}");
        return Err(wrong("type", reason));
    }
    let function = match fields.get("function") {
        Some(function) => function
            .as_object()
            .ok_or_else(|| wrong("function", "is not an object".to_owned()))?,
        None => fields,
    };
    let name = name(function).map_err(|reason| wrong("name", reason))?;
    let known =
        |key: &str| SCHEMAS.contains(&key) || OTHERS.contains(&key) || key.starts_with("x-");
    if let Some(key) = function.keys().find(|key| !known(key)) {
        let key = short(&Value::from(key.as_str()));
        let reason = format!("{name:?} has the unknown key {key}; {EXPECTED}");
        return Err(wrong("the entry", reason));
    }
    let description = match function.get("description") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong("description", "is not a string".to_owned())),
    };
    let mut given = SCHEMAS.iter().filter_map(|key| {
        let schema = function.get(*key).filter(|schema| !schema.is_null())?;
        Some((*key, schema))
    });
    let schema = given.next();
    if let (Some((first, _)), Some((second, _))) = (schema, given.next()) {
        let reason = format!("stands beside {second}: a tool has one schema");
        return Err(wrong(first, reason));
    }
    let (key, schema) = schema.map_or(("parameters", None), |(key, schema)| (key, Some(schema)));
    let parameters = parameters(schema).map_err(|reason| wrong(key, reason.to_owned()))?;
    Ok(ToolDefinition {
        name,
        description: description.to_owned(),
        parameters,
    })
}

fn name(function: &Map<String, Value>) -> Result<String, String> {
    let name = function.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| format!("is missing or not a string; {EXPECTED}"))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > MAX_TOOL_NAME || !name.bytes().all(fits) {
        let name: String = name.chars().take(80).collect();
        return Err(format!(
            "is {name:?}, but must be 1 to {MAX_TOOL_NAME} letters, digits, \"_\", \"-\" or \".\""
        ));
    }
    Ok(name.to_owned())
}

/// A schema whose instances are objects.
fn parameters(given: Option<&Value>) -> Result<Value, &'static str> {
    let mut schema = match given {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) => return Err("is not a JSON schema"),
    };
    if schema.is_empty() {
        schema.insert("properties".to_owned(), json!({}));
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    let object = json!("object");
    match schema.get("type") {
        None => {}
        Some(Value::Array(kinds)) if kinds.contains(&object) => {}
        Some(kind) if *kind == object => return Ok(Value::Object(schema)),
        Some(_) => return Err("is not of type \"object\""),
    }
    schema.insert("type".to_owned(), object);
    Ok(Value::Object(schema))
}

/// A value as displayed in an error.
fn short(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(80).collect()
}
