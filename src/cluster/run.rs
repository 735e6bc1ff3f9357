//! A Job of KIOPS at work: it is made, and its pod followed to the end. What the pod does is heard by watches; nothing is
//! asked for again and again.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::log::Printed;
use super::pod::{self, Trouble};
use super::seen::Seen;
use super::send::{Content, Unsent, send};
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::domain::printed::neutralise;

/// Waits between two tries to ask something while the cluster is away.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long what a container printed may arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Until a log that broke off is opened again.
pub(super) const AGAIN: Duration = Duration::from_millis(500);
/// How long after what was to be sent could not be the pod may take to say why.
const EXPLANATION: Duration = Duration::from_secs(5);

/// Takes what a container prints, a line at a time.
#[async_trait]
pub trait Lines: Send {
    /// One line.
    async fn take(&mut self, line: Printed);
}

/// Hears what is to be said of the cluster itself while something is waited for.
#[async_trait]
pub trait Notes: Send + Sync {
    /// One sentence, neutralised.
    async fn note(&self, text: &str);
}

/// A Job in a namespace of ours, and its one pod.
pub struct Run<'a> {
    /// Where it is.
    pub cluster: &'a Cluster,
    /// The namespace that it is in.
    pub namespace: &'a str,
    /// The Job's name.
    pub name: String,
    /// What chooses its pods.
    pub selector: String,
    /// What it is called in sentences: `the build`.
    pub what: &'a str,
    /// The container that takes what is sent.
    pub source: &'a str,
    /// The container that does the work: what it prints is heard.
    pub main: &'a str,
    /// Hears how the cluster is.
    pub notes: &'a dyn Notes,
    /// When its time is over.
    pub deadline: Instant,
}

/// How a pod came to its end.
pub struct Ended {
    /// The pod as it is then.
    pub pod: Pod,
    /// Why not all was sent to it, if it was not.
    pub unsent: Option<Unsent>,
}

/// Why a pod did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunError {
    /// Its time is over; what was in the way, where it has not begun.
    Late(Option<Trouble>),
    /// It will never begin.
    Never(Trouble),
    /// The cluster put it out, for this reason.
    PutOut(String),
    /// Somebody removed it.
    Removed,
    /// What it was to be given did not get there.
    Unsent(Unsent),
    /// The cluster does not answer, or refuses.
    Cluster(ClusterError),
}

impl From<ClusterError> for RunError {
    fn from(failure: ClusterError) -> Self {
        Self::Cluster(failure)
    }
}

impl Run<'_> {
    /// Objects in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client(), self.namespace)
    }

    /// Makes the Job, which is suspended, and removes those that never began; see [`super::clear::sweep`]. Gives it as it is
    /// then.
    ///
    /// # Errors
    /// [`RunError::Late`], [`RunError::Cluster`].
    pub async fn make(&self, job: Job) -> Result<Job, RunError> {
        let made = self.apply(job).await?;
        super::clear::sweep(self.cluster, self.namespace, &made).await;
        Ok(made)
    }

    /// Makes something in the namespace.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub async fn apply<K>(&self, mut object: K) -> Result<K, RunError>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        object.meta_mut().namespace = Some(self.namespace.to_owned());
        self.in_time(|| self.cluster.apply(&object, &())).await
    }

    /// Lets the Job begin.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub async fn begin(&self) -> Result<(), RunError> {
        // No apply: that would make it again where somebody has given it up meanwhile.
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let begin = Patch::Merge(json!({ "spec": { "suspend": false } }));
        let jobs: Api<Job> = self.api();
        let patch = || async { jobs.patch(&self.name, &parameters, &begin).await.map_err(ClusterError::from) };
        self.in_time(patch).await?;
        Ok(())
    }

    /// Follows the pod until `is_over` says that nothing more is to come, and all that was printed is taken.
    ///
    /// # Errors
    /// When it never begins, is gone, is not over in time, or nobody can say how it fares.
    pub async fn follow(
        &self,
        mut content: Option<Box<dyn Content + '_>>,
        lines: &mut dyn Lines,
        is_over: &(dyn Fn(&Pod) -> bool + Sync),
    ) -> Result<Ended, RunError> {
        let mut seen = Seen::new(self);
        let mut sending: Option<futures_util::future::BoxFuture<'_, Result<(), Unsent>>> = None;
        let mut unsent: Option<(Unsent, Instant)> = None;
        loop {
            if let Some(pod) = &seen.pod {
                if is_over(pod) || pod::has_failed(pod) {
                    self.last_words(&mut seen, lines).await;
                    let pod = seen.pod.take().unwrap_or_default();
                    return Ok(Ended { pod, unsent: unsent.map(|(why, _)| why) });
                }
                if pod::is_running(pod, self.source)
                    && let Some(content) = content.take()
                {
                    let (api, pod) = (self.api(), pod.name_any());
                    sending = Some(Box::pin(async move { send(content, api, (&pod, self.source)).await }));
                }
                if pod::is_running(pod, self.main) {
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
                    unsent = sent.err().map(|why| (why, Instant::now() + EXPLANATION));
                }
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= self.deadline {
                        return Err(RunError::Late(seen.trouble.map(|(trouble, _)| trouble)));
                    }
                    if let Some((why, _)) = unsent.take_if(|(_, until)| *until <= Instant::now()) {
                        return Err(RunError::Unsent(why));
                    }
                }
            }
        }
    }

    /// What was printed until the end.
    async fn last_words(&self, seen: &mut Seen, lines: &mut dyn Lines) {
        let begun = seen.pod.as_ref().is_some_and(|pod| pod::end_of(pod, self.main).is_some());
        if begun {
            // What does not come in time is not waited for: how it ended is known.
            let _ = tokio::time::timeout(LAST_WORDS, seen.read_to_the_end(lines)).await;
        }
    }

    /// Asks until there is an answer or the time is over: what a cluster says that is away for a moment is none. So it is
    /// for what can be asked twice.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub async fn in_time<T, F>(&self, ask: impl Fn() -> F) -> Result<T, RunError>
    where
        F: Future<Output = Result<T, ClusterError>>,
    {
        let mut away: Option<ClusterError> = None;
        let asking = async {
            let mut wait = FIRST_WAIT;
            loop {
                let failure = match ask().await {
                    Err(failure) if failure.is_passing() => failure,
                    answer => return answer.map_err(RunError::from),
                };
                if away.as_ref() != Some(&failure) {
                    self.notes.note(&format!("{}; it is waited for.", neutralise(&failure.to_string()))).await;
                    away = Some(failure);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        };
        match tokio::time::timeout_at(self.deadline, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(away.map_or(RunError::Late(None), RunError::Cluster)),
        }
    }
}
