//! Organizations and people that kiops.toml states.

use std::collections::{HashMap, HashSet};

use entity::{Role, membership, organization, token, user};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, PaginatorTrait, QueryFilter, Set,
};
use serde_json::json;

use super::users::{self, about};
use super::{organizations, passwords, user_by_email};
use crate::app::audit::Entry;
use crate::app::declared::{Home, Round};
use crate::app::{App, Result, Scope};
use crate::domain::secret::SecretString;

/// Somebody, checked.
pub(in crate::app) struct Stated {
    /// In lower case.
    pub(in crate::app) email: String,
    /// For people.
    pub(in crate::app) name: String,
    /// What they may do in the organization.
    pub(in crate::app) role: Role,
    /// None: the account keeps its own.
    pub(in crate::app) password: Option<SecretString>,
}

/// An account and every place where it is stated, with the organization there.
#[derive(Default)]
pub(in crate::app) struct Account<'a> {
    /// The key, the organization and what stands there.
    pub(in crate::app) stated: Vec<(&'a str, &'a Home, &'a Stated)>,
}

/// What takes long of passwords, done before the transaction: by address.
#[derive(Default)]
pub(in crate::app) struct Hashes(HashMap<String, Hash>);

enum Hash {
    /// The stored one, which the stated password matches.
    Stored(String),
    /// A new one, of the stated password.
    New(String),
}

impl Hashes {
    /// Compares each stated password with what is stored, and hashes those that differ.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub(in crate::app) async fn of(app: &App, stated: impl Iterator<Item = &Stated>) -> Result<Self> {
        let mut hashes = HashMap::new();
        for Stated { email, password, .. } in stated {
            let Some(password) = password else { continue };
            if hashes.contains_key(email) {
                continue;
            }
            let stored = user_by_email(app.db.read(), email).await?.map(|user| user.password_hash);
            let hash = match stored {
                Some(stored) if matches(&stored, password).await? => Hash::Stored(stored),
                _ => Hash::New(passwords::hash(app, password).await?),
            };
            hashes.insert(email.clone(), hash);
        }
        Ok(Self(hashes))
    }

    /// Whether a stored hash is of the password. Another server may have stored one of its own meanwhile.
    async fn match_stored(&self, email: &str, stored: &str, password: &SecretString) -> Result<bool> {
        match self.0.get(email) {
            Some(Hash::Stored(known) | Hash::New(known)) if known == stored => Ok(true),
            _ => matches(stored, password).await,
        }
    }

    async fn take(&self, app: &App, email: &str, password: &SecretString) -> Result<String> {
        match self.0.get(email) {
            Some(Hash::New(hash)) => Ok(hash.clone()),
            _ => passwords::hash(app, password).await,
        }
    }
}

async fn matches(stored: &str, password: &SecretString) -> Result<bool> {
    let _turn = passwords::turn().await?;
    passwords::verify(Some(stored.to_owned()), password).await
}

/// Makes the organization, or gives it its name.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn organization(
    round: &mut Round<'_>,
    known: Option<organization::Model>,
    (slug, name): (&str, &str),
) -> Result<Home> {
    let (row, action, detail) = match known {
        None => {
            let row = organizations::insert(round.app, round.tx, slug, name).await?;
            (row, "organization.created", json!({ "name": name }))
        }
        Some(row) if row.name == name => return Ok(Home::from(&row)),
        Some(row) => {
            let detail = json!({ "from": row.name, "to": name });
            let mut row = row.into_active_model();
            row.name = Set(name.to_owned());
            (row.update(round.tx).await?, "organization.renamed", detail)
        }
    };
    let home = Home::from(&row);
    let entry = Entry { action, subject_kind: "Organization", subject_id: &row.id, subject_name: &row.slug, detail };
    round.note(&home, entry).await?;
    Ok(home)
}

/// Sees that somebody belongs to the organization with their role, and makes their account where nobody has the address.
/// Gives the membership's id; none after a fault.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn declare(
    round: &mut Round<'_>,
    home: &Home,
    (at, person): (&str, &Stated),
    hashes: &Hashes,
) -> Result<Option<String>> {
    let user = match (user_by_email(round.tx, &person.email).await?, hashes.0.get(&person.email)) {
        (Some(user), _) => user,
        // It may stand in another organization.
        (None, Some(Hash::New(hash) | Hash::Stored(hash))) => {
            users::insert(round.app, round.tx, (&person.email, &person.name), hash.clone()).await?
        }
        (None, None) => {
            let message = "nobody has this address yet: give password or password_file, to make the account with";
            round.faults.add(format!("{at}.password"), message);
            return Ok(None);
        }
    };
    let found = home.scope.memberships().filter(membership::Column::UserId.eq(&user.id)).one(round.tx).await?;
    let is_new = found.is_none();
    let mut row = match found {
        Some(row) => row,
        None => users::join(round.app, round.tx, &home.scope, &user.id, person.role).await?,
    };
    if !row.declared {
        let mut change = row.into_active_model();
        change.declared = Set(true);
        row = change.update(round.tx).await?;
        let action = if is_new { "user.created" } else { "user.declared" };
        round.note(home, about(&user, action, json!({ "role": row.role }))).await?;
    }
    if row.role != person.role {
        let detail = json!({ "from": row.role, "to": person.role });
        row = users::put_role(round.tx, row, person.role).await?;
        round.note(home, about(&user, "user.role_set", detail)).await?;
    }
    Ok(Some(row.id))
}

