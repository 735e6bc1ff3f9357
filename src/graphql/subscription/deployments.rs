//! Following deployments, their logs, services, and what instances print.

use async_graphql::{Context, Enum, ID, Object};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::broadcast::error::RecvError;

use super::{LOOK, Written, line_after, lines, look, states};
use crate::app::deployments::{environments, list, live};
use crate::app::events::{self, Event};
use crate::app::services::changes;
use crate::app::{Actor, App, Error};
use crate::graphql::errors::Result;
use crate::graphql::guard;
use crate::graphql::ids::NodeKind;
use crate::graphql::types::deployment::Deployment;
use crate::graphql::types::environment::InstanceLogLine;
use crate::graphql::types::service::Service;

/// Deployments, services and instances that can be followed.
#[derive(Default)]
pub struct DeploymentSubscription;

/// Whether it came, changed or went.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "events::ChangeKind")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was there.
    Changed,
    /// It is gone.
    Removed,
}

/// A change of a service. `service` is null when it was removed.
pub struct ServiceChange {
    kind: ChangeKind,
    id: String,
    service: Option<entity::service::Model>,
}

/// A change of a service. `service` is null when it was removed.
#[Object]
impl ServiceChange {
    /// Whether it came, changed or went.
    async fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// The service's id.
    async fn id(&self) -> ID {
        NodeKind::Service.id(&self.id)
    }

    /// The service as it is now.
    async fn service(&self) -> Option<Service> {
        self.service.clone().map(Service::from)
    }
}

/// Deployments, services and instances that can be followed.
#[async_graphql::Subscription]
impl DeploymentSubscription {
    /// The state now, then each change; completes when it has ended.
    async fn deployment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The deployment.")] id: ID,
    ) -> Result<impl Stream<Item = async_graphql::Result<Deployment>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = NodeKind::Deployment.row(&id)?;
        let heard = app.events.listen();
        let row = list::one(&app, &actor, &id).await?;
        let of = id.clone();
        let is_told = move |e: &Event| matches!(e, Event::Deployment { deployment_id } if *deployment_id == of);
        let ask = move || {
            let (app, actor, id) = (app.clone(), actor.clone(), id.clone());
            async move { list::one(&app, &actor, &id).await }
        };
        let found = states(heard, row, ask, (|row| row.finished_at.is_some(), is_told));
        Ok(found.map(|row| row.map(Deployment::from)))
    }

    /// Every line from the beginning (or after the cursor), then as they come; completes when the deployment has
    /// ended.
    async fn deployment_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The deployment.")] id: ID,
        #[graphql(desc = "The cursor of the last line that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = async_graphql::Result<Written>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = NodeKind::Deployment.row(&id)?;
        let seq = line_after(after.as_deref())?;
        list::one(&app, &actor, &id).await?;
        let (run, of) = (id.clone(), id.clone());
        let has_ended = move || {
            let (app, actor, id) = (app.clone(), actor.clone(), id.clone());
            async move { Ok(list::one(&app, &actor, &id).await?.finished_at.is_some()) }
        };
        let is_told = move |e: &Event| matches!(e, Event::Deployment { deployment_id } if *deployment_id == of);
        lines(ctx, (&run, seq), has_ended, is_told)
    }

    /// Without id: every service of the organization. After a reconnect ask the list again.
    async fn service_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only this one.")] id: Option<ID>,
    ) -> Result<impl Stream<Item = async_graphql::Result<ServiceChange>> + use<>> {
        let (app, actor) = (guard::app(ctx)?.clone(), guard::actor(ctx)?.clone());
        let id = id.map(|id| NodeKind::Service.row(&id)).transpose()?;
        let mut heard = app.events.listen();
        if let Some(id) = &id {
            environments::service(app.db.read(), &actor.scope, id).await?;
        }
        let mut known = changes::of(&app, &actor, id.as_deref()).await?;
        let mut looked = tokio::time::Instant::now();
        Ok(async_stream::try_stream! {
            loop {
                let mine = |organization: &String, service: &String| {
                    *organization == actor.scope.organization_id && id.as_ref().is_none_or(|id| id == service)
                };
                let told = tokio::select! {
                    told = heard.recv() => told,
                    // Whatever is told meanwhile.
                    () = tokio::time::sleep_until(looked + LOOK) => Ok(Event::Missed),
                };
                let told = match told {
                    Ok(Event::Service { organization_id, service_id, kind }) if mine(&organization_id, &service_id) => {
                        vec![(service_id, kind)]
                    }
                    Ok(Event::Missed) | Err(RecvError::Lagged(_)) => {
                        looked = tokio::time::Instant::now();
                        let now = look(changes::of(&app, &actor, id.as_deref()).await)?;
                        changes::between(&known, &now)
                    }
                    Err(RecvError::Closed) => return,
                    Ok(_) => continue,
                };
                for (service_id, kind) in told {
                    let service = look(find(&app, &actor, &service_id).await)?;
                    let kind = match &service {
                        None => {
                            known.remove(&service_id);
                            ChangeKind::Removed
                        }
                        Some(service) => {
                            known.insert(service_id.clone(), service.changed_at);
                            kind.into()
                        }
                    };
                    yield ServiceChange { kind, id: service_id, service };
                }
            }
        })
    }

    /// What running instances print.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn instance_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] service_id: ID,
        #[graphql(desc = "production when left out.")] environment: Option<String>,
        #[graphql(desc = "Only this container of the service.")] container: Option<String>,
        #[graphql(desc = "Only this instance.")] instance: Option<String>,
        #[graphql(desc = "How many of the lines that are there already.", default_with = "Some(100)")] tail: Option<
            i32,
        >,
        #[graphql(desc = "The cursor of the last line that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = async_graphql::Result<InstanceLogLine>> + use<>> {
        let (app, actor) = (guard::app(ctx)?, guard::actor(ctx)?);
        let id = NodeKind::Service.row(&service_id)?;
        let db = app.db.read();
        environments::service(db, &actor.scope, &id).await?;
        let place = environments::meant(db, &actor.scope, &id, environment.as_deref()).await?;
        let place = place.ok_or_else(|| Error::not_found("environment"))?;
        let which = live::Which { container, instance };
        let lines = live::follow(app, actor, &place, which, tail.unwrap_or(100), after.as_deref()).await?;
        Ok(lines.map(|line| look(line).map(InstanceLogLine)))
    }
}

async fn find(app: &App, actor: &Actor, id: &str) -> crate::app::Result<Option<entity::service::Model>> {
    match environments::service(app.db.read(), &actor.scope, id).await {
        Ok(row) => Ok(Some(row)),
        Err(error) if error.code == crate::app::Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
