//! A tool as a container of an engine: what it looks at is copied in, its report is copied out, and it can do little
//! else.

mod clear;
mod copy;
mod spec;

use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as Sdk;
use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
use bollard::query_parameters::{
    AttachContainerOptions, ContainerArchiveInfoOptions, CreateContainerOptions, CreateImageOptions,
    RemoveContainerOptions, WaitContainerOptions,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::{timeout, timeout_at};

pub(super) use self::clear::clear;
use super::said::{From as Printed, Listener};
use super::{Beside, EngineConnection, LAST_WORDS, Ran, Run, Said, ended_badly, inside, watch};
use crate::engine::{Address, Engine, EngineError, Tls, neutralise};
use crate::scanner::{ScanError, Tool};

/// How often the size of the report is asked for.
const OFTEN: Duration = Duration::from_secs(1);

/// Runs it in a container of `image`, which is gone when this returns.
pub(super) async fn run(
    run: &Run<'_>,
    (image, connection): (&str, &EngineConnection),
    said: &dyn Said,
) -> Result<Ran, ScanError> {
    let tool = run.job.tool;
    let engine = connect(connection)?;
    let api = engine.api().await.map_err(error)?;
    // What is sent may be large, and an answer comes when all of it has arrived.
    let patient = api.clone().with_timeout(api.timeout().max(tool.timeout));
    let mut listener = Listener::new(tool.kind, said);
    let container = Container { api: &patient, run, name: run.folder.name() };
    let outcome = timeout_at(run.end, container.run(image, &mut listener)).await;
    Container { api, ..container }.remove().await;
    run.deliver_after(outcome, listener).await
}

/// Makes a client; asks nothing yet.
pub(super) fn connect(connection: &EngineConnection) -> Result<Engine, ScanError> {
    let tls = connection.tls.clone().map(|(ca, cert, key)| Tls { ca, cert, key });
    Engine::connect(&Address { host: connection.host.clone(), tls }).map_err(error)
}

/// An engine's error in the words of the trait.
pub(super) fn error(failure: EngineError) -> ScanError {
    let text = neutralise(&failure.to_string());
    match failure {
        EngineError::Unreachable(_) => ScanError::Unreachable(text),
        _ => ScanError::Failed(text),
    }
}

fn sdk(failure: Sdk) -> ScanError {
    error(failure.into())
}

struct Container<'a> {
    api: &'a Docker,
    run: &'a Run<'a>,
    /// Of the container, and of its network if it has one of its own.
    name: String,
}

