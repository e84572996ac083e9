//! Which sentences vectors are trained on, by which they are judged, and what
//! is read of each.

mod layout;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::capture::{Activation, Mean, Reader};
use super::error::TrainingError;
use super::options::{Evidence, LayerScore, Method, TrainOptions};
use super::pairs::{ContrastPairs, Form};
use super::{OnProgress, ProgressReporter};
use elpis_steering::BASE_EMOTIONS;
use elpis_steering::contrast::{self, ContrastError};
use layout::{Judged, Layout};

/// Most bytes of activations that are kept.
const MAX_KEPT_BYTES: u64 = 4 << 30;

/// Number of questions that replies are read after.
pub(super) const REPLY_QUESTIONS: usize = 2;

/// A direction for each emotion, by name.
pub(super) type Directions = BTreeMap<String, Vec<f32>>;

/// What was read of all sentences: their means, and how far each prompt of the
/// judged ones lies along directions that were found without them.
pub(super) struct Rows<'a> {
    layout: Layout<'a>,
    form: Form,
    judged: BTreeMap<&'a str, Judged>,
    /// For each sentence the mean over all its prompts.
    means: Vec<Activation>,
    /// For each judged sentence, by layer and then by emotion, the scores of
    /// all its prompts.
    scores: HashMap<usize, Vec<Vec<Vec<f64>>>>,
}

impl<'a> Rows<'a> {
    /// Evaluates every sentence before every question.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        pairs: &'a ContrastPairs,
        options: &TrainOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Self, TrainingError> {
        let form = options.form(pairs);
        let layout = Layout::new(&pairs.contrasts(form));
        let judged = layout.judged();
        let by = judged.values();
        let by: BTreeSet<usize> = by
            .flat_map(|j| j.positive.iter().chain(&j.negative))
            .copied()
            .collect();
        let trained = |place: usize| layout.sentences.get(place).is_some_and(|s| s.trained);
        let (first, second): (Vec<usize>, Vec<usize>) =
            (0..layout.sentences.len()).partition(|&place| trained(place));
        // Those that are judged though they are trained on are read again.
        let again = by.iter().copied().filter(|&place| trained(place));
        let second: Vec<usize> = second.into_iter().chain(again).collect();

        let asked = asked(pairs, form);
        let questions = asked.len();
        let mut progress =
            ProgressReporter::new(on_progress, (first.len() + second.len()) * questions);
        progress.begin("checking lengths")?;
        check_memory(reader, &layout, by.len() * questions)?;
        check_lengths(reader, &layout, form, asked, &mut progress)?;

        progress.begin("reading activations")?;
        let mut rows = Self {
            means: vec![Activation::new(); layout.sentences.len()],
            layout,
            form,
            judged,
            scores: HashMap::new(),
        };
        for place in first {
            rows.read_one(reader, place, asked, &mut progress, |_| Ok(()))?;
        }
        let layers = reader.layers().to_vec();
        let directions = layers
            .iter()
            .map(|&layer| rows.directions(layer, options, false))
            .collect::<Result<Vec<_>, _>>()?;
        for place in second {
            let mut scores = vec![vec![Vec::new(); rows.layout.rows.len()]; layers.len()];
            let is_judged = by.contains(&place);
            let score = |activation: &Activation| {
                if is_judged {
                    add_scores(&mut scores, activation, &directions)?;
                }
                Ok(())
            };
            rows.read_one(reader, place, asked, &mut progress, score)?;
            if is_judged {
                rows.scores.insert(place, scores);
            }
        }
        Ok(rows)
    }

    fn read_one(
        &mut self,
        reader: &mut Reader<'_>,
        place: usize,
        questions: &[String],
        progress: &mut ProgressReporter<'_>,
        mut each: impl FnMut(&Activation) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let Some(sentence) = self.layout.sentences.get(place) else {
            return Ok(());
        };
        let mut mean = Mean::default();
        for question in questions {
            reader.read(self.form, sentence.text, question, |activation| {
                mean.add(&activation);
                each(&activation)
            })?;
            progress.step()?;
        }
        if let Some(kept) = self.means.get_mut(place) {
            *kept = mean.take();
        }
        Ok(())
    }

