//! An application on a database of its own: a file of SQLite, or a new database of the PostgreSQL server that
//! KIOPS_TEST_POSTGRES_URL names, unless KIOPS_TEST_DATABASE is sqlite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response, Variables};
use entity::{Db, Role};
use kiops::app::identity::sessions::{self, Login, Session};
use kiops::app::identity::users::{self, NewUser};
use kiops::app::identity::{Person, organizations};
use kiops::app::settings::{BuildProfile, Builds, LocalEngine, Settings};
use kiops::app::webhooks::Traffic;
use kiops::app::{Actor, App, Events};
use kiops::builder::{Builders, ClusterPlace};
use kiops::domain::paging::PageLimits;
use kiops::domain::secret::SecretString;
use kiops::git::GitProviders;
use kiops::graphql::guard::Caller;
use kiops::graphql::{Schemas, schemas};
use kiops::scanner::run::ToolRunner;
use kiops::vault::{Key, Keys, Vault};
use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, FromQueryResult as _, JsonValue, Statement};
use serde_json::Value;
use tempfile::TempDir;

use super::builds::{FakeBuilder, FakeBuilders, FakeSources};
use super::fakes::{FakeClock, FakeEngine, FakeIds, FakeRegistries, FakeRuntimes};
use super::git::{Clients, FakeGits};
use super::is_required;

/// Every account's password.
pub const PASSWORD: &str = "correct horse battery";

/// An application and the fakes behind it.
pub struct TestApp {
    /// The use cases.
    pub app: App,
    /// Its time.
    pub clock: Arc<FakeClock>,
    /// Its Git providers.
    pub gits: Arc<FakeGits>,
    /// Its registries.
    pub registries: Arc<FakeRegistries>,
    /// Its one engine.
    pub runtimes: Arc<FakeRuntimes>,
    /// Its projects' source code.
    pub sources: Arc<FakeSources>,
    /// The engine that builds.
    pub builder: Arc<FakeBuilder>,
    /// The API.
    pub schemas: Schemas,
    folder: TempDir,
}

impl TestApp {
    /// An empty one.
    pub async fn new() -> Self {
        Self::with(settings()).await
    }

    /// An empty one that is configured like this.
    pub async fn with(settings: Settings) -> Self {
        let fakes = Arc::new(FakeGits::default());
        Box::pin(Self::with_gits(settings, Arc::new(Clients(fakes.clone())), fakes)).await
    }

    /// An empty one that builds with these builders.
    pub async fn with_builders(settings: Settings, builders: Arc<dyn Builders>) -> Self {
        let fakes = Arc::new(FakeGits::default());
        let clients: Arc<dyn GitProviders> = Arc::new(Clients(fakes.clone()));
        Box::pin(Self::made(settings, (clients, fakes), (builders, Arc::default()))).await
    }

    /// An empty one with these Git providers; `gits` are the fakes, whether they are asked or not.
    pub async fn with_gits(settings: Settings, providers: Arc<dyn GitProviders>, gits: Arc<FakeGits>) -> Self {
        let builder = Arc::new(FakeBuilder::default());
        let builders: Arc<dyn Builders> = Arc::new(FakeBuilders(builder.clone()));
        Self::made(settings, (providers, gits), (builders, builder)).await
    }

    async fn made(
        settings: Settings,
        (providers, gits): (Arc<dyn GitProviders>, Arc<FakeGits>),
        (builders, builder): (Arc<dyn Builders>, Arc<FakeBuilder>),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = new_database(folder.path()).await;
        let db = Db::connect(&url, 4).await.unwrap();
        Migrator::up(db.read(), None).await.unwrap();
        let clock = Arc::new(FakeClock::default());
        let registries = Arc::new(FakeRegistries::default());
        let runtimes = Arc::new(FakeRuntimes::default());
        let sources = Arc::new(FakeSources::default());
        let app = App {
            db,
            vault: Arc::new(vault()),
            clock: clock.clone(),
            ids: Arc::new(FakeIds::default()),
            events: Events::default(),
            tails: Default::default(),
            gits: providers,
            registries: registries.clone(),
            runtimes: Arc::new(FakeEngine(runtimes.clone())),
            sources: sources.clone(),
            builders,
            scanners: Arc::new(ToolRunner::new(&folder.path().join("tools")).unwrap()),
            settings: Arc::new(settings),
            traffic: Traffic::default(),
        };
        let schemas = schemas(Some(app.clone()));
        Self { app, clock, gits, registries, runtimes, sources, builder, schemas, folder }
    }

