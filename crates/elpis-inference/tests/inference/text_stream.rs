//! Token bytes to text: UTF-8 across tokens and stop strings.

use elpis_inference::{MAX_STOP_BYTES, MAX_STOPS, TextError, TextStream};
use proptest::prelude::*;

fn strings(stops: &[&str]) -> Vec<String> {
    stops.iter().map(ToString::to_string).collect()
}

fn run(stops: &[String], pieces: &[&[u8]]) -> (String, Option<usize>) {
    let mut stream = TextStream::new(stops).expect("valid stops");
    let mut text = String::new();
    for piece in pieces {
        text.push_str(stream.push(piece).text);
    }
    text.push_str(stream.finish().text);
    (text, stream.stopped())
}

fn naive(stops: &[String], bytes: &[u8]) -> (String, Option<usize>) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let best = stops
        .iter()
        .enumerate()
        .filter_map(|(index, stop)| text.find(stop.as_str()).map(|at| (at, stop.len(), index)))
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    match best {
        Some((at, _, index)) => (text[..at].to_owned(), Some(index)),
        None => (text, None),
    }
}

#[test]
fn a_character_spans_tokens() {
    let mut stream = TextStream::new(&[]).expect("no stops");
    assert_eq!(stream.push(&[0xF0, 0x9F]).text, "");
    assert_eq!(stream.push(&[0x98]).text, "");
    assert_eq!(stream.push(&[0x80, b'!']).text, "😀!");
    assert_eq!(stream.push(&[0xC3]).text, "");
    assert_eq!(stream.finish().text, "\u{FFFD}");
    assert_eq!(stream.finish().text, "");
    assert_eq!(stream.push(b"late").text, "");
}

#[test]
fn a_byte_order_mark_is_text() {
    assert_eq!(run(&[], &[b"\xEF\xBB", b"\xBFa"]).0, "\u{FEFF}a");
}

#[test]
fn holds_back_only_what_could_become_a_stop() {
    let mut stream = TextStream::new(&strings(&["\nUser:"])).expect("valid stops");
    assert_eq!(stream.push(b"hi\nUs").text, "hi");
    assert_eq!(stream.push(b"a").text, "\nUsa");
    assert_eq!(stream.push(b"\n\n").text, "\n");
    assert_eq!(stream.push(b"User").text, "");
    let end = stream.push(b": more");
    assert_eq!((end.text, end.stopped), ("", Some(0)));
    let after = stream.push(b"ignored");
    assert_eq!((after.text, after.stopped), ("", Some(0)));
    assert_eq!(stream.finish().text, "");
}

#[test]
fn overlapping_stops() {
    for (stops, text, expected) in [
        (&["ab", "abc"][..], "xabc", ("x", Some(1))),
        (&["ab", "abc"], "xabd", ("x", Some(0))),
        (&["ab", "abc"], "xab", ("x", Some(0))),
        (&["bcd", "abcde"], "abcde", ("", Some(1))),
        (&["bcd", "abcde"], "abcdx", ("a", Some(0))),
        (&["aab"], "aaab", ("a", Some(0))),
        (&["x", "x"], "yx", ("y", Some(0))),
        (&["é"], "caf\u{e8}\u{e9}", ("caf\u{e8}", Some(0))),
    ] {
        let stops = strings(stops);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        let expected = (expected.0.to_owned(), expected.1);
        assert_eq!(
            run(&stops, &single),
            expected,
            "{stops:?} in {text:?}, byte by byte"
        );
        assert_eq!(
            run(&stops, &[text.as_bytes()]),
            expected,
            "{stops:?} in {text:?}, whole"
        );
    }
}

#[test]
fn refuses_bad_stops() {
    let refused = |stops: &[String]| TextStream::new(stops).map(drop).expect_err("refused");
    assert_eq!(
        refused(&strings(&["a", ""])),
        TextError::EmptyStop { index: 1 }
    );
    assert_eq!(
        refused(&["x".repeat(257)]),
        TextError::StopTooLong {
            index: 0,
            bytes: 257
        }
    );
    let many = vec!["x".to_owned(); MAX_STOPS + 1];
    assert_eq!(refused(&many), TextError::TooManyStops { count: 17 });
    assert_eq!(refused(&many).kind(), "too_many_stops");
    assert!(TextStream::new(&vec!["y".repeat(MAX_STOP_BYTES); MAX_STOPS]).is_ok());
}

fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_bytes_gives_the_whole_text(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'a'), Just(0xC3), Just(0xE2), Just(0x82), Just(0xAC), Just(0xF0), Just(0x9F)],
            0..80),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let pieces = cut(&bytes, &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(run(&[], &pieces).0, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn stops_equal_the_naive_search(
        text in "[abcé]{0,60}",
        stops in proptest::collection::vec("[abcé]{1,6}", 0..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
    ) {
        let pieces = cut(text.as_bytes(), &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(run(&stops, &pieces), naive(&stops, text.as_bytes()));
    }

    #[test]
    fn stops_equal_the_naive_search_on_any_bytes(
        bytes in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xC3), Just(0xA9), Just(0xFF)], 0..60),
        stops in proptest::collection::vec("[abé\u{FFFD}]{1,4}", 0..4),
        cuts in proptest::collection::vec(any::<usize>(), 0..30),
    ) {
        let pieces = cut(&bytes, &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(run(&stops, &pieces), naive(&stops, &bytes));
    }
}
