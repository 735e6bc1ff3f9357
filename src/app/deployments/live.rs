//! What runs at this moment, asked from the runtime; and where it answers.

use chrono::{DateTime, Utc};
use entity::{environment, runtime};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use std::sync::Arc;

use super::{environments, request};
use crate::app::services::spec::target_of;
use crate::app::{Actor, App, Error, Result, Scope, runtimes};
use crate::domain::paging::Cursor;
use crate::domain::spec::{ClusterSpec, ContainerSpec, Resources, Spec, Target};
use crate::runtime::{LogQuery, Runtime};

pub use crate::runtime::{InstanceLine, InstanceState};

/// Which instances' lines.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only this container of the service.
    pub container: Option<String>,
    /// Only this instance.
    pub instance: Option<String>,
}

/// Where a container answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The container's name.
    pub container: String,
    /// The address.
    pub url: String,
    /// Only its neighbours reach it.
    pub is_internal: bool,
}

/// The runtime of an environment.
///
/// # Errors
/// INTERNAL when it is gone, which the database does not allow.
pub async fn runtime_of(app: &App, actor: &Actor, environment: &environment::Model) -> Result<runtime::Model> {
    environments::runtime(app.db.read(), &actor.scope, &environment.runtime_id).await
}

/// The resources of an environment's row.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn resources_of(environment: &environment::Model) -> Result<Resources> {
    Ok(serde_json::from_value(environment.resources.clone())?)
}

async fn connect(app: &App, actor: &Actor, environment: &environment::Model) -> Result<(Arc<dyn Runtime>, Target)> {
    let service = environments::service(app.db.read(), &actor.scope, &environment.service_id).await?;
    let runtime = runtime_of(app, actor, environment).await?;
    Ok((runtimes::connect(app, &runtime).await?, target_of(&service, environment)))
}

/// What runs now.
///
/// # Errors
/// UPSTREAM_ERROR while the runtime does not answer.
pub async fn instances(app: &App, actor: &Actor, environment: &environment::Model) -> Result<Vec<InstanceState>> {
    let (runtime, target) = connect(app, actor, environment).await?;
    Ok(runtime.instances(&target).await?)
}

/// The last `lines` lines of what its instances printed, oldest first.
///
/// # Errors
/// BAD_USER_INPUT for more lines than a page may have, UPSTREAM_ERROR while the runtime does not answer.
pub async fn tail(
    app: &App,
    actor: &Actor,
    environment: &environment::Model,
    which: Which,
    lines: i32,
) -> Result<Vec<InstanceLine>> {
    let max = app.settings.log_page_max;
    let lines = u32::try_from(lines).ok().filter(|n| *n <= max);
    let lines = lines.ok_or_else(|| Error::bad_input("lines", format!("between 0 and {max}")))?;
    let (runtime, target) = connect(app, actor, environment).await?;
    let query =
        LogQuery { container: which.container, instance: which.instance, tail: Some(lines), ..LogQuery::default() };
    let mut stream = runtime.logs(&target, query).await?;
    let mut read = Vec::new();
    while let Some(line) = stream.next().await {
        read.push(line?);
    }
    read.sort_by_key(|line| line.at);
    let surplus = read.len().saturating_sub(lines as usize);
    Ok(read.split_off(surplus))
}

/// What its instances print, from now on or after a cursor.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT for a cursor that is none, UPSTREAM_ERROR while the runtime does not answer.
pub async fn follow(
    app: &App,
    actor: &Actor,
    environment: &environment::Model,
    which: Which,
    tail: i32,
    after: Option<&str>,
) -> Result<BoxStream<'static, Result<InstanceLine>>> {
    let max = app.settings.log_page_max;
    let tail = u32::try_from(tail).ok().filter(|n| *n <= max);
    let tail = tail.ok_or_else(|| Error::bad_input("tail", format!("between 0 and {max}")))?;
    let since = after.map(|text| time_of(text).ok_or_else(|| Error::bad_input("after", "this is no cursor of a line")));
    let since = since.transpose()?;
    let (runtime, target) = connect(app, actor, environment).await?;
    let query = LogQuery {
        container: which.container,
        instance: which.instance,
        tail: if since.is_some() { None } else { Some(tail) },
        since,
        follow: true,
    };
    let lines = runtime.logs(&target, query).await?;
    Ok(lines.map(|line| line.map_err(Error::from)).boxed())
}

/// What resumes a subscription after this line: its time to the nanosecond.
#[must_use]
pub fn cursor(line: &InstanceLine) -> String {
    Cursor(vec![line.at.to_rfc3339()]).encode()
}

fn time_of(cursor: &str) -> Option<DateTime<Utc>> {
    let Cursor(parts) = Cursor::decode(cursor)?;
    let [time] = parts.as_slice() else { return None };
    DateTime::parse_from_rfc3339(time).ok().map(|at| at.with_timezone(&Utc))
}

/// Where it answers, as of the current deployment.
///
/// # Errors
/// INTERNAL when the stored revision can't be read.
pub async fn endpoints(app: &App, scope: &Scope, environment: &environment::Model) -> Result<Vec<Endpoint>> {
    let Some(spec) = request::current_spec(app.db.read(), scope, environment).await? else {
        return Ok(Vec::new());
    };
    let runtime = environments::runtime(app.db.read(), scope, &environment.runtime_id).await?;
    Ok(endpoints_of(&spec, &host_of(&runtime.endpoint)))
}

fn endpoints_of(spec: &Spec, host: &str) -> Vec<Endpoint> {
    let endpoint = |c: &ContainerSpec| {
        let port = c.port?;
        let scheme = match &c.health {
            Some(health) if health.path.is_none() => "tcp",
            _ => "http",
        };
        let outside = match (&spec.cluster, c.host_port) {
            (Some(cluster), _) => on_cluster(cluster, c, scheme),
            (None, published) => published.map(|published| format!("{scheme}://{host}:{published}")),
        };
        let is_internal = outside.is_none();
        let url = outside.unwrap_or_else(|| format!("tcp://{}:{port}", c.name));
        Some(Endpoint { container: c.name.clone(), url, is_internal })
    };
    spec.containers.iter().filter_map(endpoint).collect()
}

/// Where a container on a cluster is reached from outside; none when it is not, or nobody knows where.
fn on_cluster(cluster: &ClusterSpec, container: &ContainerSpec, scheme: &str) -> Option<String> {
    let learned = cluster.addresses.get(&container.name);
    let Some(path) = &container.ingress_path else {
        return learned.map(|address| format!("{scheme}://{address}"));
    };
    let scheme = if cluster.tls.is_some() { "https" } else { "http" };
    let host = cluster.domain.as_ref().or(learned)?;
    Some(format!("{scheme}://{host}{}", if path == "/" { "" } else { path }))
}

/// The host that published ports are reached on: the engine's own, or this machine for its socket.
fn host_of(endpoint: &str) -> String {
    let host = url::Url::parse(endpoint).ok().and_then(|u| u.host_str().map(str::to_owned));
    host.filter(|h| !h.is_empty()).unwrap_or_else(|| "127.0.0.1".to_owned())
}
