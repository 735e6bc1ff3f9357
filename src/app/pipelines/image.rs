//! The image that a pipeline built, as its row keeps it.

use entity::pipeline;

use crate::app::{Error, Result};
use crate::domain::image::{Digest, Repository, Tag};

/// An image that a pipeline built. It is in a registry, by its digest, or on the engine that built it, by that engine's
/// own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What it is called.
    pub repository: Repository,
    /// Commit and number of the pipeline.
    pub tag: Tag,
    /// What the registry calls it; none for one that stays on the engine.
    pub digest: Option<Digest>,
    /// What the engine that built it calls it.
    pub id: String,
}

/// What an image is called where every engine and cluster can have it.
///
/// # Errors
/// Why it is nowhere but on the engine that built it, for people.
pub fn in_registry(image: &Image) -> std::result::Result<String, String> {
    match &image.digest {
        Some(digest) => Ok(format!("{}@{digest}", image.repository)),
        None => {
            Err("the image was built without a repository of a registry, where tools of a cluster would read it: give \
                     the service one (saveBuildSettings, imageRepository), and build it again"
                .to_owned())
        }
    }
}

/// The image of a pipeline; none while nothing is built.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn of(pipeline: &pipeline::Model) -> Result<Option<Image>> {
    let (Some(image), Some(id)) = (&pipeline.image, &pipeline.image_id) else { return Ok(None) };
    let unreadable = || Error::internal(format!("the image of pipeline {} can't be read", pipeline.id));
    let (repository, tag) = image.rsplit_once(':').ok_or_else(unreadable)?;
    Ok(Some(Image {
        repository: Repository::parse(repository).map_err(|_| unreadable())?,
        tag: Tag::parse(tag).map_err(|_| unreadable())?,
        digest: pipeline.image_digest.as_deref().map(Digest::parse).transpose().map_err(|_| unreadable())?,
        id: id.clone(),
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_found_by_its_digest_and_nothing_else_is() {
        let digest = format!("sha256:{}", "d".repeat(64));
        let pushed = Image {
            repository: Repository::parse("registry.test/acme/shop").unwrap(),
            tag: Tag::parse("0101010-1").unwrap(),
            digest: Some(Digest::parse(&digest).unwrap()),
            id: "sha256:of-the-engine".to_owned(),
        };
        assert_eq!(in_registry(&pushed), Ok(format!("registry.test/acme/shop@{digest}")));
        let why = in_registry(&Image { digest: None, ..pushed }).unwrap_err();
        assert!(why.contains("imageRepository"), "{why}");
    }
}
