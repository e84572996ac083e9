//! Activations of sentences before questions.

use std::ops::Range;
use std::str::FromStr;

use super::error::TrainingError;
use super::generate::greedy_reply;
use super::pairs::Form;
use elpis_backend::{Backend, BackendError, Token, Tokenizer};
use elpis_inference::{ChatMessage, ChatTemplate, RenderOptions};

/// Number of reply tokens that are read.
const REPLY_TOKENS: usize = 24;

/// The tokens whose activations are read.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    strum::IntoStaticStr,
    strum::Display,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum ReadAt {
    /// From the question to the end of the prompt: the tokens that follow the
    /// sentence.
    #[default]
    #[strum(to_string = "user")]
    UserTurn,
    /// The last token of the prompt.
    #[strum(to_string = "last")]
    LastPromptToken,
    /// A greedy reply of at most 24 tokens.
    Reply,
}

impl ReadAt {
    /// The names of all values.
    pub const NAMES: &[&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for ReadAt {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::UserTurn, Self::LastPromptToken, Self::Reply]
            .into_iter()
            .find(|at| at.as_str() == name)
            .ok_or_else(|| format!("{name:?} is not one of {}", Self::NAMES.join(", ")))
    }
}

/// Mean activation of a few tokens, with a row of `[n_embd]` for each layer.
pub(super) type Activation = Vec<Vec<f32>>;

/// A rendered prompt with the tokens after its sentence, or those of its reply.
struct Prompt {
    tokens: Vec<Token>,
    after: Range<usize>,
}

fn prompts(
    template: &ChatTemplate,
    tokenizer: &dyn Tokenizer,
    form: Form,
    sentence: &str,
    question: &str,
) -> Result<Vec<Prompt>, TrainingError> {
    match form {
        Form::Statements => before(template, tokenizer, sentence, question),
        Form::Replies => Ok(vec![replied(template, tokenizer, sentence, question)?]),
    }
}

/// The prompt with a question and the reply to it.
fn replied(
    template: &ChatTemplate,
    tokenizer: &dyn Tokenizer,
    reply: &str,
    question: &str,
) -> Result<Prompt, TrainingError> {
    let text = render(template, &[ChatMessage::user(question)])?;
    let mut tokens = tokenizer.encode(&text, true)?;
    let start = tokens.len();
    tokens.extend(tokenizer.encode_part(reply, false, false)?);
    let after = start..tokens.len();
    Ok(Prompt { tokens, after })
}

/// The prompts with a sentence before a question: once as the system message, and once as the
/// user's first line. A template without system messages only gives the second.
fn before(
    template: &ChatTemplate,
    tokenizer: &dyn Tokenizer,
    sentence: &str,
    question: &str,
) -> Result<Vec<Prompt>, TrainingError> {
    let system = vec![ChatMessage::system(sentence), ChatMessage::user(question)];
    let user = vec![ChatMessage::user(format!("{sentence} {question}"))];
    let mut found = Vec::new();
    let mut refused = None;
    for messages in [system, user] {
        match render(template, &messages) {
            Ok(text) => found.extend(locate(&text, tokenizer, sentence, question)?),
            Err(error) => refused = Some(error),
        }
    }
    match (found.is_empty(), refused) {
        (false, _) => Ok(found),
        (true, Some(error)) => Err(error),
        (true, None) => Err(TrainingError::NotRendered {
            sentence: sentence.to_owned(),
        }),
    }
}

/// Renders messages up to the opening of the reply.
pub(super) fn render(
    template: &ChatTemplate,
    messages: &[ChatMessage],
) -> Result<String, TrainingError> {
    let options = RenderOptions {
        add_generation_prompt: true,
        ..RenderOptions::default()
    };
    Ok(template.render(messages, &options)?)
}

fn locate(
    text: &str,
    tokenizer: &dyn Tokenizer,
    sentence: &str,
    question: &str,
) -> Result<Option<Prompt>, BackendError> {
    let Some(head) = head(text, sentence, question) else {
        return Ok(None);
    };
    let tokens = tokenizer.encode(text, true)?;
    let start = tokenizer.encode(head, true)?.len().min(tokens.len());
    Ok((start < tokens.len()).then_some(Prompt {
        after: start..tokens.len(),
        tokens,
    }))
}

/// The text before the question that follows the sentence.
fn head<'a>(text: &'a str, sentence: &str, question: &str) -> Option<&'a str> {
    let start = text.find(sentence)? + sentence.len();
    let question = start + text.get(start..)?.find(question)?;
    // A space before the question belongs to its first token.
    Some(text.get(..question)?.trim_end_matches(' '))
}

