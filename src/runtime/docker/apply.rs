//! Does what the plan says, one call at a time.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerInspectResponse, ContainerUpdateBody, EndpointSettings, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptions, RemoveContainerOptions, RenameContainerOptions, StopContainerOptions,
};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::plan::{self, Observed, Role, Seen, Step, Wanted};
use super::spec::{self, Blueprint, Publish};
use super::{DockerRuntime, error};
use crate::domain::spec::{ContainerSpec, Target};
use crate::engine::EngineError;
use crate::runtime::labels::{self, CONTAINER, ENVIRONMENT, KIOPS, MANAGED_BY};
use crate::runtime::words::mask;
use crate::runtime::{Applied, Progress, Rollout, RuntimeError};

/// More steps than any rollout has: a plan that goes in circles ends here.
const MOST_STEPS: usize = 2_000;
/// How many other host ports are tried.
const MOST_PORTS: u32 = 100;

/// One call of apply.
pub(super) struct Run<'a> {
    pub rollout: &'a Rollout,
    pub progress: &'a dyn Progress,
    pub deadline: Instant,
    pub warnings: Vec<String>,
    /// Reference and id of each container's image, by container name.
    images: BTreeMap<String, (String, String)>,
    /// How many ports were tried for a container.
    tries: BTreeMap<String, u32>,
    seen: Seen,
}

impl<'a> Run<'a> {
    fn new(rollout: &'a Rollout, progress: &'a dyn Progress) -> Self {
        Self {
            rollout,
            progress,
            deadline: Instant::now() + rollout.deadline,
            warnings: Vec::new(),
            images: BTreeMap::new(),
            tries: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    /// Puts *** where a secret's value would be.
    pub fn mask(&self, text: &str) -> String {
        mask(self.rollout, text)
    }

    pub fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    fn container(&self, name: &str) -> Result<&'a ContainerSpec, RuntimeError> {
        let found = self.rollout.spec.containers.iter().find(|c| c.name == name);
        found.ok_or_else(|| RuntimeError::Engine(format!("the revision has no container {name}")))
    }
}

impl DockerRuntime {
    pub(super) async fn apply_rollout(
        &self,
        rollout: &Rollout,
        progress: &dyn Progress,
    ) -> Result<Applied, RuntimeError> {
        let mut run = Run::new(rollout, progress);
        let target = &rollout.spec.target;
        for container in &rollout.spec.containers {
            let image = self.image_of(container).await?;
            run.images.insert(container.name.clone(), image);
        }
        let wanted = |c: &ContainerSpec| spec::wanted(c, &run.images[&c.name].1, rollout.spec.strategy);
        let wanted: Vec<Wanted> = rollout.spec.containers.iter().map(wanted).collect();
        self.ensure_network(target).await?;
        for _ in 0..MOST_STEPS {
            let there = self.observe(target).await?;
            let Some(step) = plan::next_apply(&wanted, rollout.revision, &there, &run.seen) else {
                return self.applied(run, &there).await;
            };
            let taken = match progress.unwanted().now_or_never() {
                Some(()) => Err(RuntimeError::Unwanted),
                None => self.take(&mut run, &there, step).await,
            };
            if let Err(failure) = taken {
                return Err(self.back_at_once(&run, &there, failure).await);
            }
        }
        Err(RuntimeError::Engine("the rollout made no progress".to_owned()))
    }

    /// Does not wait for the caller's undo when something that served was stopped.
    async fn back_at_once(&self, run: &Run<'_>, there: &[Observed], failure: RuntimeError) -> RuntimeError {
        if there.iter().any(|o| o.role == Role::Replaced) {
            run.progress.line("It failed; what ran before is started again.").await;
            // The caller undoes once more, and hears then why it can't be.
            let _ = self.undo_steps(&run.rollout.spec.target, run.rollout.revision, None, true).await;
        }
        failure
    }

    /// Steps back until nothing is left to do. With `only_replaced` a first deployment's containers stay.
    pub(super) async fn undo_steps(
        &self,
        target: &Target,
        failed: i32,
        previous: Option<i32>,
        only_replaced: bool,
    ) -> Result<(), RuntimeError> {
        for _ in 0..MOST_STEPS {
            let there = self.observe(target).await?;
            if only_replaced && !there.iter().any(|o| o.role == Role::Replaced) {
                return Ok(());
            }
            let Some(step) = plan::next_undo(failed, previous, &there) else { return Ok(()) };
            self.simple(target, &there, &step).await?;
        }
        Err(RuntimeError::Engine("bringing back what ran before made no progress".to_owned()))
    }

    pub(super) async fn finish_steps(&self, rollout: &Rollout) -> Result<(), RuntimeError> {
        let target = &rollout.spec.target;
        let names: Vec<String> = rollout.spec.containers.iter().map(|c| c.name.clone()).collect();
        for _ in 0..MOST_STEPS {
            let there = self.observe(target).await?;
            let Some(step) = plan::next_finish(&names, &there) else { return Ok(()) };
            self.simple(target, &there, &step).await?;
        }
        Err(RuntimeError::Engine("cleaning up made no progress".to_owned()))
    }

