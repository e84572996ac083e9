//! The environment variables of the Hub and its cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::HubError;

const PUBLIC_HUB: &str = "https://huggingface.co";

/// Maximum length of a token file, in bytes.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// A token; its value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// Creates a token. Surrounding white space is ignored; `None` if it is empty.
    ///
    /// # Errors
    /// [`HubError::BadToken`] unless it is visible ASCII, as a header needs it.
    pub(super) fn new(text: &str) -> Result<Option<Self>, HubError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Some(Self(text.to_owned())))
        } else {
            Err(HubError::BadToken)
        }
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// The usual variables, read through a function so that tests need no separate process.
pub(super) struct Environment<F>(F);

impl Environment<fn(&str) -> Option<OsString>> {
    pub(super) fn of_process() -> Self {
        Self(|name| std::env::var_os(name))
    }
}

impl<F: Fn(&str) -> Option<OsString>> Environment<F> {
    fn text(&self, name: &str) -> Option<String> {
        let value = self.0(name)?.into_string().ok()?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.0(name).filter(|value| !value.is_empty())?);
        match path.strip_prefix("~") {
            Ok(rest) => Some(self.home()?.join(rest)),
            Err(_) => Some(path),
        }
    }

    fn switch(&self, name: &str) -> bool {
        let value = self.text(name).unwrap_or_default().to_ascii_lowercase();
        matches!(value.as_str(), "1" | "true" | "yes" | "on")
    }

    fn home(&self) -> Option<PathBuf> {
        let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        self.0(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    fn hf_home(&self) -> Option<PathBuf> {
        self.path("HF_HOME").or_else(|| {
            let cache = self
                .path("XDG_CACHE_HOME")
                .or_else(|| Some(self.home()?.join(".cache")))?;
            Some(cache.join("huggingface"))
        })
    }

    /// The Hub's address, without a trailing slash.
    pub(super) fn endpoint(&self) -> String {
        let endpoint = self.text("HF_ENDPOINT");
        endpoint.unwrap_or_else(|| PUBLIC_HUB.to_owned())
    }

    /// The cache's folder; `None` if not even a home folder is known.
    pub(super) fn cache_dir(&self) -> Option<PathBuf> {
        self.path("HF_HUB_CACHE")
            .or_else(|| self.path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(self.hf_home()?.join("hub")))
    }

    pub(super) fn is_offline(&self) -> bool {
        self.switch("HF_HUB_OFFLINE")
    }

    /// The token: `HF_TOKEN`, the file of `HF_TOKEN_PATH`, or the one stored at login.
    ///
    /// # Errors
    /// As [`Token::new`].
    pub(super) fn token(&self) -> Result<Option<Token>, HubError> {
        if self.switch("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        if let Some(token) = self.text("HF_TOKEN") {
            return Token::new(&token);
        }
        let file = self
            .path("HF_TOKEN_PATH")
            .or_else(|| Some(self.hf_home()?.join("token")));
        match file.and_then(|file| read(&file)) {
            Some(token) => Token::new(&token),
            None => Ok(None),
        }
    }
}

/// Reads a short text file; `None` if it is missing or not a file.
fn read(file: &Path) -> Option<String> {
    let length = std::fs::metadata(file).ok()?.len();
    if length > MAX_TOKEN_FILE {
        return None;
    }
    std::fs::read_to_string(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn of(variables: Variables<'_>) -> Environment<impl Fn(&str) -> Option<OsString>> {
        let variables: Vec<(String, OsString)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
            .collect();
        Environment(move |name: &str| {
            let found = variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        })
    }

    #[cfg(unix)]
    #[test]
    fn the_cache_lies_where_other_tools_have_it() {
        let table: [(Variables<'_>, Option<&str>); 8] = [
            (&[], None),
            (&[("HOME", "/h")], Some("/h/.cache/huggingface/hub")),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
                Some("/x/huggingface/hub"),
            ),
            (&[("HOME", "/h"), ("HF_HOME", "/f")], Some("/f/hub")),
            (&[("HOME", "/h"), ("HF_HOME", "~/f")], Some("/h/f/hub")),
            (
                &[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                Some("/old"),
            ),
            (
                &[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                Some("/c"),
            ),
            (
                &[("HOME", "/h"), ("HF_HOME", "")],
                Some("/h/.cache/huggingface/hub"),
            ),
        ];
        for (variables, expected) in table {
            let found = of(variables).cache_dir();
            assert_eq!(found, expected.map(PathBuf::from), "{variables:?}");
        }
    }

    #[test]
    fn tokens_come_from_the_variable_then_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "stored\n").unwrap();
        std::fs::write(folder.path().join("other"), "named\n").unwrap();
        let other = folder.path().join("other");
        let other = other.to_str().unwrap();
        let reveal = |variables: Variables<'_>| {
            let token = of(variables).token().unwrap();
            token.map(|token| token.reveal().to_owned())
        };
        let table: [(Variables<'_>, Option<&str>); 5] = [
            (&[("HF_HOME", home)], Some("stored")),
            (
                &[("HF_HOME", home), ("HF_TOKEN_PATH", other)],
                Some("named"),
            ),
            (&[("HF_HOME", home), ("HF_TOKEN", " said ")], Some("said")),
            (
                &[("HF_TOKEN", "said"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")],
                None,
            ),
            (&[("HF_HOME", "/nowhere"), ("HF_TOKEN", " ")], None),
        ];
        for (variables, expected) in table {
            assert_eq!(reveal(variables).as_deref(), expected, "{variables:?}");
        }
        let error = of(&[("HF_TOKEN", "a\nX-Evil: b")]).token().unwrap_err();
        assert!(!error.to_string().contains("Evil"), "{error}");
    }

    #[test]
    fn the_rest_is_read() {
        assert_eq!(of(&[]).endpoint(), PUBLIC_HUB);
        assert_eq!(of(&[("HF_ENDPOINT", "http://m/")]).endpoint(), "http://m/");
        for (value, expected) in [("1", true), ("Yes", true), ("0", false), ("", false)] {
            assert_eq!(of(&[("HF_HUB_OFFLINE", value)]).is_offline(), expected);
        }
    }
}
