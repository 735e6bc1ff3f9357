//! A tool in an image as a Job of a cluster: what it looks at is sent in by way of the API server, its report is read out the
//! same way, and it can do little else.

mod clear;
mod give;
mod manifest;
mod report;

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::Job as BatchJob;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt as _;
use tokio::time::timeout_at;

pub(super) use self::clear::clear;
use self::manifest::{GIVEN, TOOL, name, selector, tool_job, way_out};
use super::said::{From as Output, Listener};
use super::{ClusterConnection, Ran, Run, Said, ended_badly, late};
use crate::cluster::ground::GroundError;
use crate::cluster::job::owner;
use crate::cluster::log::Printed;
use crate::cluster::pod::{self, Kind, NotStarted, Trouble};
use crate::cluster::run::{self, Ended, Lines, Notes, RunError};
use crate::cluster::send::Unsent;
use crate::cluster::{Cluster, ClusterError, InCluster};
use crate::engine::neutralise;
use crate::scanner::ScanError;

/// What is said of what a tool looks at where it did not arrive.
const BROKEN: &str = "the connection to the cluster broke while what it looks at was sent";

/// Runs it in a pod of `image`, which is gone when this returns, or, where that can't be had, was told to go.
pub(super) async fn run(
    run: &Run<'_>,
    (image, connection): (&str, &ClusterConnection),
    (said, surroundings): (&dyn Said, Option<&InCluster>),
) -> Result<Ran, ScanError> {
    let tool = run.job.tool;
    if !tool.mounts.is_empty() {
        let name = &tool.name;
        let text = "is mounted from the machine that it runs on, and no folder of a cluster's node is: put what it needs \
                    into its image, or let it have it over the network";
        return Err(ScanError::Missing(format!("what scan.tools.{name}.mounts names {text}")));
    }
    let cluster = connect(connection, surroundings)?;
    let mut listener = Listener::new(tool.kind, said);
    let one = One { cluster, on: connection, run, image, name: name(&run.folder.name()) };
    let outcome = timeout_at(run.end, one.work(&mut listener, said)).await;
    one.remove().await;
    run.deliver_after(outcome, listener).await
}

/// Makes a client; asks nothing yet.
fn connect(connection: &ClusterConnection, surroundings: Option<&InCluster>) -> Result<Cluster, ScanError> {
    Cluster::connect(&connection.access, surroundings).map_err(error)
}

/// A cluster's error in the words of the trait.
fn error(failure: ClusterError) -> ScanError {
    let text = neutralise(&failure.to_string());
    match failure {
        _ if failure.is_passing() => ScanError::Unreachable(text),
        ClusterError::Forbidden(_) => {
            ScanError::Failed(format!("{text}; `kiops doctor` says what the login of build.runtime lacks"))
        }
        _ => ScanError::Failed(text),
    }
}

struct One<'a> {
    cluster: Cluster,
    on: &'a ClusterConnection,
    run: &'a Run<'a>,
    image: &'a str,
    /// Of its Job, and of all that goes with it.
    name: String,
}

