//! What pods do: the scheduler and the kubelet of the one node.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::events::event;
use super::knobs::{Behaviour, Knobs};
use super::store::{Store, now, now_fine, text};

/// A pod at work.
#[derive(Default)]
pub struct PodRun {
    scheduled: bool,
    pub containers: Vec<Run>,
    /// Since when it is ready.
    pub ready_since: Option<Instant>,
    /// When it is gone, once it was told to go.
    gone: Option<Instant>,
}

/// A container at work.
pub struct Run {
    pub name: String,
    state: State,
    restarts: u32,
    last: Value,
    due: Option<Instant>,
    ready: bool,
    /// What it printed, with the time, since it was started last.
    pub lines: Vec<(String, String)>,
    /// What it printed the time before.
    pub previous: Vec<(String, String)>,
}

#[derive(Clone, PartialEq)]
enum State {
    Creating,
    /// It waits with this reason and this sentence.
    Waiting(&'static str, String),
    Running(String),
    Ended(Value),
}

/// Takes each pod as far as it comes by now; says when something happens next.
pub fn step(store: &mut Store, at: Instant) -> Option<Instant> {
    let mut next: Option<Instant> = None;
    let mut soonest = |due: Instant| next = Some(next.map_or(due, |next: Instant| next.min(due)));
    let pods = store.list("Pod", "");
    store.runs.retain(|uid, _| pods.iter().any(|pod| pod["metadata"]["uid"] == uid.as_str()));
    for pod in pods {
        let uid = text(&pod["metadata"]["uid"]);
        let mut run = store.runs.remove(&uid).unwrap_or_default();
        if pod["metadata"]["deletionTimestamp"].is_null() {
            work(store, &pod, &mut run, at);
        } else {
            let due = *run.gone.get_or_insert(at + Duration::from_millis(30));
            if due <= at {
                let key = super::store::key_of(super::kinds::of("Pod"), &pod);
                store.remove(&key);
                continue;
            }
            soonest(due);
            run.containers.iter_mut().for_each(|container| container.ready = false);
        }
        run.containers.iter().filter_map(|container| container.due).for_each(&mut soonest);
        if !run.scheduled || run.containers.iter().any(|container| matches!(container.state, State::Waiting(..))) {
            soonest(at + Duration::from_millis(100));
        }
        let ready = !run.containers.is_empty() && run.containers.iter().all(|container| container.ready);
        run.ready_since = ready.then(|| run.ready_since.unwrap_or(at));
        show(store, &pod, &run);
        store.runs.insert(uid, run);
    }
    next
}

fn work(store: &mut Store, pod: &Value, run: &mut PodRun, at: Instant) {
    let namespace = text(&pod["metadata"]["namespace"]);
    if !run.scheduled {
        if let Some(why) = unschedulable(store, pod) {
            let before = pod["status"]["conditions"][0]["message"] == why.as_str();
            if !before {
                event(store, pod, ("Warning", "FailedScheduling"), &why);
                conditions(store, pod, json!([condition("PodScheduled", false, "Unschedulable", &why)]));
            }
            return;
        }
        run.scheduled = true;
        let placed = format!("Successfully assigned {namespace}/{} to node-1", text(&pod["metadata"]["name"]));
        event(store, pod, ("Normal", "Scheduled"), &placed);
        let started = now();
        store.change("Pod", (&namespace, &text(&pod["metadata"]["name"])), |pod| {
            pod["spec"]["nodeName"] = "node-1".into();
            pod["status"]["startTime"] = started.into();
        });
        let names = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        run.containers = names.iter().map(|container| Run::new(&text(&container["name"]), at)).collect();
    }
    let specs = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    for (container, spec) in run.containers.iter_mut().zip(&specs) {
        if container.due.is_some_and(|due| due <= at)
            || matches!(container.state, State::Waiting("CreateContainerConfigError", _))
        {
            container.due = None;
            container.go_on(store, (pod, spec), at);
        }
    }
}

impl Run {
    fn new(name: &str, at: Instant) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Creating,
            restarts: 0,
            last: Value::Null,
            due: Some(at),
            ready: false,
            lines: Vec::new(),
            previous: Vec::new(),
        }
    }

    /// A line that it prints.
    pub fn print(&mut self, line: &str) {
        self.lines.push((now_fine(), line.to_owned()));
    }

    /// Whether it is at work.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    fn go_on(&mut self, store: &mut Store, (pod, spec): (&Value, &Value), at: Instant) {
        let behaviour = behaviour(store, pod, spec);
        match self.state.clone() {
            State::Creating | State::Waiting("CreateContainerConfigError" | "ErrImagePull" | "ImagePullBackOff", _) => {
                self.create(store, (pod, spec), at);
            }
            State::Waiting(..) => self.start(store, (pod, spec), at),
            State::Running(_) => match behaviour {
                Behaviour::CrashLoop { exit_code, lines } => {
                    self.end(store, (pod, spec), ("Error", exit_code, lines), at)
                }
                Behaviour::OutOfMemory => self.end(store, (pod, spec), ("OOMKilled", 137, Vec::new()), at),
                Behaviour::Ends { exit_code, lines, .. } => {
                    let reason = if exit_code == 0 { "Completed" } else { "Error" };
                    self.end(store, (pod, spec), (reason, exit_code, lines), at);
                }
                Behaviour::NeverReady => {
                    event(
                        store,
                        pod,
                        ("Warning", "Unhealthy"),
                        "Readiness probe failed: HTTP probe failed with statuscode: 503",
                    );
                }
                _ => self.ready = true,
            },
            State::Ended(ended) => {
                self.last = ended;
                let seconds = (10_u32 << self.restarts.min(5)).min(300);
                let place = format!(
                    "{}_{}({})",
                    text(&pod["metadata"]["name"]),
                    text(&pod["metadata"]["namespace"]),
                    text(&pod["metadata"]["uid"])
                );
                let why = format!("back-off {seconds}s restarting failed container={} pod={place}", self.name);
                self.state = State::Waiting("CrashLoopBackOff", why);
                self.restarts += 1;
                self.due = Some(at + store.knobs.seconds(seconds.into()));
                let told = format!("Back-off restarting failed container {} in pod {place}", self.name);
                event(store, pod, ("Warning", "BackOff"), &told);
            }
        }
    }

    fn create(&mut self, store: &mut Store, (pod, spec): (&Value, &Value), at: Instant) {
        let image = text(&spec["image"]);
        if let Some(why) = pull_fault(store, pod, spec) {
            // Found first at the pull, then waited for longer and longer.
            if matches!(self.state, State::Waiting("ErrImagePull", _)) {
                self.state = State::Waiting(
                    "ImagePullBackOff",
                    format!("Back-off pulling image {image:?}: ErrImagePull: {why}"),
                );
                event(store, pod, ("Normal", "BackOff"), &format!("Back-off pulling image {image:?}"));
                self.due = Some(at + store.knobs.seconds(10.0));
            } else {
                event(store, pod, ("Warning", "Failed"), &format!("Failed to pull image {image:?}: {why}"));
                event(store, pod, ("Warning", "Failed"), "Error: ErrImagePull");
                self.state = State::Waiting("ErrImagePull", why);
                self.due = Some(at + Duration::from_millis(60));
            }
            return;
        }
        if let Some(why) = config_fault(store, pod, spec) {
            if self.state != State::Waiting("CreateContainerConfigError", why.clone()) {
                event(store, pod, ("Warning", "Failed"), &format!("Error: {why}"));
                self.state = State::Waiting("CreateContainerConfigError", why);
            }
            return;
        }
        event(store, pod, ("Normal", "Pulled"), &format!("Successfully pulled image {image:?} in 10ms"));
        event(store, pod, ("Normal", "Created"), &format!("Created container: {}", self.name));
        self.start(store, (pod, spec), at);
    }

    fn start(&mut self, store: &mut Store, (pod, spec): (&Value, &Value), at: Instant) {
        event(store, pod, ("Normal", "Started"), &format!("Started container {}", self.name));
        self.previous = std::mem::take(&mut self.lines);
        self.state = State::Running(now());
        let wait = match behaviour(store, pod, spec) {
            Behaviour::Runs(after) | Behaviour::Ends { after, .. } => after,
            Behaviour::NeverReady => store.knobs.seconds(2.0),
            _ => Duration::from_millis(40),
        };
        self.ready = spec["readinessProbe"].is_null()
            && spec["startupProbe"].is_null()
            && !matches!(behaviour(store, pod, spec), Behaviour::NeverReady | Behaviour::Runs(_));
        self.due = Some(at + wait);
    }

    fn end(&mut self, store: &mut Store, (pod, spec): (&Value, &Value), how: (&str, i32, Vec<String>), at: Instant) {
        let (reason, code, lines) = how;
        let State::Running(started) = self.state.clone() else { return };
        lines.iter().for_each(|line| self.print(line));
        self.ready = false;
        self.state = State::Ended(json!({
            "exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now(),
            "containerID": format!("containerd://{}", text(&spec["name"])),
        }));
        let again = match pod["spec"]["restartPolicy"].as_str() {
            Some("Never") => false,
            Some("OnFailure") => code != 0,
            _ => true,
        };
        self.due = again.then(|| at + Duration::from_millis(20));
        // A kubelet looks at what ended before it starts anything else.
        store.nudge();
    }
}

