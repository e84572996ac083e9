use crate::allocator;
use std::time::Duration;

use elpis::inference::{
    ChatMessage, ChatTemplate, ControlTexts, FunctionCall, RenderOptions, SpecialTokens, ToolSet,
};
use serde_json::json;

/// Limits for any template.
const MAX_BYTES: usize = 256 << 20;
const MAX_TIME: Duration = Duration::from_secs(2);

/// The first byte chooses whether the rest is a source as it stands or the choices of a grammar.
pub fn run(bytes: &[u8]) {
    let [mode, rest @ ..] = bytes else {
        return;
    };
    let source = if mode % 4 == 0 {
        String::from_utf8_lossy(rest).into_owned()
    } else {
        Writer::new(rest).template()
    };
    let before = worked();
    let ((), peak) = allocator::peak_of_all(|| render(&source));
    let took = worked().saturating_sub(before);
    assert!(peak < MAX_BYTES, "{peak} bytes for {source:?}");
    assert!(took < MAX_TIME, "{took:?} for {source:?}");
}

fn worked() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn render(source: &str) {
    let tokens = SpecialTokens::new("<s>", "</s>");
    let Ok(template) = ChatTemplate::from_source("fuzz", source, tokens) else {
        return;
    };
    let tools = json!([{"type": "function", "function": {"name": "f<|x|>", "parameters": {}}}]);
    let tools = ToolSet::from_json(&tools).ok();
    let options = RenderOptions {
        add_generation_prompt: true,
        ..RenderOptions::default()
    };
    let call = FunctionCall {
        id: "1".into(),
        name: "f".into(),
        arguments: json!({"a": "<|x|>", "b": [1, 1.5, null]}),
    };
    let talk = |text: &str| {
        [
            ChatMessage::system("s"),
            ChatMessage::user(format!("a {text} b\n")),
            ChatMessage::assistant_calls(text, std::slice::from_ref(&call)),
            ChatMessage::tool_result(&call, text),
            ChatMessage::user(text),
        ]
    };
    let controls = ControlTexts::new(["<|x|>", "<s>", "</s>"]);
    let Ok(prompt) = template.render_marked(&talk("<|x|>"), tools.as_ref(), &options, &controls)
    else {
        return;
    };
    // No template turns its contents into control tokens.
    if let Some(marked) = prompt.marked {
        assert_eq!(marked.unmarked(&marked.text), prompt.text);
        if !source.contains('<') && !source.contains('|') && !source.contains('\\') {
            assert!(!marked.text.contains("<|x|>"), "{source:?}");
        }
    }
}

/// Writes a template by the choices in a list of bytes.
struct Writer<'a> {
    choices: &'a [u8],
    depth: usize,
}

const NAMES: [&str; 10] = [
    "messages",
    "ns",
    "ns.x",
    "x",
    "y",
    "loop",
    "tools",
    "m",
    "range",
    "bos_token",
];
const ATOMS: [&str; 16] = [
    "1",
    "-1",
    "1.5e-05",
    "'a'",
    "'a\\n'",
    "none",
    "true",
    "[]",
    "{}",
    "()",
    "'%s'",
    "'{}'",
    "99999",
    "'<|'",
    "'|>'",
    "9999999999999999999",
];
const OPERATORS: [&str; 22] = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "not in",
    "and",
    "or",
    "is eq",
    "is in",
    "is sameas",
    "if true else",
];
const FILTERS: [&str; 42] = [
    "length",
    "first",
    "last",
    "list",
    "string",
    "tojson",
    "upper",
    "lower",
    "title",
    "trim",
    "join",
    "join(',')",
    "sort",
    "unique",
    "reverse",
    "sum",
    "min",
    "max",
    "items",
    "dictsort",
    "map('string')",
    "map(attribute='role')",
    "select",
    "reject('eq', x)",
    "selectattr('role')",
    "groupby('role')",
    "batch(2)",
    "slice(2)",
    "default(x)",
    "replace('a', x)",
    "indent(4)",
    "center(80)",
    "wordcount",
    "urlencode",
    "escape",
    "safe",
    "int",
    "float",
    "round",
    "abs",
    "capitalize",
    "format(x)",
];
const METHODS: [&str; 24] = [
    "split()",
    "split('a')",
    "strip()",
    "replace('a', 'bb')",
    "items()",
    "keys()",
    "values()",
    "get('role')",
    "upper()",
    "lower()",
    "startswith('a')",
    "find('a')",
    "count('a')",
    "join(['a'])",
    "format(x)",
    "zfill(9)",
    "center(9)",
    "splitlines()",
    "partition('a')",
    "index('a')",
    "title()",
    "rsplit('a', 1)",
    "expandtabs(4)",
    "copy()",
];