impl One<'_> {
    /// Runs it to its end, and reads the report into the run's folder. Gives the exit code.
    async fn work(&self, listener: &mut Listener<'_>, said: &dyn Said) -> Result<i64, ScanError> {
        let (job, notes) = (self.run.job, Told(said));
        let run = run::Run {
            cluster: &self.cluster,
            namespace: &self.on.namespace,
            name: self.name.clone(),
            selector: selector(&self.name),
            what: &job.tool.name,
            source: GIVEN,
            main: TOOL,
            notes: &notes,
            deadline: self.run.end,
        };
        run.have_ground().await.map_err(|why| self.no_ground(why))?;
        let batch = tool_job(&self.name, job, (self.image, &self.run.places), self.on);
        let beginning = async {
            let made = run.make(batch).await?;
            let by = owner(&self.name, made.metadata.uid.as_deref().unwrap_or_default());
            if let Some(policy) = way_out(&self.name, job, by) {
                run.apply(policy).await?;
            }
            run.begin().await
        };
        beginning.await.map_err(|why| self.error(why))?;
        let mut words = Words(listener);
        let given = Box::new(give::Given::of(self.run));
        let ended = run.follow(Some(given), &mut words, &is_over).await.map_err(|why| self.error(why))?;
        let exit_code = self.exit_code(&ended)?;
        if let Some(why) = ended.unsent {
            return Err(self.error(RunError::Unsent(why)));
        }
        report::read(&run.api(), &ended.pod.name_any(), self.run).await?;
        Ok(exit_code)
    }

    fn exit_code(&self, ended: &Ended) -> Result<i64, ScanError> {
        let (pod, tool) = (&ended.pod, self.run.job.tool);
        let name = &tool.name;
        if pod::end_of(pod, TOOL).is_none()
            && let Some(why) = pod::put_out(pod)
        {
            return Err(self.error(RunError::PutOut(why)));
        }
        if let Some(end) = pod::end_of(pod, GIVEN).filter(|end| end.exit_code != 0) {
            return Err(match &ended.unsent {
                Some(why) => self.error(RunError::Unsent(why.clone())),
                // Its archive broke off, or there was no room for it.
                None => ScanError::Failed(format!(
                    "what {name} looks at could not be unpacked on the cluster: exit code {}, {}",
                    end.exit_code,
                    neutralise(&end.reason)
                )),
            });
        }
        let Some(end) = pod::end_of(pod, TOOL) else {
            return Err(ScanError::Failed(format!("the cluster does not say how {name} ended")));
        };
        if let Some(why) = end.not_started() {
            return Err(self.not_started(why));
        }
        match ended_badly(tool, end.exit_code) {
            Some(_) if end.is_out_of_memory() => {
                let most = tool.memory >> 20;
                let text = format!("{name} was killed: it wanted more than {most} MiB (scan.tools.{name}.memory)");
                Err(ScanError::Failed(text))
            }
            // A pod that is put out is killed first.
            Some(failure) => Err(pod::put_out(pod).map_or(failure, |why| self.error(RunError::PutOut(why)))),
            None => Ok(end.exit_code),
        }
    }

    fn no_ground(&self, why: GroundError) -> ScanError {
        match why {
            GroundError::Run(why) => self.error(why),
            GroundError::NotOurs => ScanError::Failed(format!(
                "namespace {} of the cluster was not made by KIOPS for builds: build.namespace of kiops.toml can name \
                 another one",
                self.on.namespace
            )),
        }
    }

    fn error(&self, why: RunError) -> ScanError {
        let tool = self.run.job.tool;
        let name = &tool.name;
        match why {
            RunError::Late(None) => late(tool),
            RunError::Late(Some(trouble)) => {
                ScanError::TimedOut(format!("{}, and has not begun: {}", late(tool), trouble.text))
            }
            RunError::Never(trouble) => self.never(&trouble),
            RunError::PutOut(why) => ScanError::Failed(format!("the cluster ended {name}: {why}")),
            RunError::Removed => ScanError::Failed(format!("somebody removed the pod of {name} from the cluster")),
            RunError::Unsent(Unsent::Broken(None)) => ScanError::Unreachable(BROKEN.to_owned()),
            RunError::Unsent(Unsent::Broken(Some(why))) => ScanError::Unreachable(format!("{BROKEN}: {why}")),
            RunError::Unsent(Unsent::Unread(why)) => {
                ScanError::Failed(format!("what {name} looks at can't be sent to the cluster: {why}"))
            }
            RunError::Unsent(Unsent::Cluster(why)) | RunError::Cluster(why) => error(why),
        }
    }

    fn never(&self, Trouble { kind, text, image }: &Trouble) -> ScanError {
        let name = &self.run.job.tool.name;
        match kind {
            Kind::NoNode => ScanError::Failed(format!("no node of the cluster has room for {name}: {text}")),
            Kind::Quota | Kind::NoPod => ScanError::Failed(format!("the cluster makes no pod for {name}: {text}")),
            Kind::NoImage | Kind::Pull if image.as_deref() == Some(self.on.image.as_str()) => {
                ScanError::Failed(format!(
                    "the cluster does not get BuildKit's image, by which tools are given what they look at: {text}; \
                 build.buildkit_image of kiops.toml names where it is"
                ))
            }
            Kind::NoImage | Kind::Pull => {
                ScanError::Missing(format!("the cluster does not get scan.tools.{name}.image: {text}"))
            }
            Kind::NoContainer => ScanError::Failed(format!("the cluster makes no container for {name}: {text}")),
        }
    }

    /// What a container runtime says of a program that it could not start.
    fn not_started(&self, why: NotStarted) -> ScanError {
        let tool = self.run.job.tool;
        let (name, image) = (&tool.name, self.image);
        let program = neutralise(tool.command.first().map_or("", String::as_str));
        match why {
            NotStarted::NoProgram => {
                ScanError::Missing(format!("{image} has no program {program} (scan.tools.{name}.command)"))
            }
            NotStarted::NotRun(said) | NotStarted::Other(said) => {
                ScanError::Failed(format!("{program} of {image} can't be started (scan.tools.{name}): {said}"))
            }
        }
    }

    /// Removes the Job with its pod and policy. What can't be removed now is when the scan is cleared, and by the cluster.
    async fn remove(&self) {
        use crate::cluster::clear::{REMOVAL, remove, wait_until_gone};
        let namespace = self.on.namespace.as_str();
        let removal = async {
            remove::<BatchJob>(&self.cluster, namespace, &self.name).await?;
            if way_out(&self.name, self.run.job, owner(&self.name, "")).is_some() {
                remove::<NetworkPolicy>(&self.cluster, namespace, &self.name).await?;
            }
            wait_until_gone(&self.cluster, namespace, &selector(&self.name)).await
        };
        match tokio::time::timeout(REMOVAL, removal).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::warn!(name = self.name, %failure, "a scan's Job can't be removed"),
            Err(_) => tracing::warn!(name = self.name, "a scan's Job is not gone in time"),
        }
    }
}

/// Whether nothing more is to come of the tool.
fn is_over(pod: &Pod) -> bool {
    pod::end_of(pod, TOOL).is_some() || pod::end_of(pod, GIVEN).is_some_and(|end| end.exit_code != 0)
}

/// What a tool prints: to which of its outputs a cluster does not tell.
struct Words<'a, 'b>(&'a mut Listener<'b>);

#[async_trait]
impl Lines for Words<'_, '_> {
    async fn take(&mut self, line: Printed) {
        self.0.hear(Output::Stdout, &[line.text.as_slice(), b"\n"].concat()).await;
    }
}

/// What is to be said of the cluster goes where the tool's words go.
struct Told<'a>(&'a dyn Said);

#[async_trait]
impl Notes for Told<'_> {
    async fn note(&self, text: &str) {
        self.0.line(text).await;
    }
}

/// How soon the report is asked for again where that broke off.
const AGAIN: Duration = Duration::from_secs(1);
