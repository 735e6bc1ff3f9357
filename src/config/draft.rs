//! A configuration that was read and may be wrong: whoever knows a rule looks at it and notes what breaks it.

use super::extract::{self, Noted};
use super::faults::ConfigFaults;
use super::layers::Layers;
use super::places::Places;
use super::{Config, ConfigSource, cluster, secret_files};

/// A configuration and what is wrong with it so far.
pub struct Draft {
    config: Config,
    noted: Noted,
    places: Places,
}

impl Draft {
    /// Reads all layers, then the files that secrets are in, then looks at what this room knows of.
    ///
    /// # Errors
    /// When the file can't be read or is no TOML, or nothing can be told of the rest before what is wrong is mended.
    pub fn read(source: &ConfigSource) -> Result<Self, ConfigFaults> {
        let Layers { merged, defaults, places } = Layers::read(source.file.as_deref(), &source.env, &source.dir)?;
        let (mut config, noted) = match extract::extract(merged, &defaults) {
            Ok(read) => read,
            Err(noted) => return Err(places.faults(noted.faults)),
        };
        let from_files = secret_files::read(&mut config, &source.dir);
        config.surroundings = cluster::surroundings(source);
        config.places = places.clone();
        let mut draft = Self { config, noted, places };
        from_files.into_iter().for_each(|(key, message)| draft.note(key, message));
        let broken = draft.config.validate();
        broken.into_iter().for_each(|(key, message)| draft.note(key, message));
        Ok(draft)
    }

    /// What was read. Where something of it is wrong, something else stands in.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Notes what is wrong with the value of a key.
    pub fn note(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.noted.add(key.into(), message.into());
    }

    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// Every fault that was noted, with its key and where that stands.
    pub fn finish(self) -> Result<Config, ConfigFaults> {
        if self.noted.faults.is_empty() {
            return Ok(self.config);
        }
        Err(self.places.faults(self.noted.faults))
    }
}
