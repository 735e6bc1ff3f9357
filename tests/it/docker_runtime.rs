//! Rollouts on a real Docker engine.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use kiops::domain::image::{Repository, Tag};
use kiops::domain::secret::SecretString;
use kiops::domain::spec::{ContainerSpec, EnvValue, HealthCheck, Resources, Spec, Strategy, Target, VolumeSpec};
use kiops::runtime::docker::DockerRuntime;
use kiops::runtime::{DockerConnection, LogQuery, Progress, Rollout, Runtime, RuntimeError, Volumes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::engine;

const WEB: &str = r#"STOPSIGNAL SIGKILL
COPY busybox /www/busybox
CMD ["/bin/sh", "-c", "busybox echo $TEXT > /www/index.html; busybox echo listening; exec busybox httpd -f -p 80 -h /www"]"#;

/// Keeps the lines of a rollout.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Progress for Lines {
    async fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// An environment of its own on the shared engine.
struct Place {
    host: String,
    runtime: DockerRuntime,
    target: Target,
}

impl Place {
    fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let host = engine::docker(test)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let target = Target {
            organization_id: "org".into(),
            service_id: format!("svc-{id}"),
            service: "shop".into(),
            environment_id: format!("env-{id}"),
            environment: "production".into(),
            namespace: "shop".into(),
        };
        let runtime = DockerRuntime::connect(&DockerConnection { host: host.clone(), tls: None }).unwrap();
        engine::build(&host, "kiops-test/web:1", WEB);
        Some(Self { host, runtime, target })
    }

    fn rollout(&self, revision: i32, containers: Vec<ContainerSpec>) -> Rollout {
        Rollout {
            spec: Spec { target: self.target.clone(), containers, strategy: Strategy::default(), cluster: None },
            revision,
            secrets: BTreeMap::from([("row-1".to_owned(), SecretString::from("s3cret-value".to_owned()))]),
            logins: BTreeMap::new(),
            deadline: Duration::from_secs(60),
        }
    }

    async fn deploy(&self, rollout: &Rollout) -> kiops::runtime::Applied {
        let lines = Lines::default();
        self.runtime.pull(rollout, &lines).await.unwrap();
        let applied = self.runtime.apply(rollout, &lines).await.unwrap();
        self.runtime.finish(rollout, &lines).await.unwrap();
        applied
    }

    fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker").args(["--host", &self.host]).args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Names (or other things) of what has this environment's label.
    fn list(&self, what: &[&str]) -> Vec<String> {
        let filter = format!("label=kiops.dev/environment={}", self.target.environment_id);
        self.docker(&[what, &["--filter", &filter]].concat()).lines().map(str::to_owned).collect()
    }

    fn containers(&self) -> BTreeMap<String, String> {
        let lines = self.list(&["ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}}"]);
        lines.iter().filter_map(|l| l.split_once(' ')).map(|(n, i)| (n.to_owned(), i.to_owned())).collect()
    }

    fn id_of(&self, name: &str) -> String {
        let part = format!("-{name}-");
        self.containers().into_iter().find(|(n, _)| n.contains(&part) && !n.contains('.')).unwrap().1
    }

    async fn end(self) {
        self.runtime.remove(&self.target, Volumes::Delete).await.unwrap();
        assert!(self.containers().is_empty());
        assert!(self.list(&["network", "ls", "--quiet"]).is_empty());
        assert!(self.list(&["volume", "ls", "--quiet"]).is_empty());
        // Nothing left is no error.
        self.runtime.remove(&self.target, Volumes::Delete).await.unwrap();
    }
}

fn web(name: &str, text: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        repository: Repository::parse("kiops-test/web").unwrap(),
        tag: Tag::parse("1").unwrap(),
        digest: None,
        image_id: None,
        port: Some(80),
        host_port: None,
        env: BTreeMap::from([("TEXT".to_owned(), EnvValue::Plain(text.to_owned()))]),
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
        command: None,
        resources: Resources {
            memory_limit: Some("64Mi".into()),
            cpu_limit: Some("500m".into()),
            ..Default::default()
        },
        restricted: false,
    }
}

