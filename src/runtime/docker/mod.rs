//! Docker: containers, networks and volumes of one engine.
//!
//! `plan` decides, `spec` describes, `apply` does. A container's role is in its name and everything else in its
//! labels, so that nothing has to be remembered between two calls.

mod apply;
mod health;
mod logs;
pub mod plan;
#[cfg(test)]
mod plan_tests;
mod pull;
pub mod spec;

use std::collections::HashMap;

use async_trait::async_trait;
use bollard::models::HealthStatusEnum;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions, StopContainerOptions};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use self::plan::Role;
use super::labels::{self, ENVIRONMENT, KIOPS, MANAGED_BY};
use super::{
    Applied, DockerConnection, InstanceLine, InstanceState, LocalImage, LogQuery, Progress, Rollout, Runtime,
    RuntimeError, RuntimeEvent, RuntimeInfo, Volumes,
};
use crate::domain::image::{Repository, Tag};
use crate::domain::spec::Target;
use crate::engine::{Address, Engine, EngineError, Tls};

/// A Docker engine to deploy to. Cheap to clone.
#[derive(Clone)]
pub struct DockerRuntime {
    engine: Engine,
}

impl DockerRuntime {
    /// Makes a client; asks nothing yet.
    ///
    /// # Errors
    /// [`RuntimeError::Engine`] when the connection's parts make no client.
    pub fn connect(connection: &DockerConnection) -> Result<Self, RuntimeError> {
        let tls = connection.tls.as_ref();
        let tls = tls.map(|tls| Tls { ca: tls.ca.clone(), cert: tls.cert.clone(), key: tls.key.clone() });
        let engine = Engine::connect(&Address { host: connection.host.clone(), tls }).map_err(error)?;
        Ok(Self { engine })
    }

    /// Ours in an environment, in the order of the spec.
    async fn ids(&self, target: &Target) -> Result<Vec<String>, RuntimeError> {
        Ok(self.observe(target).await?.into_iter().map(|o| o.id).collect())
    }
}

