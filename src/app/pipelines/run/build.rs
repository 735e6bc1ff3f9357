//! BUILD: the image, once for each source, Dockerfile and arguments, and its way to the registry.

use std::time::Duration;

use entity::{RunStatus, organization, pipeline, service};
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter, QueryOrder as _, Set};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Step, Work, failed};
use crate::app::deployments::{built, environments};
use crate::app::pipelines::definition::{BuildDefinition, DockerfileMode};
use crate::app::pipelines::engine;
use crate::app::pipelines::image::{self, Image};
use crate::app::pipelines::machine::stages_of;
use crate::app::{App, Error, Result, Scope, registries};
use crate::builder::context::{self, DockerfileChoice, Prepared};
use crate::builder::{BuildRequest, Builder, BuilderError, Journal as _, Output};
use crate::domain::image::{Repository, Tag};
use crate::domain::names::{CommitHash, SourcePath};
use crate::domain::spec::EnvValue;
use crate::domain::stage::StageKind;
use crate::domain::status::RunStatus as Status;
use crate::queue;

/// Where images are called to be that are in no registry: `.internal` is nobody's on the internet (ICANN, 2024).
const NOWHERE: &str = "kiops.internal";
/// How often it is looked whether another run has built the same.
const LOOK: Duration = Duration::from_secs(1);

/// Where a service's images go.
pub(in crate::app::pipelines) struct Destination {
    /// What they are called.
    pub(in crate::app::pipelines) repository: Repository,
    /// They are pushed there; else they stay on the engine that builds.
    pub(in crate::app::pipelines) pushed: bool,
}

/// Where the images of a service go: to its own repository, below the organization's prefix, or nowhere.
///
/// # Errors
/// INTERNAL when what is stored can't be read.
pub(in crate::app::pipelines) async fn destination(
    app: &App,
    scope: &Scope,
    service: &service::Model,
    build: &BuildDefinition,
) -> Result<Destination> {
    let named = match &build.image_repository {
        Some(named) => Some(named.clone()),
        None => registries::prefix(app, scope).await?.map(|prefix| format!("{prefix}/{}", service.name)),
    };
    let pushed = named.is_some();
    let name = match named {
        Some(name) => name,
        None => {
            let owner = organization::Entity::find_by_id(&scope.organization_id).one(app.db.read()).await?;
            let owner = owner.ok_or_else(|| Error::internal("a service without its organization"))?;
            format!("{NOWHERE}/{}/{}", owner.slug, service.name)
        }
    };
    Ok(Destination { repository: Repository::parse(&name).map_err(Error::internal)?, pushed })
}