    /// Where SQLite's files are; empty on PostgreSQL.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Every row of every table, as text.
    pub async fn rows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let db = self.app.db.read();
        let tables = match self.app.db.is_postgres() {
            true => "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'",
            false => "SELECT name FROM sqlite_master WHERE type = 'table'",
        };
        let ask = |sql: String| JsonValue::find_by_statement(Statement::from_string(db.get_database_backend(), sql));
        let mut all = BTreeMap::new();
        for table in ask(tables.to_owned()).all(db).await.unwrap() {
            let name = table["name"].as_str().unwrap().to_owned();
            let rows = ask(format!("SELECT * FROM \"{name}\"")).all(db).await.unwrap();
            all.insert(name, rows.iter().map(Value::to_string).collect());
        }
        assert!(all.len() > 15, "{:?}", all.keys());
        all
    }

    /// A new organization; its admin is `admin@SLUG.example`.
    pub async fn organization(&self, slug: &str) -> Actor {
        let email = format!("admin@{slug}.example");
        organizations::create(&self.app, slug, slug, &email, &password()).await.unwrap();
        self.login(&email, Some(slug)).await.unwrap().actor
    }

    /// Somebody new in the admin's organization.
    pub async fn user(&self, admin: &Actor, email: &str, role: Role) -> Person {
        let new = NewUser { email: email.to_owned(), name: "Somebody".to_owned(), password: password(), role };
        users::create(&self.app, admin, new).await.unwrap()
    }

    /// A new member of the admin's organization, logged in.
    pub async fn member(&self, admin: &Actor, email: &str) -> Actor {
        self.user(admin, email, Role::Member).await;
        self.login(email, None).await.unwrap().actor
    }

    /// Logs in with [`PASSWORD`].
    pub async fn login(&self, email: &str, organization: Option<&str>) -> kiops::app::Result<Session> {
        self.login_as(email, PASSWORD, organization, "192.0.2.1").await
    }

    /// Logs in.
    pub async fn login_as(
        &self,
        email: &str,
        password: &str,
        organization: Option<&str>,
        address: &str,
    ) -> kiops::app::Result<Session> {
        let login = Login {
            email: email.to_owned(),
            password: SecretString::from(password),
            organization: organization.map(str::to_owned),
            address: Some(address.to_owned()),
        };
        sessions::login(&self.app, login).await
    }

    /// Runs a document as this caller.
    pub async fn run(&self, actor: Option<&Actor>, document: &str, variables: Value) -> Response {
        let request = Request::new(document).variables(Variables::from_json(variables));
        Box::pin(self.schemas.execute(request, caller(actor))).await
    }

    /// Runs a document that must succeed, and gives its data.
    pub async fn data(&self, actor: &Actor, document: &str, variables: Value) -> Value {
        let response = self.run(Some(actor), document, variables).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response.data.into_json().unwrap()
    }
}

/// The caller of a request.
pub fn caller(actor: Option<&Actor>) -> Caller {
    Caller { actor: actor.cloned(), address: Some("192.0.2.1".to_owned()) }
}

/// The code of the first error.
pub fn code(response: &Response) -> Option<String> {
    let extensions = response.errors.first()?.extensions.as_ref()?;
    match extensions.get("code")? {
        async_graphql::Value::String(code) => Some(code.clone()),
        _ => None,
    }
}

/// Every account's password.
pub fn password() -> SecretString {
    SecretString::from(PASSWORD)
}

