//! What the table comes to.

use std::io::Write;

use serde::Serialize;

use super::Row;

/// The figures that vectors are judged by. Valence and arousal are those of the norms or, without
/// them, those that the replies express.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Summary {
    /// Mean valence of excited and calm less that of frustrated and depleted, under full vectors.
    valence: Option<f64>,
    /// The same under mood lines.
    valence_of_lines: Option<f64>,
    /// Mean arousal of excited and frustrated less that of calm and depleted.
    arousal: Option<f64>,
    arousal_of_lines: Option<f64>,
    /// Arousal of frustrated less that of calm.
    frustrated_less_calm: Option<f64>,
    /// Number of corners whose vector moves both coordinates at least as far as its mood line.
    beyond_their_line: Option<usize>,
    /// Whether valence never falls back as the strength of a corner grows.
    monotone: Option<bool>,
    /// Farthest of the random vectors from neutral, in valence or arousal.
    random: Option<f64>,
    /// Smallest share of the neutral model's right answers that a full mood keeps.
    answers_kept: Option<f64>,
    /// Largest perplexity of a full mood, as a multiple of neutral's.
    perplexity: Option<f64>,
    /// Largest repetition of a full mood beyond neutral's.
    repetition: Option<f64>,
}

/// The corners, with the signs of their valence and arousal.
pub(super) const CORNERS: [(&str, f64, f64); 4] = [
    ("excited", 1.0, 1.0),
    ("calm", 1.0, -1.0),
    ("frustrated", -1.0, 1.0),
    ("depleted", -1.0, -1.0),
];

/// Fall of valence between two strengths that is put down to chance.
const CHANCE: f64 = 0.1;

impl Row {
    /// Valence and arousal by the best judge that there is.
    pub(super) fn judged(&self) -> Option<(f64, f64)> {
        let norms = self.valence.zip(self.arousal);
        norms.or_else(|| self.expressed_valence.zip(self.expressed_arousal))
    }
}

impl Summary {
    pub(super) fn of(rows: &[Row]) -> Self {
        let Some(neutral) = rows.iter().find(|row| row.influence == "neutral") else {
            return Self::default();
        };
        let of = |emotion: &str, influence: &str| {
            let mut found = rows.iter().filter(|row| {
                row.influence == influence && row.emotion.as_deref() == Some(emotion)
            });
            found.next_back()
        };
        let judged = |influence: &str| -> Option<Vec<(f64, f64)>> {
            let found = CORNERS
                .iter()
                .map(|(name, ..)| of(name, influence)?.judged());
            found.collect()
        };
        let (full, lines) = (judged("vector"), judged("mood line"));
        let beyond = full.as_ref().zip(lines.as_ref()).map(|(full, lines)| {
            let pairs = full.iter().zip(lines).zip(CORNERS);
            let beyond = pairs.map(|((vector, line), (_, valence, arousal))| {
                let further = |sign: f64, way: f64| sign * way >= 0.0;
                further(valence, vector.0 - line.0) && further(arousal, vector.1 - line.1)
            });
            beyond.filter(|beyond| *beyond).count()
        });
        let random = neutral.judged().map(|(valence, arousal)| {
            let random = rows.iter().filter(|row| row.influence == "random vector");
            let far = random
                .filter_map(Row::judged)
                .map(|(v, a)| f64::max((v - valence).abs(), (a - arousal).abs()));
            far.fold(0.0, f64::max)
        });
        let fulls = || CORNERS.iter().filter_map(|(name, ..)| of(name, "vector"));
        let most = |of: &dyn Fn(&Row) -> f64| fulls().map(of).reduce(f64::max);
        Self {
            valence: full
                .as_deref()
                .map(|of| difference(of, |corner| corner.1, |at| at.0)),
            valence_of_lines: lines
                .as_deref()
                .map(|of| difference(of, |corner| corner.1, |at| at.0)),
            arousal: full
                .as_deref()
                .map(|of| difference(of, |corner| corner.2, |at| at.1)),
            arousal_of_lines: lines
                .as_deref()
                .map(|of| difference(of, |corner| corner.2, |at| at.1)),
            frustrated_less_calm: full
                .as_ref()
                .and_then(|of| Some(of.get(2)?.1 - of.get(1)?.1)),
            beyond_their_line: beyond,
            monotone: monotone(rows, neutral),
            random,
            answers_kept: neutral
                .answered
                .filter(|share| *share > 0.0)
                .and_then(|plain| {
                    let kept = fulls()
                        .filter_map(|row| row.answered)
                        .map(|share| share / plain);
                    kept.reduce(f64::min)
                }),
            perplexity: most(&|row| row.perplexity / neutral.perplexity),
            repetition: most(&|row| row.repetition - neutral.repetition),
        }
    }

