//! One suite for all runtimes: the same services, deployed to each, hold the same assertions.
#![expect(clippy::unwrap_used, reason = "tests")]

mod docker;
pub mod kubernetes;
mod suite;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use kiops::domain::image::{Repository, Tag};
use kiops::domain::secret::SecretString;
use kiops::domain::spec::{ContainerSpec, EnvValue, HealthCheck, Resources, Spec, Strategy, Target, VolumeSpec};
use kiops::runtime::{Applied, Progress, Rollout, Runtime};

/// The secrets that rollouts of the suite know, by their rows.
pub const SECRETS: [(&str, &str); 2] = [("row-1", "s3cret-one"), ("row-2", "s3cret-two")];

/// Where services are deployed to, and what can be seen there past the runtime.
#[async_trait]
pub trait Place: Send + Sync {
    fn runtime(&self) -> &dyn Runtime;
    fn target(&self) -> &Target;
    /// How long a rollout may take.
    fn deadline(&self) -> Duration;
    /// A container of an image that serves HTTP on port 80; with the variable `FAIL=1` it prints `broken` and its
    /// variable `TOKEN`, and exits with 7.
    fn image(&self) -> (Repository, Tag);
    /// What the image has to be told to be like that.
    fn command(&self) -> Option<Vec<String>> {
        None
    }
    /// What tells the container that serves now from its successor.
    async fn identity(&self, container: &str) -> String;
    /// A variable as the container's process has it.
    async fn variable(&self, container: &str, name: &str) -> Option<String>;
    /// Whether a container gets an answer from another one by its name.
    async fn reaches(&self, from: &str, to: &str) -> bool;
    /// Whether a container can be reached from outside.
    async fn is_published(&self, container: &str) -> bool;
    /// Leaves a text in a container's volume.
    async fn write(&self, container: &str, mount_path: &str, text: &str);
    /// The text that lies there.
    async fn read(&self, container: &str, mount_path: &str) -> Option<String>;
    /// Has the container print a line.
    async fn print(&self, container: &str, line: &str);
    /// Whether nothing of the environment is left, volumes and all.
    async fn is_empty(&self) -> bool;
    /// How many volumes are there.
    async fn volumes(&self) -> usize;
}

/// Keeps the lines of a rollout.
#[derive(Default)]
pub struct Lines(pub Mutex<Vec<String>>);

#[async_trait]
impl Progress for Lines {
    async fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// A container that serves.
pub fn web(place: &dyn Place, name: &str, text: &str) -> ContainerSpec {
    let (repository, tag) = place.image();
    ContainerSpec {
        name: name.into(),
        repository,
        tag,
        digest: None,
        image_id: None,
        port: Some(80),
        host_port: None,
        env: BTreeMap::from([("TEXT".to_owned(), plain(text))]),
        volumes: Vec::new(),
        ingress_path: None,
        is_internal: true,
        health: Some(HealthCheck {
            path: Some("/".into()),
            interval_seconds: 1,
            timeout_seconds: 2,
            retries: 3,
            start_seconds: 0,
        }),
        command: place.command(),
        resources: Resources {
            memory_limit: Some("64Mi".into()),
            cpu_limit: Some("500m".into()),
            ..Default::default()
        },
        restricted: false,
    }
}

/// The same with a volume.
pub fn db(place: &dyn Place, name: &str, text: &str) -> ContainerSpec {
    let volumes = vec![VolumeSpec { mount_path: "/data".into(), size: "1Gi".into() }];
    ContainerSpec { volumes, ..web(place, name, text) }
}

/// A readable value.
pub fn plain(text: &str) -> EnvValue {
    EnvValue::Plain(text.to_owned())
}

/// A revision of these containers.
pub fn rollout(place: &dyn Place, revision: i32, containers: Vec<ContainerSpec>) -> Rollout {
    let secret = |(row, value): (&str, &str)| (row.to_owned(), SecretString::from(value.to_owned()));
    Rollout {
        spec: Spec {
            target: place.target().clone(),
            containers,
            strategy: Strategy::default(),
            cluster: place.target().namespace.starts_with("k8s-").then(Default::default),
        },
        revision,
        secrets: SECRETS.map(secret).into(),
        logins: BTreeMap::new(),
        deadline: place.deadline(),
    }
}

/// Brings a revision up and finishes it.
pub async fn deploy(place: &dyn Place, rollout: &Rollout) -> Applied {
    let lines = Lines::default();
    place.runtime().pull(rollout, &lines).await.unwrap();
    let applied = place.runtime().apply(rollout, &lines).await;
    let applied = applied.unwrap_or_else(|why| panic!("{why}\n{:#?}", lines.0.lock().unwrap()));
    place.runtime().finish(rollout, &lines).await.unwrap();
    applied
}

/// Tests of the suite at a place: `None` where there is none.
macro_rules! holds {
    ($place:expr => $($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let Some(place) = $place(stringify!($name)) else { return };
            super::suite::$name(&place).await;
            super::suite::end(&place).await;
        }
    )*};
}
pub(crate) use holds;
