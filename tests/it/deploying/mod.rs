//! Deployments from end to end: the real server program, a real engine, real containers.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod builds;
mod changes;
mod crashes;
mod failures;
mod logs;
mod moving;
mod registries;
mod statuses;
mod tls;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::support::engine;
use crate::support::server::{Server, talk, until};

/// Nobody answers at that registry: what the engine holds is what runs.
const WEB: &str = "127.0.0.1:1/kiops-e2e/web";

/// Serves a page that says which image it is and what it was told, and one that it fetches from its neighbour.
const PAGE: &str = r#"STOPSIGNAL SIGKILL
CMD ["/bin/sh", "-c", "busybox mkdir -p /www/cgi-bin; cd /www; busybox echo \"v$VERSION $TEXT $TOKEN\" > index.html; busybox echo well > health; busybox printf '#!/bin/sh\\nbusybox echo Content-Type: text/plain\\nbusybox echo\\nbusybox wget -qO- http://db:$DB/\\n' > cgi-bin/db; busybox chmod +x cgi-bin/db; busybox echo listening on $PORT; exec busybox httpd -f -p $PORT -h /www"]
COPY busybox /www/busybox"#;

/// What is asked of a deployment.
const DEPLOYMENT: &str = "id revision status message warnings images trigger";

/// A service on an engine, and the server that looks after it.
struct Shop {
    server: Server,
    host: String,
    name: String,
    runtime: String,
    service: String,
    port: u16,
}

impl Shop {
    /// A server that knows the engine; none when there is no engine.
    fn open(test: &str) -> Option<Self> {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        static IMAGES: OnceLock<()> = OnceLock::new();
        let host = engine::docker(test)?;
        IMAGES.get_or_init(|| images(&host));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let server = Server::start();
        let register = "mutation($host: String!) {
            registerRuntime(input: {name: \"local\", docker: {host: $host}}) { runtime { id } } }";
        let data = server.data(register, json!({ "host": host }));
        let runtime = text(&data["registerRuntime"]["runtime"]["id"]);
        Some(Self {
            server,
            host,
            name: format!("shop-{}-{number}", std::process::id()),
            runtime,
            service: String::new(),
            port: free_port(number),
        })
    }

    /// A container of one of the test's images, published on a port that no other test has.
    fn web(&self, tag: &str) -> Value {
        json!({
            "name": "web", "image": WEB, "tag": tag, "port": self.port, "healthCheck": health("/health"),
            "env": [
                { "name": "PORT", "value": self.port.to_string() },
                { "name": "DB", "value": "8080" },
                { "name": "TEXT", "value": "hello" },
            ],
        })
    }

    /// Registers the service.
    fn register(&mut self, containers: &[Value], more: Value) {
        let register = "mutation($input: RegisterDockerHubServiceInput!) {
            registerDockerHubService(input: $input) { service { id status } } }";
        let mut input = json!({ "name": self.name, "runtimeId": self.runtime, "containers": containers });
        input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let data = self.server.data(register, json!({ "input": input }));
        let service = &data["registerDockerHubService"]["service"];
        assert_eq!(service["status"], "REGISTERED");
        self.service = text(&service["id"]);
    }

    /// Changes the service's definition.
    fn update(&self, change: Value) {
        let update = "mutation($input: UpdateServiceInput!) { updateService(input: $input) { service { id } } }";
        let mut input = json!({ "id": self.service });
        input.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
        self.server.data(update, json!({ "input": input }));
    }

    /// Queues a deployment and gives its id.
    fn queue(&self, tag: Option<&str>) -> String {
        let answer = self.try_deploy(tag, None);
        let id = &answer["data"]["deployService"]["deployment"]["id"];
        assert!(id.is_string(), "{answer:#}");
        text(id)
    }

    /// Asks for a deployment, and gives the whole response.
    fn try_deploy(&self, tag: Option<&str>, hash: Option<&str>) -> Value {
        let deploy = "mutation($input: DeployServiceInput!) { deployService(input: $input) { deployment { id } } }";
        let input = json!({ "serviceId": self.service, "tags": tags(tag), "planHash": hash });
        self.server.ask(deploy, json!({ "input": input }))
    }

    /// What a deployment would change.
    fn preview(&self, tag: Option<&str>) -> Value {
        let preview = "query($input: DeployServiceInput!) {
            deploymentPreview(input: $input) { planHash diff manifest downtime downtimeReasons warnings } }";
        let input = json!({ "serviceId": self.service, "tags": tags(tag) });
        self.server.data(preview, json!({ "input": input }))["deploymentPreview"].take()
    }

    /// Goes back, and gives the rollback's end.
    fn roll_back(&self, revision: Option<i32>) -> Value {
        let back = "mutation($input: RollbackServiceInput!) { rollbackService(input: $input) { deployment { id } } }";
        let input = json!({ "serviceId": self.service, "revision": revision });
        let data = self.server.data(back, json!({ "input": input }));
        self.ended(&text(&data["rollbackService"]["deployment"]["id"]))
    }

    /// Deploys and gives the deployment's end.
    fn deploy(&self, tag: Option<&str>) -> Value {
        self.ended(&self.queue(tag))
    }

    /// Deploys; it must succeed.
    fn deploy_well(&self, tag: Option<&str>) -> Value {
        let ended = self.deploy(tag);
        assert_eq!(ended["status"], "SUCCEEDED", "{ended:#}");
        ended
    }

    /// The deployment once it has ended.
    fn ended(&self, id: &str) -> Value {
        until("the deployment's end", 60, || {
            let found = self.deployment(id);
            let waits = ["QUEUED", "RUNNING"].iter().any(|s| found["status"] == *s);
            (!waits).then_some(found)
        })
    }

