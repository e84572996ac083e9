//! The options of a generation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ConstraintError, ResponseFormat, SamplingError, SamplingParams, SessionIdError, ToolChoice,
    ToolError, ToolSet, check_bias, check_tools,
};
use crate::emotion::Coefficients;

elpis_backend::named_values! {
    /// When a change of emotion reaches a generation.
    #[derive(Default)]
    pub enum ModulationTiming {
        /// A generation keeps the modulation it started with.
        #[default]
        AtStart = "at-start",
        /// An event changes a running generation from its next token on.
        Live = "live",
    }
}

elpis_backend::named_values! {
    /// How a temperature or top-p of the request is used in a generation with emotional modulation.
    #[derive(Default)]
    pub enum ClientSampling {
        /// The emotion moves it as it moves the value of the settings.
        Base = "base",
        /// It replaces the modulated value.
        #[default]
        Override = "override",
    }
}

/// Maximum number of tokens with a logit bias.
pub const MAX_LOGIT_BIASES: usize = 4096;

/// Options of one generation. Options that are not set follow the settings and the session's
/// emotion.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GenerationOptions {
    /// Maximum number of tokens to generate, at least 1.
    pub max_tokens: Option<u32>,
    /// Temperature in [0, 2] instead of the modulated one, or as its base
    /// ([`client_sampling`](Self#structfield.client_sampling)); 0 is greedy.
    pub temperature: Option<f32>,
    /// Probability mass of nucleus sampling in (0, 1] instead of the modulated one, or as its base.
    pub top_p: Option<f32>,
    /// How [`temperature`](Self#structfield.temperature) and [`top_p`](Self#structfield.top_p) are
    /// used; if unset, they override.
    pub client_sampling: Option<ClientSampling>,
    /// Maximum number of candidates; 0 keeps all.
    pub top_k: Option<u32>,
    /// Minimum probability relative to the likeliest candidate, in [0, 1).
    pub min_p: Option<f32>,
    /// Repetition penalty above 0; 1 is none.
    #[serde(alias = "repeat_penalty")]
    pub repetition_penalty: Option<f32>,
    /// Penalty on tokens that have occurred, in [-2, 2]; 0 is none.
    pub presence_penalty: Option<f32>,
    /// Penalty on tokens for each time that they have occurred, in [-2, 2]; 0 is none.
    pub frequency_penalty: Option<f32>,
    /// Values in [-100, 100] that are added to the logits of tokens, by token; at most
    /// [`MAX_LOGIT_BIASES`] tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<BTreeMap<u32, f32>>,
    /// How many of the last tokens, including the prompt, the penalties consider; up to 4096.
    #[serde(alias = "repeat_last_n")]
    pub repetition_window: Option<u32>,
    /// Random seed; if unset, a random one, which the report names.
    pub seed: Option<u64>,
    /// Texts that end the generation; they are not part of the reply.
    pub stop: Vec<String>,
    /// Steering coefficients by emotion instead of the session's own.
    pub coefficients: Option<Coefficients>,
    /// With `false`, neither sampling nor steering follows the emotion.
    pub emotional_modulation: Option<bool>,
    /// With `false`, the emotion acts, but neither the message nor the reply moves it.
    pub appraise: Option<bool>,
    /// When events reach the generation; if unset, as in the settings.
    pub timing: Option<ModulationTiming>,
    /// Time until the generation is ended with an error, including the time in the queue. In
    /// serialised form a number of seconds with the name `timeout_seconds`.
    #[serde(rename = "timeout_seconds", with = "elpis_emotion::seconds::option")]
    pub timeout: Option<Duration>,
    /// The offered tools, a list in `OpenAI`'s JSON format: see [`ToolSet::from_json`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<serde_json::Value>,
    /// Whether the model may, must or must not call tools; if unset, it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// With `false`, a reply holds at most one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The format that the reply must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// With `true`, a constrained reply that is cut off, usually by `max_tokens`, ends as others do:
    /// its text is incomplete, a call that it began is missing, and its finish reason says why. If
    /// unset, it is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_unfinished: Option<bool>,
}

