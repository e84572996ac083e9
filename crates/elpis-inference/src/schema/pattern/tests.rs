use super::*;
use crate::schema::language::Language;

/// Whether a pattern is found in a text.
fn finds(source: &str, text: &str) -> bool {
    let regex = pattern(source).unwrap_or_else(|reason| panic!("{source}: {reason}"));
    Language::new(&regex).unwrap().has(text)
}

#[test]
fn patterns_are_searched_for_as_ecma_script_does() {
    for (source, found, others) in [
        ("b", &["b", "abc", "é\nb"][..], &["", "a"][..]),
        ("^a", &["a", "ab"], &["ba", ""]),
        ("a$", &["a", "ba"], &["ab", "a\n"]),
        ("^$", &[""], &["a", "\n"]),
        ("^a|b$", &["ax", "xb"], &["xa", "bx"]),
        ("(^a|b)c", &["ac", "xbc"], &["xac"]),
        ("a^b", &[], &["ab", "a\nb"]),
        ("^[\\w.-]+$", &["a_9.-"], &["é", ""]),
        (
            "^\\d{2,3}$",
            &["12", "123"],
            &["1", "1234", "\u{661}\u{662}"],
        ),
        ("^\\s\\S$", &["\u{a0}x", "\u{feff}x"], &["xx"]),
        ("^.$", &["a", "🚄"], &["\n", "\u{2028}", "ab"]),
        ("^[^]$", &["\n"], &[""]),
        ("^a[]?$", &["a"], &["ab"]),
        ("^\\u00e9\\u{1F684}\\x41\\cJ$", &["é🚄A\n"], &["é🚄A"]),
        ("^\\uD83D\\uDE84$", &["🚄"], &["x"]),
        ("^(?<y>\\d)(?P<m>\\d)(?:-)$", &["12-"], &["1-"]),
        ("^\\/\\-\\_\\@\\'\\\"\\#$", &["/-_@'\"#"], &[""]),
        ("^[\\]\\[\\-a\\b]$", &["]", "[", "-", "a", "\u{8}"], &["b"]),
        ("^[a-c-]$", &["a", "-", "c"], &["d"]),
        ("^[\\w-]$", &["-", "w"], &["."]),
        ("^\\p{Lu}\\p{Script=Greek}\\PL$", &["Éα1"], &["éα1"]),
        ("^(?i)straße|b$", &["STRAßE", "xB"], &["strasse"]),
        ("^(?i:a)a$", &["Aa"], &["AA"]),
        ("^a*?b+?$", &["b", "aabb"], &["a"]),
        ("^a{2}{$", &["aa{"], &["a{"]),
        ("^{a}$", &["{a}"], &[""]),
        ("^x{,3}$", &["x{,3}"], &["xx"]),
        ("\\Aa\\Z", &["a"], &["ab"]),
        ("^(a|)$", &["a", ""], &["b"]),
    ] {
        for text in found {
            assert!(finds(source, text), "{source} {text:?}");
        }
        for text in others {
            assert!(!finds(source, text), "{source} {text:?}");
        }
    }
}

#[test]
fn look_arounds_are_applied() {
    for (source, found, others) in [
        (
            "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$",
            &["1", "-1.5", "+.5", "007", "0."][..],
            &["", "-", ".", "+.", "1.2.3"][..],
        ),
        (
            "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$",
            &["a.b@c.de", "o'k+x@a-b.c.org"],
            &[".a@b.de", "a..b@c.de", "a.@b.de", "a@b", "a@b.c"],
        ),
        (
            "^(?=.*[A-Z])(?=.*\\d).{4,}$",
            &["aB3x", "1Axx"],
            &["abcd", "AB1", "ABCD"],
        ),
        ("^(?!admin$)\\w+$", &["administrator", "x"], &["admin", ""]),
        ("^((?!--)[a-z-])+$", &["a-b", "-"], &["a--b", "--", ""]),
        ("^(?:(?!foo).)*$", &["", "fo", "barfo"], &["foo", "xfoox"]),
        ("^(?:(?=[ab])[a-z])*$", &["", "abba"], &["abc"]),
        ("a(?!b)", &["a", "ac", "abac"], &["ab", ""]),
        ("a(?=b)", &["ab", "xab"], &["a", "ac"]),
        ("^a(?:(?!x)[a-z]){2}z", &["abcz", "abczz"], &["axbz", "abz"]),
        (
            "^(?!-)[a-z-]{1,5}(?<!-)$",
            &["a-b", "a"],
            &["-a", "a-", "-"],
        ),
        ("^a(?<=a)b$", &["ab"], &["b"]),
        ("^[ab](?<!b)c", &["ac", "acx"], &["bc"]),
        ("(?!)", &[], &["", "a"]),
        ("^(?:(?!a))*b", &["b"], &["ab"]),
        ("^(?:a|(?=b)b)c$", &["ac", "bc"], &["cc"]),
        ("^(?!.*(.)x$)", &["a", "x"], &["ax"]),
        ("^(?!(?!a))", &["a", "ab"], &["b", ""]),
    ] {
        for text in found {
            assert!(finds(source, text), "{source} {text:?}");
        }
        for text in others {
            assert!(!finds(source, text), "{source} {text:?}");
        }
    }
}

#[test]
fn what_is_no_pattern_or_cannot_be_enforced_is_told() {
    for (source, words) in [
        ("(", "group"),
        (")", ")"),
        ("[a", "class"),
        ("[b-a]", "range"),
        ("*a", "repeat"),
        ("a**", "repeat"),
        ("a{3,2}", "{3,2}"),
        ("(a)\\1", "reference"),
        ("\\k<n>", "reference"),
        ("(?>a)", "(?>"),
        ("\\bword", "\\b"),
        ("(?m)^a", "flag"),
        ("a\\", "\\"),
        ("\\q", "\\q"),
        ("\\x4", "\\x"),
        ("\\p{Nothing}", "Nothing"),
        ("(?:(?!ab)[a-z]+)*$", "repetition"),
        ("(?<=a)b", "look-behind"),
        ("a*^b", "^"),
    ] {
        let reason = pattern(source).unwrap_err();
        assert!(reason.contains(words), "{source}: {reason}");
    }
    let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
    assert!(pattern(&deep).unwrap_err().contains("64"));
}