    pub(super) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut line = |what: &str, value: Option<String>| match value {
            Some(value) => writeln!(out, "{what:<58} {value}"),
            None => Ok(()),
        };
        line("", Some(String::new()))?;
        let signed = |value: f64| format!("{value:+.2}");
        let ratio = self.valence.zip(self.valence_of_lines);
        line(
            "valence, excited and calm less frustrated and depleted",
            self.valence.map(signed),
        )?;
        line(
            "  over the same under mood lines",
            ratio.map(|(of, lines)| format!("{:.2}", of / lines)),
        )?;
        line(
            "arousal, excited and frustrated less calm and depleted",
            self.arousal.map(signed),
        )?;
        line(
            "  the same under mood lines",
            self.arousal_of_lines.map(signed),
        )?;
        line(
            "arousal, frustrated less calm",
            self.frustrated_less_calm.map(signed),
        )?;
        line(
            "corners beyond their mood line",
            self.beyond_their_line.map(|count| format!("{count} of 4")),
        )?;
        let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
        line("valence follows the strength", self.monotone.map(yes))?;
        line(
            "random vectors, farthest from neutral",
            self.random.map(signed),
        )?;
        line(
            "right answers kept under a full mood, at least",
            self.answers_kept
                .map(|share| format!("{:.0} %", share * 100.0)),
        )?;
        line(
            "perplexity under a full mood, at most",
            self.perplexity.map(|ratio| format!("{ratio:.2}x")),
        )?;
        line(
            "repetition beyond neutral's, at most",
            self.repetition.map(|more| format!("{more:+.3}")),
        )
    }
}

/// Half the sum of the corners with one sign less half that of the others.
fn difference(
    corners: &[(f64, f64)],
    sign: fn(&(&str, f64, f64)) -> f64,
    at: fn(&(f64, f64)) -> f64,
) -> f64 {
    let signed = corners.iter().zip(&CORNERS);
    signed
        .map(|(found, corner)| sign(corner) * at(found) / 2.0)
        .sum()
}

/// Whether each corner's valence follows its strength, from neutral on.
fn monotone(rows: &[Row], neutral: &Row) -> Option<bool> {
    let start = neutral.judged()?.0;
    let follows = |(name, sign, _): &(&str, f64, f64)| {
        let mut last = start;
        let own = rows
            .iter()
            .filter(|row| row.influence == "vector" && row.emotion.as_deref() == Some(*name));
        let mut values = own.filter_map(|row| Some(row.judged()?.0));
        values.all(|value| {
            let before = std::mem::replace(&mut last, value);
            sign * (value - before) >= -CHANCE
        }) && sign * (last - start) > 0.0
    };
    Some(CORNERS.iter().all(follows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(influence: &str, emotion: Option<&str>, strength: Option<f64>, at: (f64, f64)) -> Row {
        Row {
            influence: influence.to_owned(),
            emotion: emotion.map(str::to_owned),
            strength,
            valence: Some(at.0),
            arousal: Some(at.1),
            vader: 0.0,
            expressed_valence: None,
            expressed_arousal: None,
            perplexity: 4.0 + strength.unwrap_or(0.0),
            repetition: 0.01,
            answered: Some(0.5 - 0.1 * strength.unwrap_or(0.0)),
            replies: Vec::new(),
        }
    }

    fn rows() -> Vec<Row> {
        let mut rows = vec![row("neutral", None, None, (1.0, 0.2))];
        for (name, valence, arousal) in CORNERS {
            for strength in [0.5, 1.0] {
                let at = (1.0 + valence * strength, 0.2 + 0.4 * arousal * strength);
                rows.push(row("vector", Some(name), Some(strength), at));
            }
            let at = (1.0 + 0.25 * valence, 0.2);
            rows.push(row("mood line", Some(name), None, at));
        }
        rows.push(row("random vector", None, None, (1.05, 0.3)));
        rows
    }

    #[test]
    fn the_figures_are_those_of_the_full_moods() {
        let summary = Summary::of(&rows());
        let near = |value: Option<f64>, expected: f64| {
            assert!(
                (value.unwrap() - expected).abs() < 1e-9,
                "{value:?} {expected}"
            );
        };
        near(summary.valence, 2.0);
        near(summary.valence_of_lines, 0.5);
        near(summary.arousal, 0.8);
        near(summary.arousal_of_lines, 0.0);
        near(summary.frustrated_less_calm, 0.8);
        near(summary.random, 0.1);
        near(summary.answers_kept, 0.8);
        near(summary.perplexity, 1.25);
        near(summary.repetition, 0.0);
        assert_eq!(
            (summary.beyond_their_line, summary.monotone),
            (Some(4), Some(true))
        );
    }

    #[test]
    fn a_curve_that_falls_back_is_told() {
        let mut back = rows();
        back[2].valence = Some(1.2);
        let summary = Summary::of(&back);
        assert_eq!(
            (summary.beyond_their_line, summary.monotone),
            (Some(3), Some(false))
        );
        assert_eq!(Summary::of(&[]), Summary::default());
        // Without judges nothing is claimed.
        for row in &mut back {
            row.valence = None;
        }
        let summary = Summary::of(&back);
        assert_eq!(
            (summary.valence, summary.monotone, summary.random),
            (None, None, None)
        );
    }
}
