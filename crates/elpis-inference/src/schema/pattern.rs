//! Patterns of JSON Schema: regular expressions of ECMA-262 that may match anywhere in a text.

mod parse;

use self::parse::{Look, Node, parse};
use super::regex::Regex;

/// Maximum count of a repetition that is unrolled because it contains a look-around.
const MAX_UNROLLED: u32 = 16;

/// The position in the text at which a part of a pattern begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At the beginning of the text.
    Here,
    /// At the beginning, if the parts before it match nothing.
    Perhaps,
    /// After the beginning.
    Behind,
}

/// The set of texts that a pattern matches.
///
/// # Errors
/// The reason why the pattern is invalid or cannot be enforced.
pub(crate) fn pattern(source: &str) -> Result<Regex, String> {
    let ways = parse(source)?;
    let all = |start| {
        let ways = ways.iter().map(|way| sequence(way, &Regex::any(), start));
        ways.collect::<Result<Vec<_>, _>>().map(Regex::alt)
    };
    let first = all(Start::Here)?;
    let later = all(Start::Behind)?;
    if first == later {
        return Ok(Regex::concat([Regex::any(), first]));
    }
    let some = Regex::of_length(1, None);
    Ok(Regex::alt([first, Regex::concat([some, later])]))
}

/// The set of texts that consist of a match of the sequence and a text of `rest`.
fn sequence(nodes: &[Node], rest: &Regex, start: Start) -> Result<Regex, String> {
    let mut starts = Vec::with_capacity(nodes.len());
    let mut at = start;
    for node in nodes {
        starts.push(at);
        at = behind(node, at);
    }
    let late = |(node, at): (&Node, &Start)| matches!(node, Node::Start) && *at == Start::Behind;
    if nodes.iter().zip(&starts).any(late) {
        return Ok(Regex::Nothing);
    }
    let mut rest = rest.clone();
    for (place, node) in nodes.iter().enumerate().rev() {
        if let Node::Look(Look::Behind(negative), inner) = node {
            return behind_of(&nodes[..place], *negative, inner, &rest, start);
        }
        rest = one(node, rest, starts[place])?;
    }
    Ok(rest)
}

/// The position after a part.
fn behind(node: &Node, at: Start) -> Start {
    match node {
        Node::Look(..) | Node::Start | Node::End | Node::Boundary(_) => at,
        node if at == Start::Behind || !can_be_empty(node) => Start::Behind,
        _ => Start::Perhaps,
    }
}

fn can_be_empty(node: &Node) -> bool {
    match node {
        Node::Class(_) => false,
        Node::Group(ways) => ways.iter().any(|way| way.iter().all(can_be_empty)),
        Node::Repeat(inner, least, _) => *least == 0 || can_be_empty(inner),
        Node::Look(..) | Node::Start | Node::End | Node::Boundary(_) => true,
    }
}

/// Whether a part contains an anchor or a look-around.
fn looks(node: &Node) -> bool {
    match node {
        Node::Class(_) => false,
        Node::Group(ways) => ways.iter().flatten().any(looks),
        Node::Repeat(inner, ..) => looks(inner),
        Node::Look(..) | Node::Start | Node::End | Node::Boundary(_) => true,
    }
}

fn one(node: &Node, rest: Regex, start: Start) -> Result<Regex, String> {
    if !looks(node) {
        return Ok(Regex::concat([simple(node), rest]));
    }
    match node {
        Node::Class(_) => Ok(rest),
        Node::Group(ways) => {
            let ways = ways.iter().map(|way| sequence(way, &rest, start));
            ways.collect::<Result<Vec<_>, _>>().map(Regex::alt)
        }
        Node::Repeat(inner, least, most) => repeated(inner, *least, *most, &rest, start),
        Node::Look(Look::Ahead(negative), ways) => {
            let ways = ways.iter().map(|way| sequence(way, &Regex::any(), start));
            let ahead = ways.collect::<Result<Vec<_>, _>>().map(Regex::alt)?;
            let ahead = if *negative { ahead.not() } else { ahead };
            Ok(Regex::and([ahead, rest]))
        }
        Node::Look(Look::Behind(_), _) => {
            Err("a look-behind is only supported at the top level of a pattern".to_owned())
        }
        Node::Start => match start {
            Start::Here => Ok(rest),
            Start::Behind => Ok(Regex::Nothing),
            Start::Perhaps => Err("a ^ after a part that may be empty is not supported".to_owned()),
        },
        Node::End if rest.is_nullable() => Ok(Regex::Empty),
        Node::End => Ok(Regex::Nothing),
        Node::Boundary(letter) => Err(format!("\\{letter} is not supported")),
    }
}

