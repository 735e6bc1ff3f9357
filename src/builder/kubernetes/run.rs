//! A run at work: its Job is made, and its pod followed to the end. What the pod does is heard by watches; nothing is asked
//! for again and again.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;

use super::ClusterBuilder;
use super::failure::error;
use super::manifest::{SOURCE, Stage, owner};
use super::pod::{self, Kind, Trouble};
use crate::builder::buildkit::words;
use crate::builder::{BuilderError, Journal, Output, RunMark};
use crate::cluster::log::{self, Printed};
use crate::cluster::{ClusterError, FIELD_MANAGER, watch};
use crate::engine::neutralise;

/// Waits between two tries to ask something while the cluster is away.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The most that is kept of a line: BuildKit tells of many steps in one.
const LONGEST: usize = 4 << 20;
/// How long what a container printed may arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Until a log that broke off is opened again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a watch may be refused (not: unanswered) until that counts: rights can be a moment late after a restart.
const REFUSED_FOR: Duration = Duration::from_secs(15);
/// How long after the source could not be sent the pod may take to say why.
const EXPLANATION: Duration = Duration::from_secs(5);

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

/// How a pod came to its end.
pub(super) struct Ended {
    pub pod: Pod,
    /// Why the source could not be sent, if it could not.
    pub unsent: Option<BuilderError>,
}

/// Sends the source to a pod of this name.
pub(super) type Sender<'a> = Box<dyn FnOnce(String) -> BoxFuture<'a, Result<(), BuilderError>> + Send + 'a>;