/// Declares the setters.
macro_rules! setters {
    ($($name:ident: $ty:ty),+ $(,)?) => {
        impl GenerationOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, value: $ty) -> Self {
                    self.$name = Some(value);
                    self
                }
            )+
        }
    };
}

setters! {
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    client_sampling: ClientSampling,
    top_k: u32,
    min_p: f32,
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    logit_bias: BTreeMap<u32, f32>,
    repetition_window: u32,
    seed: u64,
    coefficients: Coefficients,
    emotional_modulation: bool,
    appraise: bool,
    timing: ModulationTiming,
    timeout: Duration,
    tools: serde_json::Value,
    tool_choice: ToolChoice,
    parallel_tool_calls: bool,
    response_format: ResponseFormat,
    allow_unfinished: bool,
}

impl GenerationOptions {
    /// Sets [`stop`](Self#structfield.stop).
    #[must_use]
    pub fn stop(mut self, stop: Vec<String>) -> Self {
        self.stop = stop;
        self
    }

    /// Checks every value that does not depend on the model.
    ///
    /// # Errors
    /// [`RequestError`] with the field, value and limit of the first invalid value.
    pub fn validate(&self) -> Result<(), RequestError> {
        if self.max_tokens == Some(0) {
            return Err(RequestError::Limit {
                field: "max_tokens",
                value: "0".to_owned(),
                limit: "at least 1",
            });
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(RequestError::Limit {
                field: "timeout_seconds",
                value: "0".to_owned(),
                limit: "above 0",
            });
        }
        self.sampling(&SamplingParams::default()).validate()?;
        if let Some(bias) = &self.logit_bias {
            if bias.len() > MAX_LOGIT_BIASES {
                return Err(RequestError::Limit {
                    field: "logit_bias",
                    value: format!("{} tokens long", bias.len()),
                    limit: "at most 4096 tokens long",
                });
            }
            bias.values().try_for_each(|value| check_bias(*value))?;
        }
        if self.tool_set()?.is_some()
            && !matches!(self.response_format, None | Some(ResponseFormat::Text))
        {
            return Err(ToolError::WithResponseFormat.into());
        }
        if let Some(format) = &self.response_format {
            format.grammar()?;
        }
        Ok(())
    }

    /// The tools that the model may call, with the choice; `None` if it may call none.
    ///
    /// # Errors
    /// [`RequestError::Tools`] if the tools are invalid or the choice does not match them.
    pub fn tool_set(&self) -> Result<Option<(ToolSet, ToolChoice)>, RequestError> {
        let choice = self.tool_choice.clone().unwrap_or_default();
        let Some(list) = &self.tools else {
            return match choice {
                ToolChoice::Auto | ToolChoice::None => Ok(None),
                choice => Err(ToolError::ChoiceWithoutTools {
                    choice: choice.to_string(),
                }
                .into()),
            };
        };
        let tools = ToolSet::from_json(list)?;
        check_tools(tools.tools())?;
        tools.chosen(&choice)?;
        Ok((choice != ToolChoice::None).then_some((tools, choice)))
    }