/// Releases the memberships that are stated no more; their accounts' passwords are their own from then on.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn release(round: &mut Round<'_>, home: &Home, kept: &HashSet<String>) -> Result<()> {
    let rows = home.scope.memberships().filter(membership::Column::Declared.eq(true)).all(round.tx).await?;
    for row in rows.into_iter().filter(|row| !kept.contains(&row.id)) {
        let user = user::Entity::find_by_id(&row.user_id).one(round.tx).await?;
        let mut row = row.into_active_model();
        row.declared = Set(false);
        row.declared_password = Set(false);
        let row = row.update(round.tx).await?;
        if let Some(user) = user {
            round.note(home, about(&user, "user.released", json!({ "role": row.role }))).await?;
        }
    }
    Ok(())
}

/// Whose passwords the file has given, before anybody is released.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn given(round: &Round<'_>) -> Result<HashSet<String>> {
    let rows = membership::Entity::find().filter(membership::Column::DeclaredPassword.eq(true)).all(round.tx).await?;
    Ok(rows.into_iter().map(|row| row.user_id).collect())
}

/// Gives an account the name and the password that are stated for it, if the file has the say over it: it has given its
/// password until now, wherever that was, or there is no organization that it belongs to and the file does not state it in.
/// An account of which another organization knows otherwise can be stated without a password; with one it is a fault, since
/// whoever made it may know another.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn account(
    round: &mut Round<'_>,
    email: &str,
    account: &Account<'_>,
    hashes: &Hashes,
    given: &HashSet<String>,
) -> Result<()> {
    // Without one there was a fault already.
    let Some(user) = user_by_email(round.tx, email).await? else { return Ok(()) };
    let rows = membership::Entity::find().filter(membership::Column::UserId.eq(&user.id)).all(round.tx).await?;
    let has_given = given.contains(&user.id);
    let has_say = has_given || rows.iter().all(|row| row.declared);
    let password = account.stated.iter().find_map(|(at, _, person)| Some((*at, person.password.as_ref()?)));
    if let (Some((at, _)), false) = (password, has_say) {
        round.faults.add(
            format!("{at}.password"),
            "somebody has this address already, and belongs to an organization that this file does not state them in: \
             leave the password out to take them in as they are, or state them there too",
        );
        return Ok(());
    }
    let Some((_, home, person)) = account.stated.first() else { return Ok(()) };
    let user = match has_say && user.name != person.name {
        true => {
            let detail = json!({ "from": user.name, "to": person.name });
            let mut change = user.into_active_model();
            change.name = Set(person.name.clone());
            let user = change.update(round.tx).await?;
            round.note(home, about(&user, "user.renamed", detail)).await?;
            user
        }
        false => user,
    };
    let user = match password {
        Some((_, password)) if !hashes.match_stored(email, &user.password_hash, password).await? => {
            let hash = hashes.take(round.app, email, password).await?;
            let mut ended = passwords::put(round.tx, user.clone(), hash).await?;
            if !has_given {
                // Whoever knew the password until now may have made tokens with it.
                let tokens = token::Entity::delete_many().filter(token::Column::UserId.eq(&user.id));
                ended += tokens.exec(round.tx).await?.rows_affected;
            }
            for (_, home, _) in &account.stated {
                round.note(home, about(&user, "auth.password_set", json!({ "endedSessions": ended }))).await?;
            }
            user
        }
        _ => user,
    };
    for row in rows.into_iter().filter(|row| row.declared && row.declared_password != password.is_some()) {
        let home = account.stated.iter().map(|(_, home, _)| *home);
        let home = home.into_iter().find(|home| home.scope.organization_id == row.organization_id);
        let mut change = row.into_active_model();
        change.declared_password = Set(password.is_some());
        change.update(round.tx).await?;
        if let Some(home) = home {
            let action = if password.is_some() { "user.password_declared" } else { "user.password_released" };
            round.note(home, about(&user, action, json!({}))).await?;
        }
    }
    Ok(())
}

/// Whether somebody is an admin of the organization.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn has_admin(db: &impl ConnectionTrait, scope: &Scope) -> Result<bool> {
    Ok(scope.memberships().filter(membership::Column::Role.eq(Role::Admin)).count(db).await? > 0)
}
