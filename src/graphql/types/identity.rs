//! People, organizations and tokens.

use async_graphql::{Context, ID, Object};
use chrono::{DateTime, Utc};
use entity::{organization, token};

use super::enums::Role;
use crate::app::identity::{Person, organizations, users};
use crate::app::{Actor, App, Error};
use crate::graphql::errors::Result;
use crate::graphql::guard::app;
use crate::graphql::ids::NodeKind;
use crate::graphql::loaders::loaders;

/// Somebody of the organization.
pub struct User(pub Person);

/// Somebody of the organization.
#[Object]
impl User {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::User.id(&self.0.id)
    }

    /// In lower case.
    async fn email(&self) -> &str {
        &self.0.email
    }

    /// For people.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What they may do in this organization.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// When they joined this organization.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.joined_at
    }

    /// Their last request, to the minute.
    async fn last_seen_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_seen_at
    }

    /// Stated in kiops.toml; mutations that would change it are FAILED_PRECONDITION, DECLARED.
    async fn declared(&self) -> bool {
        self.0.declared
    }
}

/// What everything else belongs to.
pub struct Organization(pub organization::Model);

/// What everything else belongs to.
#[Object]
impl Organization {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::Organization.id(&self.0.id)
    }

    /// Its short name, for `login`.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// For people.
    async fn name(&self) -> &str {
        &self.0.name
    }
}

/// The person or token behind this request, inside one organization.
pub struct Viewer {
    actor: Actor,
    person: Person,
    organization: organization::Model,
}

impl Viewer {
    /// Reads who the actor is.
    ///
    /// # Errors
    /// UNAUTHENTICATED when they were removed this moment.
    pub async fn load(app: &App, actor: &Actor) -> Result<Self> {
        let mut people = users::by_ids(app, &actor.scope, std::slice::from_ref(&actor.user_id)).await?;
        let person = people.remove(&actor.user_id).ok_or_else(Error::unauthenticated)?;
        Ok(Self { person, organization: organizations::current(app, &actor.scope).await?, actor: actor.clone() })
    }
}

/// The person or token behind this request, inside one organization.
#[Object]
impl Viewer {
    /// The person.
    async fn user(&self) -> User {
        User(self.person.clone())
    }

    /// The organization that the token is bound to.
    async fn organization(&self) -> Organization {
        Organization(self.organization.clone())
    }

    /// What this token may do: never more than its user.
    async fn role(&self) -> Role {
        self.actor.role.into()
    }

    /// Every organization that the user belongs to.
    async fn organizations(&self, ctx: &Context<'_>) -> Result<Vec<Organization>> {
        let all = organizations::of_user(app(ctx)?, &self.actor).await?;
        Ok(all.into_iter().map(Organization).collect())
    }
}

/// Shown once: only a hash is kept.
pub struct ApiToken(pub token::Model);

/// Shown once: only a hash is kept.
#[Object]
impl ApiToken {
    /// Opaque and stable.
    pub async fn id(&self) -> ID {
        NodeKind::ApiToken.id(&self.0.id)
    }

    /// What its owner calls it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it was made for.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it stops working; null for never.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// Its last use, to the minute.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// Whose it is.
    async fn user(&self, ctx: &Context<'_>) -> Result<User> {
        let person = loaders(ctx)?.person(&self.0.user_id).await?;
        // A token goes with its user's membership, so this is a user who was removed this moment.
        Ok(User(person.ok_or_else(|| Error::not_found("user"))?))
    }
}
