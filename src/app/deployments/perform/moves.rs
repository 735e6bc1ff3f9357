//! What a deployment does beside the rest when its environment moves to another runtime with it.
//!
//! Until the revision serves on the new runtime the old one is not asked for anything. What has to be taken down
//! afterwards, there or here, is a row of `leftovers` from the very transaction on that makes it so.

use std::sync::Arc;

use entity::{DeploymentPhase, deployment, environment};
use sea_orm::{ConnectionTrait, Set};

use super::{ATTEMPTS, Step, Work};
use crate::app::deployments::moving::{self, Course};
use crate::app::deployments::{environments, leftovers, plan};
use crate::app::runtimes::same::{self, Sameness};
use crate::app::services::spec::target_of;
use crate::app::{App, Result, Scope, runtimes};
use crate::runtime::{Progress as _, Runtime, RuntimeError, Volumes};

impl Work<'_> {
    /// The way to the runtime, or the step that says why it can't be gone now.
    pub(super) async fn course(&self) -> Result<std::result::Result<Course, Step>> {
        let to = environments::runtime(self.app.db.read(), &self.scope, &self.deployment.runtime_id).await?;
        let found = moving::course_for_certain(self.app, &self.scope, &self.environment, &to).await?;
        Ok(found.map_err(|why| match self.claim.job.attempts < ATTEMPTS {
            true => Step::Again(why),
            false => Step::Failed(why),
        }))
    }

    /// In the transaction from which on the revision serves: the environment is where the revision is, what it left
    /// is to be taken down, and a wish that has come true is none any more.
    pub(super) async fn arrive(
        &self,
        tx: &impl ConnectionTrait,
        held: &environment::Model,
        place: &mut environment::ActiveModel,
    ) -> Result<()> {
        let to = &self.deployment.runtime_id;
        place.runtime_id = Set(to.clone());
        if held.next_runtime_id.as_ref() == Some(to) {
            place.next_runtime_id = Set(None);
        }
        if let Some(from) = &self.deployment.moved_from {
            leftovers::record(self.app, tx, (&target_of(&self.service, held), from), Volumes::Keep).await?;
        }
        leftovers::forget(tx, &held.id, to).await
    }

    /// Takes down what ran on the runtime that the environment left. One that does not answer is asked later, by a
    /// job that the deployment's end enqueues.
    pub(super) async fn leave(&self) -> Result<()> {
        let Some(from) = &self.deployment.moved_from else { return Ok(()) };
        let db = self.app.db.read();
        let found = leftovers::waiting(db, &self.environment.id).await?;
        let Some(row) = found.into_iter().find(|row| row.runtime_id == *from) else { return Ok(()) };
        let name = environments::runtime(db, &self.scope, from).await?.name;
        self.log.line(&format!("taking down what ran on runtime {name}")).await;
        match leftovers::take_down(self.app, &row).await? {
            Ok(()) => {
                let tx = self.app.begin().await?;
                leftovers::taken_down(&tx, &row).await?;
                tx.commit().await?;
                self.log.line(&format!("nothing runs on runtime {name} any more; volumes stay there")).await;
            }
            Err(error) => {
                let text = format!(
                    "warning: what ran on runtime {name} is not taken down yet, and will be as soon as that can be \
                     done: {error}"
                );
                self.log.line(&text).await;
            }
        }
        Ok(())
    }

    /// Whether the new runtime is another place than the one that serves: still so, since an address may have been
    /// changed meanwhile.
    pub(super) async fn is_away(&self) -> Result<bool> {
        if self.deployment.moved_from.is_none() {
            return Ok(false);
        }
        let db = self.app.db.read();
        let to = environments::runtime(db, &self.scope, &self.deployment.runtime_id).await?;
        let serving = environments::runtime(db, &self.scope, &self.environment.runtime_id).await?;
        Ok(same::ask(self.app, &to, &serving).await != Sameness::Same)
    }

    /// After a move that failed: removes what was made on the new runtime, where nothing of this environment serves.
    /// Volumes go too, unless they may be from a time when it served there.
    pub(super) async fn turn_back(&mut self) -> Result<Step> {
        let target = plan::spec_of_revision(&self.deployment)?.target;
        let volumes = volumes_of_a_try(self.app, &self.deployment).await?;
        let error = match self.runtime.remove(&target, volumes).await {
            Ok(()) => return Ok(Step::Next(DeploymentPhase::Done)),
            Err(error) => self.log.mask(&error.to_string()),
        };
        if self.claim.job.attempts < ATTEMPTS {
            return Ok(Step::Again(error));
        }
        let tx = self.app.begin().await?;
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(Step::Again("the lease was lost".to_owned()));
        }
        remember_the_try(self.app, &tx, &self.deployment).await?;
        tx.commit().await?;
        let text = format!("what was made there is not removed yet, and will be as soon as that can be done: {error}");
        self.log.line(&text).await;
        Ok(Step::Next(DeploymentPhase::Done))
    }

    /// A client of the runtime where the environment serves, which is not the deployment's own after a failed move.
    pub(super) async fn where_it_serves(&self) -> Result<std::result::Result<Arc<dyn Runtime>, RuntimeError>> {
        if self.environment.runtime_id == self.deployment.runtime_id {
            return Ok(Ok(Arc::clone(&self.runtime)));
        }
        let db = self.app.db.read();
        let runtime = environments::runtime(db, &self.scope, &self.environment.runtime_id).await?;
        Ok(runtimes::connect(self.app, &runtime).await.map_err(|e| RuntimeError::Unreachable(e.message)))
    }
}

/// Writes that a failed move may have left something on the runtime that it went to.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn remember_the_try(
    app: &App,
    tx: &impl ConnectionTrait,
    deployment: &deployment::Model,
) -> Result<()> {
    let target = plan::spec_of_revision(deployment)?.target;
    let volumes = volumes_of_a_try(app, deployment).await?;
    leftovers::record(app, tx, (&target, &deployment.runtime_id), volumes).await
}

async fn volumes_of_a_try(app: &App, deployment: &deployment::Model) -> Result<Volumes> {
    let scope = Scope { organization_id: deployment.organization_id.clone() };
    let was_there = moving::was_on(app.db.read(), &scope, &deployment.environment_id, &deployment.runtime_id).await?;
    Ok(if was_there { Volumes::Keep } else { Volumes::Delete })
}
