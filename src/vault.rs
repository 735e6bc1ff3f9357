//! Sealing secrets with XChaCha20-Poly1305: the key's id is stored beside, the row is the associated data.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::domain::secret::SecretString;

const NONCE_BYTES: usize = 24;

/// A sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key that sealed it.
    pub key_id: String,
    /// Nonce and ciphertext.
    pub blob: Vec<u8>,
}

/// Why a value or a key did not open. The texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key file is unreadable, too open, or holds no key.
    #[error("{0}")]
    Key(String),
    /// It was sealed with a key that this server does not have.
    #[error("it was sealed with key {0}, which this server does not have: restore it, or list it in secrets.previous_key_files")]
    UnknownKey(String),
    /// It is too short to be a sealed value.
    #[error("it is truncated")]
    Truncated,
    /// The bytes were changed, or belong to another row.
    #[error("it was changed, or belongs to another row")]
    Tampered,
}

/// A secret key of 32 bytes.
#[derive(Clone)]
pub struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    /// Reads a key file: 32 bytes in base64, readable by its owner alone.
    ///
    /// # Errors
    /// When it is missing, others may read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        let fault = |why: String| VaultError::Key(format!("{}: {why}", path.display()));
        check_mode(path).map_err(fault)?;
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| fault(e.to_string()))?);
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| fault("is not base64".to_owned()))?);
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| fault("does not hold 32 bytes".to_owned()))?;
        Ok(Self::from_bytes(bytes))
    }

    /// Makes a key file with mode 0600. Refuses to replace one.
    ///
    /// # Errors
    /// When it is there already or can't be written.
    pub fn create(path: &Path, bytes: [u8; 32]) -> Result<Self, VaultError> {
        let fault = |e: std::io::Error| VaultError::Key(format!("{}: {e}", path.display()));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fault)?;
        }
        let mut file = new_private_file(path).map_err(fault)?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(bytes)));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
        Ok(Self::from_bytes(bytes))
    }

    /// A key from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"kiops key id\0");
        hash.update(bytes);
        Self { id: hex::encode(&hash.finalize()[..8]), bytes: Zeroizing::new(bytes) }
    }

    /// What sealed values name it by. It tells nothing of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_err(|e| e.to_string())?.permissions().mode();
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(format!("others may read it (mode {:o}): chmod 600 it", mode & 0o777)),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), String> {
    Ok(())
}

fn new_private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Seals with one key and opens with that and earlier ones.
pub struct Vault {
    current: Key,
    keys: BTreeMap<String, Key>,
}

impl Vault {
    /// `current` seals; `previous` still open what they sealed.
    #[must_use]
    pub fn new(current: Key, previous: Vec<Key>) -> Self {
        let keys = previous.into_iter().chain([current.clone()]).map(|k| (k.id.clone(), k)).collect();
        Self { current, keys }
    }

    /// The key that seals.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.current.id
    }

    /// Seals a value for one row: `context` names it, and opening asks for the same.
    ///
    /// # Errors
    /// When the value is too long for the cipher, which no text in memory is.
    pub fn seal(&self, value: &SecretString, context: &str) -> Result<Sealed, VaultError> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: value.expose_secret().as_bytes(), aad: context.as_bytes() };
        let sealed = cipher(&self.current).encrypt(&nonce, payload).map_err(|_| VaultError::Tampered)?;
        Ok(Sealed { key_id: self.current.id.clone(), blob: [nonce.as_slice(), &sealed].concat() })
    }

    /// Opens a value that was sealed for the same `context`.
    ///
    /// # Errors
    /// Which of the ways it went wrong.
    pub fn unseal(&self, sealed: &Sealed, context: &str) -> Result<SecretString, VaultError> {
        let key = self.keys.get(&sealed.key_id).ok_or_else(|| VaultError::UnknownKey(sealed.key_id.clone()))?;
        if sealed.blob.len() < NONCE_BYTES + 16 {
            return Err(VaultError::Truncated);
        }
        let (nonce, body) = sealed.blob.split_at(NONCE_BYTES);
        let payload = Payload { msg: body, aad: context.as_bytes() };
        let opened = cipher(key).decrypt(XNonce::from_slice(nonce), payload).map_err(|_| VaultError::Tampered)?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| VaultError::Tampered)
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes.as_slice().into())
}

