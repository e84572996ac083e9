use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;

const MOOD: &str = "calm valence";

/// A terminal behind a driver that makes a line feed into two bytes.
struct Screen(vt100::Parser);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for byte in bytes {
            if *byte == b'\n' {
                self.0.process(b"\r");
            }
            self.0.process(&[*byte]);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn new(rows: u16, columns: u16) -> Self {
        let size = |count| NonZeroU16::new(count).unwrap();
        Self(vt100::Parser::new(size(rows), size(columns), 1000))
    }

    fn text(&self) -> String {
        self.0.screen().contents()
    }

    fn cursor(&self) -> (u16, u16) {
        self.0.screen().cursor_position()
    }

    /// Everything, with what has scrolled out.
    fn all(&mut self) -> Vec<String> {
        let (rows, columns) = self.0.screen().size();
        self.0.screen_mut().set_scrollback(usize::MAX);
        let above = self.0.screen().scrollback();
        let mut all = Vec::new();
        for from in (0..=above).rev() {
            self.0.screen_mut().set_scrollback(from);
            let mut lines = self.0.screen().rows(0, columns.get());
            if from > 0 {
                all.extend(lines.next());
            } else {
                all.extend(lines.take(usize::from(rows.get())));
            }
        }
        while all.last().is_some_and(String::is_empty) {
            all.pop();
        }
        all
    }
}

#[test]
fn the_mood_stands_below_the_text_and_goes_with_it() {
    let mut live = Live::new(Screen::new(6, 40));
    live.mood(MOOD.to_owned(), 40).unwrap();
    assert_eq!(live.out.text(), format!("\n{MOOD}"));
    live.text("Hello", 40).unwrap();
    assert_eq!(live.out.text(), format!("Hello\n{MOOD}"));
    assert_eq!(live.out.cursor(), (0, 5));
    live.text(", world.\nAnd", 40).unwrap();
    assert_eq!(live.out.text(), format!("Hello, world.\nAnd\n{MOOD}"));
    live.mood("frustrated".to_owned(), 40).unwrap();
    assert_eq!(live.out.text(), "Hello, world.\nAnd\nfrustrated");
    live.end().unwrap();
    assert_eq!(live.out.text(), "Hello, world.\nAnd");
    assert_eq!(live.out.cursor(), (1, 3));
}

#[test]
fn at_the_edge_it_is_away() {
    let mut live = Live::new(Screen::new(6, 20));
    live.mood(MOOD.to_owned(), 20).unwrap();
    live.text(&"x".repeat(20), 20).unwrap();
    assert_eq!(live.out.text(), "x".repeat(20));
    live.text("y", 20).unwrap();
    assert!(live.out.text().ends_with(MOOD));
    // A letter of unknown width might end there.
    live.text(&format!("\n{}é", "x".repeat(18)), 20).unwrap();
    assert!(!live.out.text().contains(MOOD));
    live.text("\n", 20).unwrap();
    assert!(live.out.text().contains(MOOD));
}

#[test]
fn what_cannot_be_placed_is_not_drawn() {
    let mut live = Live::new(Screen::new(6, 40));
    live.text("a\tb", 40).unwrap();
    live.mood(MOOD.to_owned(), 40).unwrap();
    assert!(!live.out.text().contains(MOOD), "a tab");
    live.text("\nnew", 40).unwrap();
    assert!(live.out.text().contains(MOOD));
    live.text("er", 30).unwrap();
    assert!(!live.out.text().contains(MOOD), "another width");
    live.text("\n", 30).unwrap();
    assert!(live.out.text().contains(MOOD));
    live.text("\n", 10).unwrap();
    assert!(!live.out.text().contains(MOOD), "a narrow screen");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However the text wraps and scrolls, it is what it would be alone.
    #[test]
    fn the_text_is_what_it_would_be_alone(
        pieces in prop::collection::vec("[a-z ,.\n]{0,30}|[äß…漢字🙂a-z ]{0,12}|\t|x{20}", 0..40),
        rows in 2_u16..8,
        columns in 20_u16..45,
        moods in prop::collection::vec(0_usize..40, 0..6),
    ) {
        let mut alone = Screen::new(rows, columns);
        let mut live = Live::new(Screen::new(rows, columns));
        let width = usize::from(columns);
        live.mood(MOOD.to_owned(), width).unwrap();
        for (number, piece) in pieces.iter().enumerate() {
            alone.write_all(piece.as_bytes()).unwrap();
            live.text(piece, width).unwrap();
            if moods.contains(&number) {
                live.mood(format!("{MOOD} {number}"), width).unwrap();
            }
        }
        live.end().unwrap();
        prop_assert_eq!(live.out.cursor().1, alone.cursor().1);
        prop_assert_eq!(live.out.all(), alone.all());
    }
}
