use elpis::inference::{ResponseFormat, ToolFormat, ToolSet};
use serde_json::{Value, json};

/// The first byte chooses the format, the rest is a schema: of an answer and of a tool's arguments.
/// It becomes a grammar or a typed error, in bounded time and memory.
pub fn run(bytes: &[u8]) {
    let [format, schema @ ..] = bytes else {
        return;
    };
    let Ok(schema) = serde_json::from_slice::<Value>(schema) else {
        return;
    };
    let format = ToolFormat::ALL[usize::from(*format) % ToolFormat::ALL.len()];
    let tools = json!([{"name": "tool", "parameters": schema}]);
    if let Ok(tools) = ToolSet::from_json(&tools)
        && let Err(refused) = format.grammar(tools.tools(), true, &[])
    {
        assert!(!refused.to_string().is_empty());
    }
    if let Err(refused) = ResponseFormat::json_schema(schema).grammar() {
        assert!(!refused.to_string().is_empty());
    }
}
