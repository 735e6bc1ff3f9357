//! What is wrong with a configuration, and where it stands.

use std::fmt;

/// One thing that is wrong. Holds no value of a secret key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where it stands: `kiops.toml:12`, or the environment variable.
    pub place: String,
    /// The key's full name, like `build.profiles.small.cpu`; empty where the file can't be read.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// `kiops.toml:12: build.profiles.small.cpu: more than 0 cores are needed`
impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, message } = self;
        if key.is_empty() { write!(f, "{place}: {message}") } else { write!(f, "{place}: {key}: {message}") }
    }
}

/// Everything that is wrong with a configuration, in the order in which it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(pub Vec<ConfigFault>);

impl std::error::Error for ConfigFaults {}

/// A line that says how many, and one for each.
impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "there is a mistake in the configuration:")?,
            n => write!(f, "there are {n} mistakes in the configuration:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}
