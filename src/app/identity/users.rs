//! Who belongs to an organization, and with which role.

use std::collections::HashMap;

use entity::{Role, membership, token, user};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LikeExpr};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, PaginatorTrait, QueryFilter,
    QueryOrder as _, QuerySelect, Select, SelectTwo, Set,
};
use serde_json::json;

use super::{Person, lock_organization, passwords, user_by_email};
use crate::app::audit::{self, Entry};
use crate::app::error::is_unique_violation;
use crate::app::page::{self, Page};
use crate::app::{Actor, App, Error, Precondition, Result, Scope, Violations};
use crate::domain::names::{DisplayName, Email};
use crate::domain::paging::PageRequest;
use crate::domain::policy::Action;
use crate::domain::secret::SecretString;

/// Which people.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Part of the name or the e-mail address, in any case.
    pub search: Option<String>,
    /// With this role.
    pub role: Option<Role>,
}

/// Somebody to be added.
pub struct NewUser {
    /// Their e-mail address.
    pub email: String,
    /// Their name for people.
    pub name: String,
    /// Taken only for an address that the server does not know.
    pub password: SecretString,
    /// What they may do.
    pub role: Role,
}

fn people(memberships: Select<membership::Entity>) -> SelectTwo<membership::Entity, user::Entity> {
    let link =
        membership::Entity::belongs_to(user::Entity).from(membership::Column::UserId).to(user::Column::Id).into();
    memberships.join(JoinType::InnerJoin, link).select_also(user::Entity)
}

fn person((membership, user): (membership::Model, Option<user::Model>)) -> Option<Person> {
    Some(Person::new(user?, membership))
}

/// A condition that the text of a column contains another text, in any case; nothing in it is a wildcard.
fn contains(column: user::Column, text: &str) -> Expr {
    let escaped =
        text.to_lowercase().replace('\0', "\u{fffd}").replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    Expr::expr(Func::lower(Expr::col((user::Entity, column)))).like(LikeExpr::new(format!("%{escaped}%")).escape('\\'))
}

/// The organization's people, the newest first.
///
/// # Errors
/// FORBIDDEN for members, BAD_USER_INPUT for a cursor of another list.
pub async fn list(app: &App, actor: &Actor, filter: UserFilter, request: &PageRequest) -> Result<Page<Person>> {
    actor.require(Action::ManageUsers)?;
    let mut memberships = actor.scope.memberships();
    if let Some(role) = filter.role {
        memberships = memberships.filter(membership::Column::Role.eq(role));
    }
    let mut all = people(memberships);
    if let Some(text) = filter.search.filter(|t| !t.is_empty()) {
        let matches =
            Condition::any().add(contains(user::Column::Name, &text)).add(contains(user::Column::Email, &text));
        all = all.filter(matches);
    }
    let rows = page::by_id(app, all, membership::Column::Id, request, |(m, _)| m.id.clone()).await?;
    // The join sees to it that there is a user to each membership.
    Ok(rows.filter_map(person))
}

/// People of the organization by user id; who does not belong to it is not among the result.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_ids(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Person>> {
    let memberships = scope.memberships().filter(membership::Column::UserId.is_in(ids));
    let rows = people(memberships).all(app.db.read()).await?;
    Ok(rows.into_iter().filter_map(person).map(|person| (person.id.clone(), person)).collect())
}

/// Everybody of the organization, those who joined first first.
///
/// # Errors
/// FORBIDDEN for members, INTERNAL when the database does not answer.
pub async fn everyone(app: &App, actor: &Actor) -> Result<Vec<Person>> {
    actor.require(Action::ManageUsers)?;
    let rows = people(actor.scope.memberships()).order_by_asc(membership::Column::Id).all(app.db.read()).await?;
    Ok(rows.into_iter().filter_map(person).collect())
}

async fn find(db: &impl ConnectionTrait, scope: &Scope, id: &str) -> Result<(membership::Model, user::Model)> {
    let membership = scope.memberships().filter(membership::Column::UserId.eq(id));
    match people(membership).one(db).await? {
        Some((membership, Some(user))) => Ok((membership, user)),
        _ => Err(Error::not_found("user")),
    }
}

/// Adds somebody. An address that another organization knows gets a membership; its password stays.
///
/// # Errors
/// FORBIDDEN for members, BAD_USER_INPUT with every fault, CONFLICT when they belong to the organization already.
pub async fn create(app: &App, actor: &Actor, new: NewUser) -> Result<Person> {
    actor.require(Action::ManageUsers)?;
    let mut violations = Violations::default();
    let email = violations.check("input.email", Email::parse(&new.email));
    let name = violations.check("input.name", DisplayName::parse(&new.name));
    passwords::check(&mut violations, "input.password", &new.password);
    violations.finish()?;
    let (Some(email), Some(name)) = (email, name) else {
        return Err(Error::bad_input("input", "is not complete"));
    };
    // Made even where it is not needed, so that the time does not tell whether the address is known.
    let hash = passwords::hash(app, &new.password).await?;
    let tx = app.begin().await?;
    let known = user_by_email(&tx, &email.key()).await?;
    let taken = || Error::conflict("input.email", "belongs to this organization already");
    let user = match known {
        Some(user) => user,
        None => match insert(app, &tx, (&email.key(), name.as_str()), hash).await {
            Ok(user) => user,
            Err(e) if is_unique_violation(&e) => {
                return Err(Error::conflict("input.email", "was made this moment: try again"));
            }
            Err(e) => return Err(e.into()),
        },
    };
    let membership = match join(app, &tx, &actor.scope, &user.id, new.role).await {
        Ok(membership) => membership,
        Err(e) if is_unique_violation(&e) => return Err(taken()),
        Err(e) => return Err(e.into()),
    };
    let entry = about(&user, "user.created", json!({ "role": membership.role }));
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(Person::new(user, membership))
}

