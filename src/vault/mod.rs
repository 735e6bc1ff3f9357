//! Sealing of secrets: XChaCha20-Poly1305 with a random nonce, a key id, and the row as associated data.

mod files;
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

pub use files::{belong_to_owner_of, folder_of, make_folder};
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

    /// Whether it has the key of this id.
    #[must_use]
    pub fn knows(&self, key_id: &str) -> bool {
        self.find(key_id).is_ok()
    }

    /// Seals a secret for one place: `context` is `table:column:row id:organization id` and must be the same to
    /// read it.
    ///
    /// # Errors
    /// [`VaultError::NoKey`], and [`VaultError::NoRandomness`] when the system has none.
    pub fn seal(&self, plaintext: &SecretString, context: &str) -> Result<Sealed, VaultError> {
        let key = self.keys().current().cloned().ok_or(VaultError::NoKey)?;
        seal_with(&key, plaintext, context)
    }

    /// The same with the key of this id, whether it is the current one or not.
    ///
    /// # Errors
    /// Also [`VaultError::UnknownKey`].
    pub fn seal_with(&self, key_id: &str, plaintext: &SecretString, context: &str) -> Result<Sealed, VaultError> {
        seal_with(&*self.find(key_id)?, plaintext, context)
    }

    /// Reads a secret that was sealed for the same context.
    ///
    /// # Errors
    /// Says which: no key, unknown key id, truncated, changed or moved.
    pub fn unseal(&self, sealed: &Sealed, context: &str) -> Result<SecretString, VaultError> {
        let key = self.find(&sealed.key_id)?;
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

    /// A key that it has, or that is in its files by now.
    fn find(&self, key_id: &str) -> Result<Arc<Key>, VaultError> {
        let keys = self.keys();
        if keys.current().is_none() {
            return Err(VaultError::NoKey);
        }
        let of = |keys: &Keys| keys.by_id(key_id).cloned();
        let found = of(&keys).or_else(|| of(&*self.read_anew()?));
        found.ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))
    }

    /// The keys as their files have them now, beside those that it has; none where they can't be read.
    fn read_anew(&self) -> Option<Arc<Keys>> {
        let source = self.source.as_ref()?;
        // Held while the files are read, so that nobody puts back what was in them before.
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let found = source().inspect_err(|error| tracing::warn!(%error, "the secret keys can't be read anew")).ok()?;
        *keys = Arc::new(found.and_read_with(&keys));
        tracing::info!("the secret keys were read anew");
        Some(keys.clone())
    }
}

fn seal_with(key: &Key, plaintext: &SecretString, context: &str) -> Result<Sealed, VaultError> {
    let mut nonce = [0; NONCE];
    rand::rngs::OsRng.try_fill_bytes(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
    let payload = Payload { msg: plaintext.expose_secret().as_bytes(), aad: context.as_bytes() };
    let sealed = XChaCha20Poly1305::new(key.bytes().into()).encrypt(XNonce::from_slice(&nonce), payload);
    let mut blob = nonce.to_vec();
    blob.extend(sealed.map_err(|_| VaultError::Tampered)?);
    Ok(Sealed { key_id: key.id().to_owned(), blob })
}
