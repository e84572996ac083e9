//! Why a request failed, and whether it may succeed if it is repeated.

use super::Http;
use crate::HubError;

/// Why a request failed.
pub(crate) enum Failed {
    /// It may succeed if it is repeated.
    Passing(HubError),
    /// It will fail again.
    Lasting(HubError),
}

impl From<Failed> for HubError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Passing(error) | Failed::Lasting(error) => error,
        }
    }
}

impl From<HubError> for Failed {
    fn from(error: HubError) -> Self {
        Self::Lasting(error)
    }
}

fn one_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Http {
    pub(super) fn status(&self, status: u16, code: Option<&str>, file: Option<&str>) -> Failed {
        let repo = self.repo.clone();
        let lasting = match (status, file) {
            (401 | 404, _) if code == Some("RepoNotFound") => HubError::RepoNotFound { repo },
            (401 | 403, _) => HubError::Refused { repo },
            (404, None) => HubError::RepoNotFound { repo },
            (404, Some(file)) => HubError::FileNotFound {
                repo,
                file: file.to_owned(),
                choices: Vec::new(),
            },
            (429, _) => HubError::RateLimited { repo },
            _ => {
                let message = format!("HTTP status {status}");
                let error = HubError::Server { repo, message };
                return match status {
                    408 | 500..=599 => Failed::Passing(error),
                    _ => Failed::Lasting(error),
                };
            }
        };
        Failed::Lasting(lasting)
    }

    /// Makes the error of an answer that is not the Hub's protocol.
    pub(crate) fn bad(&self, message: impl Into<String>) -> HubError {
        HubError::BadAnswer {
            endpoint: self.endpoint.clone(),
            repo: self.repo.clone(),
            message: message.into(),
        }
    }

    /// Makes the error of a Hub that does not answer, or stops in the middle of it.
    pub(crate) fn unreachable(&self, message: impl Into<String>) -> HubError {
        HubError::Unreachable {
            endpoint: self.endpoint.clone(),
            repo: self.repo.clone(),
            message: message.into(),
        }
    }

    pub(crate) fn broken(&self, error: &ureq::Error) -> HubError {
        let silence = self.patience.silence.as_secs_f64();
        self.unreachable(match error {
            ureq::Error::Timeout(_) => format!("no data arrived for {silence} s"),
            ureq::Error::Io(error) => one_line(error),
            error => one_line(error),
        })
    }
}
