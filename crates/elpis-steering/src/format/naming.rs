//! Extracts a layer from a name: a tensor's, a key's or a file's.
//!
//! Published files spell it in many ways (`layer_10`, `layers.10`, `model.layers.10.mlp`, `blk.10`,
//! `transformer.h.10`, `blocks.10.hook_resid_post`, `L10`, `direction.10`, `10`). A name that
//! refers to a layer is either understood or refused. It is never treated as a name without a
//! layer.

use super::super::vector::MAX_LAYERS;

/// Words before a layer's number.
const WORDS: [&str; 14] = [
    "layer",
    "layers",
    "lyr",
    "decoderlayer",
    "decoderlayers",
    "hiddenlayer",
    "hiddenlayers",
    "blk",
    "blks",
    "block",
    "blocks",
    "direction",
    "directions",
    "l",
];
/// Words that may stand between such a word and the number.
const FILLERS: [&str; 8] = ["idx", "id", "ix", "index", "no", "nr", "num", "number"];

/// The layer in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedLayer {
    /// The name has no layer.
    Unnamed,
    /// The output of this decoder layer, counted from 0.
    Layer(usize),
    /// An ambiguous layer, with the reason.
    Unclear(&'static str),
}

/// The layer in a tensor's name or a key.
pub fn layer_in_name(name: &str) -> NamedLayer {
    find(name).0
}

/// The layer in a file's stem, and the rest of the stem.
pub fn layer_in_stem(stem: &str) -> (NamedLayer, String) {
    let (named, start, end) = find(stem);
    let is_separator = |c: char| !c.is_alphanumeric();
    let parts = [
        stem.get(..start).unwrap_or_default(),
        stem.get(end..).unwrap_or_default(),
    ]
    .map(|part| part.trim_matches(is_separator));
    let rest = match parts {
        [before, ""] => before.to_owned(),
        ["", after] => after.to_owned(),
        [before, after] => format!("{before}_{after}"),
    };
    (named, rest)
}

/// A layer given as a number.
pub fn layer_of_number(number: i64) -> NamedLayer {
    match usize::try_from(number) {
        Ok(layer) if layer < MAX_LAYERS => NamedLayer::Layer(layer),
        Ok(_) => NamedLayer::Unclear(TOO_LARGE),
        Err(_) => NamedLayer::Unclear(NEGATIVE),
    }
}

const TOO_LARGE: &str = "the layer must be below 1024";
const NEGATIVE: &str = "the layer is negative, count from the first";
const SEVERAL: &str = "it names several layers";
const HIDDEN_STATE: &str =
    "hidden states count from the embedding, one more than the layer that they come out of";
const INPUT: &str = "it is the input of a layer, the output of the one before";
const NORM: &str = "it may name a layer or a norm";

const _: () = assert!(MAX_LAYERS == 1024, "the limit stands in TOO_LARGE");

#[derive(Clone, Copy)]
struct Piece<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Other,
}

/// Splits a name into words (also at capital letters), numbers and separators.
fn pieces(name: &str) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut before: Option<(Kind, bool)> = None;
    for (at, c) in name.char_indices() {
        let kind = match c {
            '0'..='9' => Kind::Number,
            c if c.is_alphanumeric() => Kind::Word,
            _ => Kind::Other,
        };
        let capital = kind == Kind::Word && c.is_uppercase();
        let end = at + c.len_utf8();
        match pieces.last_mut() {
            Some(piece)
                if before.is_some_and(|(last, last_capital)| {
                    last == kind && (last_capital || !capital)
                }) =>
            {
                piece.text = name.get(piece.start..end).unwrap_or_default();
            }
            _ => pieces.push(Piece {
                kind,
                text: name.get(at..end).unwrap_or_default(),
                start: at,
            }),
        }
        before = Some((kind, capital));
    }
    pieces
}