/// The expression of a part without anchors and look-arounds.
fn simple(node: &Node) -> Regex {
    match node {
        Node::Class(class) if class.ranges().is_empty() => Regex::Nothing,
        Node::Class(class) => Regex::Class(class.clone()),
        Node::Group(ways) => {
            Regex::alt(ways.iter().map(|way| Regex::concat(way.iter().map(simple))))
        }
        Node::Repeat(inner, least, most) => simple(inner).repeated(*least, *most),
        Node::Look(..) | Node::Start | Node::End | Node::Boundary(_) => Regex::Empty,
    }
}

/// The repetition of a part with an anchor or a look-around.
fn repeated(
    inner: &Node,
    least: u32,
    most: Option<u32>,
    rest: &Regex,
    start: Start,
) -> Result<Regex, String> {
    // A part that consumes nothing matches once as it does many times.
    if can_be_empty(inner) && !consumes(inner) {
        let once = one(inner, rest.clone(), start)?;
        return Ok(if least == 0 { rest.clone() } else { once });
    }
    if *rest == Regex::Empty
        && let Some(way) = tempered(inner, least, most)?
    {
        return Ok(way);
    }
    let unbounded = || {
        format!(
            "a look-around in a repetition needs a maximum count of at most {MAX_UNROLLED}, or must \
             precede a single character in a repetition at the end of the pattern"
        )
    };
    let most = match most {
        // The rest matches everything, so the minimum count is enough.
        _ if rest.is_any() && least <= MAX_UNROLLED => least,
        Some(most) if most <= MAX_UNROLLED => most,
        _ => return Err(unbounded()),
    };
    let later = if start == Start::Here && can_be_empty(inner) {
        Start::Perhaps
    } else if start == Start::Here {
        Start::Behind
    } else {
        start
    };
    let mut all = rest.clone();
    for at in (0..most).rev() {
        let start = if at == 0 { start } else { later };
        let more = one(inner, all, start)?;
        all = if at >= least {
            Regex::alt([rest.clone(), more])
        } else {
            more
        };
    }
    Ok(all)
}

fn has_start(node: &Node) -> bool {
    match node {
        Node::Start => true,
        Node::Group(ways) | Node::Look(_, ways) => ways.iter().flatten().any(has_start),
        Node::Repeat(inner, ..) => has_start(inner),
        Node::Class(_) | Node::End | Node::Boundary(_) => false,
    }
}

fn consumes(node: &Node) -> bool {
    match node {
        Node::Class(_) => true,
        Node::Group(ways) => ways.iter().flatten().any(consumes),
        Node::Repeat(inner, ..) => consumes(inner),
        Node::Look(..) | Node::Start | Node::End | Node::Boundary(_) => false,
    }
}

/// `(?:(?!a)b)*` at the end of the text, where `b` is one character: no position before the end may
/// begin with an `a`.
fn tempered(inner: &Node, least: u32, most: Option<u32>) -> Result<Option<Regex>, String> {
    let Node::Group(ways) = inner else {
        return Ok(None);
    };
    let [way] = ways.as_slice() else {
        return Ok(None);
    };
    let Some((Node::Class(class), looks)) = way.split_last() else {
        return Ok(None);
    };
    let mut all = vec![simple(&Node::Class(class.clone())).repeated(least, most)];
    for look in looks {
        let Node::Look(Look::Ahead(negative), ways) = look else {
            return Ok(None);
        };
        if ways.iter().flatten().any(has_start) {
            return Ok(None);
        }
        let ways = ways
            .iter()
            .map(|way| sequence(way, &Regex::any(), Start::Behind));
        let ahead = ways.collect::<Result<Vec<_>, _>>().map(Regex::alt)?;
        let bad = if *negative { ahead } else { ahead.not() };
        let bad = Regex::and([bad, Regex::of_length(1, None)]);
        all.push(Regex::concat([Regex::any(), bad]).not());
    }
    Ok(Some(Regex::and(all)))
}

/// A look-behind with the parts before it. They must not contain another look-around, unless the text
/// ends at the look-behind.
fn behind_of(
    before: &[Node],
    negative: bool,
    inner: &[Vec<Node>],
    rest: &Regex,
    start: Start,
) -> Result<Regex, String> {
    if inner.iter().flatten().any(looks) {
        return Err("a look-around within a look-behind is not supported".to_owned());
    }
    let inner = Regex::alt(
        inner
            .iter()
            .map(|way| Regex::concat(way.iter().map(simple))),
    );
    let ending = Regex::concat([Regex::any(), inner]);
    let ending = if negative { ending.not() } else { ending };
    if start != Start::Here {
        return Err("a look-behind is only supported in a pattern that begins with ^".to_owned());
    }
    if *rest == Regex::Empty {
        let before = sequence(before, &Regex::Empty, start)?;
        return Ok(Regex::and([before, ending]));
    }
    let zero = |node: &&Node| !matches!(node, Node::Start);
    if before.iter().filter(zero).any(looks) {
        return Err("a look-behind after another look-around is not supported".to_owned());
    }
    let before = sequence(before, &Regex::Empty, start)?;
    Ok(Regex::concat([Regex::and([before, ending]), rest.clone()]))
}

#[cfg(test)]
mod tests;
