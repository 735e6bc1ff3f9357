//! Saving what starts pipelines: what is stored first, then the webhook at the provider, then what came of that.

use std::time::Duration;

use chrono::TimeDelta;
use entity::service;
use sea_orm::{ActiveModelTrait, IntoActiveModel as _, Set};
use serde_json::json;

use super::auto_ci::{AutoCiDefinition, Installation, Saving, StoredProof, auto_ci_of};
use super::install;
use crate::app::audit::{self, Entry};
use crate::app::change::Change;
use crate::app::deployments::environments;
use crate::app::deployments::request::refuse_while_removing;
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Error, Result, Violations, git, secrets};
use crate::domain::git::Provider;
use crate::domain::secret::SecretString;
use crate::domain::webhook::{BranchPattern, new_secret};
use crate::git::HookState;

/// Patterns of branches at most.
const PATTERNS: usize = 50;
/// How long one save may ask the provider before another takes it for dead; longer than any does.
const TAKEN_FOR_DEAD: TimeDelta = TimeDelta::seconds(60);
/// How often, and how long after one another, it is tried while somebody else saves.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// What is stored while the provider is asked: what is read if that was the end of this server.
const UNFINISHED: &str = "the webhook was not installed to the end: save again";

/// What becomes of Auto CI; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct SaveAutoCi {
    /// The service.
    pub service_id: String,
    /// Whether deliveries are taken.
    pub enabled: Option<bool>,
    /// A new secret is made.
    pub rotate_secret: bool,
    /// Branches or patterns; cleared: the service's own branch.
    pub branches: Change<Vec<String>>,
    /// Pushes to branches.
    pub on_push: Option<bool>,
    /// Merge requests.
    pub on_merge_request: Option<bool>,
    /// Tags.
    pub on_tag: Option<bool>,
}

/// What was saved.
#[derive(Clone)]
pub struct Saved {
    /// The service.
    pub service: service::Model,
    /// The webhook's secret, where somebody has to paste it.
    pub secret: Option<SecretString>,
}

/// A save that has been begun: the provider is to be asked.
struct Begun {
    service: service::Model,
    by: String,
    /// There may be a webhook at the provider.
    was_there: bool,
}

/// Saves what is given, and sees to the webhook at the provider: it is put there, repaired or removed. Where that can't
/// be done, it is for people to do.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT with every fault, FAILED_PRECONDITION while the service is being removed, CONFLICT while
/// somebody else saves.
pub async fn save(app: &App, actor: &Actor, input: SaveAutoCi) -> Result<Saved> {
    let begun = begin(app, actor, input).await?;
    environments::changed(app, &begun.service);
    let mut definition = auto_ci_of(&begun.service)?;
    let provider = git::source_of(&begun.service).map(|source| source.provider);
    let secret = match &begun.service.webhook_secret_id {
        Some(id) if definition.enabled => Some(secrets::open(app, &actor.scope, id).await?),
        _ => None,
    };
    match &secret {
        Some(secret) => {
            let installed = install::install(app, actor, &begun.service, secret.clone()).await;
            settle(&mut definition, provider, installed);
        }
        None => {
            let removed = match begun.was_there {
                true => install::uninstall(app, actor, &begun.service).await,
                false => Ok(()),
            };
            definition.installation = None;
            if removed.is_ok() {
                definition.hook_id = None;
            }
            definition.installation_message = removed.err();
        }
    }
    let service = finish(app, actor, &begun, definition.clone()).await?;
    environments::changed(app, &service);
    let pasted = definition.installation == Some(Installation::Manual);
    Ok(Saved { service, secret: secret.filter(|_| pasted) })
}

/// What came of asking the provider.
fn settle(
    definition: &mut AutoCiDefinition,
    provider: Option<Provider>,
    installed: std::result::Result<HookState, String>,
) {
    match installed {
        Ok(state) => {
            definition.installation = Some(Installation::Installed);
            definition.installation_message = None;
            definition.hook_id = Some(state.id);
            definition.proof = (provider == Some(Provider::Gitlab)).then_some(match state.signing {
                true => StoredProof::Signature,
                false => StoredProof::Token,
            });
        }
        Err(why) => {
            definition.installation = Some(Installation::Manual);
            definition.installation_message = Some(why);
        }
    }
}

