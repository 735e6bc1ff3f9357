//! What a cluster says of an environment while a rollout goes on, heard and not asked for: one watch on the Deployments,
//! one on the pods and one on the events of its namespace.
//!
//! The watches begin anew by themselves when the API server was away or has forgotten where they were.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt as _};

use super::{KubernetesRuntime, selector_of};
use crate::cluster::{ClusterError, watch};
use crate::domain::spec::Target;

/// The most objects of a kind that are kept in mind: an environment has a few hundred at most, and what is beyond comes
/// from an API server that means no good.
pub(super) const MOST_OBJECTS: usize = 10_000;

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
            Event::Apply(object) => keep(&mut self.all, object),
            Event::Delete(object) => {
                self.all.remove(&object.name_any());
            }
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => keep(&mut self.coming, object),
            Event::InitDone => {
                self.all = std::mem::take(&mut self.coming);
                self.is_whole = true;
            }
        }
    }
}

fn keep<K: Resource<DynamicType = ()>>(known: &mut BTreeMap<String, K>, object: K) {
    let name = object.name_any();
    if known.len() < MOST_OBJECTS || known.contains_key(&name) {
        known.insert(name, object);
    }
}
