//! Follows a rollout to its end: until every container serves, or it is clear that one never will.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::ResourceExt as _;
use kube::api::{ListParams, LogParams};
use tokio::time::Instant;

use super::rollout::{self, Kind, Others, Trouble};
use super::watch::{Heard, Known, MOST_OBJECTS, Watched};
use super::{KubernetesRuntime, error, selector_of};
use crate::cluster::ClusterError;
use crate::engine::neutralise;
use crate::runtime::words::{QUOTED_LINES, mask, quoted};
use crate::runtime::{Progress, Rollout, RuntimeError};

/// More lines about events than a person reads.
const MOST_EVENT_LINES: usize = 200;
/// How long a watch may be refused (not: unanswered) until that counts: rights can be a moment late after a restart.
const REFUSED_FOR: Duration = Duration::from_secs(15);
/// Longest text of an event that becomes a line.
const LONGEST_EVENT: usize = 1_000;

/// A rollout that is being followed.
pub(super) struct Following<'a> {
    runtime: &'a KubernetesRuntime,
    rollout: &'a Rollout,
    progress: &'a dyn Progress,
    /// The generation of each Deployment as it was applied.
    applied: BTreeMap<String, i64>,
    deployments: Known<Deployment>,
    pods: Known<Pod>,
    /// ReplicaSets, asked for when a pod is in trouble whose set is not among them.
    sets: Vec<ReplicaSet>,
    /// Since when a container has been in a kind of trouble.
    since: HashMap<(String, Kind), Instant>,
    /// How often each pod had been started again when it was looked at first.
    restarts: HashMap<String, i32>,
    /// What registries said of images that they will not give, by pod.
    refusals: HashMap<String, String>,
    /// The last warning about each pod.
    warnings: HashMap<String, String>,
    /// Containers that were told to serve.
    told: HashSet<String>,
    told_events: HashSet<(String, String, String)>,
    /// Since when a watch has been refused, and how.
    refused: Option<Instant>,
    away: bool,
}