/// Reads the activations of all layers that can be steered.
pub(super) struct Reader<'a> {
    backend: &'a mut dyn Backend,
    template: &'a ChatTemplate,
    at: ReadAt,
    layers: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        backend: &'a mut dyn Backend,
        template: &'a ChatTemplate,
        at: ReadAt,
    ) -> Self {
        let layers = 0..backend.facts().n_layers.saturating_sub(1);
        Self {
            layers: layers.collect(),
            backend,
            template,
            at,
        }
    }

    /// Reads whole replies at some layers.
    pub(super) fn at_layers(
        backend: &'a mut dyn Backend,
        template: &'a ChatTemplate,
        layers: Vec<usize>,
    ) -> Self {
        Self {
            backend,
            template,
            at: ReadAt::default(),
            layers,
        }
    }

    pub(super) fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// Width of the residual stream.
    pub(super) fn width(&self) -> usize {
        self.backend.facts().n_embd
    }

    /// Calls `each` with the activation of each prompt that has the sentence before the question,
    /// or as the reply to it.
    pub(super) fn read(
        &mut self,
        form: Form,
        sentence: &str,
        question: &str,
        mut each: impl FnMut(Activation) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let tokenizer = self.backend.tokenizer();
        for prompt in prompts(self.template, tokenizer.as_ref(), form, sentence, question)? {
            each(self.activation(form, prompt)?)?;
        }
        Ok(())
    }

    /// The number of tokens of a text.
    pub(super) fn count(&self, text: &str) -> Result<usize, TrainingError> {
        Ok(self.backend.tokenizer().encode(text, false)?.len())
    }

    /// Refuses a sentence and a question whose prompt does not fit into one evaluation.
    pub(super) fn check(
        &self,
        form: Form,
        sentence: &str,
        question: &str,
        what: impl FnOnce() -> String,
    ) -> Result<(), TrainingError> {
        let facts = self.backend.facts();
        let reply = match (form, self.at) {
            (Form::Statements, ReadAt::Reply) => REPLY_TOKENS,
            _ => 0,
        };
        let limit = facts.batch_size.min(facts.context_length as usize);
        let limit = limit.saturating_sub(reply);
        let tokenizer = self.backend.tokenizer();
        let prompts = prompts(self.template, tokenizer.as_ref(), form, sentence, question)?;
        match prompts.iter().map(|prompt| prompt.tokens.len()).max() {
            Some(tokens) if tokens > limit => Err(TrainingError::TooLong {
                what: what(),
                tokens,
                limit,
            }),
            _ => Ok(()),
        }
    }

    fn activation(&mut self, form: Form, prompt: Prompt) -> Result<Activation, TrainingError> {
        let Prompt { mut tokens, after } = prompt;
        let wanted = match (form, self.at) {
            (Form::Replies, _) | (_, ReadAt::UserTurn) => after,
            (_, ReadAt::LastPromptToken) => tokens.len() - 1..tokens.len(),
            (_, ReadAt::Reply) => {
                let reply = greedy_reply(self.backend, &tokens, REPLY_TOKENS)?;
                let start = tokens.len();
                tokens.extend(reply);
                // A reply that ends immediately has no token of its own.
                start.min(tokens.len() - 1)..tokens.len()
            }
        };
        let stream = self.backend.residual_stream(&tokens, &self.layers)?;
        let rows = stream.iter().map(|rows| mean(rows.get(wanted.clone())));
        Ok(rows.collect())
    }
}

pub(super) fn mean(rows: Option<&[Vec<f32>]>) -> Vec<f32> {
    let rows = rows.unwrap_or_default();
    let mut sum = vec![0.0_f64; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (total, &x) in sum.iter_mut().zip(row) {
            *total += f64::from(x);
        }
    }
    let count = rows.len().max(1) as f64;
    sum.into_iter()
        .map(|total| (total / count) as f32)
        .collect()
}

/// A running mean of activations.
#[derive(Debug, Default)]
pub(super) struct Mean {
    sum: Vec<Vec<f64>>,
    count: usize,
}

impl Mean {
    pub(super) fn add(&mut self, activation: &Activation) {
        if self.count == 0 {
            self.sum = activation.iter().map(|row| vec![0.0; row.len()]).collect();
        }
        let values = activation.iter().flatten();
        for (total, &x) in self.sum.iter_mut().flatten().zip(values) {
            *total += f64::from(x);
        }
        self.count += 1;
    }

    /// The mean; empty if nothing was added.
    pub(super) fn take(self) -> Activation {
        let count = self.count.max(1) as f64;
        let rows = self.sum.into_iter();
        rows.map(|row| row.into_iter().map(|x| (x / count) as f32).collect())
            .collect()
    }
}
