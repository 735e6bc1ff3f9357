//! The webhook at the provider: put there, repaired, and taken away. No transaction is open meanwhile.

use std::time::Duration;

use entity::{Role, service};

use super::auto_ci::{AutoCiDefinition, auto_ci_of, webhook_url};
use crate::app::git::{self, Connected, Source};
use crate::app::{Actor, App, Error, Result, Scope};
use crate::domain::git::TokenRight;
use crate::domain::secret::SecretString;
use crate::git::{GitError, HookEvents, HookState, NewHook};

/// How long the provider may take over all of it.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a removal of the service waits for the provider.
const FAREWELL: Duration = Duration::from_secs(10);

/// Puts the webhook there as the definition wants it, or repairs it. The inner error says for people why it could not be
/// done and who can mend it.
pub(super) async fn install(
    app: &App,
    actor: &Actor,
    service: &service::Model,
    secret: SecretString,
) -> std::result::Result<HookState, String> {
    let (definition, source, url) = facts(app, service).map_err(|error| error.message)?;
    let asker = in_the_words_for_members(actor);
    let needs = [TokenRight::InstallWebhooks];
    let connected = git::connect_for(app, &asker, &source, &needs).await.map_err(|error| error.message)?;
    let hook = NewHook { url, secret, events: events(&definition), known_id: definition.hook_id };
    let project = source.project().map_err(|error| error.message)?;
    match tokio::time::timeout(PATIENCE, connected.client.hooks().save_hook(&project, &hook)).await {
        Ok(Ok(state)) => Ok(state),
        Ok(Err(error)) => Err(explain(app, &asker, &connected, error).await),
        Err(_) => Err(too_slow(&source)),
    }
}

/// Takes the webhook away. The inner error says for people why it could not be done.
pub(super) async fn uninstall(app: &App, actor: &Actor, service: &service::Model) -> std::result::Result<(), String> {
    let (definition, source, url) = facts(app, service).map_err(|error| error.message)?;
    let asker = in_the_words_for_members(actor);
    let why = match git::connect_for(app, &asker, &source, &[]).await {
        Err(error) => error.message,
        Ok(connected) => {
            let project = source.project().map_err(|error| error.message)?;
            let removed = connected.client.hooks().remove_hook(&project, definition.hook_id.as_deref(), &url);
            match tokio::time::timeout(PATIENCE, removed).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => explain(app, &asker, &connected, error).await,
                Err(_) => too_slow(&source),
            }
        }
    };
    Err(format!(
        "the webhook could not be removed from {}, and what it sends is refused here: {why}; remove it there, or save \
         again",
        source.provider
    ))
}

/// Takes the webhook of a service away that is about to go. What goes wrong is logged, and holds nothing up for long.
pub(in crate::app) async fn bid_farewell(app: &App, scope: &Scope, service: &service::Model) {
    match tokio::time::timeout(FAREWELL, take_away(app, scope, service)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::warn!(service = %service.id, %why, "a webhook stays at its provider"),
        Err(_) => tracing::warn!(service = %service.id, "a webhook stays at its provider, which does not answer"),
    }
}

async fn take_away(app: &App, scope: &Scope, service: &service::Model) -> std::result::Result<(), String> {
    let said = |error: Error| error.message;
    if git::source_of(service).is_none() {
        return Ok(());
    }
    let (definition, source, url) = facts(app, service).map_err(said)?;
    if !definition.enabled && definition.hook_id.is_none() {
        return Ok(());
    }
    let settings = git::settings::of(app, scope, source.provider).await.map_err(said)?;
    let settings = settings.filter(|settings| settings.base_url == source.base_url);
    let settings = settings.ok_or_else(|| format!("{} is no longer set up", source.base_url))?;
    let client = git::client(app, &settings).await.map_err(said)?;
    let client = client.ok_or_else(|| "its token is being replaced".to_owned())?;
    let project = source.project().map_err(said)?;
    let removed = client.hooks().remove_hook(&project, definition.hook_id.as_deref(), &url).await;
    removed.map_err(|error| error.to_string())
}

fn facts(app: &App, service: &service::Model) -> Result<(AutoCiDefinition, Source, String)> {
    let source = git::source_of(service).zip(webhook_url(app, service));
    let (source, url) = source.ok_or_else(|| Error::internal("a service that is made of images has no webhook"))?;
    Ok((auto_ci_of(service)?, source, url))
}

fn events(definition: &AutoCiDefinition) -> HookEvents {
    HookEvents { push: definition.on_push, merge_requests: definition.on_merge_request, tags: definition.on_tag }
}

/// What is stored is read by everybody: it says what a member has to do.
fn in_the_words_for_members(actor: &Actor) -> Actor {
    Actor { role: Role::Member, ..actor.clone() }
}

async fn explain(app: &App, asker: &Actor, connected: &Connected, error: GitError) -> String {
    let about_the_address = matches!(error, GitError::Invalid(_));
    let which = connected.which;
    let message = connected.failed(app, asker, error).await.message;
    if !about_the_address {
        return message;
    }
    format!(
        "{message}: {which} must be able to reach {}, which whoever runs this server sets as server.public_url",
        app.settings.public_url
    )
}

fn too_slow(source: &Source) -> String {
    format!("{} took too long: save again to try once more", source.provider)
}
