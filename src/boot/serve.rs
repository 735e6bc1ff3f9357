//! Serving: the API, the workers, or both, until a signal says stop.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::{Api, PATIENCE};
use super::{alone, declared};
use crate::app::App;
use crate::app::answers::Answers;
use crate::app::events::relay;
use crate::app::identity::bootstrap::bootstrap;
use crate::app::webhooks::intake::Intake;
use crate::config::Config;
use crate::config::organizations::DeclaredUser;
use crate::graphql::limits::Limits;
use crate::graphql::schemas;
use crate::http::webhooks::WebhookSettings;
use crate::http::{self, HttpSettings, Origins};
use crate::measure::{self, Exporter, Jobs};
use crate::queue;
use crate::telemetry::Traces;
use crate::worker::{self, WorkerSettings};

/// Which part of the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The API and the workers.
    Everything,
    /// Only the API.
    Api,
    /// Only the workers.
    Workers,
}

/// How long tasks may take to end after a signal; jobs are given back at once.
const GRACE: Duration = Duration::from_secs(12);
/// How long the database may take to close, and what is traced to be sent.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long sending what is traced may take where there is time left.
const LAST_TRACES: Duration = Duration::from_secs(3);
/// What of it requests at work may take.
const REQUESTS: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT: then stops taking work, lets requests finish and gives jobs back to the queue.
///
/// # Errors
/// When it can't start.
pub async fn serve(config: &Config, part: Part, traces: Option<Traces>) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let _alone = alone::hold(&config.database.url)?;
    let exporter = Exporter::install()?;
    let mut told = pin!(async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    });
    // It may wait for another server's migration.
    let app = tokio::select! {
        app = super::app(config) => app?,
        () = &mut told => return stopped_early(),
    };
    let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    relay::start(&app, &tasks, &stop);
    let listener = listen(config, part).await?;
    first_start(config, &app, part).await?;
    tokio::select! {
        applied = declared::apply(config, &app) => applied?,
        () = &mut told => return stopped_early(),
    }
    if !config.organizations.is_empty() {
        declared::look(config, &app, &tasks, &leaving);
    }
    worker::start_sweeping(&app, &tasks, &leaving);
    if part != Part::Api {
        worker::start(&app, &worker_settings(config), &tasks, &leaving);
    }
    tasks.spawn(tidy(exporter.clone(), stop.clone()));
    if let Some(listener) = listener {
        let settings = HttpSettings { leaving: leaving.clone(), ..http_settings(config, &app, &stop) };
        let more = metrics(config, &app, exporter.clone());
        let router = router(config, (&app, part), (settings.clone(), more), &tasks);
        tasks.spawn(http::serve(listener, router, settings));
    }
    told.await;
    tracing::info!("stopping");
    let ends = Instant::now() + GRACE + FAREWELL;
    leaving.cancel();
    tokio::time::sleep(config.server.drain).await;
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(GRACE.saturating_sub(config.server.drain), tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time; their jobs are taken up by another worker");
    }
    // An SQLite database is whole by itself then, with no log beside it.
    let closed = tokio::time::timeout(FAREWELL, app.db.clone().close());
    let left = ends.saturating_duration_since(Instant::now()).clamp(FAREWELL, LAST_TRACES);
    let _both = tokio::join!(closed, async {
        if let Some(traces) = traces {
            traces.finish(left).await;
        }
    });
    Ok(())
}

fn stopped_early() -> anyhow::Result<()> {
    tracing::info!("stopping, before all of it was started");
    Ok(())
}

/// Listens where the configuration says. Workers answer to whoever looks after them, and nothing hangs on that: they go on
/// without where another server of this machine listens there already.
async fn listen(config: &Config, part: Part) -> anyhow::Result<Option<TcpListener>> {
    let listen = config.server.listen;
    match TcpListener::bind(listen).await {
        Err(error) if part == Part::Workers && error.kind() == ErrorKind::AddrInUse => {
            tracing::warn!("server.listen {listen} is taken: this worker answers no /healthz and /readyz");
            Ok(None)
        }
        bound => Ok(Some(bound.with_context(|| format!("server.listen {listen}"))?)),
    }
}

/// What is answered: all of the API, or whether the workers are well.
fn router(
    config: &Config,
    (app, part): (&App, Part),
    (settings, more): (HttpSettings, Router),
    tasks: &TaskTracker,
) -> Router {
    // Several servers count requests in the database, which changes with each of them.
    let is_counted = app.db.is_postgres() && config.limits.requests_per_minute > 0;
    let answers = Answers::new(if is_counted { 0 } else { config.server.kept_answers });
    let api = Api { schemas: schemas(Some(app.clone())), app: app.clone(), answers };
    if part == Part::Workers {
        tracing::info!(address = %config.server.listen, "the workers answer /healthz, /readyz and /metrics");
        return http::health(api, settings, more);
    }
    tracing::info!(address = %config.server.listen, "KIOPS answers at {}/graphql", app.settings.public_url);
    // What it writes with ends with the server, after the last delivery is answered.
    let intake = Intake::start(app, tasks);
    let webhooks =
        WebhookSettings { body_bytes: config.limits.webhook_body_bytes, read_timeout: settings.read_timeout };
    let more = more
        .merge(http::logs::routes(app.clone(), settings.origins.clone()))
        .merge(http::reports::routes(app.clone(), settings.origins.clone()))
        .merge(http::webhooks::routes(intake, webhooks));
    http::router_with(api, settings, more)
}