impl Work<'_> {
    pub(super) async fn build(&mut self) -> Result<Step> {
        if let Err(step) = self.have_source().await? {
            return Ok(step);
        }
        let builder = match self.builder().await? {
            Ok(builder) => builder,
            Err(step) => return Ok(step),
        };
        // One that does not answer may be about to start.
        let is_away = |error: &BuilderError| matches!(error, BuilderError::Unreachable(_));
        let engine_id = match self.patiently(|| builder.info(), is_away).await {
            Ok(info) => info.engine_id,
            Err(error) => return Ok(failed(error)),
        };
        let destination = destination(self.app, &self.scope, &self.service, &self.snapshot.build).await?;
        if !destination.pushed && !builder.keeps_images() {
            return Ok(Step::Failed(engine::no_repository().message));
        }
        if let Some(step) = self.can_get_there(&destination, engine_id.as_deref()).await? {
            return Ok(step);
        }
        let prepared = match self.prepare().await? {
            Ok(prepared) => prepared,
            Err(why) => return Ok(Step::Failed(why)),
        };
        self.log.line(Output::System, &prepared.note).await;
        let key = self.key(&prepared, &destination, engine_id.as_deref());
        let mut change: pipeline::ActiveModel = self.pipeline.clone().into();
        change.build_key = Set(Some(key.clone()));
        change.engine_id = Set(engine_id);
        if !self.write(change).await? {
            return Ok(Step::Lost);
        }
        if let Some((number, image)) = self.same_build(&key, builder.as_ref(), &destination).await? {
            let text =
                format!("the same source, Dockerfile and arguments were built by pipeline {number}: that is used");
            return Ok(match self.keep(&image).await? {
                true => Step::Passed(Some(text)),
                false => Step::Lost,
            });
        }
        let mut image = match self.image(builder.as_ref(), &destination, prepared).await? {
            Ok(image) => image,
            Err(step) => return Ok(step),
        };
        if image.digest.is_some() {
            // It was pushed as it was built.
        } else if destination.pushed {
            match self.push(builder.as_ref(), &image).await? {
                Ok(digest) => image.digest = Some(digest),
                Err(step) => return Ok(step),
            }
        } else {
            let text = "the image stays on the engine that built it: no image repository is set";
            self.log.line(Output::System, text).await;
        }
        Ok(match self.keep(&image).await? {
            true => Step::Passed(None),
            false => Step::Lost,
        })
    }

    /// An image that stays on the engine is of no use to a runtime elsewhere: that is said before it is built.
    async fn can_get_there(&self, destination: &Destination, engine_id: Option<&str>) -> Result<Option<Step>> {
        if destination.pushed {
            return Ok(None);
        }
        for name in self.targets().await?.wanted {
            let db = self.app.db.read();
            let place = environments::meant_or_new(self.app, db, &self.scope, &self.service, Some(&name)).await;
            let place = match place {
                Ok(place) => place,
                Err(error) => return Ok(Some(Step::Failed(format!("{name}: {}", error.message)))),
            };
            let runtime = environments::runtime(db, &self.scope, environments::destination(&place.row)).await?;
            match built::reachable(self.app, &self.scope, engine_id, &runtime).await {
                Ok(true) => {}
                Ok(false) => return Ok(Some(Step::Failed(built::out_of_reach(&runtime).message))),
                Err(error) => return Ok(Some(Step::Failed(error.message))),
            }
        }
        Ok(None)
    }

    async fn prepare(&self) -> Result<std::result::Result<Prepared, String>> {
        let build = &self.snapshot.build;
        let folder = SourcePath::parse(&self.snapshot.context_path).map_err(Error::internal)?;
        let choice = match (build.mode, &build.dockerfile_path) {
            (DockerfileMode::Path, Some(path)) => {
                DockerfileChoice::Path(SourcePath::parse(path).map_err(Error::internal)?)
            }
            (DockerfileMode::Wizard, _) => DockerfileChoice::Wizard(build.dockerfile.clone()),
            _ => DockerfileChoice::AutoDetect,
        };
        let tree = self.folder();
        let looked = tokio::task::spawn_blocking(move || context::prepare(&tree, &folder, &choice)).await;
        Ok(looked.map_err(Error::internal)?.map_err(|why| why.to_string()))
    }

    /// Says whether two builds are the same. A secret goes in by its row's id: rows never change.
    fn key(&self, prepared: &Prepared, destination: &Destination, engine_id: Option<&str>) -> String {
        let build = &self.snapshot.build;
        let facts = json!([
            self.pipeline.source_tree,
            self.snapshot.context_path,
            prepared.dockerfile,
            prepared.dockerignore,
            build.args,
            build.target,
            build.platforms,
            destination.repository.to_string(),
            engine_id,
        ]);
        hex::encode(Sha256::digest(facts.to_string()))
    }

    /// The image of an earlier run that built the same, if it is still there. One that is being built now is waited for.
    async fn same_build(
        &self,
        key: &str,
        builder: &dyn Builder,
        destination: &Destination,
    ) -> Result<Option<(i32, Image)>> {
        loop {
            let others = self
                .scope
                .pipelines()
                .filter(pipeline::Column::ServiceId.eq(&self.service.id))
                .filter(pipeline::Column::BuildKey.eq(key))
                .filter(pipeline::Column::Id.ne(&self.pipeline.id))
                .order_by_desc(pipeline::Column::Number)
                .all(self.app.db.read_write())
                .await?;
            for other in &others {
                let Some(image) = image::of(other)? else { continue };
                let complete = image.digest.is_some() == destination.pushed;
                // What was pushed and taken away there since is built and pushed anew.
                if complete && builder.holds(&image.id).await.unwrap_or(false) && self.is_still_there(&image).await {
                    return Ok(Some((other.number, image)));
                }
            }
            let mut earlier = others.iter().filter(|other| other.number < self.pipeline.number);
            let Some(other) = earlier.find(|other| is_being_built(other)) else { return Ok(None) };
            let text = format!("pipeline {} is building the same: its image is waited for", other.number);
            self.log.line(Output::System, &text).await;
            let begun = tokio::time::Instant::now();
            while self.is_building(&other.id).await? {
                // Rather twice than never.
                if begun.elapsed() > self.app.settings.builds.timeout {
                    return Ok(None);
                }
                tokio::time::sleep(LOOK).await;
            }
            if !self.is_settled(&other.id).await? {
                return Ok(None);
            }
        }
    }

    /// Whether somebody is at it. Who is to go on with it later may be waiting for our place.
    async fn is_building(&self, id: &str) -> Result<bool> {
        let db = self.app.db.read_write();
        Ok(!self.is_settled(id).await? && queue::is_at_work(db, id, self.app.clock.now()).await?)
    }

    async fn is_settled(&self, id: &str) -> Result<bool> {
        let other = pipeline::Entity::find_by_id(id).one(self.app.db.read_write()).await?;
        Ok(other.is_none_or(|other| !is_being_built(&other)))
    }

    async fn is_still_there(&self, image: &Image) -> bool {
        let Some(digest) = &image.digest else { return true };
        let login = self.login(image.repository.host());
        let found = self.app.registries.resolve(&image.repository, &image.tag, login).await;
        found.is_ok_and(|found| found == *digest)
    }

    async fn image(
        &mut self,
        builder: &dyn Builder,
        destination: &Destination,
        prepared: Prepared,
    ) -> Result<std::result::Result<Image, Step>> {
        let tag = self.tag()?;
        // Killed while it was pushed: what is built is not built again.
        if let Some(image) = image::of(&self.pipeline)?.filter(|image| image.tag == tag)
            && builder.holds(&image.id).await.unwrap_or(false)
        {
            return Ok(Ok(image));
        }
        if let Err(error) = self.afresh(builder).await {
            return Ok(Err(failed(error)));
        }
        let request = self.request(destination, tag, prepared)?;
        let built = match builder.build(&request, self.log.as_ref()).await {
            Ok(built) => built,
            Err(error) => return Ok(Err(unbuilt(&request.repository, &request.tag, error))),
        };
        let image = Image { repository: request.repository, tag: request.tag, digest: built.digest, id: built.id };
        Ok(match self.keep(&image).await? {
            true => Ok(image),
            false => Err(Step::Lost),
        })
    }

    /// Commit and number of the pipeline.
    fn tag(&self) -> Result<Tag> {
        let sha = self.pipeline.commit_sha.as_deref().unwrap_or_default();
        let commit = CommitHash::parse(sha).map_err(Error::internal)?;
        Tag::parse(&format!("{}-{}", commit.short(), self.pipeline.number)).map_err(Error::internal)
    }

    fn request(&self, destination: &Destination, tag: Tag, prepared: Prepared) -> Result<BuildRequest> {
        let build = &self.snapshot.build;
        let plain = build.args.iter().filter_map(|entry| match &entry.value {
            EnvValue::Plain(value) => Some((entry.name.clone(), value.clone())),
            EnvValue::Secret(_) => None,
        });
        Ok(BuildRequest {
            mark: self.mark(),
            context: prepared.context,
            dockerfile: prepared.dockerfile,
            dockerignore: prepared.dockerignore,
            args: plain.collect(),
            secrets: self.secrets.args.clone(),
            target: build.target.clone(),
            platforms: build.platforms.clone(),
            logins: self.secrets.logins.clone(),
            repository: destination.repository.clone(),
            tag,
            labels: self.labels(),
            limits: self.limits()?,
            max_context_bytes: self.app.settings.builds.max_context_bytes,
        })
    }

    /// The annotations of the OCI image specification
    /// (<https://github.com/opencontainers/image-spec/blob/main/annotations.md>).
    fn labels(&self) -> Vec<(String, String)> {
        let source = self.service.git_web_url.clone().unwrap_or_default();
        let revision = self.pipeline.commit_sha.clone().unwrap_or_default();
        [("source", source), ("revision", revision), ("created", self.app.clock.now().to_rfc3339())]
            .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
            .to_vec()
    }

    async fn push(
        &mut self,
        builder: &dyn Builder,
        image: &Image,
    ) -> Result<std::result::Result<crate::domain::image::Digest, Step>> {
        let login = self.login(image.repository.host());
        let time = self.app.settings.builds.timeout;
        let pushed = builder.push(&image.repository, &image.tag, login, self.log.as_ref());
        let late =
            |_| Err(BuilderError::PushFailed(format!("it took longer than {}", humantime::format_duration(time))));
        match tokio::time::timeout(time, pushed).await.unwrap_or_else(late) {
            Ok(digest) => Ok(Ok(digest)),
            Err(error) => Ok(Err(unbuilt(&image.repository, &image.tag, error))),
        }
    }

    /// The login of a registry.
    pub(super) fn login(&self, host: &str) -> Option<&crate::domain::secret::RegistryLogin> {
        self.secrets.logins.iter().find(|(known, _)| known == host).map(|(_, login)| login)
    }

    /// Writes down what was built. False: the job is another's.
    async fn keep(&mut self, image: &Image) -> Result<bool> {
        let mut change: pipeline::ActiveModel = self.pipeline.clone().into();
        change.image = Set(Some(format!("{}:{}", image.repository, image.tag)));
        change.image_digest = Set(image.digest.as_ref().map(|digest| digest.as_str().to_owned()));
        change.image_id = Set(Some(image.id.clone()));
        self.write(change).await
    }
}

/// What it means that an image was not built, or not pushed.
fn unbuilt(repository: &Repository, tag: &Tag, error: BuilderError) -> Step {
    match error {
        BuilderError::PushRefused(_) | BuilderError::PushFailed(_) => {
            Step::Failed(format!("the image was built, and {repository}:{tag} could not be pushed: {error}"))
        }
        error => failed(error),
    }
}

fn is_being_built(pipeline: &pipeline::Model) -> bool {
    let building = |stages: crate::domain::stage::Stages| {
        stages.get(StageKind::Build).is_some_and(|stage| stage.status == Status::Running)
    };
    pipeline.status == RunStatus::Running && stages_of(pipeline).is_ok_and(building)
}