    async fn applied(&self, run: Run<'_>, there: &[Observed]) -> Result<Applied, RuntimeError> {
        let mut applied = Applied { warnings: run.warnings.clone(), ..Default::default() };
        let mains = there.iter().filter(|o| o.role == Role::Main);
        for (main, port) in mains.filter_map(|main| main.host_port.map(|port| (main, port))) {
            let Ok(container) = run.container(&main.container) else { continue };
            if container.host_port.is_none() && container.port != Some(port) {
                applied.warnings.push(format!(
                    "container {}: port {} of the host is taken, it is published on {port}",
                    main.container,
                    container.port.unwrap_or_default()
                ));
            }
            applied.host_ports.insert(main.container.clone(), port);
        }
        Ok(applied)
    }

    /// One step of an apply.
    async fn take(&self, run: &mut Run<'_>, there: &[Observed], step: Step) -> Result<(), RuntimeError> {
        match &step {
            Step::Create { container, role, is_proof } => self.create(run, there, container, *role, *is_proof).await,
            Step::Start { id } => self.start(run, there, id).await,
            Step::Prove { id } => {
                let name = name_of(there, id);
                run.progress.line(&format!("Waiting for container {name} to become healthy.")).await;
                let container = run.container(name)?;
                let progress = run.progress;
                tokio::select! {
                    proven = self.wait_healthy(run, container, id) => proven?,
                    () = progress.unwanted() => return Err(RuntimeError::Unwanted),
                }
                run.progress.line(&format!("Container {name} is healthy.")).await;
                run.seen.proven.insert(id.clone());
                Ok(())
            }
            _ => {
                if let Step::Rename { id, role: Role::Replaced } = &step {
                    let name = name_of(there, id);
                    run.progress.line(&format!("Container {name} is taken over by its successor.")).await;
                }
                self.simple(&run.rollout.spec.target, there, &step).await
            }
        }
    }

    async fn create(
        &self,
        run: &mut Run<'_>,
        there: &[Observed],
        name: &str,
        role: Role,
        is_proof: bool,
    ) -> Result<(), RuntimeError> {
        let container = run.container(name)?;
        let target = &run.rollout.spec.target;
        let publish = self.publish(run, there, container, is_proof);
        let (image, id) = &run.images[name];
        let hash = spec::config_hash(container, id);
        let body = spec::body(&Blueprint {
            target,
            revision: run.rollout.revision,
            position: run.rollout.spec.containers.iter().position(|c| c.name == name).unwrap_or_default(),
            container,
            image,
            hash: &hash,
            role,
            is_proof,
            publish,
            secrets: &run.rollout.secrets,
        })?;
        let api = self.engine.api().await.map_err(error)?;
        for volume in &container.volumes {
            let mut labels: HashMap<String, String> = labels::of(target);
            labels.insert(CONTAINER.to_owned(), name.to_owned());
            let request = VolumeCreateRequest {
                name: Some(spec::volume_name(target, name, &volume.mount_path)),
                labels: Some(labels),
                ..Default::default()
            };
            api.create_volume(request).await.map_err(|e| error(e.into()))?;
        }
        let options =
            CreateContainerOptions { name: Some(spec::container_name(target, name, role)), ..Default::default() };
        let what = if role == Role::Candidate { "Starting a candidate for" } else { "Starting" };
        run.progress.line(&format!("{what} container {name}.")).await;
        match api.create_container(Some(options), body).await.map_err(EngineError::from) {
            Ok(_) => Ok(()),
            Err(failure) => Err(RuntimeError::Failed(run.mask(&format!("container {name} cannot be made: {failure}")))),
        }
    }

    fn publish(&self, run: &Run<'_>, there: &[Observed], container: &ContainerSpec, is_proof: bool) -> Publish {
        let Some(port) = container.port.filter(|_| !container.is_internal) else { return Publish::No };
        if is_proof {
            return if self.engine.is_local() { Publish::No } else { Publish::Any };
        }
        // Whoever had the port before keeps it, also when the spec does not say so yet.
        let old = there.iter().filter(|o| o.container == container.name && o.role != Role::Candidate);
        let kept = container.host_port.or_else(|| old.filter_map(|o| o.host_port).next());
        match (kept, run.tries.get(&container.name)) {
            (Some(kept), _) => Publish::On(kept),
            (None, None | Some(0)) => Publish::On(port),
            (None, Some(tries)) => Publish::On(spec::other_port(&run.rollout.spec.target, &container.name, *tries)),
        }
    }