impl<'a> Writer<'a> {
    fn new(choices: &'a [u8]) -> Self {
        Self { choices, depth: 0 }
    }

    fn next(&mut self) -> usize {
        match self.choices {
            [first, rest @ ..] => {
                self.choices = rest;
                usize::from(*first)
            }
            [] => 0,
        }
    }

    fn pick<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.next() % list.len()]
    }

    fn template(&mut self) -> String {
        let mut out = "{% set ns = namespace(x=['a']) %}{% set x = ['b'] %}".to_owned();
        while !self.choices.is_empty() && out.len() < 20_000 {
            out.push_str(&self.statement());
        }
        out
    }

    fn body(&mut self) -> String {
        let count = self.next() % 3;
        (0..=count).map(|_| self.statement()).collect()
    }

    fn statement(&mut self) -> String {
        if self.depth > 6 {
            return "z".to_owned();
        }
        self.depth += 1;
        let text = match self.next() % 12 {
            0 => " text\n".to_owned(),
            1 => format!(
                "{{% if {} %}}{}{{% else %}}{}{{% endif %}}",
                self.expression(),
                self.body(),
                self.body()
            ),
            2 => format!(
                "{{% for y in {} %}}{}{{% endfor %}}",
                self.expression(),
                self.body()
            ),
            3 => format!(
                "{{% for y in range({}) %}}{}{{% endfor %}}",
                self.next(),
                self.body()
            ),
            4 => format!("{{% set ns.x = {} %}}", self.expression()),
            5 => format!("{{% set x = {} %}}", self.expression()),
            6 => format!("{{% set x %}}{}{{% endset %}}", self.body()),
            7 => format!("{{% macro m(x) %}}{}{{% endmacro %}}", self.body()),
            8 => format!(
                "{{% with y = {} %}}{}{{% endwith %}}",
                self.expression(),
                self.body()
            ),
            9 => format!(
                "{{% filter {} %}}{}{{% endfilter %}}",
                self.pick(&FILTERS),
                self.body()
            ),
            10 => format!(
                "{{% call m({}) %}}{}{{% endcall %}}",
                self.expression(),
                self.body()
            ),
            _ => format!("{{{{- {} -}}}}", self.expression()),
        };
        self.depth -= 1;
        text
    }

    fn expression(&mut self) -> String {
        if self.depth > 9 {
            return self.pick(&NAMES).to_owned();
        }
        self.depth += 1;
        let text = match self.next() % 14 {
            0 | 1 => self.pick(&NAMES).to_owned(),
            2 | 3 => self.pick(&ATOMS).to_owned(),
            4 | 5 => format!(
                "({} {} {})",
                self.expression(),
                self.pick(&OPERATORS),
                self.expression()
            ),
            6 => format!("({} | {})", self.expression(), self.pick(&FILTERS)),
            7 => format!("{}.{}", self.pick(&NAMES), self.pick(&METHODS)),
            8 => format!("[{}, {}]", self.expression(), self.expression()),
            9 => format!("{{'a': {}, {}: 1}}", self.expression(), self.expression()),
            10 => format!("{}[{}]", self.expression(), self.expression()),
            11 => format!(
                "{}[{}:{}]",
                self.expression(),
                self.expression(),
                self.expression()
            ),
            12 => format!("m({})", self.expression()),
            _ => format!("(not {} is defined)", self.expression()),
        };
        self.depth -= 1;
        text
    }
}
