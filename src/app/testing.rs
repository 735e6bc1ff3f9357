//! Fakes and a fresh database for the tests of use cases.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up must fail")]
#![expect(clippy::disallowed_methods, reason = "tests that ask for no particular time take the real one")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound as _, Utc};
use entity::{Db, Role, organization};
use futures_util::stream::BoxStream;
use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ActiveModelTrait as _, Set};

use super::services::input::ContainerInput;
use super::settings::{Builds, LocalEngine};
use super::{Actor, App, Events, Scope, Settings};
use crate::builder::source::{Fetched, Origin, Resolved, SourceError, SourceLimits, Sources};
use crate::builder::{Builder, BuilderConnection, BuilderError, Builders, ClusterPlace, Journal};
use crate::domain::clock::{Clock, Ids};
use crate::domain::git::Provider;
use crate::domain::image::{Digest, Repository, Tag};
use crate::domain::names::CommitHash;
use crate::domain::paging::PageLimits;
use crate::domain::secret::{ExposeSecret as _, RegistryLogin};
use crate::domain::spec::{Spec, Target};
use crate::git::{GitAccess, GitError, GitProvider, GitProviders};
use crate::registry::{HubRepository, ListedTag, Registries, RegistryError, TagPage, TagRequest, Wanted};
use crate::runtime::{
    Applied, InstanceLine, InstanceState, LocalImage, LogQuery, Progress, Rollout, Runtime, RuntimeConnection,
    RuntimeError, RuntimeEvent, RuntimeInfo, Runtimes, Volumes,
};
use crate::scanner::ScanError;
use crate::scanner::run::{Host, Job, Ran, Said, Scanners};
use crate::vault::{Key, Keys, Vault};

/// An application on a fresh database with two organizations.
pub struct World {
    /// The use cases.
    pub app: App,
    /// Of the bootstrap organization.
    pub admin: Actor,
    /// Of the bootstrap organization.
    pub member: Actor,
    /// Of another organization.
    pub stranger: Actor,
    _folder: tempfile::TempDir,
}

/// Makes one.
pub async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let db = Db::connect(&url, 4).await.unwrap();
    Migrator::up(db.read(), None).await.unwrap();
    let app = App {
        db,
        vault: Arc::new(Vault::open(Keys::new(Key::new([7; 32]), Vec::new()))),
        clock: Arc::new(Now),
        ids: Arc::new(Random),
        events: Events::default(),
        tails: Default::default(),
        gits: Arc::new(NoGits),
        registries: Arc::new(FakeRegistries),
        runtimes: Arc::new(FakeRuntimes),
        sources: Arc::new(NoBuilds),
        builders: Arc::new(NoBuilds),
        scanners: Arc::new(NoBuilds),
        settings: Arc::new(settings()),
        traffic: crate::app::webhooks::Traffic::default(),
    };
    let home = organization_of(&app, "default").await;
    let away = organization_of(&app, "away").await;
    World {
        admin: actor(&home, Role::Admin),
        member: actor(&home, Role::Member),
        stranger: actor(&away, Role::Admin),
        app,
        _folder: folder,
    }
}

/// Neither fetches nor builds.
struct NoBuilds;

#[async_trait]
impl Sources for NoBuilds {
    async fn examine(&self) -> Result<(), SourceError> {
        Err(SourceError::Broken("away".to_owned()))
    }

    async fn resolve(&self, _: &Origin, _: &str) -> Result<Resolved, SourceError> {
        Err(SourceError::Unreachable("away".to_owned()))
    }

    async fn fetch(
        &self,
        _: &Origin,
        _: &CommitHash,
        _: &Path,
        _: SourceLimits,
        _: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        Err(SourceError::Unreachable("away".to_owned()))
    }

    async fn fetch_with_history(
        &self,
        _: &Origin,
        _: &CommitHash,
        _: &Path,
        _: SourceLimits,
        _: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        Err(SourceError::Unreachable("away".to_owned()))
    }
}

impl Builders for NoBuilds {
    fn connect(&self, _: &BuilderConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        Err(BuilderError::Unreachable("away".to_owned()))
    }
}

