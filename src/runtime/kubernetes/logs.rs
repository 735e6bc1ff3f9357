//! What pods print.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};

use super::prune::ours;
use super::watch::Known;
use super::{KubernetesRuntime, error, rollout, selector_of};
use crate::cluster::{ClusterError, watch};
use crate::domain::spec::Target;
use crate::engine::{LineAssembler, MAX_LINE};
use crate::runtime::lines::stored;
use crate::runtime::{InstanceLine, LogQuery, RuntimeError};

/// Kept of a line that is being read: more than is shown of it, and the time before it.
const HELD: usize = MAX_LINE + 1024;
/// Until a log that ended is looked at again, while its container still seems to run.
const AGAIN: Duration = Duration::from_secs(1);

/// A pod whose log can be read.
#[derive(Debug, Clone)]
struct Source {
    instance: String,
    container: String,
    /// Which run of the container it is: a container that is started again prints a new log.
    run: String,
    is_running: bool,
}

/// What one log gives.
enum Item {
    Line(InstanceLine),
    Failed(RuntimeError),
    /// The log of an instance ended.
    End(String),
    /// It is time to look which logs there are.
    Look,
}

impl KubernetesRuntime {
    pub(super) async fn read_logs(
        &self,
        target: &Target,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        let api = self.api_in::<Pod>(&target.namespace);
        if !query.follow {
            let pods = api.list(&ours(target)).await.map_err(|why| error(why.into()))?;
            let mut sources: Vec<Source> = pods.items.iter().filter_map(|pod| source(pod, &query)).collect();
            sources.sort_by(|a, b| a.instance.cmp(&b.instance));
            let (tail, since) = (query.tail, query.since);
            let each =
                sources.into_iter().map(move |source| read(api.clone(), source, From { tail, since }, Follow::No));
            let lines = stream::iter(each).flatten().filter_map(|item| async {
                match item {
                    Item::Line(line) => Some(Ok(line)),
                    Item::Failed(why) => Some(Err(why)),
                    Item::End(_) | Item::Look => None,
                }
            });
            return stored(lines.boxed(), tail).await;
        }
        let pods = watch(api.clone(), watcher::Config::default().labels(&selector_of(target)));
        Ok(follow(api, pods, query))
    }
}

type Pods = BoxStream<'static, Result<watcher::Event<Pod>, ClusterError>>;

/// All logs of the pods that there are and will be.
fn follow(api: Api<Pod>, mut pods: Pods, query: LogQuery) -> BoxStream<'static, Result<InstanceLine, RuntimeError>> {
    async_stream::stream! {
        let mut open: SelectAll<BoxStream<'static, Item>> = SelectAll::new();
        let mut known = Known::<Pod>::default();
        let mut reading = BTreeSet::new();
        let mut begun = BTreeSet::new();
        let mut last: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        let mut is_first = true;
        loop {
            let look = tokio::select! {
                Some(item) = open.next(), if !open.is_empty() => match item {
                    Item::Line(line) => {
                        last.insert(line.instance.clone(), line.at);
                        yield Ok(line);
                        false
                    }
                    Item::Failed(why @ RuntimeError::Unreachable(_)) => {
                        yield Err(why);
                        return;
                    }
                    Item::Failed(_) => false,
                    Item::End(instance) => {
                        reading.remove(&instance);
                        open.push(tokio::time::sleep(AGAIN).map(|()| Item::Look).into_stream().boxed());
                        false
                    }
                    Item::Look => true,
                },
                Some(heard) = pods.next() => match heard {
                    Ok(event) => {
                        known.take(event);
                        true
                    }
                    Err(ClusterError::TooOld(_)) => false,
                    Err(why) => {
                        yield Err(error(why));
                        return;
                    }
                },
            };
            if !look || !known.is_whole {
                continue;
            }
            for source in known.all.values().filter_map(|pod| source(pod, &query)) {
                // One that ended is read once; one that runs is read on where it broke off.
                let is_new = begun.insert((source.instance.clone(), source.run.clone()));
                if reading.contains(&source.instance) {
                    if is_new {
                        begun.remove(&(source.instance, source.run));
                    }
                    continue;
                }
                if !is_new && !source.is_running {
                    continue;
                }
                reading.insert(source.instance.clone());
                let since = last.get(&source.instance).copied().or(query.since);
                let tail = query.tail.filter(|_| is_first);
                open.push(read(api.clone(), source, From { tail, since }, Follow::Yes));
            }
            is_first = false;
        }
    }
    .boxed()
}

/// A pod whose container has begun, if its lines are asked for.
fn source(pod: &Pod, query: &LogQuery) -> Option<Source> {
    let container = rollout::container_of(pod);
    let wanted = query.container.as_ref().is_none_or(|name| name == container)
        && query.instance.as_ref().is_none_or(|name| *name == pod.name_any());
    let status = rollout::main_status(pod).filter(|_| wanted)?;
    let is_running = status.state.as_ref().is_some_and(|state| state.running.is_some());
    (is_running || rollout::last_end(status).is_some()).then(|| Source {
        instance: pod.name_any(),
        container: container.to_owned(),
        run: status.container_id.clone().unwrap_or_else(|| status.restart_count.to_string()),
        is_running,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Yes,
    No,
}

/// Where to begin.
#[derive(Clone, Copy)]
struct From {
    tail: Option<u32>,
    since: Option<DateTime<Utc>>,
}

/// The lines of one container after a moment, and its end.
fn read(api: Api<Pod>, source: Source, from: From, follow: Follow) -> BoxStream<'static, Item> {
    let parameters = LogParams {
        container: Some(source.container.clone()),
        follow: follow == Follow::Yes,
        // Whole seconds only; the rest is sorted out below.
        since_time: from.since.and_then(|at| Timestamp::from_second(at.timestamp()).ok()),
        tail_lines: from.tail.map(i64::from),
        timestamps: true,
        ..LogParams::default()
    };
    async_stream::stream! {
        match api.log_stream(&source.instance, &parameters).await.map_err(ClusterError::from) {
            Ok(printed) => {
                let mut printed = std::pin::pin!(printed);
                let mut lines = LineAssembler::default();
                loop {
                    let text = match next_line(&mut printed).await {
                        Ok(text) if text.is_empty() => break,
                        Ok(text) => text,
                        // It is read on from the last line.
                        Err(_) => break,
                    };
                    let ended = lines.push(&text).into_iter().chain(lines.flush());
                    for line in ended.filter(|line| from.since.is_none_or(|since| line.at > since)) {
                        yield Item::Line(InstanceLine {
                            at: line.at,
                            instance: source.instance.clone(),
                            container: source.container.clone(),
                            stderr: false,
                            text: line.text,
                        });
                    }
                }
            }
            // The pod is gone, or its container has not begun.
            Err(ClusterError::NotFound(_) | ClusterError::Invalid(_)) => {}
            Err(why) => yield Item::Failed(error(why)),
        }
        yield Item::End(source.instance);
    }
    .boxed()
}

/// The next line with its end, cut at [`HELD`] bytes; empty at the end of the log.
async fn next_line(printed: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut held = Vec::new();
    loop {
        let chunk = printed.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(held);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        let room = HELD.saturating_sub(held.len());
        held.extend_from_slice(&part[..part.len().min(room)]);
        let length = part.len();
        printed.consume_unpin(length);
        if end.is_some() {
            if held.last() != Some(&b'\n') {
                held.push(b'\n');
            }
            return Ok(held);
        }
    }
}