    async fn start(&self, run: &mut Run<'_>, there: &[Observed], id: &str) -> Result<(), RuntimeError> {
        let name = name_of(there, id);
        let container = run.container(name)?;
        let api = self.engine.api().await.map_err(error)?;
        let failure = match api.start_container(id, None).await.map_err(EngineError::from) {
            Ok(()) => {
                run.seen.started.insert(id.to_owned());
                return Ok(());
            }
            Err(failure) => failure,
        };
        let port = there.iter().find(|o| o.id == id).and_then(|o| o.host_port).unwrap_or_default();
        // A port that nobody was told of yet may be another one: this container goes, the next one asks for that.
        let has_old = there.iter().any(|o| o.container == name && o.id != id && o.host_port.is_some());
        let tries = run.tries.entry(name.to_owned()).or_default();
        if failure.is_port_taken() && container.host_port.is_none() && !has_old && *tries < MOST_PORTS {
            *tries += 1;
            let text = format!("Port {port} of the host is taken; container {name} gets another one.");
            run.progress.line(&text).await;
            return self.remove_container(id).await;
        }
        let text = match failure.is_port_taken() {
            true => format!(
                "container {name} cannot be published on its port {port}: something else on the host has taken it. \
                 Free the port and deploy again"
            ),
            false => format!("container {name} does not start: {failure}"),
        };
        match failure {
            EngineError::Unreachable(_) | EngineError::Unauthorized(_) => Err(error(failure)),
            _ => Err(RuntimeError::Failed(run.mask(&text))),
        }
    }

    /// The steps that need no more than ids.
    async fn simple(&self, target: &Target, there: &[Observed], step: &Step) -> Result<(), RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        let network = spec::network_name(target);
        let done = match step {
            Step::Start { id } => api.start_container(id, None).await,
            Step::KeepUp { id } => {
                let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), ..Default::default() };
                let body = ContainerUpdateBody { restart_policy: Some(policy), ..Default::default() };
                api.update_container(id, body).await
            }
            Step::Detach { id } => {
                let request = NetworkDisconnectRequest { container: id.clone(), force: Some(true) };
                api.disconnect_network(&network, request).await
            }
            Step::Attach { id } => {
                let endpoint =
                    EndpointSettings { aliases: Some(vec![name_of(there, id).to_owned()]), ..Default::default() };
                let request = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(endpoint) };
                api.connect_network(&network, request).await
            }
            Step::Rename { id, role } => {
                let name = spec::container_name(target, name_of(there, id), *role);
                api.rename_container(id, RenameContainerOptions { name }).await
            }
            Step::Stop { id } => api.stop_container(id, None::<StopContainerOptions>).await,
            Step::Remove { id } => return self.remove_container(id).await,
            Step::Create { .. } | Step::Prove { .. } => Ok(()),
        };
        done.map_err(|e| error(e.into()))
    }

    pub(super) async fn remove_container(&self, id: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let api = self.engine.api().await.map_err(error)?;
        match api.remove_container(id, Some(options)).await.map_err(EngineError::from) {
            Err(failure) if !failure.is_missing() => Err(error(failure)),
            _ => Ok(()),
        }
    }

    pub(super) async fn ensure_network(&self, target: &Target) -> Result<(), RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        let name = spec::network_name(target);
        match api.inspect_network(&name, None).await.map_err(EngineError::from) {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is_missing() => {}
            Err(failure) => return Err(error(failure)),
        }
        let request = NetworkCreateRequest {
            name,
            driver: Some("bridge".to_owned()),
            labels: Some(labels::of(target)),
            ..Default::default()
        };
        match api.create_network(request).await.map_err(EngineError::from) {
            Err(failure) if !failure.is_conflict() => Err(error(failure)),
            _ => Ok(()),
        }
    }

    /// All containers of an environment, as the plan sees them.
    pub(super) async fn observe(&self, target: &Target) -> Result<Vec<Observed>, RuntimeError> {
        Ok(self.inspect_all(target).await?.iter().filter_map(spec::observe).collect())
    }

    pub(super) async fn inspect_all(&self, target: &Target) -> Result<Vec<ContainerInspectResponse>, RuntimeError> {
        let labels = vec![format!("{MANAGED_BY}={KIOPS}"), format!("{ENVIRONMENT}={}", target.environment_id)];
        let filters = std::collections::HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let api = self.engine.api().await.map_err(error)?;
        let listed = api.list_containers(Some(options)).await.map_err(|e| error(e.into()))?;
        let mut found = Vec::new();
        for id in listed.into_iter().filter_map(|summary| summary.id) {
            match api.inspect_container(&id, None).await.map_err(EngineError::from) {
                Ok(container) => found.push(container),
                Err(failure) if failure.is_missing() => {}
                Err(failure) => return Err(error(failure)),
            }
        }
        found.sort_by_cached_key(|container| (spec::position(container), container.name.clone()));
        Ok(found)
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        api.inspect_container(id, None).await.map_err(|e| error(e.into()))
    }
}

fn name_of<'a>(there: &'a [Observed], id: &str) -> &'a str {
    there.iter().find(|o| o.id == id).map_or("", |o| o.container.as_str())
}