fn behaviour(store: &Store, pod: &Value, spec: &Value) -> Behaviour {
    let image = store.knobs.images.get(&text(&spec["image"]));
    image.map_or(Behaviour::Missing, |image| image.behaviour.resolved(&variables(store, pod, spec)).clone())
}

/// A container's variables, those from secrets and config maps among them.
fn variables(store: &Store, pod: &Value, spec: &Value) -> BTreeMap<String, String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let mut all = BTreeMap::new();
    for source in spec["envFrom"].as_array().into_iter().flatten() {
        for (field, kind) in [("secretRef", "Secret"), ("configMapRef", "ConfigMap")] {
            let object = store.get(kind, &namespace, &text(&source[field]["name"]));
            let data = object.and_then(|object| object["data"].as_object());
            all.extend(data.into_iter().flatten().map(|(key, value)| (key.clone(), plain(kind, value))));
        }
    }
    for variable in spec["env"].as_array().into_iter().flatten() {
        let mut value = text(&variable["value"]);
        for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
            let reference = &variable["valueFrom"][field];
            if let Some(object) = store.get(kind, &namespace, &text(&reference["name"])) {
                value = plain(kind, &object["data"][text(&reference["key"])]);
            }
        }
        all.insert(text(&variable["name"]), value);
    }
    all
}

