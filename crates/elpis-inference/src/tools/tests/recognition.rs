//! A format is recognised by what a template writes.

use serde_json::{Value, json};

use super::call;
use crate::tools::name::ToolFormat;

/// A template that writes calls as a format does is one of its models, without a marker in its
/// source that says so.
#[test]
fn formats_are_recognised_by_what_a_template_writes() {
    use crate::{ChatTemplate, SpecialTokens};
    for &format in ToolFormat::ALL {
        // What Llama 3 writes as well, and what says nothing.
        if format == ToolFormat::Gemma {
            continue;
        }
        let Value::Object(arguments) = json!({"qkey": "qvalue"}) else {
            unreachable!()
        };
        let written = format.write_calls(&[call("qname", &Value::Object(arguments))]);
        let apart =
            |text: &str| -> String { text.chars().flat_map(|letter| [letter, '\u{1}']).collect() };
        let source = apart(&written);
        let expression = |text: &str, with: &str| (apart(text), format!("' ~ {with} ~ '"));
        let mut body = source
            .replace('\\', "\\\\")
            .replace('\'', "\\'")
            .replace('\n', "\\n");
        for (text, with) in [
            expression("qname", "c.function.name"),
            expression("qkey", "k"),
            expression("qvalue", "v"),
        ] {
            body = body.replace(&text, &with);
        }
        // Taken apart, so that the source has no marker in it.
        let body = body.replace('\u{1}', "' ~ '");
        let template = format!(
            "{{% for m in messages %}}{{{{ '[' ~ m.role ~ ']' ~ m.content }}}}\
             {{% for c in m.tool_calls or [] %}}{{% for k, v in c.function.arguments.items() %}}\
             {{{{ '{body}' }}}}{{% endfor %}}{{% endfor %}}{{% endfor %}}\
             {{% if add_generation_prompt %}}[assistant]{{% endif %}}"
        );
        let template = ChatTemplate::from_source("own", &template, SpecialTokens::default());
        assert_eq!(template.unwrap().tool_format(), format, "{written}");
    }
}
