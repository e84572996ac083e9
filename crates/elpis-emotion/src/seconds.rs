//! Durations that are serialised as a number of seconds: `#[serde(with = "elpis_emotion::seconds")]`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

/// Writes a duration as a number of seconds.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    duration.as_secs_f64().serialize(serializer)
}

/// Reads a duration from a number of seconds.
///
/// # Errors
///
/// Those of the deserializer, and a number that is negative, not finite or larger than a
/// [`Duration`] can hold.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| D::Error::custom(format_args!("{seconds} seconds: {error}")))
}

/// The same for durations that may be absent: `#[serde(with = "elpis_emotion::seconds::option")]`.
pub mod option {
    use super::{Deserializer, Duration, Serializer};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Seconds(#[serde(with = "super")] Duration);

    /// Writes a duration as a number of seconds, or nothing.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Seconds).serialize(serializer)
    }

    /// Reads a duration from a number of seconds, or nothing.
    ///
    /// # Errors
    ///
    /// As the other [`deserialize`](super::deserialize).
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<Seconds>::deserialize(deserializer)?;
        Ok(seconds.map(|Seconds(duration)| duration))
    }
}