/// Writes an account: its address, its name for people and the hash of its password.
pub(super) async fn insert(
    app: &App,
    tx: &impl ConnectionTrait,
    (email, name): (&str, &str),
    hash: String,
) -> std::result::Result<user::Model, entity::DbError> {
    user::ActiveModel {
        id: Set(app.ids.id()),
        email: Set(email.to_owned()),
        name: Set(name.to_owned()),
        password_hash: Set(hash),
        created_at: Set(app.clock.now()),
    }
    .insert(tx)
    .await
}

/// Writes a membership.
pub(super) async fn join(
    app: &App,
    tx: &impl ConnectionTrait,
    scope: &Scope,
    user_id: &str,
    role: Role,
) -> std::result::Result<membership::Model, entity::DbError> {
    membership::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(scope.organization_id.clone()),
        user_id: Set(user_id.to_owned()),
        role: Set(role),
        declared: Set(false),
        declared_password: Set(false),
        created_at: Set(app.clock.now()),
        last_seen_at: Set(None),
    }
    .insert(tx)
    .await
}

/// Changes what somebody may do. API tokens above the new role are gone for good.
///
/// # Errors
/// FORBIDDEN for members and for one's own role, NOT_FOUND, FAILED_PRECONDITION, DECLARED for who is stated in
/// kiops.toml, CONFLICT for the last admin.
pub async fn set_role(app: &App, actor: &Actor, user_id: &str, role: Role) -> Result<Person> {
    actor.require(Action::ManageUsers)?;
    let tx = app.begin().await?;
    lock_organization(app, &tx, &actor.scope.organization_id).await?;
    let (membership, user) = find(&tx, &actor.scope, user_id).await?;
    if user.id == actor.user_id {
        return Err(Error::forbidden("nobody changes their own role: ask another admin"));
    }
    check_declared(&membership)?;
    if membership.role == role {
        return Ok(Person::new(user, membership));
    }
    if role < membership.role {
        check_last_admin(&tx, &actor.scope, &membership).await?;
    }
    let before = membership.role;
    let membership = put_role(&tx, membership, role).await?;
    let entry = about(&user, "user.role_set", json!({ "from": before, "to": role }));
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(Person::new(user, membership))
}

/// Writes a role. API tokens above it are gone for good.
pub(super) async fn put_role(
    tx: &impl ConnectionTrait,
    membership: membership::Model,
    role: Role,
) -> Result<membership::Model> {
    let before = membership.role;
    let mut change: membership::ActiveModel = membership.into();
    change.role = Set(role);
    let membership = change.update(tx).await?;
    if role < before {
        token::Entity::delete_many()
            .filter(token::Column::OrganizationId.eq(&membership.organization_id))
            .filter(token::Column::UserId.eq(&membership.user_id))
            .filter(token::Column::Kind.eq(entity::TokenKind::Api))
            .filter(token::Column::Role.eq(before))
            .exec(tx)
            .await?;
    }
    Ok(membership)
}

/// Takes somebody out of the organization, with their sessions and tokens of it. Who belongs nowhere else is gone.
///
/// # Errors
/// FORBIDDEN for members, NOT_FOUND, FAILED_PRECONDITION, DECLARED for who is stated in kiops.toml, CONFLICT for the
/// last admin.
pub async fn remove(app: &App, actor: &Actor, user_id: &str) -> Result<()> {
    actor.require(Action::ManageUsers)?;
    let tx = app.begin().await?;
    lock_organization(app, &tx, &actor.scope.organization_id).await?;
    let (membership, user) = find(&tx, &actor.scope, user_id).await?;
    check_declared(&membership)?;
    check_last_admin(&tx, &actor.scope, &membership).await?;
    token::Entity::delete_many()
        .filter(token::Column::OrganizationId.eq(&actor.scope.organization_id))
        .filter(token::Column::UserId.eq(&user.id))
        .exec(&tx)
        .await?;
    membership::Entity::delete_by_id(&membership.id).exec(&tx).await?;
    let elsewhere = membership::Entity::find().filter(membership::Column::UserId.eq(&user.id)).count(&tx).await?;
    if elsewhere == 0 {
        user::Entity::delete_by_id(&user.id).exec(&tx).await?;
    }
    let entry = about(&user, "user.removed", json!({ "role": membership.role }));
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// An entry of the audit trail about somebody.
pub(super) fn about<'a>(user: &'a user::Model, action: &'a str, detail: serde_json::Value) -> Entry<'a> {
    Entry { action, subject_kind: "User", subject_id: &user.id, subject_name: &user.email, detail }
}

fn check_declared(membership: &membership::Model) -> Result<()> {
    if !membership.declared {
        return Ok(());
    }
    Err(Error::precondition(
        Precondition::Declared,
        "this user is stated in kiops.toml: whoever runs the server changes it there",
    ))
}

/// The caller holds the organization's lock, so that the count stays true until the commit.
async fn check_last_admin(tx: &impl ConnectionTrait, scope: &Scope, leaving: &membership::Model) -> Result<()> {
    if leaving.role != Role::Admin {
        return Ok(());
    }
    let others = scope
        .memberships()
        .filter(membership::Column::Role.eq(Role::Admin))
        .filter(membership::Column::Id.ne(&leaving.id))
        .count(tx)
        .await?;
    if others > 0 {
        return Ok(());
    }
    Err(Error::conflict("input.userId", "is the last admin: make somebody else an admin first"))
}
