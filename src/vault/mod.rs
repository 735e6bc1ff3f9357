//! Sealing of secrets: XChaCha20-Poly1305 with a random nonce, a key id, and the row as associated data.

mod keys;
mod mask;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// As one text: the key's id, a colon and the rest in base64.
impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key_id, STANDARD.encode(&self.blob))
    }
}

impl FromStr for Sealed {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        let (key_id, blob) = text.split_once(':').ok_or(VaultError::Truncated)?;
        let blob = STANDARD.decode(blob).map_err(|_| VaultError::Truncated)?;
        Ok(Self { key_id: key_id.to_owned(), blob })
    }
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

/// Where keys are read anew.
type Source = Box<dyn Fn() -> Result<Keys, KeyError> + Send + Sync>;

/// Seals with the current key and reads with every key it has.
///
/// Keys are turned while servers run: a vault that meets a key that it does not know reads its files once more, and keeps
/// what it had to read with.
pub struct Vault {
    keys: RwLock<Arc<Keys>>,
    source: Option<Source>,
}

impl Vault {
    /// A vault with these keys; with none, every call says so.
    #[must_use]
    pub fn open(keys: Keys) -> Self {
        Self { keys: RwLock::new(Arc::new(keys)), source: None }
    }

    /// With the place where it looks for keys that it does not know.
    #[must_use]
    pub fn with_source(self, source: impl Fn() -> Result<Keys, KeyError> + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// The id of the key that is sealed with.
    #[must_use]
    pub fn current_key_id(&self) -> Option<String> {
        self.keys().current().map(|key| key.id().to_owned())
    }

    /// Seals with the key of this id from now on, which is in the file of the current key by now.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when another one is there.
    pub fn turn_to(&self, key_id: &str) -> Result<(), VaultError> {
        let is_current = |keys: &Keys| keys.current().is_some_and(|key| key.id() == key_id);
        match is_current(&self.keys()) || self.read_anew().is_some_and(|keys| is_current(&keys)) {
            true => Ok(()),
            false => Err(VaultError::UnknownKey(key_id.to_owned())),
        }
    }

    /// Seals a secret for one place: `context` is `table:column:row id:organization id` and must be the same to
    /// read it.
    ///
    /// # Errors
    /// [`VaultError::NoKey`], and [`VaultError::NoRandomness`] when the system has none.
    pub fn seal(&self, plaintext: &SecretString, context: &str) -> Result<Sealed, VaultError> {
        let keys = self.keys();
        let key = keys.current().ok_or(VaultError::NoKey)?;
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
        let keys = self.keys();
        if keys.current().is_none() {
            return Err(VaultError::NoKey);
        }
        let unknown = || VaultError::UnknownKey(sealed.key_id.clone());
        let find = |keys: &Keys| keys.by_id(&sealed.key_id).cloned();
        let key = find(&keys).or_else(|| find(&*self.read_anew()?)).ok_or_else(unknown)?;
        if sealed.blob.len() < NONCE + TAG {
            return Err(VaultError::Truncated);
        }
        let (nonce, msg) = sealed.blob.split_at(NONCE);
        let payload = Payload { msg, aad: context.as_bytes() };
        let plain = XChaCha20Poly1305::new(key.bytes().into()).decrypt(XNonce::from_slice(nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| VaultError::Tampered)?);
        std::str::from_utf8(&plain).map(SecretString::from).map_err(|_| VaultError::Tampered)
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys as their files have them now, beside those that it has; none where they can't be read.
    fn read_anew(&self) -> Option<Arc<Keys>> {
        let found = self.source.as_ref()?();
        let found = found.inspect_err(|error| tracing::warn!(%error, "the secret keys can't be read anew")).ok()?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Arc::new(found.and_read_with(&keys));
        tracing::info!("the secret keys were read anew");
        Some(keys.clone())
    }
}
