//! References between schemas, as RFC 3986 resolves them.

/// A reference without its fragment, resolved against a base.
pub(super) fn resolve(base: &str, reference: &str) -> String {
    if reference.is_empty() || has_scheme(reference) {
        return if reference.is_empty() {
            base
        } else {
            reference
        }
        .to_owned();
    }
    let scheme_end = if has_scheme(base) {
        base.find(':').map_or(0, |at| at + 1)
    } else {
        0
    };
    let (scheme, rest) = base.split_at(scheme_end);
    if reference.starts_with("//") {
        return format!("{scheme}{reference}");
    }
    let authority_end = match rest.strip_prefix("//") {
        Some(after) => after.find('/').map_or(rest.len(), |at| at + 2),
        None => 0,
    };
    let (authority, path) = rest.split_at(authority_end);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let joined = if reference.starts_with('/') {
        reference.to_owned()
    } else {
        let folder = path.rfind('/').map_or("", |at| &path[..=at]);
        let slash = if folder.is_empty() && !authority.is_empty() {
            "/"
        } else {
            ""
        };
        format!("{slash}{folder}{reference}")
    };
    format!("{scheme}{authority}{}", without_dots(&joined))
}

fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if rooted && !joined.starts_with('/') {
        format!("/{joined}")
    } else {
        joined
    }
}

/// Decodes the `%XX` of a fragment. `None` if one is incomplete or the bytes are not UTF-8.
pub(super) fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Decodes `~0` and `~1` in a part of a JSON pointer (RFC 6901). `None` for another `~`.
pub(super) fn token(part: &str) -> Option<String> {
    let mut out = String::with_capacity(part.len());
    let mut letters = part.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '~') {
            (_, true) => match letters.next()? {
                '0' => out.push('~'),
                '1' => out.push('/'),
                _ => return None,
            },
            (letter, false) => out.push(letter),
        }
    }
    Some(out)
}

/// Encodes a key as a part of a JSON pointer.
pub(super) fn pointer_part(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved() {
        for (base, reference, resolved) in [
            (
                "http://a.example/b/c.json",
                "d.json",
                "http://a.example/b/d.json",
            ),
            (
                "http://a.example/b/c.json",
                "../d.json",
                "http://a.example/d.json",
            ),
            ("http://a.example/b/c.json", "/d", "http://a.example/d"),
            (
                "http://a.example/b/c.json",
                "//b.example/d",
                "http://b.example/d",
            ),
            ("http://a.example/b/c.json", "urn:x:y", "urn:x:y"),
            (
                "http://a.example/b/c.json?q",
                "",
                "http://a.example/b/c.json?q",
            ),
            ("http://a.example", "d", "http://a.example/d"),
            ("", "d", "d"),
            ("/b/c", "./d", "/b/d"),
        ] {
            assert_eq!(resolve(base, reference), resolved, "{base} {reference}");
        }
        assert_eq!(decoded("%22%C3%A9%25"), Some("\"é%".to_owned()));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(broken), None);
        }
        assert_eq!(token("a~1b~0c~01"), Some("a/b~c~1".to_owned()));
        assert_eq!((token("a~"), token("a~2")), (None, None));
    }
}
