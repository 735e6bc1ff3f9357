//! `[bootstrap]`.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// The first organization and its admin, made when the database has no user.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The organization's slug.
    pub organization: String,
    /// The admin's e-mail address.
    pub admin_email: String,
    /// The admin's password; none: a random one. Holds the file's content once loaded.
    pub admin_password: Option<SecretString>,
    /// Where the password is read from.
    pub admin_password_file: Option<PathBuf>,
}
