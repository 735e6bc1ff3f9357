//! Sealing secrets.

use crate::domain::secret::SecretString;

/// A sealed value.
pub struct Sealed {
    /// The key that sealed it.
    pub key_id: String,
    /// Nonce and ciphertext.
    pub blob: Vec<u8>,
}

/// Seals and opens secrets.
pub struct Vault;

/// Why a value did not seal or open.
#[derive(Debug, thiserror::Error)]
#[error("this server has no key")]
pub struct VaultError;

impl Vault {
    /// Seals a value.
    ///
    /// # Errors
    /// Always, for now.
    pub fn seal(&self, _value: &SecretString, _context: &str) -> Result<Sealed, VaultError> {
        Err(VaultError)
    }

    /// Opens a value.
    ///
    /// # Errors
    /// Always, for now.
    pub fn unseal(&self, _sealed: &Sealed, _context: &str) -> Result<SecretString, VaultError> {
        Err(VaultError)
    }
}