/// Finds the layer in a name, and the bytes that name it.
fn find(name: &str) -> (NamedLayer, usize, usize) {
    let pieces = pieces(name);
    let word = |index: usize| {
        pieces
            .get(index)
            .filter(|piece| piece.kind == Kind::Word)
            .map(|piece| piece.text.to_ascii_lowercase())
    };
    // A number alone is a layer, as in the keys of a dict.
    match pieces.as_slice() {
        [number] if number.kind == Kind::Number => {
            return (layer_of_digits(number.text), 0, name.len());
        }
        [sign, number]
            if sign.kind == Kind::Other && sign.text == "-" && number.kind == Kind::Number =>
        {
            return (NamedLayer::Unclear(NEGATIVE), 0, name.len());
        }
        _ => {}
    }
    let mut found: Option<(NamedLayer, usize, usize)> = None;
    for index in 0..pieces.len() {
        let Some(named) = word(index).and_then(|word| layer_after(&pieces, index, &word)) else {
            continue;
        };
        found = match (found, named) {
            (None, named) => Some(named),
            (Some((NamedLayer::Layer(first), start, end)), (NamedLayer::Layer(second), ..))
                if first == second =>
            {
                Some((NamedLayer::Layer(first), start, end))
            }
            (Some((NamedLayer::Unclear(reason), start, end)), _)
            | (Some((_, start, end)), (NamedLayer::Unclear(reason), ..)) => {
                Some((NamedLayer::Unclear(reason), start, end))
            }
            (Some((_, start, end)), _) => Some((NamedLayer::Unclear(SEVERAL), start, end)),
        };
    }
    let (named, start, end) = found.unwrap_or((NamedLayer::Unnamed, name.len(), name.len()));
    let is_input = (0..pieces.len())
        .any(|at| word(at).as_deref() == Some("resid") && word(at + 2).as_deref() == Some("pre"));
    if is_input && named != NamedLayer::Unnamed {
        return (NamedLayer::Unclear(INPUT), start, end);
    }
    (named, start, end)
}

