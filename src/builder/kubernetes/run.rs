//! A stage of a run at work on the cluster.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tokio::time::Instant;

use super::ClusterBuilder;
use super::failure::{self, unsent};
use super::manifest::{RESULT, SOURCE, Stage};
use crate::builder::buildkit::words;
use crate::builder::{BuilderError, Journal, Output, RunMark};
use crate::cluster::ground::GroundError;
use crate::cluster::job::owner;
use crate::cluster::log::Printed;
use crate::cluster::pod::{self, Kind, Trouble};
use crate::cluster::run::{self, Notes, RunError};
use crate::cluster::send::Content;
use crate::cluster::{Cluster, ClusterError};

pub(super) use crate::cluster::run::Ended;

/// Takes what the container of a stage prints.
#[async_trait]
pub(super) trait Lines: Send {
    async fn take(&mut self, line: Printed, journal: &dyn Journal);
}

/// A stage of a run.
pub(super) struct Run<'a> {
    pub builder: &'a ClusterBuilder,
    pub stage: Stage,
    pub mark: &'a RunMark,
    pub journal: &'a dyn Journal,
    /// How long it may take.
    pub time: Duration,
    pub deadline: Instant,
}

impl Run<'_> {
    /// What it is called in sentences.
    fn what(&self) -> &'static str {
        match self.stage {
            Stage::Build => "the build",
            Stage::Test => "the test command",
        }
    }

    fn cluster(&self) -> &Cluster {
        &self.builder.cluster
    }

    fn on_cluster<'a>(&'a self, notes: &'a dyn Notes) -> run::Run<'a> {
        run::Run {
            cluster: self.cluster(),
            namespace: &self.builder.place.namespace,
            name: self.stage.name(&self.mark.run_id),
            selector: self.stage.selector(&self.mark.run_id),
            what: self.what(),
            source: SOURCE,
            main: self.stage.as_str(),
            notes,
            deadline: self.deadline,
        }
    }

    /// Sees that the namespace of runs is there and ours, and that its network policies hold.
    pub async fn have_ground(&self) -> Result<(), BuilderError> {
        match self.on_cluster(&Told(self.journal)).have_ground().await {
            Ok(()) => Ok(()),
            Err(GroundError::Run(error)) => Err(self.error(error)),
            Err(GroundError::NotOurs) => Err(BuilderError::Refused(format!(
                "namespace {} of the cluster was not made by KIOPS for builds: build.namespace of kiops.toml can name \
                 another one",
                self.builder.place.namespace
            ))),
        }
    }

    /// Makes the Job with what belongs to it, and lets it begin.
    pub async fn begin(&self, job: Job, secret: impl FnOnce(OwnerReference) -> Secret) -> Result<(), BuilderError> {
        let notes = Told(self.journal);
        let run = self.on_cluster(&notes);
        let beginning = async {
            let made = run.make(job).await?;
            run.apply(secret(owner(&run.name, made.metadata.uid.as_deref().unwrap_or_default()))).await?;
            run.begin().await
        };
        beginning.await.map_err(|error| self.error(error))
    }

    /// Follows the pod until it has come to its end, and all that was printed is taken.
    ///
    /// # Errors
    /// When it never begins, is gone, is not over in time, or nobody can say how it fares.
    pub async fn follow(
        &self,
        content: Option<Box<dyn Content + '_>>,
        lines: &mut dyn Lines,
    ) -> Result<Ended, BuilderError> {
        let notes = Told(self.journal);
        let mut lines = Taker { lines, journal: self.journal };
        let is_over = |pod: &Pod| self.is_over(pod);
        let followed = self.on_cluster(&notes).follow(content, &mut lines, &is_over).await;
        followed.map_err(|error| self.error(error))
    }

    /// Whether nothing more is to come: the container that does the work failed, or the last of them has ended.
    fn is_over(&self, pod: &Pod) -> bool {
        let ended = |container: &str| pod::end_of(pod, container);
        let before =
            [SOURCE, Stage::Build.as_str()].iter().any(|name| ended(name).is_some_and(|end| end.exit_code != 0));
        let last = match self.stage {
            Stage::Build => RESULT,
            Stage::Test => Stage::Test.as_str(),
        };
        before || ended(last).is_some()
    }

    /// Asks until there is an answer or the time is over.
    pub async fn in_time<T, F>(&self, ask: impl Fn() -> F) -> Result<T, BuilderError>
    where
        F: Future<Output = Result<T, ClusterError>>,
    {
        let answer = self.on_cluster(&Told(self.journal)).in_time(ask).await;
        answer.map_err(|error| self.error(error))
    }

    fn error(&self, error: RunError) -> BuilderError {
        let what = self.what();
        match error {
            RunError::Late(trouble) => {
                let why = trouble.map(|trouble| format!(", and has not begun: {}", trouble.text)).unwrap_or_default();
                BuilderError::TimedOut(format!("{what} took longer than {}{why}", words(self.time)))
            }
            RunError::Never(trouble) => self.never(&trouble),
            RunError::PutOut(why) => BuilderError::Engine(format!("the cluster ended {what}: {why}")),
            RunError::Removed => BuilderError::Engine(format!("somebody removed the pod of {what} from the cluster")),
            RunError::Unsent(why) => unsent(why),
            RunError::Cluster(why) => failure::error(why),
        }
    }

    fn never(&self, Trouble { kind, text, .. }: &Trouble) -> BuilderError {
        let what = self.what();
        BuilderError::Engine(match (kind, self.stage) {
            (Kind::NoNode, _) => format!("no node of the cluster has room for {what}: {text}"),
            (Kind::Quota | Kind::NoPod, _) => format!("the cluster makes no pod for {what}: {text}"),
            (Kind::NoImage | Kind::Pull, Stage::Build) => format!(
                "the cluster does not get BuildKit: {text}; build.buildkit_image of kiops.toml names where it is"
            ),
            (Kind::NoImage | Kind::Pull, Stage::Test) => format!("the cluster does not get the image: {text}"),
            (Kind::NoContainer, _) => format!("the cluster makes no container for {what}: {text}"),
        })
    }
}

/// What is to be said of the cluster is said in the run's log.
struct Told<'a>(&'a dyn Journal);

#[async_trait]
impl Notes for Told<'_> {
    async fn note(&self, text: &str) {
        self.0.line(Output::System, text).await;
    }
}

struct Taker<'a> {
    lines: &'a mut dyn Lines,
    journal: &'a dyn Journal,
}

#[async_trait]
impl run::Lines for Taker<'_> {
    async fn take(&mut self, line: Printed) {
        self.lines.take(line, self.journal).await;
    }
}
