//! Organizations, and who the caller is in theirs.

use entity::{Role, membership, organization};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, Set,
};
use serde_json::json;

use super::{passwords, user_by_email, users};
use crate::app::audit::{self, By, Entry};
use crate::app::error::is_unique_violation;
use crate::app::{Actor, App, Error, Result, Scope, Violations};
use crate::domain::names::{DisplayName, Email, OrganizationSlug};
use crate::domain::secret::SecretString;

/// The caller's organization.
///
/// # Errors
/// UNAUTHENTICATED when it is gone.
pub async fn current(app: &App, scope: &Scope) -> Result<organization::Model> {
    organization::Entity::find_by_id(&scope.organization_id)
        .one(app.db.read())
        .await?
        .ok_or_else(Error::unauthenticated)
}

/// Every organization that the caller belongs to, by name.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn of_user(app: &App, actor: &Actor) -> Result<Vec<organization::Model>> {
    let link = organization::Entity::belongs_to(membership::Entity)
        .from(organization::Column::Id)
        .to(membership::Column::OrganizationId)
        .into();
    Ok(organization::Entity::find()
        .join(JoinType::InnerJoin, link)
        .filter(membership::Column::UserId.eq(&actor.user_id))
        .order_by_asc(organization::Column::Slug)
        .all(app.db.read())
        .await?)
}

/// Makes an organization with its first admin. An address that the server knows keeps its password.
/// For the command line alone.
///
/// # Errors
/// BAD_USER_INPUT with every fault, CONFLICT when the slug is taken.
pub async fn create(
    app: &App,
    slug: &str,
    name: &str,
    admin_email: &str,
    password: &SecretString,
) -> Result<organization::Model> {
    let mut violations = Violations::default();
    let slug = violations.check("slug", OrganizationSlug::parse(slug));
    let name = violations.check("name", DisplayName::parse(name));
    let email = violations.check("admin-email", Email::parse(admin_email));
    passwords::check(&mut violations, "password", password);
    violations.finish()?;
    let (Some(slug), Some(name), Some(email)) = (slug, name, email) else {
        return Err(Error::bad_input("name", "is no name"));
    };
    let hash = passwords::hash(app, password).await?;
    let tx = app.begin().await?;
    let made = create_in(app, &tx, slug.as_str(), name.as_str(), &email.key(), hash).await?;
    tx.commit().await?;
    Ok(made)
}

/// Writes an organization with its first admin.
pub(super) async fn create_in(
    app: &App,
    tx: &impl ConnectionTrait,
    slug: &str,
    name: &str,
    email: &str,
    hash: String,
) -> Result<organization::Model> {
    let organization = match insert(app, tx, slug, name).await {
        Ok(organization) => organization,
        Err(e) if is_unique_violation(&e) => {
            return Err(Error::conflict("slug", "there is an organization of this slug already"));
        }
        Err(e) => return Err(e.into()),
    };
    let user = match user_by_email(tx, email).await? {
        Some(user) => user,
        None => users::insert(app, tx, (email, email.split('@').next().unwrap_or(email)), hash).await?,
    };
    let scope = Scope { organization_id: organization.id.clone() };
    users::join(app, tx, &scope, &user.id, Role::Admin).await?;
    let by = By { organization_id: organization.id.clone(), user_id: None, address: None };
    let entry = Entry {
        action: "organization.created",
        subject_kind: "Organization",
        subject_id: &organization.id,
        subject_name: &organization.slug,
        detail: json!({ "admin": user.email }),
    };
    audit::record(app, tx, by, entry).await?;
    Ok(organization)
}

/// Writes an organization.
pub(super) async fn insert(
    app: &App,
    tx: &impl ConnectionTrait,
    slug: &str,
    name: &str,
) -> std::result::Result<organization::Model, entity::DbError> {
    organization::ActiveModel {
        id: Set(app.ids.id()),
        slug: Set(slug.to_owned()),
        name: Set(name.to_owned()),
        created_at: Set(app.clock.now()),
    }
    .insert(tx)
    .await
}