fn vault() -> Vault {
    Vault::open(Keys::new(Key::new([7; 32]), Vec::new()))
}

/// What the configuration says.
pub fn settings() -> Settings {
    Settings {
        session_ttl: Duration::from_secs(24 * 3600),
        login_attempts_per_minute: 10,
        bootstrap_organization: "default".to_owned(),
        local_engine: LocalEngine::Bootstrap,
        mutation_timeout: Duration::from_secs(60),
        deploy_timeout: Duration::from_secs(600),
        job_lease: Duration::from_secs(30),
        keep_revisions: 20,
        pages: PageLimits { default: 20, max: 100 },
        log_page_max: 1000,
        log_max_bytes: 64 << 20,
        log_retention: Duration::from_secs(30 * 86_400),
        audit_retention: None,
        public_url: "http://127.0.0.1:8080".to_owned(),
        query_complexity: 5000,
        version: "0.0.0".to_owned(),
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
        build_profiles: vec![BuildProfile {
            name: "medium".to_owned(),
            cpu: 2.0,
            memory: "4Gi".to_owned(),
            is_default: true,
        }],
        scanners: Vec::new(),
        tools_at_once: 2,
    }
}

/// Whether new databases are PostgreSQL's.
#[expect(clippy::disallowed_methods, reason = "where the tests' server is, is said by the environment")]
pub fn is_postgres() -> bool {
    let only_sqlite = std::env::var("KIOPS_TEST_DATABASE").is_ok_and(|name| name == "sqlite");
    !only_sqlite && std::env::var("KIOPS_TEST_POSTGRES_URL").is_ok()
}

/// A new database without tables, by its URL: of the PostgreSQL server that KIOPS_TEST_POSTGRES_URL names, unless
/// KIOPS_TEST_DATABASE is sqlite; else a file of SQLite in the folder.
///
/// # Panics
/// When KIOPS_TEST_REQUIRE lists postgres, and there is none.
#[expect(clippy::disallowed_methods, reason = "where the tests' server is, is said by the environment")]
pub async fn new_database(folder: &Path) -> String {
    let only_sqlite = std::env::var("KIOPS_TEST_DATABASE").is_ok_and(|name| name == "sqlite");
    match std::env::var("KIOPS_TEST_POSTGRES_URL") {
        Ok(server) if !only_sqlite => new_postgres(&server).await,
        _ => {
            assert!(
                only_sqlite || !is_required("postgres"),
                "KIOPS_TEST_REQUIRE lists postgres, and KIOPS_TEST_POSTGRES_URL is not set"
            );
            format!("sqlite://{}", folder.join("kiops.db").display())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "test runs must not meet on the same server")]
async fn new_postgres(server: &str) -> String {
    let name = format!("{DATABASES}{}_{}", std::process::id(), uuid::Uuid::now_v7().simple());
    let admin = Database::connect(server).await.unwrap();
    // Nobody else has that server, and its tests have the same numbers of processes as this one.
    if std::env::var("KIOPS_SERVICES").is_ok_and(|whose| whose == "own") {
        drop_left(&admin).await;
    }
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let mut url = url::Url::parse(server).unwrap();
    url.set_path(&name);
    url.into()
}

/// What the names of tests' databases begin with. The number of the process that made it comes next.
const DATABASES: &str = "kiops_test_";

/// Drops the databases of processes that have ended: all tests' together are gigabytes.
async fn drop_left(admin: &DatabaseConnection) {
    let all = format!("SELECT datname::text AS name FROM pg_database WHERE datname LIKE '{DATABASES}%'");
    let all = admin.query_all_raw(Statement::from_string(admin.get_database_backend(), all)).await.unwrap();
    for name in all.iter().map(|row| row.try_get::<String>("", "name").unwrap()) {
        let process = name[DATABASES.len()..].split('_').next().unwrap();
        if !Path::new("/proc").join(process).exists() {
            // Somebody else may be about it, too.
            let _ = admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}
