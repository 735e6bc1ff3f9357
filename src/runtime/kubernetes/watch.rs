//! What a cluster says of an environment while a rollout goes on, heard and not asked for: one watch on the Deployments,
//! one on the pods and one on the events of its namespace.
//!
//! The watches begin anew by themselves when the API server was away or has forgotten where they were.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};

use super::{KubernetesRuntime, selector_of};
use crate::cluster::ClusterError;
use crate::domain::spec::Target;

/// Waits between two tries to watch.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After so long without an error the waits are short again.
const CALM: Duration = Duration::from_secs(20);

/// One thing that was heard.
pub(super) enum Heard {
    /// Of the Deployments.
    Deployment(Box<Event<Deployment>>),
    /// Of the pods.
    Pod(Box<Event<Pod>>),
    /// Of the events; a new one, or one that happened again.
    Event(Box<ClusterEvent>),
    /// A watch could not be begun or broke; it is tried again.
    Broken(Watched, ClusterError),
}

/// Whose watch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// That of the Deployments.
    Deployments,
    /// That of the pods.
    Pods,
    /// That of the events: nothing depends on it.
    Events,
}

impl KubernetesRuntime {
    /// Everything of an environment, from now on. Never ends.
    pub(super) fn listen(&self, target: &Target) -> BoxStream<'static, Heard> {
        let ours = watcher::Config::default().labels(&selector_of(target));
        let namespace = target.namespace.as_str();
        let deployments = watch(self.api_in::<Deployment>(namespace), ours.clone());
        let pods = watch(self.api_in::<Pod>(namespace), ours);
        let events = watch(self.api_in::<ClusterEvent>(namespace), watcher::Config::default());
        let deployments = deployments.map(|r| match r {
            Ok(event) => Heard::Deployment(Box::new(event)),
            Err(error) => Heard::Broken(Watched::Deployments, error),
        });
        let pods = pods.map(|r| match r {
            Ok(event) => Heard::Pod(Box::new(event)),
            Err(error) => Heard::Broken(Watched::Pods, error),
        });
        let events = events.filter_map(|r| {
            std::future::ready(match r {
                Ok(Event::Apply(event)) => Some(Heard::Event(Box::new(event))),
                // What happened before is an earlier rollout's.
                Ok(_) => None,
                Err(error) => Some(Heard::Broken(Watched::Events, error)),
            })
        });
        stream::select(stream::select(deployments, pods), events).boxed()
    }
}

/// Watches until the stream is dropped, and tries again after every error, which it also tells.
pub(super) fn watch<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, Result<Event<K>, ClusterError>>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let tries = watcher::watcher(api, config).backoff(ResetTimerBackoff::new(Waits(FIRST_WAIT), CALM));
    tries.map(|result| result.map_err(ClusterError::from)).boxed()
}

/// Each wait is twice as long as the one before.
struct Waits(Duration);

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_WAIT);
        Some(wait)
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        self.0 = FIRST_WAIT;
    }
}

/// The objects of one watch, by name.
#[derive(Debug)]
pub(super) struct Known<K> {
    /// What is there.
    pub all: BTreeMap<String, K>,
    /// What a list that is being read has brought so far.
    coming: BTreeMap<String, K>,
    /// False until the first list was read.
    pub is_whole: bool,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), coming: BTreeMap::new(), is_whole: false }
    }
}

impl<K: Resource<DynamicType = ()>> Known<K> {
    /// Takes what a watch said.
    pub fn take(&mut self, event: Event<K>) {
        match event {
            Event::Apply(object) => {
                self.all.insert(object.name_any(), object);
            }
            Event::Delete(object) => {
                self.all.remove(&object.name_any());
            }
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => {
                self.coming.insert(object.name_any(), object);
            }
            Event::InitDone => {
                self.all = std::mem::take(&mut self.coming);
                self.is_whole = true;
            }
        }
    }
}