impl Container<'_> {
    /// Runs it to its end, and copies the report into the run's folder. Gives the exit code.
    async fn run(&self, image: &str, listener: &mut Listener<'_>) -> Result<i64, ScanError> {
        let (job, tool) = (self.run.job, self.run.job.tool);
        self.have(image).await?;
        let network = self.network().await?;
        let cores = self.api.info().await.map_err(sdk)?.ncpu;
        let body = spec::container(job, (image, &self.run.places), &network, cores);
        let id = self.create(body).await?;
        copy::to(self.api, &id, self.run).await?;
        // Before it is started, so that nothing is missed.
        let options = AttachContainerOptions { stream: true, stdout: true, stderr: true, ..Default::default() };
        let attached = self.api.attach_container(&id, Some(options)).await.map_err(sdk)?;
        if let Err(failure) = self.api.start_container(&id, None).await {
            return Err(not_started(tool, image, failure.into()));
        }
        tokio::select! {
            ended = self.listen(&id, attached.output, listener) => ended?,
            failure = self.watch(&id) => return Err(failure),
        }
        let exit_code = self.exit_code(&id).await?;
        copy::from(self.api, &id, self.run).await?;
        Ok(exit_code)
    }

    /// Pulls the image if it is not there.
    async fn have(&self, image: &str) -> Result<(), ScanError> {
        match self.api.inspect_image(image).await.map_err(EngineError::from) {
            Ok(_) => return Ok(()),
            Err(failure) if !failure.is_missing() => return Err(error(failure)),
            Err(_) => {}
        }
        let options = CreateImageOptions { from_image: Some(image.to_owned()), ..Default::default() };
        let pulled = self.api.create_image(Some(options), None, None).try_collect::<Vec<_>>().await;
        let Err(failure) = pulled.map_err(EngineError::from) else { return Ok(()) };
        match error(failure) {
            ScanError::Failed(why) => {
                let name = &self.run.job.tool.name;
                Err(ScanError::Missing(format!("the engine does not have {image}, scan.tools.{name}.image: {why}")))
            }
            other => Err(other),
        }
    }

    /// The network that it is in: that of what it scans, one of its own, or none.
    async fn network(&self) -> Result<String, ScanError> {
        let job = self.run.job;
        if let Some(Beside::Namespace(_)) = job.join {
            return Err(ScanError::Failed("a namespace of a cluster is no network of an engine".to_owned()));
        }
        if let Some(Beside::Network(join)) = job.join {
            // These words, and another container's network, are no networks of a service.
            if matches!(join.as_str(), "host" | "bridge" | "default" | "none") || join.contains(':') {
                return Err(ScanError::Failed(format!("{join} is no network that a scan can be in")));
            }
            return Ok(join.clone());
        }
        if !job.tool.network {
            return Ok("none".to_owned());
        }
        let network = NetworkCreateRequest {
            name: self.name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some(spec::labels(job)),
            ..Default::default()
        };
        self.api.create_network(network).await.map_err(sdk)?;
        Ok(self.name.clone())
    }

    async fn create(&self, body: ContainerCreateBody) -> Result<String, ScanError> {
        let options = CreateContainerOptions { name: Some(self.name.clone()), ..Default::default() };
        Ok(self.api.create_container(Some(options), body).await.map_err(sdk)?.id)
    }

    /// Hears it to its end.
    async fn listen(&self, id: &str, mut output: Output, listener: &mut Listener<'_>) -> Result<(), ScanError> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let ended = async {
            // An exit code that is not nought comes as an error too; the code itself is asked for afterwards.
            match self.api.wait_container(id, Some(options)).try_collect::<Vec<_>>().await {
                Ok(_) | Err(Sdk::DockerContainerWaitError { .. }) => Ok(()),
                Err(failure) => Err(sdk(failure)),
            }
        };
        let hearing = async {
            while let Some(part) = output.next().await {
                match part.map_err(sdk)? {
                    LogOutput::StdErr { message } => listener.hear(Printed::Stderr, &message).await,
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        listener.hear(Printed::Stdout, &message).await;
                    }
                    LogOutput::StdIn { .. } => {}
                }
            }
            Ok::<_, ScanError>(())
        };
        tokio::pin!(hearing, ended);
        tokio::select! {
            heard = &mut hearing => {
                heard?;
                ended.await
            }
            outcome = &mut ended => {
                outcome?;
                // What does not come to an end afterwards has nothing more to say.
                timeout(LAST_WORDS, hearing).await.unwrap_or(Ok(()))
            }
        }
    }

    /// Asks for the size of the report until that is more than it may be.
    async fn watch(&self, id: &str) -> ScanError {
        let tool = self.run.job.tool;
        loop {
            tokio::time::sleep(OFTEN).await;
            let options = ContainerArchiveInfoOptions { path: inside::REPORT.to_owned() };
            // There is none yet, or it is asked for again.
            let Ok(stat) = self.api.get_container_archive_info(id, Some(options)).await else { continue };
            if u64::try_from(stat.size).is_ok_and(|size| size > tool.max_report_bytes) {
                return watch::too_large(tool);
            }
        }
    }

    async fn exit_code(&self, id: &str) -> Result<i64, ScanError> {
        let tool = self.run.job.tool;
        let state = self.api.inspect_container(id, None).await.map_err(sdk)?.state.unwrap_or_default();
        let Some(exit_code) = state.exit_code else {
            return Err(ScanError::Failed(format!("the engine does not say how {} ended", tool.name)));
        };
        match ended_badly(tool, exit_code) {
            Some(_) if state.oom_killed == Some(true) => {
                let (name, most) = (&tool.name, tool.memory >> 20);
                let text = format!("{name} was killed: it wanted more than {most} MiB (scan.tools.{name}.memory)");
                Err(ScanError::Failed(text))
            }
            Some(failure) => Err(failure),
            None => Ok(exit_code),
        }
    }

    /// Removes the container with its volume, and its network. What can't be removed now is when the scan is cleared.
    async fn remove(&self) {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.api.remove_container(&self.name, Some(options)).await;
        left(removed.map_err(EngineError::from), &self.name);
        if self.run.job.tool.network && self.run.job.join.is_none() {
            left(self.api.remove_network(&self.name).await.map_err(EngineError::from), &self.name);
        }
    }
}

/// Frames of what a container prints.
type Output = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<LogOutput, Sdk>> + Send>>;

fn left(removed: Result<(), EngineError>, name: &str) {
    match removed {
        Err(failure) if !failure.is_missing() => {
            tracing::warn!(name, %failure, "what a scan made on the engine can't be removed");
        }
        _ => {}
    }
}

/// What an engine says of a program that it could not start.
fn not_started(tool: &Tool, image: &str, failure: EngineError) -> ScanError {
    let EngineError::Answer { message, .. } = &failure else { return error(failure) };
    let program = neutralise(tool.command.first().map_or("", String::as_str));
    let name = &tool.name;
    if message.contains("executable file not found") || message.contains("no such file or directory") {
        return ScanError::Missing(format!("{image} has no program {program} (scan.tools.{name}.command)"));
    }
    ScanError::Failed(format!("{program} of {image} can't be started (scan.tools.{name}): {}", neutralise(message)))
}