impl<'a> Following<'a> {
    pub fn new(
        runtime: &'a KubernetesRuntime,
        rollout: &'a Rollout,
        applied: BTreeMap<String, i64>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            runtime,
            rollout,
            progress,
            applied,
            deployments: Known::default(),
            pods: Known::default(),
            sets: Vec::new(),
            since: HashMap::new(),
            restarts: HashMap::new(),
            refusals: HashMap::new(),
            warnings: HashMap::new(),
            told: HashSet::new(),
            told_events: HashSet::new(),
            refused: None,
            away: false,
        }
    }

    /// Returns once every container serves, with the pods as they were then.
    ///
    /// # Errors
    /// [`RuntimeError::Failed`], [`RuntimeError::Image`] or [`RuntimeError::ImageRefused`] with the pod's own reason, once it
    /// is clear, [`RuntimeError::TimedOut`] at `deadline`.
    pub async fn until_it_serves(mut self, deadline: Instant) -> Result<Vec<Pod>, RuntimeError> {
        let mut heard = self.runtime.listen(&self.rollout.spec.target);
        loop {
            let look_again = self.judge().await?;
            if self.is_complete() {
                return Ok(self.pods.all.into_values().collect());
            }
            let look_again = look_again.unwrap_or(deadline).min(deadline);
            tokio::select! {
                Some(one) = heard.next() => self.take(one).await?,
                () = tokio::time::sleep_until(look_again) => {
                    if Instant::now() >= deadline {
                        return Err(self.too_late().await);
                    }
                }
            }
        }
    }

    async fn take(&mut self, heard: Heard) -> Result<(), RuntimeError> {
        if !matches!(heard, Heard::Broken(..) | Heard::Event(_)) {
            self.refused = None;
            if std::mem::take(&mut self.away) {
                self.progress.line("The cluster answers again.").await;
            }
        }
        match heard {
            Heard::Deployment(event) => self.deployments.take(*event),
            Heard::Pod(event) => self.pods.take(*event),
            Heard::Event(event) => self.event(&event).await,
            Heard::Broken(Watched::Events, _) => {}
            // It has forgotten where the watch was: that begins anew, and nothing is lost.
            Heard::Broken(_, ClusterError::TooOld(_)) => {}
            Heard::Broken(_, why) if why.is_passing() => {
                if !std::mem::replace(&mut self.away, true) {
                    self.progress.line(&format!("{}; waiting for it.", capital(&why.to_string()))).await;
                }
            }
            Heard::Broken(_, why) => {
                let since = *self.refused.get_or_insert_with(Instant::now);
                if since.elapsed() >= REFUSED_FOR {
                    return Err(error(why));
                }
            }
        }
        Ok(())
    }

    /// Tells what became of containers, and ends when one will never serve. Gives the moment when trouble that is there
    /// now will count.
    async fn judge(&mut self) -> Result<Option<Instant>, RuntimeError> {
        if !self.deployments.is_whole || !self.pods.is_whole {
            return Ok(None);
        }
        for name in self.complete() {
            if self.told.insert(name.clone()) {
                self.progress.line(&format!("Container {name} serves.")).await;
            }
        }
        let troubles = self.troubles().await;
        let here: HashSet<(String, Kind)> = troubles.iter().map(|t| (t.container.clone(), t.kind)).collect();
        self.since.retain(|key, _| here.contains(key));
        let mut next = None;
        // Once the cluster has given up there is nothing to wait for, and what is wrong with a pod says more than that.
        let given_up = troubles.iter().any(|trouble| trouble.kind == Kind::GivenUp);
        for trouble in troubles {
            let key = (trouble.container.clone(), trouble.kind);
            let since = *self.since.entry(key).or_insert_with(Instant::now);
            let counts = since + trouble.kind.patience(self.rollout.deadline);
            if given_up || counts <= Instant::now() {
                return Err(self.failure(&trouble).await);
            }
            next = Some(next.map_or(counts, |next: Instant| next.min(counts)));
        }
        Ok(next)
    }

    fn complete(&self) -> Vec<String> {
        let is_complete = |(name, applied): &(&String, &i64)| {
            self.deployments.all.get(*name).is_some_and(|d| rollout::is_complete(d, **applied))
        };
        self.applied.iter().filter(is_complete).map(|(name, _)| name.clone()).collect()
    }

    fn is_complete(&self) -> bool {
        self.deployments.is_whole && self.pods.is_whole && self.complete().len() == self.applied.len()
    }

    /// What is in the way of the containers that do not serve yet, of the newest template's pods only: the old ones may
    /// have troubles of their own.
    async fn troubles(&mut self) -> Vec<Trouble> {
        let complete = self.complete();
        let open = self.applied.iter().filter(|(name, _)| !complete.contains(name));
        let open: Vec<(String, i64)> = open.map(|(name, applied)| (name.clone(), *applied)).collect();
        let others = if open.len() > 1 { Others::Come } else { Others::Stand };
        let mut found = Vec::new();
        for (name, applied) in open {
            let Some(deployment) = self.deployments.all.get(&name) else { continue };
            if !rollout::is_observed(deployment, applied) {
                continue;
            }
            let deployment = deployment.clone();
            let pods: Vec<Pod> = self.pods.all.values().filter(|p| rollout::container_of(p) == name).cloned().collect();
            for pod in pods.iter().filter(|pod| !rollout::is_leaving(pod)) {
                let before = *self.restarts.entry(pod.name_any()).or_insert_with(|| rollout::restarts(pod));
                if let Some(trouble) = rollout::trouble_of_pod(pod, others, before)
                    && self.is_new(pod, &deployment).await
                {
                    found.push(self.with_memory(trouble));
                }
            }
            found.extend(rollout::trouble_of_deployment(&deployment));
        }
        // A pod's own reason says more than that there is none.
        found.sort_by_key(|trouble| matches!(trouble.kind, Kind::GivenUp));
        found
    }

    /// Between two tries a kubelet only says that it waits.
    fn with_memory(&mut self, trouble: Trouble) -> Trouble {
        let Some(pod) = &trouble.pod else { return trouble };
        if trouble.kind == Kind::NoImage {
            self.refusals.insert(pod.clone(), trouble.text.clone());
        }
        match self.refusals.get(pod) {
            Some(text) if trouble.kind == Kind::Pull => Trouble { kind: Kind::NoImage, text: text.clone(), ..trouble },
            _ => trouble,
        }
    }

    /// Whether a pod is of the template that was applied. One whose set is not known and can't be asked for is not judged.
    async fn is_new(&mut self, pod: &Pod, deployment: &Deployment) -> bool {
        let Some(name) = rollout::set_of(pod) else { return true };
        if !self.sets.iter().any(|set| set.name_any() == name) {
            let target = &self.rollout.spec.target;
            let ours = ListParams::default().labels(&selector_of(target));
            match self.runtime.api_in::<ReplicaSet>(&target.namespace).list(&ours).await {
                Ok(list) => self.sets = list.items,
                Err(_) => return false,
            }
        }
        let set = self.sets.iter().find(|set| set.name_any() == name);
        set.is_some_and(|set| rollout::is_newest(set, deployment, &self.sets))
    }

    async fn failure(&self, trouble: &Trouble) -> RuntimeError {
        let name = &trouble.container;
        let spec = self.rollout.spec.containers.iter().find(|c| c.name == *name);
        let image = spec.map(|c| format!("{}:{}", c.repository, c.tag)).unwrap_or_default();
        let text = neutralise(&trouble.text);
        let pod = trouble.pod.as_deref().unwrap_or_default();
        let masked = |text: String| mask(self.rollout, &text);
        match trouble.kind {
            Kind::NoImage => {
                RuntimeError::ImageRefused(masked(format!("container {name}: image {image} can't be pulled: {text}")))
            }
            Kind::Pull => {
                RuntimeError::Image(masked(format!("container {name}: image {image} can't be pulled: {text}")))
            }
            Kind::Config => RuntimeError::Failed(masked(format!("container {name} can't be made: {text}"))),
            Kind::Crash => {
                let limit =
                    spec.and_then(|c| c.resources.memory_limit.as_deref()).filter(|_| text.contains("OOMKilled"));
                let limit = limit.map(|limit| format!(" (its limit is {limit})")).unwrap_or_default();
                let lines = self.last_lines(pod, name).await;
                RuntimeError::Failed(format!(
                    "{}{lines}",
                    masked(format!("container {name} does not stay up (CrashLoopBackOff): it {text}{limit}"))
                ))
            }
            Kind::Unschedulable => {
                RuntimeError::Failed(masked(format!("container {name}: no node takes it (Unschedulable): {text}")))
            }
            Kind::Refused => {
                RuntimeError::Failed(masked(format!("container {name}: the cluster takes no more pods of it: {text}")))
            }
            Kind::GivenUp => RuntimeError::TimedOut(masked(format!(
                "container {name} did not become ready in time (ProgressDeadlineExceeded){}",
                self.why_not_ready(name)
            ))),
        }
    }

    /// At the deadline: what is known of each container that does not serve.
    async fn too_late(&mut self) -> RuntimeError {
        let seconds = self.rollout.deadline.as_secs();
        if let Some(trouble) = self.troubles().await.into_iter().find(|trouble| trouble.kind != Kind::GivenUp) {
            return self.failure(&trouble).await;
        }
        let complete = self.complete();
        let open = self.applied.keys().filter(|name| !complete.contains(name));
        let whys: Vec<String> = open.map(|name| format!("container {name}{}", self.why_not_ready(name))).collect();
        let away = if self.away { "; the cluster does not answer" } else { "" };
        let text = format!("the rollout was not complete after {seconds} seconds: {}{away}", whys.join("; "));
        RuntimeError::TimedOut(mask(self.rollout, &text))
    }

    /// What the pods of a container say, after its name.
    fn why_not_ready(&self, name: &str) -> String {
        let pods = self.pods.all.values().filter(|p| rollout::container_of(p) == name && !rollout::is_leaving(p));
        let mut latest: Vec<&Pod> = pods.collect();
        latest.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.clone()));
        let Some(pod) = latest.first() else { return " has no pod".to_owned() };
        let runs = rollout::main_status(pod).and_then(|s| s.state.as_ref()).is_some_and(|s| s.running.is_some());
        let state = if runs { " runs and is not ready" } else { " does not run yet" };
        match self.warnings.get(&pod.name_any()) {
            Some(warning) => format!("{state}: {warning}"),
            None => state.to_owned(),
        }
    }

    /// What a container printed before it ended, ready to be put after a message.
    async fn last_lines(&self, pod: &str, container: &str) -> String {
        let api = self.runtime.api_in::<Pod>(&self.rollout.spec.target.namespace);
        let parameters = |previous: bool| LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(i64::from(QUOTED_LINES)),
            limit_bytes: Some(64 * 1024),
            previous,
            ..LogParams::default()
        };
        // The one that ended is the previous one once its successor has begun.
        let printed = match api.logs(pod, &parameters(true)).await {
            Ok(text) => text,
            Err(_) => api.logs(pod, &parameters(false)).await.unwrap_or_default(),
        };
        let lines: Vec<String> = printed.lines().map(neutralise).collect();
        quoted(self.rollout, &lines)
    }

    /// An event becomes a line once, and remembers why a pod is not well.
    async fn event(&mut self, event: &ClusterEvent) {
        let about = event.involved_object.name.clone().unwrap_or_default();
        if self.warnings.len() >= MOST_OBJECTS && !self.warnings.contains_key(&about) {
            return;
        }
        let reason = event.reason.clone().unwrap_or_default();
        let message = neutralise(event.message.as_deref().unwrap_or_default()).replace('\n', " ");
        let message = mask(self.rollout, &message);
        let message: String = message.chars().take(LONGEST_EVENT).collect();
        if event.type_.as_deref() == Some("Warning") {
            self.warnings.insert(about.clone(), message.clone());
        }
        if reason == "Failed" && rollout::is_refusal(&message) {
            self.refusals.insert(about.clone(), message.clone());
        }
        let is_new = self.told_events.len() < MOST_EVENT_LINES
            && self.told_events.insert((about.clone(), reason.clone(), message.clone()));
        if is_new {
            self.progress.line(&format!("{about}: {reason}: {message}")).await;
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
