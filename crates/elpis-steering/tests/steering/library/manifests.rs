//! Manifests.

use elpis_steering::Manifest;

use super::{build, file, vector};

#[test]
fn a_manifest_that_is_cut_off_is_refused_with_its_line_or_says_less() {
    let text = b"layer = 4\nscale = 0.5\n[emotions.calm]\ncap = 0.8\n[emotions.joy]\nvalence = 1\n\
        arousal = 0.5\n";
    let whole = Manifest::parse(text).unwrap();
    for length in 0..text.len() {
        match Manifest::parse(&text[..length]) {
            Ok(part) => {
                assert!(part.emotions.len() <= whole.emotions.len(), "{length}");
                assert!(part.layers.is_none_or(|layers| layers == [4]), "{length}");
            }
            Err(error) => assert!(
                [
                    "syntax",
                    "missing",
                    "unknown_key",
                    "invalid_name",
                    "out_of_range"
                ]
                .contains(&error.kind()),
                "{length}: {error}"
            ),
        }
    }
    let calm = vector("calm", &[(4, vec![1.0, 0.0, 0.0])]);
    let cut = file("vectors.toml", &text[..15]);
    let error = build(vec![calm, cut]).unwrap_err();
    assert_eq!(
        (error.kind(), error.file()),
        ("syntax", Some("vectors.toml"))
    );
    assert!(error.to_string().contains('2'), "the line: {error}");
}

#[test]
fn manifests_are_read_or_refused() {
    assert_eq!(Manifest::parse(b"").unwrap(), Manifest::default());
    let manifest = Manifest::parse(b"layers = [4, 3]\n[emotions.calm]\ncap = 0").unwrap();
    assert_eq!(manifest.layers, Some(vec![3, 4]));
    assert_eq!(manifest.emotions["calm"].cap, 0.0);
    for (text, message) in [
        (
            "layer = 4\nlayers = [3]",
            "layer and layers are both set, only one of them may be set",
        ),
        ("layer = -1", "layer is -1, must be from 0 to 1023"),
        ("layer = 1.5", "layer is a float, must be an integer"),
        (
            "layers = []",
            "layers is [], must be a list of different layers, at least one",
        ),
        (
            "layers = [3, 3]",
            "layers is [3, 3], must be a list of different layers, at least one",
        ),
        (
            "scale = 0.0",
            "scale is 0, must be above 0 and at most 1000000",
        ),
        (
            "scale = nan",
            "scale is NaN, must be above 0 and at most 1000000",
        ),
        ("scale = \"big\"", "scale is text, must be a number"),
        ("emotions = 3", "emotions is an integer, must be a table"),
        (
            "[emotions.calm]\ncap = -0.5",
            "emotions.calm.cap is -0.5, must be from 0 to 100",
        ),
        (
            "[emotions.calm]\nvalance = 1",
            "unknown key emotions.calm.valance, the nearest known key is emotions.calm.valence",
        ),
        (
            "[emotions.calm]\narousal = 1",
            "emotions.calm.arousal is set, the place of a base emotion is fixed",
        ),
        (
            "[emotions.joy]\nvalence = 1",
            "emotions.joy.arousal is missing, a custom emotion needs both valence and arousal",
        ),
        (
            "[emotions.joy]\nvalence = 1.5\narousal = 0",
            "emotions.joy.valence is 1.5, must be from -1 to 1",
        ),
        (
            "[emotions.calm]\nfile = \"../x.pt\"",
            "emotions.calm.file is \"../x.pt\", must be the name of a file in the same folder",
        ),
        (
            "[emotions.Joy]",
            "emotions.Joy is \"Joy\", must be 1 to 64 of a-z, 0-9, _ and -",
        ),
        ("zzzzzzzzzzzzz = 1", "unknown key zzzzzzzzzzzzz"),
    ] {
        let error = Manifest::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(Manifest::parse(b"a = [").unwrap_err().kind(), "syntax");
    assert_eq!(Manifest::parse(&[0xFF]).unwrap_err().kind(), "not_utf8");
    let long = vec![b' '; 70_000];
    assert_eq!(Manifest::parse(&long).unwrap_err().kind(), "too_large");
}