/// An engine's error in the words of the trait.
pub(in crate::runtime) fn error(error: EngineError) -> RuntimeError {
    let text = error.to_string();
    match error {
        EngineError::Unreachable(_) => RuntimeError::Unreachable(text),
        EngineError::Unauthorized(_) => RuntimeError::Unauthorized(text),
        _ => RuntimeError::Engine(text),
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn check(&self) -> Result<RuntimeInfo, RuntimeError> {
        let ask = async {
            let api = self.engine.api().await.map_err(error)?;
            let version = api.version().await.map_err(|e| error(e.into()))?.version;
            let engine_id = api.info().await.map_err(|e| error(e.into()))?.id.filter(|id| !id.is_empty());
            Ok(RuntimeInfo { version: version.unwrap_or_default(), engine_id, ..Default::default() })
        };
        match tokio::time::timeout(std::time::Duration::from_secs(10), ask).await {
            Ok(answer) => answer,
            Err(_) => Err(RuntimeError::Unreachable("the Docker engine took too long to answer".to_owned())),
        }
    }

    async fn local_image(&self, repository: &Repository, tag: &Tag) -> Result<Option<LocalImage>, RuntimeError> {
        self.find_local(repository, tag).await
    }

    async fn pull(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<(), RuntimeError> {
        self.pull_images(rollout, progress).await
    }

    async fn apply(&self, rollout: &Rollout, progress: &dyn Progress) -> Result<Applied, RuntimeError> {
        self.apply_rollout(rollout, progress).await
    }

    async fn finish(&self, rollout: &Rollout, _: &dyn Progress) -> Result<(), RuntimeError> {
        self.finish_steps(rollout).await
    }

    async fn undo(
        &self,
        failed: &Rollout,
        previous: Option<&Rollout>,
        progress: &dyn Progress,
    ) -> Result<(), RuntimeError> {
        let target = &failed.spec.target;
        progress.line("Bringing back what ran before.").await;
        self.undo_steps(target, failed.revision, previous.map(|p| p.revision), false).await?;
        if previous.is_none() && self.observe(target).await?.is_empty() {
            return self.remove_network(target).await;
        }
        Ok(())
    }

    async fn stop(&self, target: &Target) -> Result<(), RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        for id in self.ids(target).await? {
            match api.stop_container(&id, None::<StopContainerOptions>).await.map_err(EngineError::from) {
                Err(failure) if !failure.is_missing() => return Err(error(failure)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn restart(&self, target: &Target) -> Result<(), RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        for container in self.observe(target).await?.iter().filter(|o| o.role == Role::Main) {
            api.restart_container(&container.id, None).await.map_err(|e| error(e.into()))?;
        }
        Ok(())
    }

    async fn remove(&self, target: &Target, volumes: Volumes) -> Result<(), RuntimeError> {
        for id in self.ids(target).await? {
            self.remove_container(&id).await?;
        }
        self.remove_network(target).await?;
        if volumes == Volumes::Keep {
            return Ok(());
        }
        let api = self.engine.api().await.map_err(error)?;
        let options = ListVolumesOptions { filters: Some(ours(Some(target))) };
        let listed = api.list_volumes(Some(options)).await.map_err(|e| error(e.into()))?;
        for volume in listed.volumes.unwrap_or_default() {
            let removed = api.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
            match removed.map_err(EngineError::from) {
                Err(failure) if !failure.is_missing() => return Err(error(failure)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn instances(&self, target: &Target) -> Result<Vec<InstanceState>, RuntimeError> {
        let found = self.inspect_all(target).await?;
        let host = self.engine.published_host();
        Ok(found.iter().filter_map(|state| instance(state, host)).collect())
    }

    async fn logs(
        &self,
        target: &Target,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        self.read_logs(target, query).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        let mut filters = ours(None);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        let kinds = ["die", "start", "oom", "health_status", "destroy", "stop"];
        filters.insert("event".to_owned(), kinds.map(str::to_owned).to_vec());
        let events = self.engine.events(filters).await.map_err(error)?;
        let environment = |event: bollard::models::EventMessage| {
            event.actor?.attributes?.remove(ENVIRONMENT).map(|environment_id| RuntimeEvent { environment_id })
        };
        Ok(events.filter_map(move |event| async move { event.map(environment).map_err(error).transpose() }).boxed())
    }
}

impl DockerRuntime {
    async fn remove_network(&self, target: &Target) -> Result<(), RuntimeError> {
        let api = self.engine.api().await.map_err(error)?;
        match api.remove_network(&spec::network_name(target)).await.map_err(EngineError::from) {
            Err(failure) if !failure.is_missing() => Err(error(failure)),
            _ => Ok(()),
        }
    }
}

/// Filters for our objects, of one environment or of all.
fn ours(target: Option<&Target>) -> HashMap<String, Vec<String>> {
    let mut labels = vec![format!("{MANAGED_BY}={KIOPS}")];
    labels.extend(target.map(|target| format!("{ENVIRONMENT}={}", target.environment_id)));
    HashMap::from([("label".to_owned(), labels)])
}

fn instance(found: &bollard::models::ContainerInspectResponse, host: &str) -> Option<InstanceState> {
    let seen = spec::observe(found)?;
    if seen.role != Role::Main {
        return None;
    }
    let labels = found.config.as_ref()?.labels.as_ref()?;
    let state = found.state.as_ref()?;
    let health = state.health.as_ref().and_then(|health| health.status);
    let healthy = match health {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE | HealthStatusEnum::HEALTHY) => true,
        Some(_) => false,
    };
    let up = seen.is_running && state.restarting != Some(true);
    let code = state.exit_code.unwrap_or_default();
    let message = match (state.oom_killed, up, health) {
        (Some(true), false, _) => Some(format!("out of memory (exit code {code})")),
        (_, false, _) if state.started_at.as_deref().is_some_and(|at| !at.starts_with("0001")) => {
            Some(format!("exit code {code}"))
        }
        (_, true, Some(HealthStatusEnum::UNHEALTHY)) => Some("its HEALTHCHECK fails".to_owned()),
        _ => None,
    };
    let endpoint = health::published_port(found).filter(|_| up);
    let started = state.started_at.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    Some(InstanceState {
        name: found.name.as_deref()?.trim_start_matches('/').to_owned(),
        image: labels.get(labels::IMAGE).cloned().unwrap_or_default(),
        state: state.status.map(|status| status.to_string()).unwrap_or_default(),
        ready: up && healthy,
        restarts: i32::try_from(found.restart_count.unwrap_or_default()).unwrap_or(i32::MAX),
        started_at: started.map(|at| at.with_timezone(&Utc)).filter(|at| at.timestamp() > 0),
        endpoints: endpoint.map(|port| format!("{host}:{port}")).into_iter().collect(),
        message,
        container: seen.container,
    })
}