/// The layer named by the word at this index and the number after it.
fn layer_after(
    pieces: &[Piece<'_>],
    index: usize,
    word: &str,
) -> Option<(NamedLayer, usize, usize)> {
    let start = pieces.get(index)?.start;
    let is_hidden = matches!(word, "state" | "states" | "hiddenstate" | "hiddenstates")
        && (word.len() > 6 || follows(pieces, index, "hidden"));
    let is_layer = WORDS.contains(&word);
    // GPT-2's `transformer.h.10`: the letter alone is too little.
    let is_h = word == "h" && pieces.get(index + 1).is_some_and(|piece| piece.text == ".");
    if !is_hidden && !is_layer && !is_h {
        return None;
    }
    let mut at = index + 1;
    let mut between = "";
    let mut filled = false;
    let number = loop {
        let piece = pieces.get(at)?;
        match piece.kind {
            Kind::Number => break piece,
            Kind::Other => between = piece.text,
            Kind::Word
                if !filled && FILLERS.contains(&piece.text.to_ascii_lowercase().as_str()) =>
            {
                filled = true;
                between = "";
            }
            Kind::Word => return None,
        }
        at += 1;
    };
    let end = number.start + number.text.len();
    let unclear = |reason| Some((NamedLayer::Unclear(reason), start, end));
    if is_hidden {
        return unclear(HIDDEN_STATE);
    }
    // `layer-10` has a dash between the two, `layer_-1` a sign.
    if between.len() > 1 && between.ends_with('-') {
        return unclear(NEGATIVE);
    }
    // `layers_10-12`, `layer_3.5`: the next number belongs to it.
    let next = (pieces.get(at + 1), pieces.get(at + 2));
    let runs_on = match next {
        (Some(a), Some(b)) if a.kind == Kind::Other => b.kind == Kind::Number,
        (Some(a), Some(b)) if a.kind == Kind::Word => {
            a.text.eq_ignore_ascii_case("to") && b.kind == Kind::Number
        }
        _ => false,
    };
    if runs_on && word != "h" {
        return unclear(SEVERAL);
    }
    if word == "l" && at == index + 1 && matches!(number.text, "1" | "2") && pieces.len() > 2 {
        return unclear(NORM);
    }
    Some((layer_of_digits(number.text), start, end))
}

fn follows(pieces: &[Piece<'_>], index: usize, word: &str) -> bool {
    let before = |back: usize| index.checked_sub(back).and_then(|at| pieces.get(at));
    [1, 2]
        .into_iter()
        .filter_map(before)
        .any(|piece| piece.text.eq_ignore_ascii_case(word))
}

fn layer_of_digits(digits: &str) -> NamedLayer {
    match digits.parse() {
        Ok(layer) if layer < MAX_LAYERS => NamedLayer::Layer(layer),
        _ => NamedLayer::Unclear(TOO_LARGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_named_in_many_spellings() {
        for name in [
            "10",
            "010",
            "layer.10",
            "layers.10",
            "layer_10",
            "layer-10",
            "layer10",
            "Layer 10",
            "LAYER_10",
            "layer=10",
            "layer:10",
            "layer[10]",
            "layers[10].weight",
            "layer_idx_10",
            "layer_id=10",
            "layerNum10",
            "decoderLayer10",
            "decoder_layer_10",
            "blk.10",
            "blk.10.attn_output",
            "block_10",
            "blocks.10.hook_resid_post",
            "transformer.h.10",
            "transformer.h.10.mlp.c_proj",
            "h.10",
            "gpt_neox.layers.10",
            "model.layers.10",
            "model.layers.10.mlp",
            "model.language_model.layers.10.self_attn.o_proj",
            "direction.10",
            "direction_10",
            "L10",
            "l10",
            "L_10",
            "calm_L10",
            "calm-l10-v2",
            "task_vector_layer-10",
            "layer_10_of_model_2b",
            "layers.10_layer10",
            "calmLayer10",
        ] {
            assert_eq!(layer_in_name(name), NamedLayer::Layer(10), "{name}");
        }
        assert_eq!(layer_in_name("0"), NamedLayer::Layer(0));
        assert_eq!(layer_in_name("L1"), NamedLayer::Layer(1));
        assert_eq!(layer_in_name("direction.1023"), NamedLayer::Layer(1023));
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        for (name, reason) in [
            ("-1", NEGATIVE),
            ("layer_-1", NEGATIVE),
            ("layers.-1", NEGATIVE),
            ("layer--1", NEGATIVE),
            ("1024", TOO_LARGE),
            ("layer_99999999999999999999999999", TOO_LARGE),
            ("layers_10-12", SEVERAL),
            ("layer_10_11", SEVERAL),
            ("layer10to12", SEVERAL),
            ("layer.3.layer.4", SEVERAL),
            ("hidden_states.10", HIDDEN_STATE),
            ("hidden_state_10", HIDDEN_STATE),
            ("hiddenStates[3]", HIDDEN_STATE),
            ("blocks.10.hook_resid_pre", INPUT),
            ("calm_l2_norm", NORM),
        ] {
            assert_eq!(layer_in_name(name), NamedLayer::Unclear(reason), "{name}");
        }
    }

    #[test]
    fn other_names_tell_nothing() {
        for name in [
            "",
            "vector",
            "weight",
            "bias",
            "v",
            "v10",
            "vector_10",
            "task-3",
            "h100_calm",
            "h2o",
            "player_10",
            "multilayer",
            "all_layers",
            "layer",
            "layer_norm_10",
            "mid_layer",
            "calm",
            "experts.3",
            "10b",
            "7B-model",
            "语言_10",
        ] {
            assert_eq!(layer_in_name(name), NamedLayer::Unnamed, "{name}");
        }
    }

    #[test]
    fn the_rest_of_a_stem_is_what_it_is_without_the_layer() {
        for (stem, rest) in [
            ("task_vector_layer-10", "task_vector"),
            ("calm_layer10", "calm"),
            ("layer_10_calm", "calm"),
            ("calm-L10-v2", "calm_v2"),
            ("layer10", ""),
            ("calm", "calm"),
            ("语言_layer_10", "语言"),
        ] {
            assert_eq!(layer_in_stem(stem).1, rest, "{stem}");
        }
    }
}