    /// Fills unset options from `others`. The stop texts of both apply.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        let Self {
            max_tokens,
            temperature,
            top_p,
            client_sampling,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            logit_bias,
            repetition_window,
            seed,
            stop,
            coefficients,
            emotional_modulation,
            appraise,
            timing,
            timeout,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            allow_unfinished,
        } = others;
        for text in stop {
            if !self.stop.contains(&text) {
                self.stop.push(text);
            }
        }
        Self {
            max_tokens: self.max_tokens.or(max_tokens),
            temperature: self.temperature.or(temperature),
            top_p: self.top_p.or(top_p),
            client_sampling: self.client_sampling.or(client_sampling),
            top_k: self.top_k.or(top_k),
            min_p: self.min_p.or(min_p),
            repetition_penalty: self.repetition_penalty.or(repetition_penalty),
            presence_penalty: self.presence_penalty.or(presence_penalty),
            frequency_penalty: self.frequency_penalty.or(frequency_penalty),
            logit_bias: self.logit_bias.or(logit_bias),
            repetition_window: self.repetition_window.or(repetition_window),
            seed: self.seed.or(seed),
            stop: self.stop,
            coefficients: self.coefficients.or(coefficients),
            emotional_modulation: self.emotional_modulation.or(emotional_modulation),
            appraise: self.appraise.or(appraise),
            timing: self.timing.or(timing),
            timeout: self.timeout.or(timeout),
            tools: self.tools.or(tools),
            tool_choice: self.tool_choice.or(tool_choice),
            parallel_tool_calls: self.parallel_tool_calls.or(parallel_tool_calls),
            response_format: self.response_format.or(response_format),
            allow_unfinished: self.allow_unfinished.or(allow_unfinished),
        }
    }

    /// The sampling parameters: `base` overridden by the options.
    pub fn sampling(&self, base: &SamplingParams) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature.unwrap_or(base.temperature),
            top_p: self.top_p.unwrap_or(base.top_p),
            top_k: self.top_k.unwrap_or(base.top_k),
            min_p: self.min_p.unwrap_or(base.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(base.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(base.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(base.frequency_penalty),
            repetition_window: self.repetition_window.unwrap_or(base.repetition_window),
            seed: self.seed.unwrap_or(base.seed),
        }
    }
}

/// Why a request was refused before it reached the model.
#[derive(Debug, Clone, PartialEq, thiserror::Error, strum::IntoStaticStr, strum::EnumProperty)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum RequestError {
    /// The session's name is invalid.
    #[error(transparent)]
    SessionId(#[from] SessionIdError),
    /// A value is outside its range.
    #[error("{field} is {value}, but must be {limit}")]
    Limit {
        /// The option.
        field: &'static str,
        /// The given value.
        value: String,
        /// The limit, as text.
        limit: &'static str,
    },
    /// A sampling parameter is invalid.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The messages are invalid.
    #[error(transparent)]
    Message(#[from] super::MessageError),
    /// A stop string is invalid.
    #[error(transparent)]
    Stop(#[from] super::TextError),
    /// The tools are invalid.
    #[error(transparent)]
    #[strum(transparent)]
    Tools(#[from] ToolError),
    /// The response format is unusable.
    #[error(transparent)]
    #[strum(transparent)]
    Constraint(#[from] ConstraintError),
    /// The prompt does not fit the context.
    #[error(
        "the prompt has {prompt} tokens, but the context of {context} tokens must hold it and at least one generated token"
    )]
    #[strum(props(
        hint = "shorten the message, or raise model.context_length; with model.context_overflow = \"drop-oldest\" earlier messages make room"
    ))]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the context.
        context: u32,
    },
    /// A text contains a control token, which the settings forbid.
    #[error(
        "{place} contains the control token {token:?}, which model.control_tokens = \"refuse\" forbids"
    )]
    #[strum(props(
        hint = "remove it from the text, or set model.control_tokens = \"text\", which makes the model read it as plain text"
    ))]
    ControlToken {
        /// The message, by its index in the conversation, or the tools.
        place: String,
        /// The text of the token.
        token: String,
    },
    /// The rendered prompt is empty.
    #[error("the chat template renders these messages to an empty prompt")]
    EmptyPrompt,
}

impl RequestError {
    /// A short name for metric labels.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_wins_and_what_is_not_is_filled() {
        let one = GenerationOptions {
            temperature: Some(0.0),
            emotional_modulation: Some(false),
            stop: vec!["a".to_owned()],
            ..GenerationOptions::default()
        };
        let other = GenerationOptions {
            temperature: Some(1.0),
            max_tokens: Some(5),
            stop: vec!["b".to_owned(), "a".to_owned()],
            ..GenerationOptions::default()
        };
        let expected = GenerationOptions {
            max_tokens: Some(5),
            stop: vec!["a".to_owned(), "b".to_owned()],
            ..one.clone()
        };
        assert_eq!(one.or(other), expected);
    }
}
