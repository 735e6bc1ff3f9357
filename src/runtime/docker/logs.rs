//! What containers print.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};

use super::apply::Run;
use super::plan::Role;
use super::{DockerRuntime, error, spec};
use crate::domain::spec::Target;
use crate::engine::{Engine, EngineError, LineAssembler, LogLine};
use crate::runtime::lines::stored;
use crate::runtime::words::{QUOTED_LINES, quoted};
use crate::runtime::{InstanceLine, LogQuery, RuntimeError};

/// How often a followed environment is looked at for new and restarted containers.
const LOOK: Duration = Duration::from_secs(1);

/// A container whose log can be read.
#[derive(Debug, Clone)]
struct Source {
    id: String,
    instance: String,
    container: String,
    is_running: bool,
}

/// What one container's stream gives.
enum Item {
    /// With the container's id.
    Line(String, InstanceLine),
    Failed(RuntimeError),
    /// The container's stream ended.
    End(String),
}

impl DockerRuntime {
    pub(super) async fn read_logs(
        &self,
        target: &Target,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        let sources = self.sources(target, &query).await?;
        if !query.follow {
            return self.stored_lines(sources, &query).await;
        }
        let (runtime, target) = (self.clone(), target.clone());
        Ok(async_stream::stream! {
            let mut open: SelectAll<BoxStream<'static, Item>> = SelectAll::new();
            let mut reading = BTreeSet::new();
            let mut last: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
            let mut known = BTreeSet::new();
            let mut found = sources;
            let mut is_first = true;
            let mut look = tokio::time::interval(LOOK);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                for source in std::mem::take(&mut found) {
                    // One that stopped is read once; afterwards only when it runs again.
                    let is_new = known.insert(source.id.clone());
                    if reading.contains(&source.id) || !(is_new || source.is_running) {
                        continue;
                    }
                    reading.insert(source.id.clone());
                    let after = last.get(&source.id).copied().or(query.since);
                    let tail = query.tail.filter(|_| is_first);
                    open.push(follow(runtime.engine.clone(), source, tail, after));
                }
                is_first = false;
                tokio::select! {
                    Some(item) = open.next(), if !open.is_empty() => match item {
                        Item::Line(id, line) => {
                            last.insert(id, line.at);
                            yield Ok(line);
                        }
                        Item::Failed(failure @ RuntimeError::Unreachable(_)) => {
                            yield Err(failure);
                            return;
                        }
                        Item::Failed(_) => {}
                        Item::End(id) => {
                            reading.remove(&id);
                        }
                    },
                    _ = look.tick() => match runtime.sources(&target, &query).await {
                        Ok(sources) => found = sources,
                        Err(failure) => {
                            yield Err(failure);
                            return;
                        }
                    },
                }
            }
        }
        .boxed())
    }

    /// What is there.
    async fn stored_lines(
        &self,
        sources: Vec<Source>,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
        let engine = self.engine.clone();
        let (tail, since) = (query.tail, query.since);
        let streams = sources.into_iter().map(move |source| read(engine.clone(), source, tail, since, Follow::No));
        let lines = stream::iter(streams).flatten().filter_map(|item| async {
            match item {
                Item::Line(_, line) => Some(Ok(line)),
                Item::Failed(failure) => Some(Err(failure)),
                Item::End(_) => None,
            }
        });
        stored(lines.boxed(), tail).await
    }

    async fn sources(&self, target: &Target, query: &LogQuery) -> Result<Vec<Source>, RuntimeError> {
        let found = self.inspect_all(target).await?;
        let sources = found.iter().filter_map(|state| {
            let seen = spec::observe(state)?;
            let instance = state.name.as_deref()?.trim_start_matches('/').to_owned();
            let wanted = query.container.as_ref().is_none_or(|name| *name == seen.container)
                && query.instance.as_ref().is_none_or(|name| *name == instance);
            (wanted && seen.role == Role::Main).then_some(Source {
                id: seen.id,
                instance,
                container: seen.container,
                is_running: seen.is_running,
            })
        });
        Ok(sources.collect())
    }

    /// The last lines of a container, ready to be put after a message.
    pub(super) async fn last_lines(&self, run: &Run<'_>, id: &str) -> String {
        let source = Source { id: id.to_owned(), instance: String::new(), container: String::new(), is_running: false };
        let tail = Some(QUOTED_LINES);
        let items = read(self.engine.clone(), source, tail, None, Follow::No).collect::<Vec<_>>();
        let items = tokio::time::timeout(Duration::from_secs(10), items).await.unwrap_or_default();
        let lines: Vec<String> = items
            .into_iter()
            .filter_map(|item| match item {
                Item::Line(_, line) => Some(line.text),
                _ => None,
            })
            .collect();
        quoted(run.rollout, &lines)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Yes,
    No,
}

fn follow(engine: Engine, source: Source, tail: Option<u32>, after: Option<DateTime<Utc>>) -> BoxStream<'static, Item> {
    let id = source.id.clone();
    let lines = read(engine, source, tail, after, Follow::Yes);
    lines.chain(stream::once(async move { Item::End(id) })).boxed()
}

/// The lines of one container after a moment.
fn read(
    engine: Engine,
    source: Source,
    tail: Option<u32>,
    after: Option<DateTime<Utc>>,
    follow: Follow,
) -> BoxStream<'static, Item> {
    let options = LogsOptions {
        follow: follow == Follow::Yes,
        stdout: true,
        stderr: true,
        timestamps: true,
        // Whole seconds only; the rest is sorted out below.
        since: after.and_then(|at| i32::try_from(at.timestamp()).ok()).unwrap_or_default(),
        tail: tail.map_or_else(|| "all".to_owned(), |count| count.to_string()),
        ..Default::default()
    };
    async_stream::stream! {
        let mut frames = match engine.logs(&source.id, options).await {
            Ok(frames) => frames,
            Err(failure) => {
                yield Item::Failed(error(failure));
                return;
            }
        };
        let (mut out, mut err) = (LineAssembler::default(), LineAssembler::default());
        let line = |line: LogLine, stderr: bool| {
            after.is_none_or(|after| line.at > after).then(|| Item::Line(source.id.clone(), InstanceLine {
                at: line.at,
                instance: source.instance.clone(),
                container: source.container.clone(),
                stderr,
                text: line.text,
            }))
        };
        while let Some(frame) = frames.next().await {
            let (lines, stderr) = match frame {
                Ok(LogOutput::StdErr { message }) => (err.push(&message), true),
                Ok(other) => (out.push(&other.into_bytes()), false),
                // The container is gone, and its log with it.
                Err(EngineError::Answer { status: 404 | 409, .. }) => break,
                Err(failure) => {
                    yield Item::Failed(error(failure));
                    break;
                }
            };
            for item in lines.into_iter().filter_map(|l| line(l, stderr)) {
                yield item;
            }
        }
        for (left, stderr) in [(out.flush(), false), (err.flush(), true)] {
            if let Some(item) = left.and_then(|l| line(l, stderr)) {
                yield item;
            }
        }
    }
    .boxed()
}
