//! A command in a container of an image: alone in a network, with limits, read as it prints.

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Sdk;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkCreateRequest, NetworkingConfig,
};
use bollard::query_parameters::{AttachContainerOptions, CreateContainerOptions, WaitContainerOptions};
use chrono::DateTime;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use super::{DockerBuilder, error, sdk};
use crate::builder::buildkit::words;
use crate::builder::{BuilderError, Journal, Output, TestEnd, TestRequest};
use crate::engine::{EngineError, LineAssembler, neutralise};

/// Processes and threads in the container.
const MOST_PROCESSES: i64 = 4096;
/// The least memory that an engine takes for a container.
const LEAST_MEMORY: u64 = 6 * 1024 * 1024;
/// How long what a command printed may arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(10);

impl DockerBuilder {
    pub(super) async fn run_test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        if request.command.is_empty() {
            return Err(BuilderError::Refused("the test command is empty".to_owned()));
        }
        // A try that was given up may have left its own.
        self.remove_left(&request.mark.run_id).await?;
        let limit = request.limits.time;
        let outcome = tokio::time::timeout(limit, self.run_container(request, journal)).await;
        let removed = self.remove_left(&request.mark.run_id).await;
        let end = match outcome {
            Ok(end) => end?,
            Err(_) => {
                let text = format!("the test command took longer than {}", words(limit));
                return Err(BuilderError::TimedOut(text));
            }
        };
        removed.map(|()| end)
    }

    async fn run_container(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        let api = self.engine.api().await.map_err(error)?;
        let name = format!("kiops-test-{}", short(&request.mark.run_id));
        let network = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some(request.mark.labels()),
            ..Default::default()
        };
        api.create_network(network).await.map_err(sdk)?;
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        let created = api.create_container(Some(options), container(request, &name)).await.map_err(sdk)?;
        // Before it is started, so that nothing is missed.
        let options = AttachContainerOptions { stream: true, stdout: true, stderr: true, ..Default::default() };
        let attached = api.attach_container(&created.id, Some(options)).await.map_err(sdk)?;
        if let Err(failure) = api.start_container(&created.id, None).await {
            return Err(not_started(&request.command[0], failure.into()));
        }
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let ended = async {
            // An exit code that is not nought comes as an error too; the code itself is asked for afterwards.
            match api.wait_container(&created.id, Some(options)).try_collect::<Vec<_>>().await {
                Ok(_) | Err(Sdk::DockerContainerWaitError { .. }) => Ok(()),
                Err(failure) => Err(sdk(failure)),
            }
        };
        let print = print(attached.output, journal);
        tokio::pin!(print, ended);
        tokio::select! {
            outcome = &mut print => {
                outcome?;
                ended.await?;
            }
            outcome = &mut ended => {
                outcome?;
                // The reader may be slow. What does not come to an end afterwards has nothing more to say.
                if let Ok(printed) = tokio::time::timeout(LAST_WORDS, print).await {
                    printed?;
                }
            }
        }
        let state = api.inspect_container(&created.id, None).await.map_err(sdk)?.state.unwrap_or_default();
        let Some(exit_code) = state.exit_code else {
            return Err(BuilderError::Engine("the engine does not say how the test command ended".to_owned()));
        };
        Ok(TestEnd { exit_code, out_of_memory: state.oom_killed == Some(true) })
    }
}

fn container(request: &TestRequest, network: &str) -> ContainerCreateBody {
    let memory = i64::try_from(request.limits.memory.max(LEAST_MEMORY)).ok();
    ContainerCreateBody {
        image: Some(request.image_id.clone()),
        // An empty text takes the image's own away.
        entrypoint: Some(vec![String::new()]),
        cmd: Some(request.command.clone()),
        labels: Some(request.mark.labels()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            // A float becomes the nearest whole number, and nought for what is none: then there is no limit.
            nano_cpus: Some((request.limits.cpu * 1e9) as i64),
            memory,
            // As much as memory: no swap.
            memory_swap: memory,
            pids_limit: Some(MOST_PROCESSES),
            network_mode: Some(network.to_owned()),
            publish_all_ports: Some(false),
            privileged: Some(false),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            // What it prints is read as it comes; nothing of it is kept on the engine's disk.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.to_owned(), EndpointSettings::default())])),
        }),
        ..Default::default()
    }
}

/// Puts what comes together to lines until there is no more. While the journal is busy the program has to wait.
async fn print(mut output: BoxStream<'_, Result<LogOutput, Sdk>>, journal: &dyn Journal) -> Result<(), BuilderError> {
    // Nobody asks when these lines were printed.
    let at = DateTime::UNIX_EPOCH;
    let (mut stdout, mut stderr) = (LineAssembler::default(), LineAssembler::default());
    while let Some(part) = output.next().await {
        let (kind, lines) = match part.map_err(sdk)? {
            LogOutput::StdErr { message } => (Output::Stderr, stderr.push_at(at, &message)),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                (Output::Stdout, stdout.push_at(at, &message))
            }
            LogOutput::StdIn { .. } => continue,
        };
        for line in lines {
            journal.line(kind, &line.text).await;
        }
    }
    for (kind, lines) in [(Output::Stdout, &mut stdout), (Output::Stderr, &mut stderr)] {
        if let Some(line) = lines.flush() {
            journal.line(kind, &line.text).await;
        }
    }
    Ok(())
}

/// What an engine says of a program that it could not start.
fn not_started(program: &str, failure: EngineError) -> BuilderError {
    let EngineError::Answer { message, .. } = &failure else { return error(failure) };
    let program = neutralise(program);
    if message.contains("executable file not found") || message.contains("no such file or directory") {
        return BuilderError::Refused(format!("the image has no program `{program}`"));
    }
    if message.contains("permission denied") || message.contains("exec format error") {
        return BuilderError::Refused(format!("the program `{program}` of the image cannot be run: {message}"));
    }
    error(failure)
}

/// The end of an id: ids that are made at the same time begin alike.
fn short(run_id: &str) -> String {
    let mut end: Vec<char> = run_id.chars().rev().filter(char::is_ascii_alphanumeric).take(12).collect();
    end.reverse();
    end.into_iter().collect()
}
