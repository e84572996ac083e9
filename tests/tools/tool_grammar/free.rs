//! Text is unconstrained until a call opens.

use elpis::inference::{ControlToken, Grammar, SamplingParams, Scope, ToolFormat, ToolSet};
use serde_json::json;

use crate::random_model::{Model, PIECES, control, is_end, tokens, vocabulary};

#[test]
fn free_text_is_left_alone_until_a_call_opens() {
    let vocabulary = vocabulary();
    let tools = ToolSet::from_json(&json!([{"name": "f"}])).unwrap();
    let control = control();
    let ids = |text: &str| -> Vec<u32> {
        let own = |t: &ControlToken| (t.text == text).then_some(t.id);
        match control.iter().find_map(own) {
            Some(id) => vec![id],
            None => text.bytes().map(u32::from).collect(),
        }
    };
    let call = "{\"name\": \"f\", \"arguments\": {}}";
    for (format, control, reply) in [
        (
            ToolFormat::Hermes,
            vec![],
            vec!["a <tool_call>\n", call, "\n</tool_call>"],
        ),
        (
            ToolFormat::Mistral,
            control.clone(),
            vec!["a ", "[TOOL_CALLS]", "[", call, "]"],
        ),
        (ToolFormat::Json, vec![], vec![call]),
        (
            ToolFormat::Json,
            vec![],
            vec!["\n", "{\"name\":\"f\", \"arguments\": {}}"],
        ),
        (
            ToolFormat::Json,
            vec![],
            vec!["```json\n[\n  {\n\t\"name\" : \"f\", \"arguments\": {}}]\n```"],
        ),
        (
            ToolFormat::Gemma,
            vec![],
            vec!["```tool_code\n{\n  \"name\":\n  \"f\", \"parameters\": {}}\n```"],
        ),
        (
            ToolFormat::Llama3,
            vec![],
            vec!["{\"type\":\"function\",\"name\":\"f\", \"parameters\": {}}"],
        ),
        (
            ToolFormat::Llama3,
            vec![],
            vec!["Well: <|python_tag|>{\"name\":\"f\", \"parameters\": {}}"],
        ),
        (
            ToolFormat::Llama3,
            control.clone(),
            vec![
                "Well: ",
                "<|python_tag|>",
                "{ \"name\": \"f\", \"parameters\": {}}; {\"name\": \"f\", \"parameters\": {}}",
            ],
        ),
        (
            ToolFormat::Llama3,
            control.clone(),
            vec!["```json\n{\"name\": \"f\", \"parameters\": {}}\n```"],
        ),
    ] {
        let grammar = Grammar::of_tools(format.grammar(tools.tools(), true, &control).unwrap());
        let scope = Scope::FromOpening {
            format,
            names: tools.names().map(str::to_owned).collect(),
            control,
            thinking: false,
        };
        let mut guide = vocabulary.compile(&grammar, scope).unwrap();
        let mut entered = 0;
        for token in reply.iter().flat_map(|part| ids(part)) {
            assert!(!is_end(token));
            let mut piece = tokens()[token as usize].clone();
            entered += usize::from(guide.accept(token, &mut piece).unwrap().entered);
        }
        assert_eq!(
            (entered, guide.is_active(), guide.is_accepting()),
            (1, true, true),
            "{format}"
        );
    }
}

#[test]
fn a_token_that_opens_a_call_wrongly_is_drawn_anew() {
    let vocabulary = vocabulary();
    let tools = ToolSet::from_json(&json!([{"name": "f"}])).unwrap();
    let lark = ToolFormat::Hermes
        .grammar(tools.tools(), true, &[])
        .unwrap();
    let grammar = Grammar::of_tools(lark);
    let bad = 256
        + PIECES
            .iter()
            .position(|piece| *piece == "<tool_call>{no")
            .unwrap();
    let good = 256
        + PIECES
            .iter()
            .position(|piece| *piece == "<tool_call>\n{")
            .unwrap();
    for (favourite, second, expected) in [(bad, 97, 97), (good, 97, good), (bad, good, good)] {
        let scope = Scope::FromOpening {
            format: ToolFormat::Hermes,
            names: Vec::new(),
            control: Vec::new(),
            thinking: false,
        };
        let mut guide = vocabulary.compile(&grammar, scope).unwrap();
        let mut model = Model::new(1, SamplingParams::greedy());
        model.logits[favourite] = 9.0;
        model.logits[second] = 5.0;
        let token = guide.choose(&mut model.sampler, &model.logits).unwrap();
        assert_eq!(token as usize, expected);
    }
}
