//! Failures of requests, and whether a retry may succeed.

use super::Http;
use crate::HubError;

/// The failure of a request.
pub(crate) enum Failed {
    /// A retry may succeed.
    Passing(HubError),
    /// A retry would fail again.
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

    /// Creates the error of a response that violates the Hub's protocol.
    pub(crate) fn bad(&self, message: impl Into<String>) -> HubError {
        HubError::BadAnswer {
            endpoint: self.endpoint.clone(),
            repo: self.repo.clone(),
            message: message.into(),
        }
    }

    /// Creates the error of a Hub that does not respond, or breaks off its response.
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
