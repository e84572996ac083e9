//! Replies as values of a Rust type.

use serde::de::DeserializeOwned;

use super::Chat;
use crate::error::Error;
use crate::inference::schemars::JsonSchema;
use crate::inference::{ResponseFormat, read_typed};

impl Chat {
    /// Generates a reply that conforms to the schema of a type, and deserialises it. This replaces
    /// any other [`response_format`](Self::response_format).
    ///
    /// The reply must end within the request's token limit, so strings and lists should have
    /// bounds: `#[schemars(length(max = 40))]`.
    ///
    /// # Errors
    /// As [`complete`](Self::complete): [`EngineError::Constraint`](crate::EngineError) for a
    /// schema that cannot be enforced or a reply that was cut off, and [`Error::Reply`] for a reply
    /// that matches the schema but cannot be deserialised.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the generation within one token. The session may have felt the
    /// message by then, never the reply.
    pub async fn complete_as<T>(self) -> Result<T, Error>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let reply = self
            .response_format(ResponseFormat::of::<T>())
            .complete()
            .await?;
        let value = serde_json::from_str(&reply.text);
        let read = value.and_then(read_typed::<T>);
        read.map_err(|error| Error::Reply {
            type_name: std::any::type_name::<T>(),
            text: reply.text,
            source: error.into(),
        })
    }
}
