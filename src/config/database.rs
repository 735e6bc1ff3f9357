//! `[database]`.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://path` or `postgres://…`. May hold a password: never log it.
    pub url: String,
    /// PostgreSQL's password, where it is not in the address.
    pub password: Option<SecretString>,
    /// Where the password is read from.
    pub password_file: Option<PathBuf>,
    /// Connections at most.
    pub max_connections: u32,
}

impl Database {
    /// The address with the password, to connect to.
    #[must_use]
    pub fn address(&self) -> SecretString {
        // That the two go together was checked where the configuration was read.
        self.with_password().unwrap_or_else(|| self.url.clone()).into()
    }

    /// Whether the address of PostgreSQL is one. The driver would say the whole of one that is none, with its password.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check_address(&self) -> Result<(), &'static str> {
        if self.url.starts_with("postgres") && Url::parse(&self.url).is_err() {
            return Err(
                "this is no address: in a password other characters than letters and digits are written as %XX, or \
                 it is given as database.password",
            );
        }
        Ok(())
    }

    /// Whether a password that is given beside the address belongs there.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check_password(&self) -> Result<(), &'static str> {
        if self.password.is_none() {
            return Ok(());
        }
        let url = Url::parse(&self.url).ok().filter(|url| url.scheme() != "sqlite" && url.has_host());
        match url {
            None => {
                Err("only the address of PostgreSQL has a password, and database.url is none: postgres://user@host/db")
            }
            Some(url) if url.password().is_some() => Err("database.url has a password already: give one of the two"),
            Some(url) if url.username().is_empty() => Err("database.url names no user: postgres://user@host/db"),
            Some(_) => Ok(()),
        }
    }

    fn with_password(&self) -> Option<String> {
        let mut url = Url::parse(&self.url).ok()?;
        // An address takes a percent sign for the beginning of a byte in hexadecimal digits.
        let password = self.password.as_ref()?.expose_secret().replace('%', "%25");
        url.set_password(Some(&password)).ok()?;
        Some(url.into())
    }
}
