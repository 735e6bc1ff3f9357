//! The first organization and the first admin.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entity::user;
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};

use super::{organizations, passwords};
use crate::app::error::Violation;
use crate::app::{App, Error, Result, Violations};
use crate::domain::names::{Email, OrganizationSlug};
use crate::domain::secret::SecretString;

/// The number of the lock that servers of one PostgreSQL take here: "kiops" in bytes.
const LOCK: &str = "SELECT pg_advisory_xact_lock(461429731443)";

/// Makes the first organization and admin where the database has no user. Gives the password if it made one up.
///
/// # Errors
/// BAD_USER_INPUT naming the key of the configuration that is at fault.
pub async fn bootstrap(
    app: &App,
    organization: &str,
    admin_email: &str,
    password: Option<SecretString>,
) -> Result<Option<SecretString>> {
    if user::Entity::find().count(app.db.read()).await? > 0 {
        return Ok(None);
    }
    let mut violations = Violations::default();
    let (organization, email) = check(&mut violations, organization, admin_email, password.as_ref());
    violations.finish()?;
    let (Some(organization), Some(email)) = (organization, email) else {
        return Err(Error::bad_input("bootstrap.admin_email", "is no e-mail address"));
    };
    let made_up = match &password {
        Some(_) => None,
        None => Some(SecretString::from(URL_SAFE_NO_PAD.encode(app.ids.random().get(..18).unwrap_or_default()))),
    };
    let Some(chosen) = password.as_ref().or(made_up.as_ref()) else {
        return Err(Error::internal("there is no password for the first admin"));
    };
    let hash = passwords::hash(app, chosen).await?;
    let tx = app.begin().await?;
    if app.db.is_postgres() {
        tx.execute_unprepared(LOCK).await?;
    }
    // Another server may have been first.
    if user::Entity::find().count(&tx).await? > 0 {
        return Ok(None);
    }
    organizations::create_in(app, &tx, organization.as_str(), organization.as_str(), &email.key(), hash).await?;
    tx.commit().await?;
    Ok(made_up)
}

/// What is wrong with the section by itself.
#[must_use]
pub fn faults(organization: &str, admin_email: &str, password: Option<&SecretString>) -> Vec<Violation> {
    let mut violations = Violations::default();
    check(&mut violations, organization, admin_email, password);
    violations.into_list()
}

fn check(
    violations: &mut Violations,
    organization: &str,
    admin_email: &str,
    password: Option<&SecretString>,
) -> (Option<OrganizationSlug>, Option<Email>) {
    let organization = violations.check("bootstrap.organization", OrganizationSlug::parse(organization));
    let email = violations.check("bootstrap.admin_email", Email::parse(admin_email));
    if let Some(password) = password {
        passwords::check(violations, "bootstrap.admin_password", password);
    }
    (organization, email)
}
