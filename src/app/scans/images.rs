//! Images that are looked at where no engine has them: they come from their registries, with the login that the service has
//! there.

use std::path::Path;

use async_trait::async_trait;
use entity::service;

use crate::app::{App, Scope, registries};
use crate::domain::image::{Digest, Repository, Tag};
use crate::registry::{RegistryError, Wanted};
use crate::scanner::ScanError;
use crate::scanner::run::ImageSource;

/// The platform that is looked at of an image for several, where builds are for none in particular.
const PLATFORM: &str = "linux/amd64";

/// Images as one service may have them.
pub(super) struct FromRegistries<'a> {
    pub(super) app: &'a App,
    pub(super) scope: Scope,
    pub(super) service: &'a service::Model,
}

#[async_trait]
impl ImageSource for FromRegistries<'_> {
    async fn save(&self, image: &str, to: &Path, most: u64) -> Result<(), ScanError> {
        let app = self.app;
        let bad = || ScanError::Failed(format!("{image} is no image of a registry"));
        let (name, digest, tag) = match image.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest).map_err(|_| bad())?), None),
            None => {
                let (name, tag) = image.rsplit_once(':').ok_or_else(bad)?;
                (name, None, Some(Tag::parse(tag).map_err(|_| bad())?))
            }
        };
        let repository = Repository::parse(name).map_err(|_| bad())?;
        let login = registries::login_for(app, &self.scope, Some(self.service), repository.host()).await;
        let login = login.map_err(|error| ScanError::Failed(error.message))?;
        let digest = match (digest, tag) {
            (Some(digest), _) => digest,
            (None, Some(tag)) => app.registries.resolve(&repository, &tag, login.as_ref()).await.map_err(unsaved)?,
            (None, None) => return Err(bad()),
        };
        let platform = app.settings.builds.cluster.platform.as_deref().unwrap_or(PLATFORM);
        let wanted = Wanted { repository: &repository, digest: &digest, platform, to, most };
        app.registries.save(&wanted, login.as_ref()).await.map_err(unsaved)
    }
}

fn unsaved(error: RegistryError) -> ScanError {
    let text = format!("the image can't be had: {error}");
    match error {
        // Both are over after a while.
        RegistryError::Unreachable(_) | RegistryError::Limited { .. } => ScanError::Unreachable(text),
        _ => ScanError::Failed(text),
    }
}