fn plain(kind: &str, value: &Value) -> String {
    use base64::Engine as _;
    let given = text(value);
    if kind != "Secret" {
        return given;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(given).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unschedulable(store: &Store, pod: &Value) -> Option<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if !claim.is_empty() && store.get("PersistentVolumeClaim", &namespace, &claim).is_none() {
            return Some(format!("0/1 nodes are available: persistentvolumeclaim {claim:?} not found."));
        }
    }
    let specs = pod["spec"]["containers"].as_array()?;
    let nobody = specs.iter().any(|spec| matches!(behaviour(store, pod, spec), Behaviour::Unschedulable));
    let why = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    nobody.then(|| why.to_owned())
}

fn pull_fault(store: &Store, pod: &Value, spec: &Value) -> Option<String> {
    let name = text(&spec["image"]);
    let image = store.knobs.images.get(&name);
    let unpacked = |why: &str| {
        format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image {name:?}: failed to resolve reference {name:?}: {name}: {why}"
        )
    };
    if image.is_none() || matches!(behaviour(store, pod, spec), Behaviour::Missing) {
        return Some(unpacked("not found"));
    }
    let namespace = text(&pod["metadata"]["namespace"]);
    let logins = pod["spec"]["imagePullSecrets"].as_array().cloned().unwrap_or_default();
    let is_login = |login: &Value| {
        let secret = store.get("Secret", &namespace, &text(&login["name"]));
        secret.is_some_and(|secret| secret["type"] == "kubernetes.io/dockerconfigjson")
    };
    let closed = image.is_some_and(|image| image.private) && !logins.iter().any(is_login);
    closed.then(|| unpacked("pull access denied, repository does not exist or may require authorization"))
}

fn config_fault(store: &Store, pod: &Value, spec: &Value) -> Option<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let lacks = |kind: &str, name: &str, key: &str| match store.get(kind, &namespace, name) {
        _ if name.is_empty() => None,
        None => Some(format!("{} {name:?} not found", kind.to_lowercase())),
        Some(object) if !key.is_empty() && object["data"][key].is_null() => {
            Some(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
        }
        Some(_) => None,
    };
    for source in spec["envFrom"].as_array().into_iter().flatten() {
        let fault = lacks("Secret", &text(&source["secretRef"]["name"]), "");
        if let Some(why) = fault.or_else(|| lacks("ConfigMap", &text(&source["configMapRef"]["name"]), "")) {
            return Some(why);
        }
    }
    for variable in spec["env"].as_array().into_iter().flatten() {
        for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
            let reference = &variable["valueFrom"][field];
            if let Some(why) = lacks(kind, &text(&reference["name"]), &text(&reference["key"])) {
                return Some(why);
            }
        }
    }
    let field = |key: &str| {
        let own = &spec["securityContext"][key];
        if own.is_null() { pod["spec"]["securityContext"][key].clone() } else { own.clone() }
    };
    let root = store.knobs.images.get(&text(&spec["image"])).is_some_and(|image| image.root);
    if field("runAsNonRoot") == true && (field("runAsUser") == 0 || (field("runAsUser").is_null() && root)) {
        let place = format!("{}_{namespace}({})", text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
        let name = text(&spec["name"]);
        return Some(format!(
            "container has runAsNonRoot and image will run as root (pod: {place:?}, container: {name})"
        ));
    }
    match behaviour(store, pod, spec) {
        Behaviour::ConfigError(why) => Some(why),
        _ => None,
    }
}

