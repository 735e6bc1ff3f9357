//! What pods do: the scheduler and the kubelet of the one node.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::events::event;
use super::faults::{behaviour, config_fault, pull_fault, unmounted, unschedulable};
use super::knobs::{Behaviour, Knobs};
use super::store::{Store, now, now_fine, text};

/// A pod at work.
#[derive(Default)]
pub struct PodRun {
    scheduled: bool,
    /// The first `inits` of them one after the other, before the others.
    pub containers: Vec<Run>,
    inits: usize,
    /// Why the node put it out.
    pub put_out: Option<(String, String)>,
    /// It was put out through the API.
    pub is_drained: bool,
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
        } else if store.knobs.node_is_dead {
            store.runs.insert(uid, run);
            continue;
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
        let ready = run.is_ready();
        run.ready_since = ready.then(|| run.ready_since.unwrap_or(at));
        show(store, &pod, &run);
        store.runs.insert(uid, run);
    }
    next
}

fn work(store: &mut Store, pod: &Value, run: &mut PodRun, at: Instant) {
    if run.put_out.is_some() || run.is_drained {
        run.containers.iter_mut().for_each(|container| container.end_with(137, None));
        return;
    }
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
        run.containers = specs(pod).iter().map(|container| Run::new(&text(&container["name"]), at)).collect();
        run.inits = pod["spec"]["initContainers"].as_array().map_or(0, Vec::len);
    }
    if let Some(why) = unmounted(store, pod) {
        event(store, pod, ("Warning", "FailedMount"), &why);
        run.containers.iter_mut().for_each(|container| container.due = Some(at + Duration::from_millis(100)));
        return;
    }
    let mut barred = false;
    for (index, spec) in specs(pod).iter().enumerate() {
        let container = &mut run.containers[index];
        if barred {
            container.due = None;
            continue;
        }
        let begins = container.due.is_none() && container.state == State::Creating;
        if begins
            || container.due.is_some_and(|due| due <= at)
            || matches!(container.state, State::Waiting("CreateContainerConfigError", _))
        {
            container.due = None;
            container.go_on(store, (pod, spec), at);
        }
        barred = index < run.inits && container.exit_code() != Some(0);
    }
}

/// All containers of a pod, in the order in which they begin.
pub fn specs(pod: &Value) -> Vec<Value> {
    let of = |key: &str| pod["spec"][key].as_array().cloned().unwrap_or_default();
    [of("initContainers"), of("containers")].concat()
}

/// What they do, in the same order.
pub fn statuses(pod: &Value) -> Vec<Value> {
    let of = |key: &str| pod["status"][key].as_array().cloned().unwrap_or_default();
    [of("initContainerStatuses"), of("containerStatuses")].concat()
}

