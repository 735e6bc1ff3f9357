//! Serving: the API, the workers, or both, until a signal says stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::Api;
use crate::app::App;
use crate::app::identity::bootstrap::bootstrap;
use crate::app::webhooks::intake::Intake;
use crate::config::Config;
use crate::graphql::limits::Limits;
use crate::graphql::schemas;
use crate::http::webhooks::WebhookSettings;
use crate::http::{self, HttpSettings, Origins};
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

/// Serves until SIGTERM or SIGINT: then stops taking work, lets requests finish and gives jobs back to the queue.
///
/// # Errors
/// When it can't start.
pub async fn serve(config: &Config, part: Part) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let app = super::app(config).await?;
    if !config.organizations.is_empty() {
        tracing::warn!(
            "[[organizations]] is read and checked, and not applied: make them with `kiops organization create`"
        );
    }
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let listening = match part {
        Part::Workers => None,
        Part::Everything | Part::Api => {
            first_start(config, &app).await?;
            let listen = config.server.listen;
            let listener = TcpListener::bind(listen).await.with_context(|| format!("server.listen {listen}"))?;
            Some(listener)
        }
    };
    if part != Part::Api {
        worker::start(&app, &worker_settings(config), &tasks, &stop);
    }
    let http = listening.map(|listener| {
        // A tracker of its own: the server waits for its WebSockets, and is itself one of `tasks`.
        let settings = http_settings(config, &app, &stop, &TaskTracker::new());
        let api = Api { schemas: schemas(Some(app.clone())), app: app.clone() };
        tracing::info!(address = %config.server.listen, "KIOPS answers at {}/graphql", app.settings.public_url);
        // What it writes with ends with the server, after the last delivery is answered.
        let intake = Intake::start(&app, &tasks);
        let webhooks =
            WebhookSettings { body_bytes: config.limits.webhook_body_bytes, read_timeout: settings.read_timeout };
        let more =
            http::logs::routes(app.clone(), settings.origins.clone()).merge(http::webhooks::routes(intake, webhooks));
        tasks.spawn(http::serve(listener, http::router_with(api, settings.clone(), more), settings))
    });
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time; their jobs are taken up by another worker");
    }
    drop(http);
    Ok(())
}

/// Makes the first admin where there is no user, and says the password that was made up, once.
async fn first_start(config: &Config, app: &App) -> anyhow::Result<()> {
    let first = &config.bootstrap;
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

fn http_settings(config: &Config, app: &App, stop: &CancellationToken, tasks: &TaskTracker) -> HttpSettings {
    let limits = &config.limits;
    let ids = app.ids.clone();
    let origins = Origins::new(&config.server.public_url, &config.server.allowed_origins);
    let depth = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    HttpSettings {
        graphiql: config.server.graphiql,
        limits: Limits {
            depth: depth(limits.query_depth),
            introspection_depth: if config.server.introspection { depth(limits.introspection_depth) } else { 0 },
            ..Limits::default()
        },
        body_bytes: limits.request_body_bytes,
        query_timeout: limits.query_timeout,
        mutation_timeout: limits.mutation_timeout,
        requests_per_minute: limits.requests_per_minute,
        tasks: tasks.clone(),
        ..HttpSettings::new(origins, Arc::new(move || ids.id()), stop.clone())
    }
}
