//! Values that must not be seen: re-exported so that every room uses the same type.

pub use secrecy::{ExposeSecret, SecretString};

/// A login to an image registry: what a pull or a digest lookup authenticates with.
#[derive(Clone)]
pub struct RegistryLogin {
    /// The account's name, or whatever the registry wants before the colon.
    pub username: String,
    /// Password, personal access token or robot token.
    pub token: SecretString,
    /// The host that it is for is stated in kiops.toml: the operator's own, which passes no filter of addresses.
    pub trusted: bool,
}