/// Replaces known secret values in text by `***`: as they are, in base64, and URL-encoded.
pub struct Masker {
    needles: Vec<Zeroizing<String>>,
}

/// A shorter value would mask words that are no secret.
const SHORTEST: usize = 4;

impl Masker {
    /// Masks these values. Lines of a value of several lines are masked each.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut needles = Vec::new();
        for value in values {
            let text = value.expose_secret();
            for line in std::iter::once(text).chain(text.lines()).filter(|l| l.len() >= SHORTEST) {
                needles.push(line.to_owned());
                needles.push(STANDARD.encode(line).trim_end_matches('=').to_owned());
                needles.push(URL_SAFE.encode(line).trim_end_matches('=').to_owned());
                needles.push(url::form_urlencoded::byte_serialize(line.as_bytes()).collect());
            }
        }
        needles.sort_by_key(|n: &String| std::cmp::Reverse(n.len()));
        needles.dedup();
        Self { needles: needles.into_iter().map(Zeroizing::new).collect() }
    }

    /// The text without the values.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for needle in self.needles.iter().filter(|n| text.contains(n.as_str())) {
            masked = masked.replace(needle.as_str(), "***");
        }
        masked
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(Key::from_bytes([byte; 32]), Vec::new())
    }

    #[test]
    fn a_value_opens_for_its_row_alone() {
        let vault = vault(1);
        let sealed = vault.seal(&"hunter2".into(), "secret:o:1").unwrap();
        assert_eq!(vault.unseal(&sealed, "secret:o:1").unwrap().expose_secret(), "hunter2");
        assert_eq!(vault.unseal(&sealed, "secret:o:2").unwrap_err(), VaultError::Tampered);
    }

    #[test]
    fn what_was_changed_cut_or_sealed_elsewhere_is_told_apart() {
        let ours = vault(1);
        let sealed = ours.seal(&"hunter2".into(), "c").unwrap();
        for i in 0..sealed.blob.len() {
            let mut bad = sealed.clone();
            bad.blob[i] ^= 1;
            assert_eq!(ours.unseal(&bad, "c").unwrap_err(), VaultError::Tampered, "bit of byte {i}");
        }
        let cut = Sealed { blob: sealed.blob[..30].to_vec(), ..sealed.clone() };
        assert_eq!(ours.unseal(&cut, "c").unwrap_err(), VaultError::Truncated);
        assert!(matches!(vault(2).unseal(&sealed, "c").unwrap_err(), VaultError::UnknownKey(_)));
        let rotated = Vault::new(Key::from_bytes([2; 32]), vec![Key::from_bytes([1; 32])]);
        assert_eq!(rotated.unseal(&sealed, "c").unwrap().expose_secret(), "hunter2");
    }

    #[test]
    fn a_key_file_is_private_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/secret.key");
        let made = Key::create(&path, [7; 32]).unwrap();
        assert_eq!(Key::read(&path).unwrap().id(), made.id());
        assert!(Key::create(&path, [8; 32]).is_err());
        std::process::Command::new("chmod").arg("644").arg(&path).status().unwrap();
        assert!(Key::read(&path).err().unwrap().to_string().contains("chmod 600"));
    }

    #[test]
    fn known_values_are_masked_in_every_spelling() {
        let masker = Masker::new([&SecretString::from("p@ss word/1")]);
        let line = format!("a p@ss word/1 b {} c p%40ss+word%2F1", STANDARD.encode("p@ss word/1"));
        assert_eq!(masker.mask(&line), "a *** b ***= c ***");
    }
}
