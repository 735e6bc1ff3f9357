//! `[secrets]`.

use std::path::PathBuf;

use serde::Deserialize;

/// The key that seals secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// 32 bytes, base64.
    pub key_file: PathBuf,
    /// Read and never written with.
    pub previous_key_files: Vec<PathBuf>,
}
