//! Bringing the database in line with what is stated.

use std::collections::{BTreeMap, HashMap, HashSet};

use entity::organization;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, QueryOrder as _};

use super::check::{Checked, check};
use super::round::Done;
use super::{Home, Organization, Round};
use crate::app::git::declare as git;
use crate::app::identity::{declare as people, lock_organization};
use crate::app::registries::declare as logins;
use crate::app::runtimes::declare as places;
use crate::app::{App, Event, Result, Violations};

/// The number of the lock that servers of one PostgreSQL take here: "kiopt" in bytes.
const LOCK: &str = "SELECT pg_advisory_xact_lock(461429731444)";

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The database was in line already, and was not written to.
    AsItWas,
    /// So many things were changed.
    Changed(usize),
}

/// Ids of rows that are stated, of all organizations.
#[derive(Default)]
pub(super) struct Kept {
    memberships: HashSet<String>,
    runtimes: HashSet<String>,
    registries: HashSet<String>,
    git: HashSet<String>,
}

/// Makes and changes what is stated, and releases what was and is no more: that stays as it is, and can be changed through the
/// API. All of it or, with an error, nothing.
///
/// # Errors
/// BAD_USER_INPUT with every fault, by its key in the file: of the declarations, and what the database has against them.
/// INTERNAL when it does not answer.
pub async fn apply(app: &App, declared: &[Organization]) -> Result<Outcome> {
    let mut v = Violations::default();
    let checked = check(&mut v, Some(app.gits.as_ref()), declared);
    v.finish()?;
    let stated = checked.iter().flat_map(|organization| &organization.users).map(|(_, person)| person);
    let hashes = people::Hashes::of(app, stated).await?;

    let tx = app.begin().await?;
    if app.db.is_postgres() {
        tx.execute_unprepared(LOCK).await?;
    }
    let mut round = Round::new(app, &tx);
    let homes = homes(&mut round, &checked).await?;
    let mut kept = Kept::default();
    for (organization, home) in checked.iter().zip(&homes) {
        entries(&mut round, organization, home, &hashes, &mut kept).await?;
    }
    let given = people::given(&round).await?;
    release(&mut round, &kept).await?;
    accounts(&mut round, (&checked, &homes), &hashes, &given).await?;
    for (organization, home) in checked.iter().zip(&homes) {
        if !people::has_admin(&tx, &home.scope).await? {
            let message = "nobody is an admin of this organization: state one";
            round.faults.add(format!("{}.users", organization.at), message);
        }
    }
    let done = round.end()?;
    if done.is_empty() {
        return Ok(Outcome::AsItWas);
    }
    tx.commit().await?;
    done.iter().for_each(Done::tell);
    app.events.publish(Event::Jobs);
    Ok(Outcome::Changed(done.len()))
}

/// The organizations, which are all held before anything of one is changed: whoever waits for one of them holds none.
async fn homes(round: &mut Round<'_>, checked: &[Checked]) -> Result<Vec<Home>> {
    let all = organization::Entity::find().order_by_asc(organization::Column::Id).all(round.tx).await?;
    let stated: HashSet<&str> = checked.iter().map(|organization| organization.slug.as_str()).collect();
    let mut known = HashMap::new();
    for row in all.into_iter().filter(|row| stated.contains(row.slug.as_str())) {
        let row = lock_organization(round.app, round.tx, &row.id).await?;
        known.insert(row.slug.clone(), row);
    }
    let mut homes = Vec::new();
    for Checked { slug, name, .. } in checked {
        homes.push(people::organization(round, known.remove(slug), (slug, name)).await?);
    }
    Ok(homes)
}

async fn entries(
    round: &mut Round<'_>,
    organization: &Checked,
    home: &Home,
    hashes: &people::Hashes,
    kept: &mut Kept,
) -> Result<()> {
    for (at, person) in &organization.users {
        kept.memberships.extend(people::declare(round, home, (at, person), hashes).await?);
    }
    for (at, runtime) in &organization.runtimes {
        kept.runtimes.extend(places::declare(round, home, (at, runtime)).await?);
    }
    for (_, login) in &organization.registries {
        kept.registries.insert(logins::declare(round, home, login).await?);
    }
    if let Some(at) = organization.registries.iter().find(|(_, login)| login.prefix.is_some()).map(|(at, _)| at) {
        logins::check_prefix(round, home, at, &kept.registries).await?;
    }
    for (_, settings) in &organization.git {
        kept.git.insert(git::declare(round, home, settings).await?);
    }
    Ok(())
}

/// Releases what is stated no more, in whichever organization.
async fn release(round: &mut Round<'_>, kept: &Kept) -> Result<()> {
    let all = organization::Entity::find().order_by_asc(organization::Column::Id).all(round.tx).await?;
    for home in all.iter().map(Home::from) {
        people::release(round, &home, &kept.memberships).await?;
        places::release(round, &home, &kept.runtimes).await?;
        logins::release(round, &home, &kept.registries).await?;
        git::release(round, &home, &kept.git).await?;
    }
    Ok(())
}

/// Names and passwords, once it is known where everybody belongs.
async fn accounts(
    round: &mut Round<'_>,
    (checked, homes): (&[Checked], &[Home]),
    hashes: &people::Hashes,
    given: &HashSet<String>,
) -> Result<()> {
    let mut persons: BTreeMap<&str, people::Account<'_>> = BTreeMap::new();
    for (organization, home) in checked.iter().zip(homes) {
        for (at, person) in &organization.users {
            persons.entry(person.email.as_str()).or_default().stated.push((at.as_str(), home, person));
        }
    }
    for (email, account) in persons {
        people::account(round, email, &account, hashes, given).await?;
    }
    Ok(())
}
