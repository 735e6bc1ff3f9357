//! One time of bringing the database in line: what is written down of it, and what stands against it.

use entity::{WriteTx, organization};
use serde_json::{Value, json};

use crate::app::audit::{self, By, Entry};
use crate::app::{App, Result, Scope, Violations};

/// Who does it, in the audit trail.
const BY: &str = "kiops.toml";

/// The transaction, and what came of it so far.
pub(in crate::app) struct Round<'a> {
    /// What it needs.
    pub(in crate::app) app: &'a App,
    /// In which all is written.
    pub(in crate::app) tx: &'a WriteTx,
    /// What the database has against the file; nothing is written when there is any.
    pub(in crate::app) faults: Violations,
    done: Vec<Done>,
}

/// An organization of the database.
#[derive(Debug, Clone)]
pub(in crate::app) struct Home {
    /// Its rows.
    pub(in crate::app) scope: Scope,
    /// Its short name.
    pub(in crate::app) slug: String,
}

/// Something that was done: logged once it is committed.
pub(super) struct Done {
    organization: String,
    action: String,
    kind: String,
    name: String,
}

impl From<&organization::Model> for Home {
    fn from(row: &organization::Model) -> Self {
        Self { scope: Scope { organization_id: row.id.clone() }, slug: row.slug.clone() }
    }
}

impl<'a> Round<'a> {
    pub(super) fn new(app: &'a App, tx: &'a WriteTx) -> Self {
        Self { app, tx, faults: Violations::default(), done: Vec::new() }
    }

    /// Writes something that was done into the audit trail, and later into the log.
    ///
    /// # Errors
    /// INTERNAL when it can't be written.
    pub(in crate::app) async fn note(&mut self, home: &Home, entry: Entry<'_>) -> Result<()> {
        let done = Done {
            organization: home.slug.clone(),
            action: entry.action.to_owned(),
            kind: entry.subject_kind.to_owned(),
            name: entry.subject_name.to_owned(),
        };
        let mut detail = entry.detail;
        match &mut detail {
            Value::Object(fields) => drop(fields.insert("by".to_owned(), BY.into())),
            other => *other = json!({ "by": BY }),
        }
        let by = By { organization_id: home.scope.organization_id.clone(), user_id: None, address: None };
        audit::record(self.app, self.tx, by, Entry { detail, ..entry }).await?;
        self.done.push(done);
        Ok(())
    }

    /// What was done.
    ///
    /// # Errors
    /// BAD_USER_INPUT with everything that the database has against it.
    pub(super) fn end(self) -> Result<Vec<Done>> {
        self.faults.finish()?;
        Ok(self.done)
    }
}

impl Done {
    pub(super) fn tell(&self) {
        let Self { organization, action, kind, name } = self;
        tracing::info!(%organization, %action, %kind, %name, "brought in line with kiops.toml");
    }
}
