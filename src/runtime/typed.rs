//! Replies that are values of a type.

use serde::de::DeserializeOwned;

use super::Chat;
use crate::error::Error;
use crate::inference::schemars::JsonSchema;
use crate::inference::{ResponseFormat, read_typed};

impl Chat {
    /// Generates a reply that keeps to the schema of a type, and reads it into the type. It takes
    /// the place of another [`response_format`](Self::response_format).
    ///
    /// The reply must end within the request's tokens, so texts and lists should have bounds:
    /// `#[schemars(length(max = 40))]`.
    ///
    /// # Errors
    /// As [`complete`](Self::complete): [`EngineError::Constraint`](crate::EngineError) for a
    /// schema that cannot be enforced or a reply that did not come to its end, and
    /// [`Error::Reply`] for one that the type does not take though its schema does.
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