/// Puts what was measured where it needs no room, also when nobody reads it.
async fn tidy(exporter: Exporter, stop: CancellationToken) {
    while tokio::time::timeout(measure::UPKEEP, stop.cancelled()).await.is_err() {
        exporter.upkeep();
    }
}

/// What whoever watches reads. Queue and pools are looked at when they are asked for.
fn metrics(config: &Config, app: &App, exporter: Exporter) -> Router {
    let app = app.clone();
    let text = move || -> BoxFuture<'static, String> {
        let (app, exporter) = (app.clone(), exporter.clone());
        Box::pin(async move {
            // A database that is away hides nothing of the rest.
            if let Ok(Ok(backlog)) = timeout(PATIENCE, queue::backlog(app.db.read())).await {
                let now = app.clock.now();
                let jobs = backlog.into_iter().map(|of| {
                    let oldest = of.oldest.map_or(0.0, |made| (now - made).as_seconds_f64().max(0.0));
                    (of.kind, Jobs { waiting: of.waiting, at_work: of.at_work, oldest })
                });
                measure::jobs(jobs.collect());
            }
            for (pool, counts) in app.db.connections() {
                measure::connections(pool, counts);
            }
            exporter.render()
        })
    };
    http::metrics::routes(Arc::new(text), config.telemetry.metrics_token.as_ref())
}

/// Makes the first admin where there is no user, and says the password that was made up, once. Who states organizations states
/// their admins, and gets nobody else unless a password is given, for an account that they do not state; with one it matters not
/// which server is the first.
async fn first_start(config: &Config, app: &App, part: Part) -> anyhow::Result<()> {
    let first = &config.bootstrap;
    // The file makes that account itself. Made here, in an organization that the file does not state it in, it would not be
    // the file's, which could not give it its password then.
    let is_stated = |user: &DeclaredUser| {
        user.password.is_some() && user.email.trim().eq_ignore_ascii_case(first.admin_email.trim())
    };
    if config.organizations.iter().flat_map(|organization| &organization.users).any(is_stated) {
        return Ok(());
    }
    if first.admin_password.is_none() && (part == Part::Workers || !config.organizations.is_empty()) {
        return Ok(());
    }
    let made_up = bootstrap(app, &first.organization, &first.admin_email, first.admin_password.clone()).await?;
    if let Some(password) = made_up {
        // Not through the log: it is said once, to whoever started the server.
        println!(
            "\n  The first admin is {}, and the password is\n\n    {}\n\n  It is shown this once. Change it with changePassword.\n",
            first.admin_email,
            password.expose_secret()
        );
    }
    Ok(())
}

fn worker_settings(config: &Config) -> WorkerSettings {
    WorkerSettings { workers: config.jobs.workers, poll: config.jobs.poll, check_every: config.runtimes.check_every }
}

fn http_settings(config: &Config, app: &App, stop: &CancellationToken) -> HttpSettings {
    let limits = &config.limits;
    let ids = app.ids.clone();
    let origins = Origins::new(&config.server.public_url, &config.server.allowed_origins);
    let depth = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    HttpSettings {
        graphiql: config.server.graphiql,
        limits: Limits {
            depth: depth(limits.query_depth),
            introspection_depth: if config.server.introspection { depth(limits.introspection_depth) } else { 0 },
            document_bytes: limits.document_bytes,
            tokens: limits.document_tokens,
            fields: limits.query_fields,
            aliases: limits.query_aliases,
            root_fields: limits.query_root_fields,
            operations: limits.query_operations,
            fragments: limits.query_fragments,
            directives: limits.query_directives,
            variables_depth: limits.variables_depth,
        },
        body_bytes: limits.request_body_bytes,
        query_timeout: limits.query_timeout,
        mutation_timeout: limits.mutation_timeout,
        requests_per_minute: limits.requests_per_minute,
        persisted_queries: limits.persisted_queries,
        operations_per_socket: limits.operations_per_socket,
        sockets_per_caller: limits.sockets_per_caller,
        slow_operation: config.telemetry.slow_operation,
        grace: REQUESTS.saturating_sub(config.server.drain),
        // Not `tasks`: the server waits for its WebSockets, and is itself one of those.
        tasks: TaskTracker::new(),
        ..HttpSettings::new(origins, Arc::new(move || ids.id()), stop.clone())
    }
}
