//! Judges texts by their words.

use std::collections::HashMap;
use std::path::Path;

use vader_parity::SentimentIntensityAnalyzer;

use super::{CliError, Failure};

/// Maximum size of a file of norms.
const MAX_BYTES: u64 = 64 << 20;

/// The values at which valence and arousal of Warriner's norms are taken to be neutral.
const MIDDLE: (f64, f64) = (5.0, 4.0);

/// Names of the columns of words, valence and arousal.
const COLUMNS: [[&str; 2]; 3] = [
    ["Word", "word"],
    ["V.Mean.Sum", "valence"],
    ["A.Mean.Sum", "arousal"],
];

/// Endings that are taken off a word until the norms know it, with what takes their place.
const ENDINGS: [(&str, &str); 6] = [
    ("s", ""),
    ("ed", ""),
    ("d", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ly", ""),
];

pub(super) struct Judge {
    vader: SentimentIntensityAnalyzer,
    norms: Option<HashMap<String, (f64, f64)>>,
}

impl Judge {
    pub(super) fn new(norms: Option<&Path>) -> Result<Self, Failure> {
        let norms = norms.map(read).transpose()?;
        Ok(Self {
            vader: SentimentIntensityAnalyzer::new(),
            norms,
        })
    }

    /// Mean of VADER's compound score over the texts.
    pub(super) fn vader(&self, texts: &[String]) -> f64 {
        let scores = texts
            .iter()
            .map(|text| self.vader.polarity_scores(text).compound);
        scores.sum::<f64>() / texts.len().max(1) as f64
    }

    /// Mean valence and arousal of the texts by the norms, from the middle of their scale; a text
    /// without a known word does not count.
    pub(super) fn norms(&self, texts: &[String]) -> Option<(f64, f64)> {
        let norms = self.norms.as_ref()?;
        let scores: Vec<(f64, f64)> = texts.iter().filter_map(|text| score(norms, text)).collect();
        mean(&scores).map(|(valence, arousal)| (valence - MIDDLE.0, arousal - MIDDLE.1))
    }
}

fn score(norms: &HashMap<String, (f64, f64)>, text: &str) -> Option<(f64, f64)> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_lowercase());
    let known: Vec<(f64, f64)> = words.filter_map(|word| known(norms, word)).collect();
    mean(&known)
}

fn known(norms: &HashMap<String, (f64, f64)>, word: &str) -> Option<(f64, f64)> {
    let stems = ENDINGS.iter().filter_map(|(ending, instead)| {
        let stem = word.strip_suffix(ending)?;
        norms.get(&format!("{stem}{instead}"))
    });
    norms
        .get(word)
        .or_else(|| stems.into_iter().next())
        .copied()
}

fn mean(scores: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = scores.len() as f64;
    let valence = scores.iter().map(|score| score.0).sum::<f64>();
    let arousal = scores.iter().map(|score| score.1).sum::<f64>();
    (count > 0.0).then(|| (valence / count, arousal / count))
}

fn read(file: &Path) -> Result<HashMap<String, (f64, f64)>, Failure> {
    let bytes = std::fs::metadata(file)
        .map_err(CliError::unreadable(file))?
        .len();
    if bytes > MAX_BYTES {
        let reason = format!("it has {bytes} bytes, at most {MAX_BYTES} are read");
        return Err(CliError::at(file)(reason).into());
    }
    let opened = std::fs::File::open(file).map_err(CliError::unreadable(file))?;
    parse(opened).map_err(|reason| CliError::at(file)(reason).into())
}

fn parse(input: impl std::io::Read) -> Result<HashMap<String, (f64, f64)>, String> {
    let mut reader = csv::Reader::from_reader(input);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let column = |names: [&str; 2]| {
        let found = header.iter().position(|name| names.contains(&name));
        found.ok_or_else(|| format!("it has no column {:?} or {:?}", names[0], names[1]))
    };
    let [word, valence, arousal] = COLUMNS.map(column);
    let (word, valence, arousal) = (word?, valence?, arousal?);
    let mut norms = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |at: usize| {
            let text = record.get(at).unwrap_or_default();
            let number = text.trim().parse::<f64>().ok();
            number
                .filter(|number| (1.0..=9.0).contains(number))
                .ok_or_else(|| format!("line {line}: {text:?} is no number from 1 to 9"))
        };
        let word = record.get(word).unwrap_or_default().to_lowercase();
        norms.insert(word, (number(valence)?, number(arousal)?));
    }
    if norms.is_empty() {
        return Err("it has no words".to_owned());
    }
    Ok(norms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMS: &str = "Word,V.Mean.Sum,V.SD.Sum,A.Mean.Sum\njoy,8.0,1,5.5\nwalk,6.0,1,3.5\n\
        make,5.0,1,4.0\ngrief,2.0,1,4.5\n";

    #[test]
    fn texts_are_judged_by_the_words_that_are_known() {
        let norms = parse(NORMS.as_bytes()).unwrap();
        for (text, expected) in [
            ("Joy!", Some((8.0, 5.5))),
            ("walks, walked; walking", Some((6.0, 3.5))),
            ("making joy xyz", Some((6.5, 4.75))),
            ("nothing known", None),
            ("", None),
        ] {
            assert_eq!(score(&norms, text), expected, "{text}");
        }
        let judge = Judge {
            vader: SentimentIntensityAnalyzer::new(),
            norms: Some(norms),
        };
        let texts = ["joy".to_owned(), "xyz".to_owned(), "grief".to_owned()];
        assert_eq!(judge.norms(&texts), Some((0.0, 1.0)));
        assert!(judge.vader(&texts[..1]) > 0.3);
    }

    #[test]
    fn files_that_are_no_norms_are_refused_by_line_and_column() {
        for (text, reason) in [
            ("a,b\n1,2\n", "no column \"Word\" or \"word\""),
            ("word,valence\njoy,5\n", "no column \"A.Mean.Sum\""),
            ("word,valence,arousal\njoy,12,5\n", "line 2: \"12\""),
            ("word,valence,arousal\njoy,NaN,5\n", "line 2: \"NaN\""),
            ("word,valence,arousal\njoy,5\n", "found record"),
            ("word,valence,arousal\n", "no words"),
        ] {
            let found = parse(text.as_bytes()).unwrap_err();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
