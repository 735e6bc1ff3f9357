//! Findings.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use chrono::{DateTime, Utc};
use entity::finding;

use super::enums::{FindingState, ScanKind, Severity};
use super::identity::User;
use super::service::Service;
use crate::app::Error;
use crate::app::scans::gates::counted_by_block_rule;
use crate::app::scans::list::{self, Filter};
use crate::app::scans::place;
use crate::domain::policy::Action;
use crate::domain::scan as words;
use crate::graphql::connection::{Counted, Window, counted};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;

/// Something that scans of a service saw.
pub struct Finding(pub finding::Model);

impl Finding {
    /// Wraps what a loader gave.
    #[must_use]
    pub fn shared(row: Arc<finding::Model>) -> Self {
        Self(Arc::unwrap_or_clone(row))
    }

    fn is_ignored(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(list::state_of(app(ctx)?, &self.0) == words::FindingState::Ignored)
    }

    async fn load_person(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.ignored_by {
            Some(id) if self.is_ignored(ctx)? => Ok(loaders(ctx)?.person(id).await?.map(User)),
            _ => Ok(None),
        }
    }
}

/// Something that scans of a service saw. However often it is seen, and however far its line has moved, it is one.
#[Object]
impl Finding {
    /// Opaque, typed and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Finding.id(&self.0.id)
    }

    /// What was looked for.
    async fn kind(&self) -> ScanKind {
        words::ScanKind::from(self.0.kind).into()
    }

    /// CVE-2026-1234, or the tool's rule id.
    async fn rule(&self) -> &str {
        &self.0.rule
    }

    /// In a line.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// How bad it is: the worst that a tool says.
    async fn severity(&self) -> Severity {
        words::Severity::from(self.0.severity).into()
    }

    /// Where it stands.
    async fn state(&self, ctx: &Context<'_>) -> Result<FindingState> {
        Ok(list::state_of(app(ctx)?, &self.0).into())
    }

    /// The tools that report it: two or more means cross-validated.
    async fn detected_by(&self) -> Result<Vec<String>> {
        Ok(serde_json::from_value(self.0.detected_by.clone()).map_err(Error::from)?)
    }

    /// path:line, package@version or URL.
    async fn location(&self) -> &str {
        &self.0.location
    }

    /// More of it.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The first version that has it no more.
    async fn fixed_version(&self) -> Option<&str> {
        self.0.fixed_version.as_deref()
    }

    /// Where there is more to read.
    async fn help_url(&self) -> Option<&str> {
        self.0.help_url.as_deref()
    }

    /// When a scan saw it first.
    async fn first_seen_at(&self) -> DateTime<Utc> {
        self.0.first_seen_at
    }

    /// When a scan saw it last.
    async fn last_seen_at(&self) -> DateTime<Utc> {
        self.0.last_seen_at
    }

    /// Why it is ignored.
    async fn ignored_reason(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        Ok(self.0.ignored_reason.as_deref().filter(|_| self.is_ignored(ctx).unwrap_or(false)))
    }

    /// An ignored finding opens again after this.
    async fn ignored_until(&self, ctx: &Context<'_>) -> Result<Option<DateTime<Utc>>> {
        Ok(self.0.ignored_until.filter(|_| self.is_ignored(ctx).unwrap_or(false)))
    }

    /// Where it was seen.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service> {
        let found = loaders(ctx)?.service(&self.0.service_id).await?;
        Ok(Service::shared(found.ok_or_else(|| Error::not_found("service"))?))
    }

    /// Who ignored it; null once they no longer belong to the organization.
    async fn ignored_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_person(ctx).await)
    }

    /// Whether the viewer may ignore it: a member may not when a rule of the service's gate counts it that blocks.
    async fn can_ignore(&self, ctx: &Context<'_>) -> Result<bool> {
        if actor(ctx)?.may(Action::IgnoreBlocked) {
            return Ok(true);
        }
        let rules = loaders(ctx)?.block_rules_of(&self.0.service_id).await?;
        Ok(!rules.is_some_and(|rules| counted_by_block_rule(&rules, &self.0)))
    }

    /// The line on the Git provider, in the commit in which it was seen last.
    async fn location_url(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let service = loaders(ctx)?.service(&self.0.service_id).await?;
        Ok(match service {
            Some(service) => place::url(&service, &self.0)?,
            None => None,
        })
    }
}

/// A page of findings, the worst first.
///
/// # Errors
/// BAD_USER_INPUT for bounds that are none.
pub async fn page_of_findings(ctx: &Context<'_>, filter: Filter, window: Window) -> Result<Counted<Finding>> {
    let app = app(ctx)?;
    Ok(counted(list::findings(app, actor(ctx)?, &filter, &window.check(app)?).await?, Finding))
}

/// What narrows a list of findings.
pub struct Narrow {
    /// Of one of these kinds.
    pub kind: Option<Vec<ScanKind>>,
    /// Of one of these severities.
    pub severity: Option<Vec<Severity>>,
    /// In one of these states.
    pub state: Option<Vec<FindingState>>,
}

impl From<Narrow> for Filter {
    fn from(narrow: Narrow) -> Self {
        let state = |state: FindingState| match words::FindingState::from(state) {
            words::FindingState::Open => entity::FindingState::Open,
            words::FindingState::Fixed => entity::FindingState::Fixed,
            words::FindingState::Ignored => entity::FindingState::Ignored,
        };
        Self {
            kinds: narrow.kind.map(|all| all.into_iter().map(|kind| words::ScanKind::from(kind).into()).collect()),
            severities: narrow.severity.map(|all| all.into_iter().map(Into::into).collect()),
            states: narrow.state.map(|all| all.into_iter().map(state).collect()),
            ..Self::default()
        }
    }
}
