//! Images and their tags.

use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};

use crate::app::images::{HubRepository, ListedTag};

/// A repository on Docker Hub: nginx, bitnami/redis.
#[derive(SimpleObject)]
pub struct ImageRepository {
    /// As image names write it.
    name: String,
    /// Its one line.
    description: Option<String>,
    /// One of Docker's own curated images.
    official: bool,
    /// How many people marked it.
    stars: i32,
    /// How often it was pulled.
    pulls: f64,
}

impl From<HubRepository> for ImageRepository {
    fn from(r: HubRepository) -> Self {
        Self { name: r.name, description: r.description, official: r.official, stars: r.stars, pulls: r.pulls }
    }
}

/// A tag of an image.
#[derive(SimpleObject)]
pub struct ImageTag {
    /// The tag.
    name: String,
    /// What it means now, where the listing says.
    digest: Option<String>,
    /// Compressed size, where the listing says.
    size_bytes: Option<f64>,
    /// linux/amd64, linux/arm64/v8, …
    platforms: Vec<String>,
    /// When it was last pushed, where the listing says.
    pushed_at: Option<DateTime<Utc>>,
}

impl From<ListedTag> for ImageTag {
    fn from(t: ListedTag) -> Self {
        Self {
            name: t.name,
            digest: t.digest,
            size_bytes: t.size_bytes,
            platforms: t.platforms,
            pushed_at: t.pushed_at,
        }
    }
}