impl Run<'_> {
    /// What it is called in sentences.
    fn what(&self) -> &'static str {
        match self.stage {
            Stage::Build => "the build",
            Stage::Test => "the test command",
        }
    }

    /// Makes the Job with what belongs to it, and lets it begin.
    pub async fn begin(&self, job: Job, secret: impl FnOnce(OwnerReference) -> Secret) -> Result<(), BuilderError> {
        let cluster = &self.builder.cluster;
        let name = self.stage.name(&self.mark.run_id);
        let placed = |mut meta: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            meta.namespace = Some(self.builder.place.namespace.clone());
            meta
        };
        let job = Job { metadata: placed(job.metadata), ..job };
        let made = self.in_time(|| cluster.apply(&job, &())).await?;
        self.builder.sweep(&made).await;
        let secret = secret(owner(&name, made.metadata.uid.as_deref().unwrap_or_default()));
        let secret = Secret { metadata: placed(secret.metadata), ..secret };
        self.in_time(|| cluster.apply(&secret, &())).await?;
        // No apply: that would make it again where somebody has given it up meanwhile.
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let begin = Patch::Merge(json!({ "spec": { "suspend": false } }));
        let jobs: Api<Job> = self.builder.api();
        self.in_time(|| async { jobs.patch(&name, &parameters, &begin).await.map_err(ClusterError::from) }).await?;
        Ok(())
    }

    /// Follows the pod until it has come to its end, and all that was printed is taken.
    ///
    /// # Errors
    /// When it never begins, is gone, is not over in time, or nobody can say how it fares.
    pub async fn follow(&self, mut send: Option<Sender<'_>>, lines: &mut dyn Lines) -> Result<Ended, BuilderError> {
        let mut seen = Seen::new(self);
        let mut sending: Option<BoxFuture<'_, Result<(), BuilderError>>> = None;
        let mut unsent: Option<(BuilderError, Instant)> = None;
        loop {
            if let Some(pod) = &seen.pod {
                if self.is_over(pod) {
                    self.last_words(&mut seen, lines).await;
                    let pod = seen.pod.take().unwrap_or_default();
                    return Ok(Ended { pod, unsent: unsent.map(|(error, _)| error) });
                }
                if pod::is_running(pod, SOURCE)
                    && let Some(send) = send.take()
                {
                    sending = Some(send(pod.name_any()));
                }
                if pod::is_running(pod, self.stage.as_str()) {
                    seen.open_log();
                }
            }
            let wake = seen.judge(self).await?;
            let explained = unsent.as_ref().map(|(_, until)| *until);
            let wake = [wake, explained].into_iter().flatten().fold(self.deadline, Instant::min);
            tokio::select! {
                heard = seen.hear() => seen.take(heard, self, lines).await?,
                sent = async { sending.as_mut().expect("it is looked first whether there is one").await },
                    if sending.is_some() =>
                {
                    sending = None;
                    unsent = sent.err().map(|error| (error, Instant::now() + EXPLANATION));
                }
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= self.deadline {
                        return Err(self.late(seen.trouble.as_ref().map(|(trouble, _)| trouble)));
                    }
                    if let Some((error, _)) = unsent.take_if(|(_, until)| *until <= Instant::now()) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Whether nothing more is to come: the container that does the work failed, or the last of them has ended.
    fn is_over(&self, pod: &Pod) -> bool {
        let ended = |container: &str| pod::end_of(pod, container);
        let before =
            [SOURCE, Stage::Build.as_str()].iter().any(|name| ended(name).is_some_and(|end| end.exit_code != 0));
        let last = match self.stage {
            Stage::Build => super::manifest::RESULT,
            Stage::Test => Stage::Test.as_str(),
        };
        before || ended(last).is_some() || pod::has_failed(pod)
    }

    /// What was printed until the end.
    async fn last_words(&self, seen: &mut Seen, lines: &mut dyn Lines) {
        let begun = seen.pod.as_ref().is_some_and(|pod| pod::end_of(pod, self.stage.as_str()).is_some());
        if !begun {
            return;
        }
        let reading = async {
            let mut tail: Option<Printed> = None;
            loop {
                seen.look = None;
                seen.open_log();
                let Some(log) = &mut seen.log else { return };
                match log.next().await {
                    // A program need not end its last line. Whether it did so, or the connection broke within the line, a
                    // second look says.
                    Some(Ok(line)) if !line.is_whole && tail.as_ref() != Some(&line) => {
                        tail = Some(line);
                        seen.log = None;
                    }
                    Some(Ok(line)) => {
                        seen.last = Some(line.at);
                        lines.take(line, self.journal).await;
                    }
                    Some(Err(failure)) if failure.is_passing() => {
                        seen.log = None;
                        tokio::time::sleep(AGAIN).await;
                    }
                    // The pod is gone with what it said.
                    Some(Err(_)) | None => return,
                }
            }
        };
        // What does not come in time is not waited for: how it ended is known.
        let _ = tokio::time::timeout(LAST_WORDS, reading).await;
    }

    pub fn late(&self, trouble: Option<&Trouble>) -> BuilderError {
        let why = trouble.map(|trouble| format!(", and has not begun: {}", trouble.text)).unwrap_or_default();
        BuilderError::TimedOut(format!("{} took longer than {}{why}", self.what(), words(self.time)))
    }

    /// Asks until there is an answer or the time is over: what a cluster says that is away for a moment is none. So it is
    /// for what can be asked twice.
    pub async fn in_time<T, F>(&self, ask: impl Fn() -> F) -> Result<T, BuilderError>
    where
        F: Future<Output = Result<T, ClusterError>>,
    {
        let mut away: Option<ClusterError> = None;
        let asking = async {
            let mut wait = FIRST_WAIT;
            loop {
                let failure = match ask().await {
                    Err(failure) if failure.is_passing() => failure,
                    answer => return answer.map_err(error),
                };
                if away.as_ref() != Some(&failure) {
                    self.journal
                        .line(Output::System, &format!("{}; it is waited for.", neutralise(&failure.to_string())))
                        .await;
                    away = Some(failure);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        };
        match tokio::time::timeout_at(self.deadline, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(away.map_or_else(|| self.late(None), error)),
        }
    }
}

/// One thing that was heard.
enum Heard {
    Pod(Result<Box<Event<Pod>>, ClusterError>),
    Job(Result<Box<Event<ClusterEvent>>, ClusterError>),
    Line(Option<Result<Printed, ClusterError>>),
    /// It is time to open the log again.
    Look,
}

/// What is known of the pod.
struct Seen {
    api: Api<Pod>,
    container: &'static str,
    pods: BoxStream<'static, Result<Event<Pod>, ClusterError>>,
    events: BoxStream<'static, Result<Event<ClusterEvent>, ClusterError>>,
    pod: Option<Pod>,
    /// The one in a list that is being read.
    coming: Option<Pod>,
    log: Option<BoxStream<'static, Result<Printed, ClusterError>>>,
    /// When a log that broke off is opened again.
    look: Option<Instant>,
    /// The time of the last line.
    last: Option<DateTime<Utc>>,
    /// What the Job's events say.
    of_job: Option<Trouble>,
    /// What is in the way, and since when.
    trouble: Option<(Trouble, Instant)>,
    /// The last refusal of the image: between two tries a kubelet only says that it waits.
    refusal: Option<Trouble>,
    refused: Option<Instant>,
    away: bool,
}

impl Seen {
    fn new(run: &Run<'_>) -> Self {
        let api: Api<Pod> = run.builder.api();
        let run_id = &run.mark.run_id;
        let job = format!("involvedObject.kind=Job,involvedObject.name={}", run.stage.name(run_id));
        Self {
            pods: watch(api.clone(), watcher::Config::default().labels(&run.stage.selector(run_id))),
            events: watch(run.builder.api(), watcher::Config::default().fields(&job)),
            api,
            container: run.stage.as_str(),
            pod: None,
            coming: None,
            log: None,
            look: None,
            last: None,
            of_job: None,
            trouble: None,
            refusal: None,
            refused: None,
            away: false,
        }
    }

    /// Opens the log, or goes on with it after the last line.
    fn open_log(&mut self) {
        let Some(pod) = self.pod.as_ref().filter(|_| self.log.is_none() && self.look.is_none()) else { return };
        self.log = Some(log::follow(self.api.clone(), (&pod.name_any(), self.container), self.last, LONGEST));
    }

    async fn hear(&mut self) -> Heard {
        let line = async {
            match &mut self.log {
                Some(log) => log.next().await,
                None => std::future::pending().await,
            }
        };
        let look = async {
            match self.look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(heard) = self.pods.next() => Heard::Pod(heard.map(Box::new)),
            Some(heard) = self.events.next(), if self.pod.is_none() => Heard::Job(heard.map(Box::new)),
            heard = line => Heard::Line(heard),
            () = look => Heard::Look,
        }
    }

    async fn take(&mut self, heard: Heard, run: &Run<'_>, lines: &mut dyn Lines) -> Result<(), BuilderError> {
        match heard {
            Heard::Pod(Ok(event)) => {
                self.refused = None;
                if std::mem::take(&mut self.away) {
                    run.journal.line(Output::System, "The cluster answers again.").await;
                }
                self.pod(*event, run)?;
            }
            Heard::Pod(Err(failure)) => self.broken(failure, run).await?,
            Heard::Job(Ok(event)) => {
                if let Event::Apply(event) | Event::InitApply(event) = *event
                    && event.reason.as_deref() == Some("FailedCreate")
                {
                    self.of_job = event.message.as_deref().map(pod::trouble_of_job);
                }
            }
            // Nothing depends on the events.
            Heard::Job(Err(_)) => {}
            Heard::Line(Some(Ok(line))) if line.is_whole => {
                self.last = Some(line.at);
                lines.take(line, run.journal).await;
            }
            // The rest of it comes when the log is opened again, which begins with it.
            Heard::Line(Some(Ok(_))) => {}
            // It ended with its container, of which the watch tells, or broke off.
            Heard::Line(Some(Err(_)) | None) => {
                self.log = None;
                self.look = Some(Instant::now() + AGAIN);
            }
            Heard::Look => self.look = None,
        }
        Ok(())
    }

    fn pod(&mut self, event: Event<Pod>, run: &Run<'_>) -> Result<(), BuilderError> {
        let gone = |pod: &Pod| match pod::put_out(pod) {
            Some(why) => BuilderError::Engine(format!("the cluster ended {}: {why}", run.what())),
            None => BuilderError::Engine(format!("somebody removed the pod of {} from the cluster", run.what())),
        };
        match event {
            Event::Apply(pod) => self.pod = Some(pod),
            Event::Delete(pod) => return Err(gone(&pod)),
            Event::Init => self.coming = None,
            Event::InitApply(pod) => self.coming = Some(pod),
            Event::InitDone => match self.coming.take() {
                Some(pod) => self.pod = Some(pod),
                None => {
                    if let Some(pod) = &self.pod {
                        return Err(gone(pod));
                    }
                }
            },
        }
        Ok(())
    }

    async fn broken(&mut self, failure: ClusterError, run: &Run<'_>) -> Result<(), BuilderError> {
        if matches!(failure, ClusterError::TooOld(_)) {
            return Ok(());
        }
        if failure.is_passing() {
            if !std::mem::replace(&mut self.away, true) {
                run.journal.line(Output::System, &format!("{failure}; it is waited for.")).await;
            }
            return Ok(());
        }
        let since = *self.refused.get_or_insert_with(Instant::now);
        if since.elapsed() < REFUSED_FOR { Ok(()) } else { Err(error(failure)) }
    }

    /// Looks whether the pod will ever begin. Gives the moment at which what is in the way counts.
    async fn judge(&mut self, run: &Run<'_>) -> Result<Option<Instant>, BuilderError> {
        let found = match &self.pod {
            Some(pod) => pod::trouble(pod),
            None => self.of_job.clone(),
        };
        let Some(mut found) = found else {
            self.trouble = None;
            return Ok(None);
        };
        match (found.kind, &self.refusal) {
            (Kind::NoImage, _) => self.refusal = Some(found.clone()),
            (Kind::Pull, Some(refusal)) => found = refusal.clone(),
            _ => {}
        }
        let known = self.trouble.take().filter(|(before, _)| before.kind == found.kind);
        if known.as_ref().is_none_or(|(before, _)| before.text != found.text) {
            run.journal.line(Output::System, &format!("{} has not begun: {}", capital(run.what()), found.text)).await;
        }
        let since = known.map_or_else(Instant::now, |(_, since)| since);
        let counts = since + found.kind.patience();
        if counts <= Instant::now() {
            return Err(never(run, &found));
        }
        self.trouble = Some((found, since));
        Ok(Some(counts))
    }
}

fn never(run: &Run<'_>, trouble: &Trouble) -> BuilderError {
    let what = run.what();
    let Trouble { kind, text } = trouble;
    BuilderError::Engine(match (kind, run.stage) {
        (Kind::NoNode, _) => format!("no node of the cluster has room for {what}: {text}"),
        (Kind::Quota | Kind::NoPod, _) => format!("the cluster makes no pod for {what}: {text}"),
        (Kind::NoImage | Kind::Pull, Stage::Build) => {
            format!("the cluster does not get BuildKit: {text}; build.buildkit_image of kiops.toml names where it is")
        }
        (Kind::NoImage | Kind::Pull, Stage::Test) => format!("the cluster does not get the image: {text}"),
        (Kind::NoContainer, _) => format!("the cluster makes no container for {what}: {text}"),
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
