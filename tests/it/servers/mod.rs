//! Several servers on one PostgreSQL: each with its own tasks, connections, ids, memory and disk, over one outside world.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod declared;
mod events;
mod kills;
mod once;
mod program;
mod world;

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Variables};
use entity::Db;
use futures_util::StreamExt as _;
use kiops::app::events::relay;
use kiops::app::identity::organizations;
use kiops::app::identity::sessions::{self, Login};
use kiops::app::settings::{Builds, Settings};
use kiops::app::webhooks::Traffic;
use kiops::app::{Actor, App, Events};
use kiops::boot::{RandomIds, SystemClock};
use kiops::domain::git::Provider;
use kiops::graphql::{Schemas, schemas};
use kiops::scanner::run::ToolRunner;
use kiops::vault::{Key, Keys, Vault};
use kiops::worker::{self, WorkerSettings};
use migration::{Migrator, MigratorTrait as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::app::{caller, new_database, password};
use crate::support::fakes::{FakeEngine, FakeRegistries, FakeRuntimes};
use crate::support::git::{Clients, FakeGits, GOOD_TOKEN};
use crate::support::shop::{shared_engine, text};
use crate::support::skip;
use world::{Outside, World};

/// How long a silent worker keeps its job here.
const LEASE: Duration = Duration::from_secs(3);

/// One database and what is outside of its servers.
struct Town {
    url: String,
    folder: TempDir,
    world: Arc<World>,
    gits: Arc<FakeGits>,
    registries: Arc<FakeRegistries>,
    runtimes: Arc<FakeRuntimes>,
}

/// One server: a runtime of its own, which can be ended at any moment with all that is on it.
struct Site {
    app: App,
    schemas: Schemas,
    stop: CancellationToken,
    tasks: TaskTracker,
    runtime: Option<Runtime>,
}

impl Town {
    /// An empty one for so many servers; none where there is no PostgreSQL.
    fn open(test: &str, servers: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_owned();
        let url = Runtime::new().unwrap().block_on(async {
            let url = new_database(&place).await;
            if !url.starts_with("sqlite:") {
                let db = Db::connect(&url, 2).await.unwrap();
                Migrator::up(db.read(), None).await.unwrap();
            }
            url
        });
        if url.starts_with("sqlite:") {
            skip(test, "postgres");
            return None;
        }
        Some(Self {
            url,
            folder,
            world: World::new(servers),
            gits: Arc::default(),
            registries: Arc::default(),
            runtimes: Arc::default(),
        })
    }

    /// A server that answers and does not work on jobs.
    fn site(&self, number: usize) -> Site {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .unwrap();
        let common = shared_engine(&["acme"]);
        let builds = Builds {
            work_dir: self.folder.path().join(format!("server-{number}")),
            at_once: 12,
            at_once_per_organization: 12,
            ..common.builds.clone()
        };
        let settings = Settings { job_lease: LEASE, builds, ..common };
        let db = runtime.block_on(Db::connect(&self.url, 10)).unwrap();
        let app = App {
            db,
            vault: Arc::new(Vault::open(Keys::new(Key::new([7; 32]), Vec::new()))),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            events: Events::default(),
            tails: Default::default(),
            gits: Arc::new(Clients(self.gits.clone())),
            registries: self.registries.clone(),
            runtimes: Arc::new(FakeEngine(self.runtimes.clone())),
            sources: Arc::new(Outside(self.world.clone())),
            builders: Arc::new(Outside(self.world.clone())),
            scanners: Arc::new(ToolRunner::new(&self.folder.path().join(format!("tools-{number}"))).unwrap()),
            settings: Arc::new(settings),
            traffic: Traffic::default(),
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        {
            let _inside = runtime.enter();
            relay::start(&app, &tasks, &stop);
        }
        let schemas = schemas(Some(app.clone()));
        Site { app, schemas, stop, tasks, runtime: Some(runtime) }
    }

    /// The same with workers.
    fn working(&self, number: usize) -> Site {
        let site = self.site(number);
        site.work();
        site
    }

    /// An organization with so many services of GitLab, `s0` and on; its admin and the services' node ids.
    fn settle(&self, site: &Site, services: usize) -> (Actor, Vec<String>) {
        for n in 0..services {
            self.gits.of(Provider::Gitlab).add(&format!("team/s{n}"), &["main"]);
        }
        let app = site.app.clone();
        let admin = site.run(async move {
            organizations::create(&app, "acme", "Acme", "admin@acme.example", &password()).await.unwrap();
            let login = Login {
                email: "admin@acme.example".to_owned(),
                password: password(),
                organization: None,
                address: Some("192.0.2.1".to_owned()),
            };
            sessions::login(&app, login).await.unwrap().actor
        });
        let input = json!({ "baseUrl": "https://gitlab.example", "token": GOOD_TOKEN });
        let save = "mutation($i: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $i) { gitSettings { id } } }";
        site.data(&admin, save, json!({ "i": input }));
        let input = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
        let register = "mutation($i: RegisterRuntimeInput!) { registerRuntime(input: $i) { runtime { id } } }";
        let runtime = site.data(&admin, register, json!({ "i": input }))["registerRuntime"]["runtime"]["id"].clone();
        let register = "mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }";
        let services = (0..services).map(|n| {
            let input = json!({
                "provider": "GITLAB", "project": format!("team/s{n}"), "branch": "main", "name": format!("s{n}"),
                "runtimeId": runtime, "containers": [{ "name": "web", "port": 80 }],
            });
            let made = site.data(&admin, register, json!({ "i": input }));
            text(&made["registerGitProject"]["service"]["id"])
        });
        let services = services.collect();
        (admin, services)
    }
}

impl Site {
    fn work(&self) {
        let settings =
            WorkerSettings { workers: 4, poll: Duration::from_millis(200), check_every: Duration::from_secs(30) };
        let _inside = self.runtime.as_ref().unwrap().enter();
        worker::start(&self.app, &settings, &self.tasks, &self.stop);
    }

    /// Works on the server's own threads, and waits for it.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (give, take) = std::sync::mpsc::channel();
        self.spawn(async move {
            let _nobody = give.send(work.await);
        });
        take.recv().expect("the work ended")
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.as_ref().unwrap().spawn(work));
    }

    /// Runs a document that must succeed, and gives its data.
    fn data(&self, actor: &Actor, document: &str, variables: Value) -> Value {
        let request = Request::new(document).variables(Variables::from_json(variables));
        let (schemas, caller) = (self.schemas.clone(), caller(Some(actor)));
        let answer = self.run(async move { schemas.execute(request, caller).await });
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        answer.data.into_json().unwrap()
    }

    /// Follows a subscription on the server's own threads; each answer goes to `take`, for as long as it says true.
    fn subscribe(
        &self,
        actor: &Actor,
        document: &str,
        variables: Value,
        mut take: impl FnMut(Result<Value, String>) -> bool + Send + 'static,
    ) {
        let request = Request::new(document).variables(Variables::from_json(variables));
        let mut answers = self.schemas.execute_stream(request, caller(Some(actor)));
        self.spawn(async move {
            while let Some(answer) = answers.next().await {
                let answer = match answer.errors.first() {
                    Some(error) => Err(error.message.clone()),
                    None => Ok(answer.data.into_json().unwrap()),
                };
                if !take(answer) {
                    return;
                }
            }
        });
    }

    /// Ends it as a power cut would: nothing of it goes on, and nothing is given back.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Ends it in order.
    fn stop(mut self) {
        self.stop.cancel();
        self.tasks.close();
        let tasks = self.tasks.clone();
        self.run(async move { tokio::time::timeout(Duration::from_secs(12), tasks.wait()).await.unwrap() });
        self.kill();
    }
}

/// A runtime must not be waited for where its test has failed.
impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