#[async_trait]
impl Scanners for NoBuilds {
    async fn run(&self, job: &Job<'_>, _: &dyn Said) -> Result<Ran, ScanError> {
        Err(ScanError::Missing(format!("{} is not here", job.tool.name)))
    }

    async fn clear(&self, _: &str, _: Option<&Host>) -> Result<(), ScanError> {
        Ok(())
    }
}

/// A container of this name, image and nothing else.
pub fn container(name: &str, image: &str) -> ContainerInput {
    ContainerInput { name: name.to_owned(), image: Some(image.to_owned()), ..ContainerInput::default() }
}

async fn organization_of(app: &App, slug: &str) -> String {
    let tx = app.begin().await.unwrap();
    let row = organization::ActiveModel {
        id: Set(app.ids.id()),
        slug: Set(slug.to_owned()),
        name: Set(slug.to_owned()),
        created_at: Set(app.clock.now()),
    };
    let row = row.insert(&tx).await.unwrap();
    tx.commit().await.unwrap();
    row.id
}

fn actor(organization_id: &str, role: Role) -> Actor {
    Actor {
        scope: Scope { organization_id: organization_id.to_owned() },
        user_id: "u".to_owned(),
        role,
        token_id: "t".to_owned(),
        address: None,
    }
}

fn settings() -> Settings {
    Settings {
        session_ttl: Duration::from_secs(60),
        login_attempts_per_minute: 10,
        bootstrap_organization: "default".to_owned(),
        local_engine: LocalEngine::Bootstrap,
        mutation_timeout: Duration::from_secs(60),
        deploy_timeout: Duration::from_secs(60),
        job_lease: Duration::from_secs(30),
        keep_revisions: 20,
        pages: PageLimits { default: 20, max: 100 },
        log_page_max: 1000,
        log_max_bytes: 1 << 20,
        log_retention: Duration::from_secs(30 * 86_400),
        audit_retention: None,
        public_url: "http://127.0.0.1:8080".to_owned(),
        query_complexity: 5000,
        version: "0".to_owned(),
        builds: Builds {
            runtime: None,
            timeout: Duration::from_secs(1800),
            max_context_bytes: 1 << 30,
            work_dir: std::env::temp_dir().join(format!("kiops-test-work-{}", std::process::id())),
            at_once: 2,
            at_once_per_organization: 2,
            cluster: ClusterPlace {
                namespace: "kiops-builds".to_owned(),
                image: "moby/buildkit:rootless".to_owned(),
                disk: 1 << 30,
                plain_http: Vec::new(),
                platform: None,
                scans: false,
            },
        },
        build_profiles: Vec::new(),
        scanners: Vec::new(),
        tools_at_once: 2,
    }
}

struct Now;

impl Clock for Now {
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}

struct Random;

impl Ids for Random {
    fn id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }

    fn random(&self) -> [u8; 32] {
        [1; 32]
    }
}

/// There is no provider at any address.
struct NoGits;

impl GitProviders for NoGits {
    fn base_url(&self, _: Provider, _: Option<&str>) -> Result<String, GitError> {
        Err(GitError::Refused("there is no provider here".to_owned()))
    }

    fn connect(&self, _: &GitAccess) -> Result<Arc<dyn GitProvider>, GitError> {
        Err(GitError::Refused("there is no provider here".to_owned()))
    }
}

/// Takes the token `good`; has 5 tags; `down.example` does not answer.
struct FakeRegistries;

#[async_trait]
impl Registries for FakeRegistries {
    async fn search(&self, text: &str, limit: u32) -> Result<Vec<HubRepository>, RegistryError> {
        let one = HubRepository { name: text.to_owned(), description: None, official: true, stars: 1, pulls: 1.0 };
        Ok(vec![one; limit as usize])
    }

