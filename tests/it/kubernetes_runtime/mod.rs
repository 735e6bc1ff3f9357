//! Rollouts on a cluster: what the suite of all runtimes does not ask.
#![expect(clippy::unwrap_used, reason = "tests")]

mod example;
mod failures;
mod killed;
mod namespaces;
mod operation;
mod requests;

use std::collections::BTreeMap;
use std::time::Duration;

use kiops::domain::image::{Repository, Tag};
use kiops::domain::spec::ContainerSpec;
use kiops::runtime::{Rollout, Runtime as _, RuntimeError};

use crate::contract_runtime::kubernetes::ClusterPlace;
use crate::contract_runtime::{Lines, rollout, web};
use crate::support::cluster::ClusterDouble;

/// A place on a double; none (the test is over) on a real cluster.
pub fn place(test: &str) -> Option<ClusterPlace> {
    ClusterPlace::start(test).filter(|place| place.double().is_some())
}

impl ClusterPlace {
    /// The double of a place that has one.
    pub fn cluster(&self) -> &ClusterDouble {
        self.double().unwrap()
    }

    /// A revision that may take so long.
    pub fn revision(&self, number: i32, containers: Vec<ContainerSpec>, deadline: Duration) -> Rollout {
        Rollout { deadline, ..rollout(self, number, containers) }
    }

    /// Why a revision of one container does not come up, with what was told meanwhile.
    pub async fn failure(&self, rollout: &Rollout) -> (RuntimeError, Vec<String>) {
        let lines = Lines::default();
        let failure = self.runtime.apply(rollout, &lines).await.unwrap_err();
        (failure, lines.0.into_inner().unwrap())
    }

    /// A container of another image.
    pub fn of(&self, name: &str, image: &str) -> ContainerSpec {
        let (repository, tag) = image.rsplit_once(':').unwrap();
        ContainerSpec {
            repository: Repository::parse(repository).unwrap(),
            tag: Tag::parse(tag).unwrap(),
            ..web(self, name, "x")
        }
    }

    /// Kind and name of all that is in the namespace, of what we make.
    pub fn objects(&self) -> BTreeMap<&'static str, Vec<String>> {
        const KINDS: [&str; 7] = [
            "Secret",
            "PersistentVolumeClaim",
            "Service",
            "Deployment",
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
            "Ingress",
        ];
        let names = |kind: &'static str| {
            let found = self.cluster().list(kind, &self.target.namespace);
            let mut names: Vec<_> = found.iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            (kind, names)
        };
        KINDS.into_iter().map(names).filter(|(_, names)| !names.is_empty()).collect()
    }
}
