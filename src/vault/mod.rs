//! Sealing of secrets: XChaCha20-Poly1305 with a random nonce, a key id, and the row as associated data.

mod keys;
mod mask;

#[cfg(test)]
mod tests;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::TryRngCore as _;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

pub use keys::{Key, KeyError, Keys, create_key_file};
pub use mask::{MaskStream, Masker};

const NONCE: usize = 24;
const TAG: usize = 16;

/// A sealed secret, as it is stored. Safe to show, useless without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key it was sealed with.
    pub key_id: String,
    /// Nonce, ciphertext and tag.
    pub blob: Vec<u8>,
}

/// Why a secret could not be sealed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The vault has no key at all.
    #[error("there is no secret key: set secrets.key_file")]
    NoKey,
    /// None of the keys has this id.
    #[error("sealed with the key {0}, which is not here: add its file to secrets.previous_key_files")]
    UnknownKey(String),
    /// Shorter than anything that was ever sealed.
    #[error("the sealed value is truncated")]
    Truncated,
    /// Changed, or moved here from another row.
    #[error("the sealed value was changed, or belongs to another row")]
    Tampered,
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// Seals with the current key and reads with every key it has.
pub struct Vault {
    keys: Keys,
}

impl Vault {
    /// A vault with these keys; with none, every call says so.
    #[must_use]
    pub fn open(keys: Keys) -> Self {
        Self { keys }
    }

    /// The id of the key that is sealed with.
    #[must_use]
    pub fn current_key_id(&self) -> Option<&str> {
        self.keys.current().map(Key::id)
    }

    /// Seals a secret for one place: `context` is `table:column:row id:organization id` and must be the same to
    /// read it.
    ///
    /// # Errors
    /// [`VaultError::NoKey`], and [`VaultError::NoRandomness`] when the system has none.
    pub fn seal(&self, plaintext: &SecretString, context: &str) -> Result<Sealed, VaultError> {
        let key = self.keys.current().ok_or(VaultError::NoKey)?;
        let mut nonce = [0; NONCE];
        rand::rngs::OsRng.try_fill_bytes(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let payload = Payload { msg: plaintext.expose_secret().as_bytes(), aad: context.as_bytes() };
        let sealed = XChaCha20Poly1305::new(key.bytes().into()).encrypt(XNonce::from_slice(&nonce), payload);
        let mut blob = nonce.to_vec();
        blob.extend(sealed.map_err(|_| VaultError::Tampered)?);
        Ok(Sealed { key_id: key.id().to_owned(), blob })
    }

    /// Reads a secret that was sealed for the same context.
    ///
    /// # Errors
    /// Says which: no key, unknown key id, truncated, changed or moved.
    pub fn unseal(&self, sealed: &Sealed, context: &str) -> Result<SecretString, VaultError> {
        if self.keys.current().is_none() {
            return Err(VaultError::NoKey);
        }
        let unknown = || VaultError::UnknownKey(sealed.key_id.clone());
        let key = self.keys.by_id(&sealed.key_id).ok_or_else(unknown)?;
        if sealed.blob.len() < NONCE + TAG {
            return Err(VaultError::Truncated);
        }
        let (nonce, msg) = sealed.blob.split_at(NONCE);
        let payload = Payload { msg, aad: context.as_bytes() };
        let plain = XChaCha20Poly1305::new(key.bytes().into()).decrypt(XNonce::from_slice(nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| VaultError::Tampered)?);
        std::str::from_utf8(&plain).map(SecretString::from).map_err(|_| VaultError::Tampered)
    }
}