    async fn tags(
        &self,
        repository: &Repository,
        _search: Option<&str>,
        page: TagRequest,
        _login: Option<&RegistryLogin>,
    ) -> Result<TagPage, RegistryError> {
        if repository.host() == "down.example" {
            let message = "down.example asks to come back later".to_owned();
            return Err(RegistryError::Limited { message, retry_at: Some(DateTime::UNIX_EPOCH) });
        }
        let from: u32 = page.after.map_or(0, |a| a.parse().unwrap());
        let to = (from + page.first).min(5);
        let tag = |n: u32| ListedTag {
            name: n.to_string(),
            digest: None,
            size_bytes: None,
            platforms: Vec::new(),
            pushed_at: None,
        };
        let next = (to < 5).then(|| to.to_string());
        Ok(TagPage { tags: (from..to).map(tag).collect(), next, total: Some(5) })
    }

    async fn resolve(&self, _: &Repository, _: &Tag, _: Option<&RegistryLogin>) -> Result<Digest, RegistryError> {
        Err(RegistryError::NotFound("nothing is here".to_owned()))
    }

    async fn save(&self, _: &Wanted<'_>, _: Option<&RegistryLogin>) -> Result<(), RegistryError> {
        Err(RegistryError::NotFound("nothing is here".to_owned()))
    }

    async fn check_login(&self, host: &str, login: &RegistryLogin) -> Result<(), RegistryError> {
        match (host, login.token.expose_secret()) {
            ("down.example", _) => Err(RegistryError::Unreachable(format!("{host} does not answer"))),
            (_, "good") => Ok(()),
            _ => Err(RegistryError::Unauthorized(format!("{host} refuses the login"))),
        }
    }
}

/// Engines by their address; all that is not `down` answers. The one at 192.0.2.7 is this machine's own.
pub struct FakeRuntimes;

struct FakeRuntime(String);

impl Runtimes for FakeRuntimes {
    fn connect(&self, connection: &RuntimeConnection) -> Result<Arc<dyn Runtime>, RuntimeError> {
        let RuntimeConnection::Docker(docker) = connection else {
            return Err(RuntimeError::Engine("this double has no clusters".to_owned()));
        };
        Ok(Arc::new(FakeRuntime(docker.host.clone())))
    }

    fn manifests(&self, spec: &Spec, before: Option<&Spec>) -> String {
        crate::runtime::kubernetes::manifest::shown(spec, before)
    }

    fn notices(&self, spec: &Spec) -> Vec<String> {
        crate::runtime::kubernetes::manifest::warnings(spec)
    }
}

fn nothing<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError::Engine("nothing runs here".to_owned()))
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn check(&self) -> Result<RuntimeInfo, RuntimeError> {
        match self.0.as_str() {
            "tcp://192.0.2.66:2375" => Err(RuntimeError::Unreachable("the engine does not answer".to_owned())),
            "tcp://192.0.2.7:2375" | "unix:///var/run/docker.sock" => Ok(RuntimeInfo {
                version: "28.5.1".to_owned(),
                engine_id: Some("own".to_owned()),
                ..Default::default()
            }),
            _ => Ok(RuntimeInfo {
                version: "27.0.0".to_owned(),
                engine_id: Some("other".to_owned()),
                ..Default::default()
            }),
        }
    }

    async fn local_image(&self, _: &Repository, _: &Tag) -> Result<Option<LocalImage>, RuntimeError> {
        nothing()
    }

    async fn pull(&self, _: &Rollout, _: &dyn Progress) -> Result<(), RuntimeError> {
        nothing()
    }

    async fn apply(&self, _: &Rollout, _: &dyn Progress) -> Result<Applied, RuntimeError> {
        nothing()
    }

    async fn finish(&self, _: &Rollout, _: &dyn Progress) -> Result<(), RuntimeError> {
        nothing()
    }

    async fn undo(&self, _: &Rollout, _: Option<&Rollout>, _: &dyn Progress) -> Result<(), RuntimeError> {
        nothing()
    }

    async fn stop(&self, _: &Target) -> Result<(), RuntimeError> {
        nothing()
    }

    async fn restart(&self, _: &Target) -> Result<(), RuntimeError> {
        nothing()
    }

    async fn remove(&self, _: &Target, _: Volumes) -> Result<(), RuntimeError> {
        nothing()
    }

    async fn instances(&self, _: &Target) -> Result<Vec<InstanceState>, RuntimeError> {
        nothing()
    }

    async fn logs(
        &self,
        _: &Target,
        _: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        nothing()
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        nothing()
    }
}