fn shell(script: &str) -> Option<Vec<String>> {
    Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
}

async fn get(port: u16) -> Result<String, std::io::Error> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_containers_reach_each_other_and_unchanged_ones_stay() {
    let Some(place) = Place::new("two_containers_reach_each_other_and_unchanged_ones_stay") else { return };
    let mut front = web("web", "front");
    front.is_internal = false;
    let applied = place.deploy(&place.rollout(1, vec![front.clone(), web("db", "data")])).await;
    let port = applied.host_ports["web"];
    assert_eq!(applied.host_ports.len(), 1);
    assert_eq!(get(port).await.unwrap(), "front");
    let web_id = place.id_of("web");
    assert_eq!(place.docker(&["exec", &web_id, "/bin/busybox", "wget", "-qO-", "http://db/"]), "data");
    let db = place.id_of("db");

    front.host_port = Some(port);
    front.env.insert("TEXT".into(), EnvValue::Plain("second".into()));
    let applied = place.deploy(&place.rollout(2, vec![front.clone(), web("db", "data")])).await;
    assert_eq!(applied.host_ports["web"], port);
    assert_eq!(get(port).await.unwrap(), "second");
    assert_eq!(place.id_of("db"), db);
    assert_ne!(place.id_of("web"), web_id);
    assert_eq!(place.containers().len(), 2);

    // The same once more changes nothing; a container that is not wanted any more goes.
    let again = place.id_of("web");
    place.deploy(&place.rollout(3, vec![front])).await;
    assert_eq!(place.id_of("web"), again);
    assert_eq!(place.containers().len(), 1);
    let states = place.runtime.instances(&place.target).await.unwrap();
    assert!(states[0].ready && states[0].endpoints == [format!("localhost:{port}")], "{states:?}");
    place.runtime.stop(&place.target).await.unwrap();
    assert!(!place.runtime.instances(&place.target).await.unwrap()[0].ready);
    place.runtime.restart(&place.target).await.unwrap();
    assert_eq!(place.id_of("web"), again);
    assert!(place.runtime.instances(&place.target).await.unwrap()[0].ready);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_candidate_leaves_the_old_one_answering() {
    let Some(place) = Place::new("a_failing_candidate_leaves_the_old_one_answering") else { return };
    let mut front = web("web", "good");
    front.is_internal = false;
    let good = place.rollout(1, vec![front.clone()]);
    let port = place.deploy(&good).await.host_ports["web"];
    front.host_port = Some(port);
    front.env.insert("TOKEN".into(), EnvValue::Secret("row-1".into()));
    let id = place.id_of("web");

    let polling = Arc::new(AtomicBool::new(true));
    let goes_on = Arc::clone(&polling);
    let polls = tokio::spawn(async move {
        let mut count = 0;
        while goes_on.load(Ordering::Relaxed) {
            assert_eq!(get(port).await.unwrap(), "good");
            count += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        count
    });
    let scripts = [
        ("busybox echo broken $TOKEN; exit 7", "exited with code 7"),
        ("exec busybox sleep 60", "did not become healthy"),
    ];
    for (revision, (script, expected)) in (2..).zip(scripts) {
        front.command = shell(script);
        let bad = place.rollout(revision, vec![front.clone()]);
        let failure = place.runtime.apply(&bad, &Lines::default()).await.unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, RuntimeError::Failed(_)) && text.contains(expected), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
        place.runtime.undo(&bad, Some(&good), &Lines::default()).await.unwrap();
        assert_eq!(place.containers().len(), 1);
        assert_eq!(place.id_of("web"), id);
    }
    polling.store(false, Ordering::Relaxed);
    assert!(polls.await.unwrap() > 10);

    // A secret without a value is an error, and nothing is touched.
    front.env.insert("OTHER".into(), EnvValue::Secret("row-2".into()));
    let bad = place.rollout(9, vec![front]);
    assert!(place.runtime.apply(&bad, &Lines::default()).await.unwrap_err().to_string().contains("OTHER"));
    place.runtime.undo(&bad, Some(&good), &Lines::default()).await.unwrap();
    assert_eq!(place.id_of("web"), id);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_survive_and_their_old_container_comes_back() {
    let Some(place) = Place::new("volumes_survive_and_their_old_container_comes_back") else { return };
    let mut db = web("db", "one");
    db.volumes = vec![VolumeSpec { mount_path: "/data".into(), size: "1Gi".into() }];
    let good = place.rollout(1, vec![db.clone()]);
    place.deploy(&good).await;
    let id = place.id_of("db");
    place.docker(&["exec", &id, "/bin/sh", "-c", "busybox echo kept > /data/file"]);

    let mut broken = db.clone();
    broken.command = shell("exit 3");
    let bad = place.rollout(2, vec![broken]);
    assert!(place.runtime.apply(&bad, &Lines::default()).await.is_err());
    // It runs again without waiting for the undo.
    assert_eq!(place.docker(&["inspect", "--format", "{{.State.Running}}", &id]), "true");
    place.runtime.undo(&bad, Some(&good), &Lines::default()).await.unwrap();
    assert_eq!(place.id_of("db"), id);

    db.env.insert("TEXT".into(), EnvValue::Plain("two".into()));
    let next = place.rollout(3, vec![db.clone()]);
    place.runtime.apply(&next, &Lines::default()).await.unwrap();
    assert_eq!(place.containers().len(), 2);
    // An undo after the whole apply still has everything that it needs.
    place.runtime.undo(&next, Some(&good), &Lines::default()).await.unwrap();
    assert_eq!(place.id_of("db"), id);
    place.deploy(&next).await;
    let new = place.id_of("db");
    assert_ne!(new, id);
    assert_eq!(place.docker(&["exec", &new, "/bin/busybox", "cat", "/data/file"]), "kept");
    place.runtime.remove(&place.target, Volumes::Keep).await.unwrap();
    assert_eq!(place.list(&["volume", "ls", "--quiet"]).len(), 1);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_becomes_another_one_that_is_kept() {
    let Some(place) = Place::new("a_taken_port_becomes_another_one_that_is_kept") else { return };
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let mut front = web("web", "here");
    front.is_internal = false;
    front.port = Some(number);
    front.command = shell(&format!("busybox echo $TEXT > /www/index.html; exec busybox httpd -f -p {number} -h /www"));
    let applied = place.deploy(&place.rollout(1, vec![front.clone()])).await;
    let port = applied.host_ports["web"];
    assert_ne!(port, number);
    assert_eq!(applied.warnings.len(), 1);
    drop(taken);
    assert_eq!(get(port).await.unwrap(), "here");
    front.env.insert("TEXT".into(), EnvValue::Plain("there".into()));
    assert_eq!(place.deploy(&place.rollout(2, vec![front.clone()])).await.host_ports["web"], port);
    assert_eq!(get(port).await.unwrap(), "there");

    // A kept port that somebody took meanwhile is explained.
    place.runtime.remove(&place.target, Volumes::Delete).await.unwrap();
    let _taken = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    front.host_port = Some(port);
    let bad = place.rollout(3, vec![front]);
    let failure = place.runtime.apply(&bad, &Lines::default()).await.unwrap_err();
    assert!(failure.to_string().contains(&format!("port {port}")), "{failure}");
    place.runtime.undo(&bad, None, &Lines::default()).await.unwrap();
    assert!(place.list(&["network", "ls", "--quiet"]).is_empty());
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_containers_change_without_a_gap() {
    let Some(place) = Place::new("internal_containers_change_without_a_gap") else { return };
    let asker = {
        let mut asker = web("asker", "x");
        asker.health = None;
        asker.port = None;
        // This wget has no time limit of its own.
        asker.command = shell(
            "while true; do busybox timeout 2 busybox wget -qO- http://api/ || busybox echo GAP; \
             busybox usleep 50000; done",
        );
        asker
    };
    place.deploy(&place.rollout(1, vec![web("api", "one"), asker.clone()])).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    place.deploy(&place.rollout(2, vec![web("api", "two"), asker])).await;
    let settled = |printed: &str| {
        let last: Vec<_> = printed.lines().rev().take(10).collect();
        last.len() == 10 && last.iter().all(|line| *line == "two")
    };
    let mut printed = String::new();
    // On a busy machine ten answers take longer than they should.
    for _ in 0..60 {
        printed = place.docker(&["logs", &place.id_of("asker")]);
        if settled(&printed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(settled(&printed) && printed.contains("one"), "{printed}");
    // The asker may begin before the network knows its name. While the old one ends, the engine still tells its address
    // for a moment: who takes it then is refused, or hears nothing. A change that stops before it starts has ten or more.
    let gaps = printed.lines().skip_while(|line| *line != "one").filter(|line| *line == "GAP").count();
    assert!(gaps <= 3, "{gaps} gaps: {printed}");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_follow_restarts_and_events_tell() {
    let Some(place) = Place::new("logs_follow_restarts_and_events_tell") else { return };
    let mut events = place.runtime.events().await.unwrap();
    let wanted = place.target.environment_id.clone();
    let told = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if event.unwrap().environment_id == wanted {
                return true;
            }
        }
        false
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut one = web("one", "x");
    one.command = shell(
        "busybox echo out; busybox echo err >&2; busybox printf '\\033[31mred\\n'; exec busybox httpd -f -p 80 -h /www",
    );
    one.health = None;
    place.deploy(&place.rollout(1, vec![one.clone()])).await;
    assert!(tokio::time::timeout(Duration::from_secs(10), told).await.unwrap().unwrap());

    let query = LogQuery::default();
    let stored: Vec<_> = place.runtime.logs(&place.target, query).await.unwrap().map(Result::unwrap).collect().await;
    let texts: Vec<_> = stored.iter().map(|line| (line.text.as_str(), line.stderr)).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts.contains(&("err", true)) && texts.contains(&("red", false)));
    let last = LogQuery { tail: Some(1), ..Default::default() };
    assert_eq!(place.runtime.logs(&place.target, last).await.unwrap().count().await, 1);

    let query = LogQuery { follow: true, ..Default::default() };
    let mut lines = place.runtime.logs(&place.target, query).await.unwrap();
    let (runtime, target) = (place.runtime.clone(), place.target.clone());
    let restarted = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        runtime.restart(&target).await
    });
    let mut seen = Vec::new();
    // The order of standard output and error among each other is the engine's.
    while ["red", "err"].iter().any(|wanted| seen.iter().filter(|text| text == wanted).count() < 2) {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next()).await.unwrap().unwrap().unwrap();
        seen.push(line.text);
    }
    assert_eq!(seen.len(), 6, "no line comes twice: {seen:?}");
    restarted.await.unwrap().unwrap();
    // A new instance is followed too.
    one.command = shell("busybox echo successor; exec busybox httpd -f -p 80 -h /www");
    place.deploy(&place.rollout(2, vec![one])).await;
    loop {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next()).await.unwrap().unwrap().unwrap();
        if line.text == "successor" {
            break;
        }
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_a_warning_when_the_engine_has_the_image() {
    let Some(place) = Place::new("a_registry_that_does_not_answer") else { return };
    let mut front = web("web", "x");
    front.repository = Repository::parse("localhost:1/team/app").unwrap();
    front.digest = Some(kiops::domain::image::Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap());
    let rollout = place.rollout(1, vec![front.clone()]);
    // An earlier run on the same engine may have left it.
    place.docker(&["rmi", "localhost:1/team/app:1"]);
    let failure = place.runtime.pull(&rollout, &Lines::default()).await.unwrap_err();
    assert!(failure.to_string().contains("localhost:1"), "{failure}");
    assert!(!matches!(failure, RuntimeError::ImageRefused(_)));
    place.docker(&["tag", "kiops-test/web:1", "localhost:1/team/app:1"]);
    let lines = Lines::default();
    place.runtime.pull(&rollout, &lines).await.unwrap();
    assert!(lines.0.lock().unwrap().iter().any(|line| line.contains("cannot be reached")));
    assert!(place.runtime.local_image(&front.repository, &front.tag).await.unwrap().unwrap().digest.is_none());
    assert!(!place.runtime.check().await.unwrap().version.is_empty());
    place.end().await;
}
