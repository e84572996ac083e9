//! Random JSON schemas of tool arguments.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

/// A new seed, or that of `ELPIS_TEST_SEED`. It is printed, so that a failure can be reproduced.
pub fn seed() -> u64 {
    let given = std::env::var("ELPIS_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse().unwrap());
    println!("ELPIS_TEST_SEED={seed}");
    seed
}

/// Generates schemas.
#[derive(Debug)]
pub struct Schemas {
    random: ChaCha8Rng,
    /// Maximum nesting of objects and arrays.
    pub depth: usize,
    /// Whether values may be unbounded and schemas unenforceable.
    pub wild: bool,
}

const WORDS: [&str; 12] = [
    "place", "unit", "count", "tags", "from", "to", "when", "größe", "x y", "id", "a", "query",
];

impl Schemas {
    /// Creates a generator from a seed, for schemas with at most `depth` levels.
    pub fn new(seed: u64, depth: usize) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self {
            random,
            depth,
            wild: false,
        }
    }

    /// Also generates schemas with unbounded values, and some that cannot be enforced.
    pub fn wild(seed: u64, depth: usize) -> Self {
        Self {
            wild: true,
            ..Self::new(seed, depth)
        }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.random.next_u32() as usize % bound
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    /// A tool in `OpenAI`'s format. Unless it is wild, all arguments are bounded, so that they end
    /// whatever the model writes.
    pub fn tool(&mut self, name: &str) -> Value {
        let mut parameters = self.object(self.depth);
        if self.one_in(6) {
            parameters["$defs"] = json!({
                "pair": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99},
                    "minItems": 2, "maxItems": 2},
                "chain": {"type": "object", "properties": {
                    "of": {"$ref": "#/$defs/pair"},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/chain"}]},
                }, "required": ["of", "next"], "additionalProperties": false},
            });
            // A chain may be arbitrarily long.
            let to = ["#/$defs/pair", "#/$defs/pair", "#/$defs/chain"][self.below(3)];
            parameters["properties"]["ref"] = json!({"$ref": to});
        }
        json!({"type": "function", "function": {
            "name": name, "description": "Does it.", "parameters": parameters,
        }})
    }

    /// A schema with at most `depth` levels.
    pub fn schema(&mut self, depth: usize) -> Value {
        if self.wild && self.one_in(8) {
            return self.combined(depth);
        }
        let kinds = if depth == 0 { 7 } else { 10 };
        match self.below(kinds) {
            0 => self.string(),
            1 => self.integer(),
            2 => self.number(),
            3 => json!({"type": "boolean"}),
            4 => json!({"enum": ["one", "zwei \"2\"", 3, 4.5, null, true]}),
            5 => json!({"const": self.word()}),
            6 => json!({"type": ["boolean", "null"]}),
            7 => self.array(depth - 1),
            8 => self.object(depth - 1),
            _ => {
                json!({"anyOf": [self.schema(depth - 1), {"type": "null"}, self.schema(depth - 1)]})
            }
        }
    }

    fn combined(&mut self, depth: usize) -> Value {
        let low = self.below(100) as i64;
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => json!({"oneOf": [self.string(), self.integer(), {"type": "boolean"}]}),
            1 => json!({"allOf": [{"type": "integer", "minimum": low},
                {"maximum": low + 30, "type": ["integer", "null"]}]}),
            2 => json!({"type": "string", "allOf": [{"maxLength": 6}, {"minLength": 1}]}),
            // These overlap, so `oneOf` cannot be enforced.
            3 => json!({"oneOf": [self.integer(), {"type": "integer"}]}),
            4 => json!({"oneOf": [self.object(depth - 1), {"type": "null"}]}),
            _ => {
                let mut object = self.object(depth - 1);
                let more =
                    json!({"properties": {"more": {"type": "boolean"}}, "required": ["more"]});
                object["additionalProperties"] = json!({"type": ["boolean", "null"]});
                object["allOf"] = json!([more]);
                object
            }
        }
    }

    fn string(&mut self) -> Value {
        let longest = self.below(10);
        if self.wild && self.one_in(12) {
            return json!({"type": "string"});
        }
        match self.below(6) {
            0 => json!({"type": "string", "enum": [self.word(), "other"]}),
            1 => json!({"type": "string", "pattern": "^[A-Z]{2,4}-[0-9]{1,3}$"}),
            2 => json!({"type": "string", "format": "date"}),
            3 => json!({"type": "string", "format": "ipv4"}),
            4 => json!({"type": "string", "minLength": 2, "maxLength": 2 + longest}),
            _ => json!({"type": "string", "maxLength": longest}),
        }
    }

    fn integer(&mut self) -> Value {
        let low = self.below(2000) as i64 - 1000;
        match self.below(4) {
            0 => json!({"type": "integer", "minimum": low, "maximum": low + 7}),
            1 => json!({"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": low + 500}),
            2 => {
                json!({"type": "integer", "minimum": low, "maximum": low + 90_000, "multipleOf": 5})
            }
            _ => json!({"type": "integer", "minimum": low, "maximum": i64::from(i32::MAX)}),
        }
    }

    fn number(&mut self) -> Value {
        let low = self.below(200) as f64 / 4.0 - 20.0;
        match self.below(2) {
            0 => json!({"type": "number", "minimum": low, "maximum": low + 2.5}),
            _ => {
                json!({"type": "number", "minimum": low, "maximum": low + 0.5, "multipleOf": 0.25})
            }
        }
    }

    fn array(&mut self, depth: usize) -> Value {
        let least = self.below(3);
        let most = least + self.below(3);
        let items = self.schema(depth);
        if self.one_in(4) {
            let first = self.schema(0);
            return json!({"type": "array", "prefixItems": [first, {"type": "boolean"}],
                "items": false, "minItems": 2});
        }
        json!({"type": "array", "items": items, "minItems": least, "maxItems": most})
    }

    fn object(&mut self, depth: usize) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for _ in 0..=self.below(4) {
            let name = self.word();
            if properties.contains_key(name) {
                continue;
            }
            properties.insert(name.to_owned(), self.schema(depth));
            if !self.one_in(3) {
                required.push(name);
            }
        }
        let mut object = json!({"type": "object", "properties": properties,
            "required": required, "additionalProperties": false});
        if self.wild {
            self.open(&mut object);
        }
        object
    }

    /// Allows an object undeclared properties, or bounds their number.
    fn open(&mut self, object: &mut Value) {
        let properties = object["properties"].as_object().map_or(0, Map::len);
        let required = object["required"].as_array().map_or(0, Vec::len);
        match self.below(16) {
            0 => drop(
                object
                    .as_object_mut()
                    .unwrap()
                    .remove("additionalProperties"),
            ),
            1 => object["additionalProperties"] = json!(true),
            2 | 3 => object["additionalProperties"] = self.schema(0),
            4 | 5 => object["patternProperties"] = json!({"^x_[a-z]{1,3}$": self.schema(0)}),
            6 if properties == required => {
                object["patternProperties"] = json!({"^[0-9]+$": {"type": "boolean"}});
                object["minProperties"] = json!(required + 1);
                object["maxProperties"] = json!(required + 2);
            }
            7 if properties == required => {
                object["additionalProperties"] = json!({"type": "null"});
                object["maxProperties"] = json!(required + self.below(3));
            }
            // Names may repeat, which a mask cannot prevent.
            8 if self.one_in(2) => {
                object["additionalProperties"] = json!({"type": "boolean"});
                object["minProperties"] = json!(required + 2);
            }
            9 if required < properties => object["minProperties"] = json!(required + 1),
            _ => {}
        }
    }
}

/// Whether arguments are valid, formats included.
pub fn check(schema: &Value, arguments: &Value) {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap();
    let errors: Vec<_> = validator
        .iter_errors(arguments)
        .map(|error| error.to_string())
        .collect();
    assert!(
        errors.is_empty(),
        "{arguments}\nis not valid under\n{schema}\n{errors:?}"
    );
}
