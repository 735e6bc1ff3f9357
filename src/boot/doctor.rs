//! Trying what the server stands on, one thing after the other, without changing or making any of it.

use entity::Db;
use migration::{Migrator, MigratorTrait as _};
use secrecy::ExposeSecret as _;

use super::{assemble, keys};
use crate::app::doctor::{self, Finding, Verdict};
use crate::config::Config;

/// Tries the database, the secret key, each runtime and each Git provider. What stands on something that does not work is
/// not tried.
///
/// # Errors
/// When a client can't be made from the configuration, or the database stops to answer.
pub async fn examine(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let Some(db) = database(config, &mut findings).await else { return Ok(findings) };
    let vault = match keys::existing(config, &db).await {
        Ok(Some(vault)) => vault,
        Ok(None) => {
            let what = "the database has no key yet".to_owned();
            findings.push(ill("secret key", what, "start the server once: `kiops serve` makes it"));
            return Ok(findings);
        }
        Err(error) => {
            let remedy = "put the key file of this database at secrets.key_file; without it what is sealed is lost";
            findings.push(ill("secret key", format!("{error:#}"), remedy));
            return Ok(findings);
        }
    };
    let key = format!("{} is the key of this database", config.secrets.key_file.display());
    findings.push(Finding { subject: "secret key".to_owned(), verdict: Verdict::Well(key) });
    let app = assemble(config, db, vault)?;
    findings.extend(doctor::examine(&app).await?);
    Ok(findings)
}

async fn database(config: &Config, findings: &mut Vec<Finding>) -> Option<Db> {
    let subject = "database";
    let unreached = "see that database.url is right and that the server may use it";
    if let Some(file) = Db::missing_file(&config.database.url) {
        let what = format!("there is no database at {} yet", file.display());
        findings.push(ill(subject, what, "start the server once: `kiops serve` makes it; or correct database.url"));
        return None;
    }
    let db = match Db::connect(config.database.address().expose_secret(), config.database.max_connections).await {
        Ok(db) => db,
        Err(_) => {
            // What the driver says may hold the password of the address.
            findings.push(ill(subject, "it does not answer".to_owned(), unreached));
            return None;
        }
    };
    match Migrator::get_pending_migrations_read_only(db.read()).await {
        Ok(pending) if pending.is_empty() => {
            let verdict = Verdict::Well("it answers and is up to date".to_owned());
            findings.push(Finding { subject: subject.to_owned(), verdict });
            Some(db)
        }
        Ok(_) => {
            let what = "it answers, and is of an earlier version of KIOPS".to_owned();
            findings.push(ill(subject, what, "run `kiops migrate`, or start the server, which does it"));
            None
        }
        Err(_) => {
            findings.push(ill(subject, "it answers, and can't be read".to_owned(), unreached));
            None
        }
    }
}

fn ill(subject: &str, what: String, remedy: &str) -> Finding {
    Finding { subject: subject.to_owned(), verdict: Verdict::Ill { what, remedy: remedy.to_owned() } }
}