/// Stores what is wanted, with the secret, before anybody outside hears of it.
async fn begin(app: &App, actor: &Actor, input: SaveAutoCi) -> Result<Begun> {
    let scope = &actor.scope;
    for _ in 0..TRIES {
        let tx = app.begin().await?;
        let stored = for_change(&tx, scope, &input.service_id).await?;
        let source = git::source_of(&stored).ok_or_else(|| {
            Error::bad_input("input.serviceId", "the service is made of images of registries: nobody pushes to it")
        })?;
        refuse_while_removing(&stored)?;
        let before = auto_ci_of(&stored)?;
        let mut after = merged(before.clone(), &input)?;
        let now = app.clock.now();
        if before.saving.as_ref().is_some_and(|other| other.until > now) {
            drop(tx);
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let by = app.ids.id();
        after.saving = Some(Saving { by: by.clone(), until: now + TAKEN_FOR_DEAD });
        if after.enabled {
            after.installation = Some(Installation::Manual);
            after.installation_message = Some(UNFINISHED.to_owned());
        }
        let mut row = stored.clone().into_active_model();
        let is_new = input.rotate_secret || after.enabled && stored.webhook_secret_id.is_none();
        if is_new {
            let secret = new_secret(source.provider, app.ids.random());
            row.webhook_secret_id = Set(Some(secrets::store(app, &tx, scope, &secret).await?));
            after.proof = None;
        }
        row.auto_ci = Set(Some(serde_json::to_value(&after)?));
        row.changed_at = Set(now);
        let row = row.update(&tx).await?;
        if let Some(old) = stored.webhook_secret_id.as_deref().filter(|_| is_new) {
            secrets::forget(&tx, scope, old).await?;
        }
        let entry = Entry {
            action: "auto_ci.saved",
            subject_kind: "Service",
            subject_id: &row.id,
            subject_name: &row.name,
            detail: json!({
                "enabled": after.enabled, "branches": after.branches, "onPush": after.on_push,
                "onMergeRequest": after.on_merge_request, "onTag": after.on_tag, "newSecret": is_new,
            }),
        };
        audit::record(app, &tx, actor, entry).await?;
        tx.commit().await?;
        return Ok(Begun { service: row, by, was_there: before.enabled || before.hook_id.is_some() });
    }
    Err(Error::conflict("input.serviceId", "Auto CI of this service is being saved by somebody else: try again"))
}

/// Stores what came of it, unless somebody took this save for dead.
async fn finish(app: &App, actor: &Actor, begun: &Begun, definition: AutoCiDefinition) -> Result<service::Model> {
    let tx = app.begin().await?;
    let stored = for_change(&tx, &actor.scope, &begun.service.id).await?;
    let meanwhile = auto_ci_of(&stored)?;
    if meanwhile.saving.is_none_or(|saving| saving.by != begun.by) {
        let message = "the Git provider took too long, and somebody else has saved meanwhile: see what is stored now";
        return Err(Error::conflict("input.serviceId", message));
    }
    // A delivery may have shown it meanwhile.
    let proof = definition.proof.or(meanwhile.proof);
    let mut row = stored.into_active_model();
    row.auto_ci = Set(Some(serde_json::to_value(AutoCiDefinition { saving: None, proof, ..definition })?));
    row.changed_at = Set(app.clock.now());
    let row = row.update(&tx).await?;
    tx.commit().await?;
    Ok(row)
}

/// What is stored with what is given over it.
fn merged(before: AutoCiDefinition, input: &SaveAutoCi) -> Result<AutoCiDefinition> {
    let mut v = Violations::default();
    let branches = input.branches.clone().over(Some(before.branches)).unwrap_or_default();
    if branches.len() > PATTERNS {
        v.add("input.branches", format!("at most {PATTERNS} branches or patterns"));
    }
    let patterns = branches.iter().take(PATTERNS).enumerate();
    let patterns = patterns.filter_map(|(i, text)| v.check(format!("input.branches.{i}"), BranchPattern::parse(text)));
    let branches = patterns.map(|pattern| pattern.as_str().to_owned()).collect();
    let after = AutoCiDefinition {
        enabled: input.enabled.unwrap_or(before.enabled),
        branches,
        on_push: input.on_push.unwrap_or(before.on_push),
        on_merge_request: input.on_merge_request.unwrap_or(before.on_merge_request),
        on_tag: input.on_tag.unwrap_or(before.on_tag),
        ..before
    };
    if after.enabled && !after.on_push && !after.on_merge_request && !after.on_tag {
        v.add("input.onPush", "Auto CI needs at least one of onPush, onMergeRequest and onTag");
    }
    v.finish()?;
    Ok(after)
}
