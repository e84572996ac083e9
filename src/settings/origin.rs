//! The origin of each setting's value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The layer that a value came from, from the weakest to the strongest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The default value.
    Default,
    /// Set by the program.
    Code,
    /// A line of the settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A variable in `.env`.
    Dotenv {
        /// The file.
        path: PathBuf,
        /// The variable.
        variable: String,
    },
    /// A variable of the process environment.
    Environment {
        /// The variable.
        variable: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::Code => f.write_str("code"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Dotenv { path, variable } => write!(f, "{variable} in {}", path.display()),
            Self::Environment { variable } => write!(f, "{variable} in the environment"),
        }
    }
}

/// The origin of every setting, by its full name such as `model.temperature`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    pub(super) by_name: BTreeMap<&'static str, Origin>,
}

impl Origins {
    /// Returns the origin of the setting's value; `None` for a name that is not a setting.
    pub fn get(&self, full_name: &str) -> Option<&Origin> {
        self.by_name.get(full_name)
    }

    /// Returns all names with their origins, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Origin)> {
        self.by_name.iter().map(|(name, origin)| (*name, origin))
    }
}
