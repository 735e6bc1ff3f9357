//! What a deployment does beside the rest when its environment moves to another runtime with it.
//!
//! Until the revision serves on the new runtime the old one is not asked for anything. What has to be taken down
//! afterwards, there or here, is a row of `leftovers` from the very transaction on that makes it so.

use std::sync::Arc;

use entity::{DeploymentPhase, LeftoverState, deployment, environment};
use sea_orm::{ConnectionTrait, Set};

use super::{ATTEMPTS, Step, Work};
use crate::app::deployments::leftovers::Down;
use crate::app::deployments::moving::{self, Course};
use crate::app::deployments::{environments, leftovers, plan};
use crate::app::runtimes::same::{self, Sameness};
use crate::app::services::spec::target_of;
use crate::app::{App, Result, runtimes};
use crate::domain::spec::Spec;
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
        // Where nothing ever served, deployments that failed may have left something that could not be undone.
        let tried = (held.runtime_id != *to && held.current_deployment_id.is_none()).then_some(&held.runtime_id);
        if let Some(from) = self.deployment.moved_from.as_ref().or(tried) {
            let place = (&target_of(&self.service, held), from.as_str());
            leftovers::record(self.app, tx, place, LeftoverState::Waiting).await?;
        }
        leftovers::forget(tx, &held.id, to).await
    }

    /// Takes down what ran on the runtime that the environment left. One that does not answer is asked later, by a
    /// job that the deployment's end enqueues.
    pub(super) async fn leave(&self) -> Result<()> {
        let Some(from) = &self.deployment.moved_from else { return Ok(()) };
        let db = self.app.db.read();
        let found = leftovers::waiting(db, &self.scope, &self.environment.id).await?;
        let Some(row) = found.into_iter().find(|row| row.runtime_id == *from) else { return Ok(()) };
        let name = environments::runtime(db, &self.scope, from).await?.name;
        self.log.line(&format!("taking down what ran on runtime {name}")).await;
        match leftovers::take_down(self.app, &row).await? {
            Ok(down) => {
                let tx = self.app.begin().await?;
                if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
                    // Whoever has the job now takes it down again, and the end of this one writes nothing either.
                    return Ok(());
                }
                leftovers::taken_down(self.app, &tx, &row).await?;
                tx.commit().await?;
                let text = match down {
                    Down::Removed => format!("nothing runs on runtime {name} any more; volumes stay there"),
                    Down::Serves => format!("nothing is taken down: runtime {name} leads to the engine that serves"),
                    Down::Dropped => format!("what ran on runtime {name} is left alone"),
                };
                self.log.line(&text).await;
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

    /// What the deployment's runtime and the one that serves are to each other by now: an address may have been changed
    /// since the deployment set out.
    pub(super) async fn is_it_where_it_serves(&self) -> Result<Sameness> {
        let db = self.app.db.read();
        let to = environments::runtime(db, &self.scope, &self.deployment.runtime_id).await?;
        let serving = environments::runtime(db, &self.scope, &self.environment.runtime_id).await?;
        Ok(same::ask(self.app, &to, &serving).await)
    }

    /// After a move that failed: removes what was made on the new runtime, where nothing of this environment serves.
    /// Volumes stay, since nobody can say that they were made by this very try.
    pub(super) async fn turn_back(&mut self) -> Result<Step> {
        let target = plan::spec_of_revision(&self.deployment)?.target;
        match self.runtime.remove(&target, Volumes::Keep).await {
            Ok(()) => self.volumes_stay().await,
            Err(error) => self.later(self.log.mask(&error.to_string())).await,
        }
    }

    /// After a move that failed, when nobody says whether the new runtime is another place than the one that serves:
    /// removing there could take down what serves.
    pub(super) async fn in_doubt(&mut self) -> Result<Step> {
        self.later("the two runtimes do not say whether they are one engine".to_owned()).await
    }

    async fn later(&mut self, why: String) -> Result<Step> {
        if self.claim.job.attempts < ATTEMPTS {
            return Ok(Step::Again(why));
        }
        if !self.leave_to_a_job().await? {
            return Ok(Step::Again("the lease was lost".to_owned()));
        }
        let text = format!("what was made there is not removed yet, and will be as soon as that can be done: {why}");
        self.log.line(&text).await;
        Ok(Step::Next(DeploymentPhase::Done))
    }

    /// After a try that was undone: writes where the environment's volumes may be, if the try went elsewhere.
    pub(super) async fn volumes_stay(&self) -> Result<Step> {
        let spec = plan::spec_of_revision(&self.deployment)?;
        let any = spec.containers.iter().any(|container| !container.volumes.is_empty());
        if any && self.is_elsewhere() && !self.write_left(&spec, LeftoverState::Volumes).await? {
            return Ok(Step::Again("the lease was lost".to_owned()));
        }
        Ok(Step::Next(DeploymentPhase::Done))
    }

    /// Writes that the try may have left something where it went, if that is elsewhere: the deployment's end enqueues
    /// the job that takes it down. False: the lease was lost.
    pub(super) async fn leave_to_a_job(&self) -> Result<bool> {
        match self.is_elsewhere() {
            true => self.write_left(&plan::spec_of_revision(&self.deployment)?, LeftoverState::Waiting).await,
            false => Ok(true),
        }
    }

    fn is_elsewhere(&self) -> bool {
        self.deployment.runtime_id != self.environment.runtime_id
    }

    async fn write_left(&self, spec: &Spec, state: LeftoverState) -> Result<bool> {
        let tx = self.app.begin().await?;
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(false);
        }
        leftovers::record(self.app, &tx, (&spec.target, &self.deployment.runtime_id), state).await?;
        tx.commit().await?;
        Ok(true)
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

/// Writes that a failed deployment may have left something on the runtime that it went to.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn remember_the_try(
    app: &App,
    tx: &impl ConnectionTrait,
    deployment: &deployment::Model,
) -> Result<()> {
    let target = plan::spec_of_revision(deployment)?.target;
    leftovers::record(app, tx, (&target, &deployment.runtime_id), LeftoverState::Waiting).await
}