    /// The direction of each emotion at a layer, from all pairs or without
    /// those that are held out.
    pub(super) fn directions(
        &self,
        layer: usize,
        options: &TrainOptions,
        all: bool,
    ) -> Result<Directions, TrainingError> {
        let failed = |emotion: &str, source: ContrastError| TrainingError::Contrast {
            emotion: emotion.to_owned(),
            layer,
            source,
        };
        let at = |place: usize| -> &[f32] {
            let mean = self.means.get(place).and_then(|mean| mean.get(layer));
            mean.map_or(&[], Vec::as_slice)
        };
        let mut found = Directions::new();
        for (&emotion, rows) in &self.layout.rows {
            let used = || rows.iter().filter(|row| all || !row.held_out);
            let positive: Vec<&[f32]> = used().map(|row| at(row.positive)).collect();
            let negative: Vec<&[f32]> = used().map(|row| at(row.negative)).collect();
            let direction = match options.method {
                Method::Mean => contrast::mean_difference(&positive, &negative),
                Method::Pca => contrast::pca(&positive, &negative),
            };
            found.insert(
                emotion.to_owned(),
                direction.map_err(|error| failed(emotion, error))?,
            );
        }
        if options.keep_common || found.len() < 2 {
            return Ok(found);
        }
        // The mean of the four corners is a neutral state. Further emotions do not move it.
        let corners = BASE_EMOTIONS.iter().filter_map(|name| found.get(*name));
        let mut common: Vec<&Vec<f32>> = corners.collect();
        if common.len() < BASE_EMOTIONS.len() {
            common = found.values().collect();
        }
        let all: Vec<&Vec<f32>> = found.values().collect();
        let apart = contrast::remove_mean_of(&common, &all);
        let apart = apart.map_err(|error| failed("mean", error))?;
        Ok(found.into_keys().zip(apart).collect())
    }

    /// The mean activation of a reply at a layer; `None` if it was not read, or not as a reply.
    pub(super) fn mean_of_reply(&self, reply: &str, layer: usize) -> Option<&[f32]> {
        if self.form != Form::Replies {
            return None;
        }
        let mut sentences = self.layout.sentences.iter();
        let place = sentences.position(|sentence| sentence.text == reply)?;
        self.means.get(place)?.get(layer).map(Vec::as_slice)
    }

    /// For each emotion, its pairs and how many of them its separation is judged by.
    pub(super) fn evidence(&self) -> BTreeMap<String, Evidence> {
        let rows = self.layout.rows.iter();
        rows.map(|(&emotion, rows)| {
            let judged = self.judged.get(emotion);
            let evidence = Evidence {
                pairs: rows.len(),
                held_out: judged.map_or(0, |judged| judged.positive.len()),
            };
            (emotion.to_owned(), evidence)
        })
        .collect()
    }

    /// Separation of the held-out sentences along directions that were found
    /// without them.
    pub(super) fn score(&self, layer: usize) -> Result<LayerScore, TrainingError> {
        let mut auc = Vec::new();
        for (index, (&emotion, judged)) in self.judged.iter().enumerate() {
            let scores = |places: &[usize]| -> Vec<f64> {
                let read = places.iter().filter_map(|place| self.scores.get(place));
                let read = read.filter_map(|layers| layers.get(layer)?.get(index));
                read.flatten().copied().collect()
            };
            let value = contrast::auc(&scores(&judged.positive), &scores(&judged.negative));
            let value = value.map_err(|source| TrainingError::Contrast {
                emotion: emotion.to_owned(),
                layer,
                source,
            })?;
            auc.push((emotion.to_owned(), value));
        }
        let mean = auc.iter().map(|(_, value)| value).sum::<f64>() / auc.len().max(1) as f64;
        Ok(LayerScore { layer, auc, mean })
    }
}

/// The questions that sentences are read with. What a reply is read as depends little on the
/// question.
fn asked(pairs: &ContrastPairs, form: Form) -> &[String] {
    let questions = pairs.questions.len();
    let count = match form {
        Form::Statements => questions,
        Form::Replies => questions.min(REPLY_QUESTIONS),
    };
    pairs.questions.get(..count).unwrap_or_default()
}

/// Adds how far one prompt's activation lies along each direction.
fn add_scores(
    scores: &mut [Vec<Vec<f64>>],
    activation: &Activation,
    directions: &[Directions],
) -> Result<(), TrainingError> {
    let layers = scores.iter_mut().zip(activation).zip(directions);
    for (layer, ((scores, row), directions)) in layers.enumerate() {
        for (scores, (emotion, direction)) in scores.iter_mut().zip(directions) {
            let score = contrast::scores(&[row], direction);
            scores.extend(score.map_err(|source| TrainingError::Contrast {
                emotion: emotion.clone(),
                layer,
                source,
            })?);
        }
    }
    Ok(())
}

