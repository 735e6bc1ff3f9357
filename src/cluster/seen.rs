//! What is known of the pod of a Job while it is followed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::log::{self, Printed};
use super::pod::{self, Kind, Trouble};
use super::run::{AGAIN, Lines, Run, RunError};
use super::{ClusterError, watch};

/// The most that is kept of a line: BuildKit tells of many steps in one.
const LONGEST: usize = 4 << 20;
/// How long a watch may be refused (not: unanswered) until that counts: rights can be a moment late after a restart.
const REFUSED_FOR: Duration = Duration::from_secs(15);

/// One thing that was heard.
pub(super) enum Heard {
    Pod(Result<Box<Event<Pod>>, ClusterError>),
    Job(Result<Box<Event<ClusterEvent>>, ClusterError>),
    Line(Option<Result<Printed, ClusterError>>),
    /// It is time to open the log again.
    Look,
}

/// What is known.
pub(super) struct Seen {
    api: Api<Pod>,
    container: String,
    pods: BoxStream<'static, Result<Event<Pod>, ClusterError>>,
    events: BoxStream<'static, Result<Event<ClusterEvent>, ClusterError>>,
    pub(super) pod: Option<Pod>,
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
    pub(super) trouble: Option<(Trouble, Instant)>,
    /// The last refusal of the image: between two tries a kubelet only says that it waits.
    refusal: Option<Trouble>,
    refused: Option<Instant>,
    away: bool,
}

impl Seen {
    pub(super) fn new(run: &Run<'_>) -> Self {
        let api: Api<Pod> = run.api();
        let job = format!("involvedObject.kind=Job,involvedObject.name={}", run.name);
        Self {
            pods: watch(api.clone(), watcher::Config::default().labels(&run.selector)),
            events: watch(run.api(), watcher::Config::default().fields(&job)),
            api,
            container: run.main.to_owned(),
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
    pub(super) fn open_log(&mut self) {
        let Some(pod) = self.pod.as_ref().filter(|_| self.log.is_none() && self.look.is_none()) else { return };
        self.log = Some(log::follow(self.api.clone(), (&pod.name_any(), &self.container), self.last, LONGEST));
    }

    /// Reads the log of a container that has ended.
    pub(super) async fn read_to_the_end(&mut self, lines: &mut dyn Lines) {
        let mut tail: Option<Printed> = None;
        loop {
            self.look = None;
            self.open_log();
            let Some(log) = &mut self.log else { return };
            match log.next().await {
                // A program need not end its last line. Whether it did so, or the connection broke within the line, a
                // second look says.
                Some(Ok(line)) if !line.is_whole && tail.as_ref() != Some(&line) => {
                    tail = Some(line);
                    self.log = None;
                }
                Some(Ok(line)) => {
                    self.last = Some(line.at);
                    lines.take(line).await;
                }
                Some(Err(failure)) if failure.is_passing() => {
                    self.log = None;
                    tokio::time::sleep(AGAIN).await;
                }
                // The pod is gone with what it said.
                Some(Err(_)) | None => return,
            }
        }
    }

    pub(super) async fn hear(&mut self) -> Heard {
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

    pub(super) async fn take(&mut self, heard: Heard, run: &Run<'_>, lines: &mut dyn Lines) -> Result<(), RunError> {
        match heard {
            Heard::Pod(Ok(event)) => {
                self.refused = None;
                if std::mem::take(&mut self.away) {
                    run.notes.note("The cluster answers again.").await;
                }
                self.pod(*event)?;
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
                lines.take(line).await;
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

    fn pod(&mut self, event: Event<Pod>) -> Result<(), RunError> {
        let gone = |pod: &Pod| pod::put_out(pod).map_or(RunError::Removed, RunError::PutOut);
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

    async fn broken(&mut self, failure: ClusterError, run: &Run<'_>) -> Result<(), RunError> {
        if matches!(failure, ClusterError::TooOld(_)) {
            return Ok(());
        }
        if failure.is_passing() {
            if !std::mem::replace(&mut self.away, true) {
                run.notes.note(&format!("{failure}; it is waited for.")).await;
            }
            return Ok(());
        }
        let since = *self.refused.get_or_insert_with(Instant::now);
        if since.elapsed() < REFUSED_FOR { Ok(()) } else { Err(failure.into()) }
    }

    /// Looks whether the pod will ever begin. Gives the moment at which what is in the way counts.
    pub(super) async fn judge(&mut self, run: &Run<'_>) -> Result<Option<Instant>, RunError> {
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
            run.notes.note(&format!("{} has not begun: {}", capital(run.what), found.text)).await;
        }
        let since = known.map_or_else(Instant::now, |(_, since)| since);
        let counts = since + found.kind.patience();
        if counts <= Instant::now() {
            return Err(RunError::Never(found));
        }
        self.trouble = Some((found, since));
        Ok(Some(counts))
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
