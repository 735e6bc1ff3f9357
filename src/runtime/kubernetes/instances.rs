//! The pods of an environment, and how its containers are reached.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::prune::ours;
use super::{KubernetesRuntime, error, rollout};
use crate::domain::spec::Target;
use crate::engine::neutralise;
use crate::runtime::labels::IMAGE;
use crate::runtime::{InstanceState, RuntimeError};

impl KubernetesRuntime {
    pub(super) async fn list_instances(&self, target: &Target) -> Result<Vec<InstanceState>, RuntimeError> {
        let all = ours(target);
        let pods = self.api_in::<Pod>(&target.namespace);
        let deployments = self.api_in::<Deployment>(&target.namespace);
        let services = self.api_in::<Service>(&target.namespace);
        let (pods, deployments, services) =
            futures_util::try_join!(pods.list(&all), deployments.list(&all), services.list(&all),)
                .map_err(|why| error(why.into()))?;
        let deployments: BTreeMap<String, Deployment> =
            deployments.items.into_iter().map(|d| (d.name_any(), d)).collect();
        let services: BTreeMap<String, Service> = services.items.into_iter().map(|s| (s.name_any(), s)).collect();
        let mut found: Vec<InstanceState> = pods
            .items
            .iter()
            .filter(|pod| !rollout::is_leaving(pod))
            .map(|pod| {
                let name = rollout::container_of(pod);
                let at = services.get(name).and_then(|service| address(service, std::iter::once(pod)));
                instance(pod, deployments.get(name), at)
            })
            .collect();
        found.sort_by(|a, b| (&a.container, &a.name).cmp(&(&b.container, &b.name)));
        Ok(found)
    }

    /// `host:port` of each container that is reached from outside. One that waits for its load balancer, or for an
    /// ingress controller, has none yet, and that is no failure.
    pub(super) async fn addresses(
        &self,
        target: &Target,
        pods: &[Pod],
    ) -> Result<BTreeMap<String, String>, RuntimeError> {
        let all = ours(target);
        let services = self.api_in::<Service>(&target.namespace);
        let ingresses = self.api_in::<Ingress>(&target.namespace);
        let (services, ingresses) =
            futures_util::try_join!(services.list(&all), ingresses.list(&all)).map_err(|why| error(why.into()))?;
        let mut found = BTreeMap::new();
        for service in &services.items {
            let name = service.name_any();
            let own = pods.iter().filter(|pod| rollout::container_of(pod) == name);
            found.extend(address(service, own).map(|at| (name, at)));
        }
        for ingress in &ingresses.items {
            let Some(at) = ingress_address(ingress) else { continue };
            let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
            for path in rules.filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths) {
                found.extend(path.backend.service.as_ref().map(|service| (service.name.clone(), at.clone())));
            }
        }
        Ok(found)
    }
}

/// How a Service is reached from outside: at its load balancer, or at a port of the node of one of the pods.
fn address<'a>(service: &Service, pods: impl Iterator<Item = &'a Pod>) -> Option<String> {
    let spec = service.spec.as_ref()?;
    let port = spec.ports.as_ref()?.first()?;
    match spec.type_.as_deref() {
        Some("LoadBalancer") => {
            let entry = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
            host_port(entry.ip.as_ref().or(entry.hostname.as_ref())?, port.port)
        }
        Some("NodePort") => {
            let host = pods.filter_map(|pod| pod.status.as_ref()?.host_ip.clone()).next()?;
            host_port(&host, port.node_port?)
        }
        _ => None,
    }
}

fn ingress_address(ingress: &Ingress) -> Option<String> {
    let entry = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
    let is_secure = ingress.spec.as_ref().is_some_and(|spec| spec.tls.as_ref().is_some_and(|tls| !tls.is_empty()));
    host_port(entry.ip.as_ref().or(entry.hostname.as_ref())?, if is_secure { 443 } else { 80 })
}

fn host_port(host: &str, port: i32) -> Option<String> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    (port > 0).then(|| format!("{host}:{port}"))
}

fn instance(pod: &Pod, deployment: Option<&Deployment>, at: Option<String>) -> InstanceState {
    let status = rollout::main_status(pod);
    let state = status.and_then(|status| status.state.as_ref());
    let running = state.and_then(|state| state.running.as_ref());
    let ready = running.is_some() && status.is_some_and(|status| status.ready);
    let started = running.and_then(|running| running.started_at.as_ref());
    let ended = status.and_then(rollout::last_end).and_then(|ended| ended.started_at.as_ref());
    InstanceState {
        name: pod.name_any(),
        container: rollout::container_of(pod).to_owned(),
        image: image(pod, deployment),
        state: word(pod, status),
        ready,
        restarts: status.map_or(0, |status| status.restart_count),
        started_at: started.or(ended).and_then(time),
        endpoints: at.filter(|_| running.is_some()).into_iter().collect(),
        message: (!ready).then(|| message(pod, status)).flatten(),
    }
}

/// repository:tag where the pod is of the Deployment's own image, since pods only know the digest.
fn image(pod: &Pod, deployment: Option<&Deployment>) -> String {
    let name = rollout::container_of(pod);
    let of = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        spec.containers.iter().find(|c| c.name == name).and_then(|c| c.image.clone())
    };
    let own = pod.spec.as_ref().and_then(of).unwrap_or_default();
    let known = deployment.and_then(|d| d.spec.as_ref()?.template.spec.as_ref()).and_then(of);
    let words = deployment.and_then(|d| d.annotations().get(IMAGE).cloned());
    words.filter(|_| known.as_ref() == Some(&own)).unwrap_or(own)
}

/// The word that kubectl shows: the container's reason, else the pod's phase.
fn word(pod: &Pod, status: Option<&ContainerStatus>) -> String {
    let state = status.and_then(|status| status.state.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref()?.reason.clone());
    let terminated = state.and_then(|state| state.terminated.as_ref()?.reason.clone());
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    waiting.or(terminated).or(phase).unwrap_or_else(|| "Pending".to_owned())
}

/// Why it does not serve.
fn message(pod: &Pod, status: Option<&ContainerStatus>) -> Option<String> {
    let state = status.and_then(|status| status.state.as_ref());
    if state.is_some_and(|state| state.running.is_some()) {
        return Some("it runs and its health check does not succeed".to_owned());
    }
    let ended = status.and_then(rollout::last_end).map(rollout::how_it_ended);
    let waiting = state.and_then(|state| state.waiting.as_ref()?.message.clone()).filter(|text| !text.is_empty());
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let unscheduled = conditions
        .and_then(|all| all.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False"))
        .and_then(|condition| condition.message.clone());
    ended.or(waiting).or(unscheduled).map(|text| neutralise(&text))
}

fn time(time: &Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.0.as_second(), u32::try_from(time.0.subsec_nanosecond()).unwrap_or_default())
}