/// Refuses more sentences than can be kept: means of all, and scores of the
/// judged, each of them before every question in two places.
fn check_memory(
    reader: &Reader<'_>,
    layout: &Layout<'_>,
    judged: usize,
) -> Result<(), TrainingError> {
    let layers = reader.layers().len() as u64;
    let of_sentence = layers * reader.width() as u64 * 4;
    let of_judged = 2 * layers * layout.rows.len() as u64 * 8;
    let sentences = layout.sentences.len() as u64;
    let needed = (sentences.saturating_mul(of_sentence))
        .saturating_add((judged as u64).saturating_mul(of_judged));
    if needed <= MAX_KEPT_BYTES {
        return Ok(());
    }
    Err(TrainingError::Limit {
        field: "pairs",
        value: format!(
            "{sentences} sentences, {} MiB to keep of them",
            needed >> 20
        ),
        limit: format!("few enough to keep {} MiB", MAX_KEPT_BYTES >> 20),
    })
}

/// Refuses prompts that cannot be evaluated before any work is done: each
/// sentence stands before the longest question.
fn check_lengths(
    reader: &Reader<'_>,
    layout: &Layout<'_>,
    form: Form,
    questions: &[String],
    progress: &mut ProgressReporter<'_>,
) -> Result<(), TrainingError> {
    let mut longest = (0, 0, "");
    for (number, question) in (1..).zip(questions) {
        let tokens = reader.count(question)?;
        if tokens >= longest.0 {
            longest = (tokens, number, question);
        }
    }
    let (_, number, question) = longest;
    for sentence in &layout.sentences {
        let (pair, side) = sentence.first;
        let what = || match form {
            Form::Statements => {
                format!("the {side} sentence of pair {pair} before question {number}")
            }
            Form::Replies => format!("{:?} after question {number}", sentence.text),
        };
        reader.check(form, sentence.text, question, what)?;
        progress.look()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pair;

    fn pairs(counts: &[(&str, usize)], shared: bool) -> ContrastPairs {
        let pairs = counts.iter().flat_map(|&(emotion, count)| {
            (1..=count).map(move |number| Pair {
                emotion: emotion.to_owned(),
                positive: format!("{emotion} {number}"),
                negative: if shared {
                    format!("neutral {number}")
                } else {
                    format!("not {emotion} {number}")
                },
            })
        });
        ContrastPairs {
            questions: vec!["What?".into()],
            places: BTreeMap::new(),
            pairs: pairs.collect(),
            replies: Vec::new(),
        }
    }

    fn texts<'a>(layout: &Layout<'a>, places: &[usize]) -> Vec<&'a str> {
        places.iter().map(|&at| layout.sentences[at].text).collect()
    }

    #[test]
    fn no_pair_is_both_trained_on_and_judged() {
        for (few, many) in [(3, 12), (2, 9), (4, 4), (12, 12), (5, 7)] {
            let pairs = pairs(&[("calm", few), ("excited", many)], false);
            let layout = Layout::new(&pairs.contrasts(Form::Statements));
            for (emotion, judged) in layout.judged() {
                for &place in judged.positive.iter().chain(&judged.negative) {
                    let sentence = &layout.sentences[place];
                    assert!(!sentence.trained, "{few} {many} {emotion}: {sentence:?}");
                }
            }
            for (emotion, count) in [("calm", few), ("excited", many)] {
                let rows = &layout.rows[emotion];
                let held_out = rows.iter().filter(|row| row.held_out).count();
                assert_eq!(
                    held_out,
                    (count / 4).max(1),
                    "{emotion} of {few} and {many}"
                );
                assert!(held_out < rows.len());
            }
        }
    }

    #[test]
    fn an_emotion_is_judged_by_its_own_pairs_and_the_others_positives() {
        let pairs = pairs(&[("calm", 3), ("excited", 12)], false);
        let layout = Layout::new(&pairs.contrasts(Form::Statements));
        let judged = layout.judged();
        assert_eq!(texts(&layout, &judged["calm"].positive), ["calm 3"]);
        assert_eq!(
            texts(&layout, &judged["calm"].negative),
            ["not calm 3", "excited 4", "excited 8", "excited 12"]
        );
    }

    #[test]
    fn a_shared_sentence_that_is_trained_on_does_not_judge() {
        let two = pairs(&[("calm", 3), ("excited", 12)], true);
        let layout = Layout::new(&two.contrasts(Form::Statements));
        let judged = layout.judged();
        // The third neutral one is held out of one and trains the other.
        assert_eq!(
            texts(&layout, &judged["calm"].negative),
            ["excited 4", "excited 8", "excited 12"]
        );
        assert_eq!(
            texts(&layout, &judged["excited"].negative),
            ["neutral 4", "neutral 8", "neutral 12", "calm 3"]
        );
        // Where there is no other, it does.
        let mut one = pairs(&[("calm", 3)], false);
        for pair in &mut one.pairs {
            "the same".clone_into(&mut pair.negative);
        }
        let layout = Layout::new(&one.contrasts(Form::Statements));
        assert_eq!(
            texts(&layout, &layout.judged()["calm"].negative),
            ["the same"]
        );
    }
}