    /// A deployment as it is now.
    fn deployment(&self, id: &str) -> Value {
        let one = format!("query($id: ID!) {{ node(id: $id) {{ ... on Deployment {{ {DEPLOYMENT} }} }} }}");
        self.server.data(&one, json!({ "id": id }))["node"].take()
    }

    /// The lines of a deployment's log.
    fn lines(&self, id: &str) -> Vec<String> {
        let log =
            "query($id: ID!) { node(id: $id) { ... on Deployment { log(first: 500) { edges { node { text } } } } } }";
        let data = self.server.data(log, json!({ "id": id }));
        data["node"]["log"]["edges"].as_array().unwrap().iter().map(|edge| text(&edge["node"]["text"])).collect()
    }

    /// The service's state, and its environments'.
    fn state(&self) -> Value {
        let state = "query($id: ID!) { service(id: $id) { status statusMessage environments {
            status statusMessage currentDeployment { revision } endpoints { container url isInternal }
            instances { name container state ready } } } }";
        self.server.data(state, json!({ "id": self.service }))["service"].take()
    }

    /// Waits for a status.
    fn becomes(&self, status: &str, seconds: u64) -> Value {
        until(status, seconds, || Some(self.state()).filter(|state| state["status"] == status))
    }

    /// Waits until the service that is being removed is gone.
    fn is_gone(&self) {
        let status = "query($id: ID!) { service(id: $id) { status } }";
        until("the service's end", 30, || {
            let service = self.server.data(status, json!({ "id": self.service }))["service"].take();
            assert!(service.is_null() || service["status"] == "REMOVING", "{service:#}");
            service.is_null().then_some(())
        });
    }

    /// The page at its published port.
    fn page(&self) -> Option<String> {
        get(self.port, "/")
    }

    /// Runs the docker program.
    fn docker(&self, args: &[&str]) -> String {
        docker(&self.host, args)
    }

    /// The service's containers on the engine, running or not: their ids by their names in the service. A candidate
    /// or a replaced one has that behind a dot.
    fn containers(&self) -> BTreeMap<String, String> {
        let format = "{{.Names}} {{.Label \"kiops.dev/container\"}} {{.ID}}";
        let listed = self.docker(&["ps", "--all", "--no-trunc", "--filter", &self.filter(), "--format", format]);
        let read = |line: &str| {
            let mut words = line.split(' ');
            let (name, container, id) = (words.next()?, words.next()?, words.next()?);
            let role = name.rsplit_once('.').map(|(_, role)| format!(".{role}")).unwrap_or_default();
            Some((format!("{container}{role}"), id.to_owned()))
        };
        listed.lines().filter_map(read).collect()
    }

    fn filter(&self) -> String {
        format!("name={}-", self.name)
    }

    /// Things of the service on the engine: `network` or `volume`.
    fn list(&self, what: &str) -> Vec<String> {
        let listed = self.docker(&[what, "ls", "--quiet", "--filter", &self.filter()]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Removes the service, waits until it is gone, and ends the server.
    fn close(self) {
        let remove = "mutation($id: ID!) { removeService(input: {id: $id, deleteVolumes: true}) { id } }";
        self.server.data(remove, json!({ "id": self.service }));
        self.is_gone();
        assert!(self.containers().is_empty());
        assert!(self.list("network").is_empty());
        assert!(self.list("volume").is_empty());
        self.end();
    }

    /// Ends the server as an operator would.
    fn end(mut self) {
        self.server.stop();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for id in self.containers().values() {
                eprintln!("{}", self.docker(&["logs", "--tail", "20", id]));
                self.docker(&["rm", "--force", "--volumes", id]);
            }
            for what in ["network", "volume"] {
                self.list(what).iter().for_each(|id| drop(self.docker(&[what, "rm", id])));
            }
        }
    }
}

/// The images of all tests: `1` to `9` are well, `exits` ends at once, `sick` never becomes healthy.
fn images(host: &str) {
    for version in 1..=9 {
        engine::build(host, &format!("{WEB}:{version}"), &format!("{PAGE}\nENV VERSION={version}"));
    }
    let exits = "CMD [\"/bin/sh\", \"-c\", \"busybox echo the last words; exit 7\"]";
    engine::build(host, &format!("{WEB}:exits"), exits);
    engine::build(host, &format!("{WEB}:sick"), &format!("{}\nENV VERSION=sick", PAGE.replace("> health", "> ill")));
}

fn docker(host: &str, args: &[&str]) -> String {
    let out = Command::new("docker").args(["--host", host]).args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A quick health check.
fn health(path: &str) -> Value {
    json!({ "path": path, "intervalSeconds": 1, "timeoutSeconds": 2, "retries": 5, "startSeconds": 0 })
}

fn tags(tag: Option<&str>) -> Value {
    tag.map(|tag| json!([{ "container": "web", "tag": tag }])).unwrap_or_else(|| json!([]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The code of the response's error.
fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

/// What a port of this machine serves; none when nothing answers there with 200.
fn get(port: u16, path: &str) -> Option<String> {
    let answer = talk(&format!("127.0.0.1:{port}"), &format!("GET {path} HTTP/1.0\r\n\r\n")).ok()?;
    // A script's answer has lines of its own kind.
    let answer = answer.replace("\r\n", "\n");
    let (head, body) = answer.split_once("\n\n")?;
    (head.split(' ').nth(1) == Some("200")).then(|| body.trim().to_owned())
}

/// A port that is free, that no outgoing connection takes, and that no other test of this process uses.
fn free_port(number: u16) -> u16 {
    let start = 10_000 + u16::try_from(std::process::id() % 90).unwrap_or_default() * 100 + number * 10;
    (start..start + 10).find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}