fn condition(kind: &str, is: bool, reason: &str, message: &str) -> Value {
    let mut condition =
        json!({ "type": kind, "status": if is { "True" } else { "False" }, "lastTransitionTime": now() });
    if !reason.is_empty() {
        condition["reason"] = reason.into();
    }
    if !message.is_empty() {
        condition["message"] = message.into();
    }
    condition
}

fn conditions(store: &mut Store, pod: &Value, given: Value) {
    store.change("Pod", (&text(&pod["metadata"]["namespace"]), &text(&pod["metadata"]["name"])), |pod| {
        pod["status"]["conditions"] = given;
    });
}

/// Writes what a pod does into its status.
fn show(store: &mut Store, pod: &Value, run: &PodRun) {
    if !run.scheduled {
        return;
    }
    let ready = !run.containers.is_empty() && run.containers.iter().all(|container| container.ready);
    let statuses: Vec<Value> =
        run.containers.iter().zip(pod["spec"]["containers"].as_array().into_iter().flatten()).map(shown).collect();
    let phase = phase(run, pod);
    let ip =
        format!("10.244.0.{}", u64::from_str_radix(&text(&pod["metadata"]["uid"])[24..], 16).unwrap_or(1) % 250 + 2);
    store.change("Pod", (&text(&pod["metadata"]["namespace"]), &text(&pod["metadata"]["name"])), |pod| {
        let old = pod["status"]["conditions"].clone();
        let (reason, message) = match ready {
            true => ("", String::new()),
            false => ("ContainersNotReady", "containers with unready status".to_owned()),
        };
        let fresh = [
            condition("PodScheduled", true, "", ""),
            condition("Initialized", true, "", ""),
            condition("ContainersReady", ready, reason, &message),
            condition("Ready", ready, reason, &message),
        ];
        // A condition that stays keeps its time.
        let kept = fresh.map(|fresh| {
            let same = |old: &&Value| old["type"] == fresh["type"] && old["status"] == fresh["status"];
            old.as_array().into_iter().flatten().find(same).cloned().unwrap_or(fresh)
        });
        pod["status"]["conditions"] = json!(kept);
        pod["status"]["phase"] = phase.into();
        pod["status"]["containerStatuses"] = json!(statuses);
        pod["status"]["hostIP"] = "192.0.2.10".into();
        pod["status"]["podIP"] = ip.into();
    });
}

fn phase(run: &PodRun, pod: &Value) -> &'static str {
    let ended = |container: &Run| match &container.state {
        State::Ended(how) if container.due.is_none() => how["exitCode"].as_i64(),
        _ => None,
    };
    let codes: Vec<_> = run.containers.iter().filter_map(ended).collect();
    if codes.len() == run.containers.len() && pod["spec"]["restartPolicy"] != "Always" {
        return if codes.iter().all(|code| *code == 0) { "Succeeded" } else { "Failed" };
    }
    let begun =
        |container: &Run| container.restarts > 0 || !matches!(container.state, State::Creating | State::Waiting(..));
    if run.containers.iter().all(begun) { "Running" } else { "Pending" }
}

fn shown((container, spec): (&Run, &Value)) -> Value {
    let state = match &container.state {
        State::Creating => json!({ "waiting": { "reason": "ContainerCreating" } }),
        State::Waiting(reason, why) => json!({ "waiting": { "reason": reason, "message": why } }),
        State::Running(since) => json!({ "running": { "startedAt": since } }),
        State::Ended(how) => json!({ "terminated": how }),
    };
    let image = text(&spec["image"]);
    let last = if container.last.is_null() { json!({}) } else { json!({ "terminated": container.last }) };
    json!({
        "name": container.name, "ready": container.ready, "started": container.is_running(),
        "restartCount": container.restarts, "image": image, "imageID": image, "state": state, "lastState": last,
    })
}

/// How long something of the cluster takes, for the controllers.
pub fn seconds(knobs: &Knobs, value: &Value, default: f64) -> Duration {
    let seconds = value.as_f64().unwrap_or(default);
    if seconds == 0.0 { Duration::ZERO } else { knobs.seconds(seconds) }
}
