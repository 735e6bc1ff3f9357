//! Image registries: Docker Hub's listing, and tags, digests and logins of any OCI registry.

mod archive;
mod auth;
mod client;
mod hub;
mod oci;
mod save;
#[cfg(test)]
mod save_tests;
#[cfg(test)]
mod tests;

use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::secret::RegistryLogin;

pub use client::{Clock, RegistryClient, RegistrySettings};

/// A repository on Docker Hub.
#[derive(Debug, Clone, PartialEq)]
pub struct HubRepository {
    /// `nginx`, `bitnami/redis`.
    pub name: String,
    /// Its one-line description.
    pub description: Option<String>,
    /// Docker's own curated image.
    pub official: bool,
    /// Stars.
    pub stars: i32,
    /// Pulls; beyond 2^31, hence a float for GraphQL.
    pub pulls: f64,
}

/// A tag with what the listing says of it; a plain OCI registry says the name alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTag {
    /// The tag.
    pub name: String,
    /// The digest of its manifest or index.
    pub digest: Option<String>,
    /// Compressed size in bytes.
    pub size_bytes: Option<f64>,
    /// `linux/amd64`, `linux/arm64/v8`.
    pub platforms: Vec<String>,
    /// When it was last pushed.
    pub pushed_at: Option<DateTime<Utc>>,
}

/// One page of tags.
#[derive(Debug, Clone, PartialEq)]
pub struct TagPage {
    /// In the listing's order.
    pub tags: Vec<ListedTag>,
    /// Where the next page begins; none on the last. Opaque, and harmless when forged.
    pub next: Option<String>,
    /// How many there are, where the listing says.
    pub total: Option<i32>,
}

/// Why a registry did not answer what was asked. Messages name image and registry, never a credential.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// No such repository or tag (or none that this login may see).
    #[error("{0}")]
    NotFound(String),
    /// The login was refused, or one is needed.
    #[error("{0}")]
    Unauthorized(String),
    /// It asks us to come back later.
    #[error("{message}")]
    Limited {
        /// For people.
        message: String,
        /// When to try again, where it says.
        retry_at: Option<DateTime<Utc>>,
    },
    /// The address is not one that this server talks to; the message names the address, why, and `net.allow`.
    #[error("{0}")]
    Refused(String),
    /// It does not answer, or answers rubbish.
    #[error("{0}")]
    Unreachable(String),
    /// The image is larger than it may be, or there is no room for it here.
    #[error("{0}")]
    Unkept(String),
}

/// An image that is wanted as a file.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// Its manifest, or an index of which one is taken.
    pub digest: &'a Digest,
    /// Of an index: `linux/amd64`.
    pub platform: &'a str,
    /// The file, in place of what is there.
    pub to: &'a Path,
    /// Bytes of the image at most, as the registry has it.
    pub most: u64,
}

/// Every registry there is: the implementation picks by the repository's host.
#[async_trait]
pub trait Registries: Send + Sync {
    /// Searches Docker Hub. At most `limit` results; cached for a short while.
    async fn search(&self, text: &str, limit: u32) -> Result<Vec<HubRepository>, RegistryError>;

    /// A page of a repository's tags, by name, those that contain `search` if given; cached for a short while.
    /// `after` is a [`TagPage::next`].
    async fn tags(
        &self,
        repository: &Repository,
        search: Option<&str>,
        page: TagRequest,
        login: Option<&RegistryLogin>,
    ) -> Result<TagPage, RegistryError>;

    /// What the tag means now: the digest of its manifest or index. Never cached.
    async fn resolve(
        &self,
        repository: &Repository,
        tag: &Tag,
        login: Option<&RegistryLogin>,
    ) -> Result<Digest, RegistryError>;

    /// Writes an image into a file, as `docker save` does it since Docker 25; layers as the registry has them, compressed for
    /// the most part. Nothing of it is in memory as a whole; digests and sizes are what the manifest says, or it fails.
    async fn save(&self, wanted: &Wanted<'_>, login: Option<&RegistryLogin>) -> Result<(), RegistryError>;

    /// Tries a login against a host, without a repository.
    async fn check_login(&self, host: &str, login: &RegistryLogin) -> Result<(), RegistryError>;
}

/// Which page of tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagRequest {
    /// 1 to 100.
    pub first: u32,
    /// A [`TagPage::next`].
    pub after: Option<String>,
}