impl PodRun {
    fn is_ready(&self) -> bool {
        let main = &self.containers[self.inits.min(self.containers.len())..];
        !main.is_empty() && main.iter().all(|container| container.ready)
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

    /// Its standard input has ended.
    pub fn input_ended(&mut self, at: Instant) {
        self.due = Some(at);
    }

    /// It ends, as a program does that is killed or comes to its end, and goes on like [`restart`] says.
    pub fn end_with(&mut self, code: i32, next: Option<Instant>) {
        let State::Running(started) = &self.state else { return };
        let reason = if code == 0 { "Completed" } else { "Error" };
        self.state = State::Ended(json!({
            "exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now(),
            "containerID": format!("containerd://{}", self.name),
        }));
        (self.ready, self.due) = (false, next);
    }

    fn exit_code(&self) -> Option<i64> {
        match &self.state {
            State::Ended(how) if self.due.is_none() => how["exitCode"].as_i64(),
            _ => None,
        }
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
                Behaviour::Tells(message) => match says(spec) {
                    Ok(()) => {
                        self.end(store, (pod, spec), ("Completed", 0, Vec::new()), at);
                        self.say(&message);
                    }
                    Err(why) => self.end(store, (pod, spec), ("Error", 1, vec![why]), at),
                },
                Behaviour::NotStarted(message) => {
                    self.end(store, (pod, spec), ("StartError", 128, Vec::new()), at);
                    self.say(&message);
                }
                Behaviour::Unpacks if spec["command"][0] != "tar" => {
                    self.end(store, (pod, spec), ("Error", 127, vec!["it does not unpack".to_owned()]), at);
                }
                Behaviour::Unpacks => {
                    let input = store.inputs.get(&(text(&pod["metadata"]["uid"]), self.name.clone()));
                    match input.map(|input| super::attach::is_whole(input)) {
                        // Nobody has sent it anything.
                        None => {}
                        Some(true) => self.end(store, (pod, spec), ("Completed", 0, Vec::new()), at),
                        Some(false) => {
                            self.end(store, (pod, spec), ("Error", 1, vec!["tar: short read".to_owned()]), at);
                        }
                    }
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

    /// Its termination message.
    fn say(&mut self, message: &str) {
        if let State::Ended(how) = &mut self.state {
            how["message"] = message.into();
        }
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
        self.due = again(pod, code).then(|| at + RESTART);
        // A kubelet looks at what ended before it starts anything else.
        store.nudge();
    }
}

/// Whether a program writes its container's termination message, as busybox does it: the file is root's, anybody may write
/// to it, and nobody but root may put another in its place. `cp` does that last where it can't make the file anew.
fn says(spec: &Value) -> Result<(), String> {
    const FILE: &str = "/dev/termination-log";
    let words: Vec<String> = spec["command"].as_array().into_iter().flatten().map(text).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["dd", rest @ ..] if rest.iter().any(|word| word.strip_prefix("of=") == Some(FILE)) => Ok(()),
        ["cp" | "mv" | "install", .., FILE] => Err(format!("cp: can't create '{FILE}': File exists")),
        _ => Err(format!("{words:?} does not write to {FILE}")),
    }
}

/// How soon a kubelet sees that a container has ended.
const RESTART: Duration = Duration::from_millis(20);

/// When a container that has ended now with this code is started again.
pub fn restart(pod: &Value, code: i32) -> Option<Instant> {
    again(pod, code).then(|| Instant::now() + RESTART)
}

fn again(pod: &Value, code: i32) -> bool {
    match pod["spec"]["restartPolicy"].as_str() {
        Some("Never") => false,
        Some("OnFailure") => code != 0,
        _ => true,
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
    let ready = run.is_ready();
    let all: Vec<Value> = run.containers.iter().zip(&specs(pod)).map(|one| shown(one, run.inits > 0)).collect();
    let (inits, mains) = all.split_at(run.inits.min(all.len()));
    let (inits, mains) = (json!(inits), json!(mains));
    let initialized = run.containers.iter().take(run.inits).all(|container| container.exit_code() == Some(0));
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
            condition("Initialized", initialized, "", ""),
            condition("ContainersReady", ready, reason, &message),
            condition("Ready", ready, reason, &message),
        ];
        // A condition that stays keeps its time.
        let kept = fresh.map(|fresh| {
            let same = |old: &&Value| old["type"] == fresh["type"] && old["status"] == fresh["status"];
            old.as_array().into_iter().flatten().find(same).cloned().unwrap_or(fresh)
        });
        pod["status"]["conditions"] = json!(kept);
        if run.is_drained {
            let why = "Eviction API: evicting";
            let condition = condition("DisruptionTarget", true, "EvictionByEvictionAPI", why);
            pod["status"]["conditions"].as_array_mut().unwrap().push(condition);
        }
        pod["status"]["phase"] = phase.into();
        if let Some((reason, message)) = &run.put_out {
            pod["status"]["phase"] = "Failed".into();
            pod["status"]["reason"] = reason.as_str().into();
            pod["status"]["message"] = message.as_str().into();
        }
        if inits != json!([]) {
            pod["status"]["initContainerStatuses"] = inits;
        }
        pod["status"]["containerStatuses"] = mains;
        pod["status"]["hostIP"] = "192.0.2.10".into();
        pod["status"]["podIP"] = ip.into();
    });
}

fn phase(run: &PodRun, pod: &Value) -> &'static str {
    let never = pod["spec"]["restartPolicy"] != "Always";
    let (inits, mains) = run.containers.split_at(run.inits.min(run.containers.len()));
    if never && inits.iter().any(|container| container.exit_code().is_some_and(|code| code != 0)) {
        return "Failed";
    }
    let codes: Vec<_> = mains.iter().filter_map(Run::exit_code).collect();
    if codes.len() == mains.len() && never {
        return if codes.iter().all(|code| *code == 0) { "Succeeded" } else { "Failed" };
    }
    let begun =
        |container: &Run| container.restarts > 0 || !matches!(container.state, State::Creating | State::Waiting(..));
    if mains.iter().all(begun) { "Running" } else { "Pending" }
}

fn shown((container, spec): (&Run, &Value), has_inits: bool) -> Value {
    let state = match &container.state {
        State::Creating if has_inits => json!({ "waiting": { "reason": "PodInitializing" } }),
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
