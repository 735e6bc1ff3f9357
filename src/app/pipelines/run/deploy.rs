//! DEPLOY: the image goes where it was asked to go. The deployments are jobs of their own; this one is set aside until
//! they have come to something.

use std::collections::BTreeSet;

use entity::{PipelineTrigger, RunStatus, deployment, environment, pipeline};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, QueryOrder as _,
    QuerySelect as _, Set,
};

use super::{Step, Work, internal};
use crate::app::deployments::{built, environments};
use crate::app::pipelines::{cancel, machine, order};
use crate::app::{Code, Result};
use crate::builder::{Journal as _, Output};
use crate::domain::stage::StageKind;
use crate::domain::status::RunStatus as Status;
use crate::scanner::gate::Verdict;

/// Where a pipeline's image goes.
pub(super) struct Targets {
    /// The names of the environments that get it.
    pub(super) wanted: BTreeSet<String>,
    /// Environments that would, and have a later pipeline's already: with its number.
    pub(super) ahead: Vec<(String, i32)>,
}

impl Work<'_> {
    pub(super) async fn deploy(&mut self) -> Result<Step> {
        let mut faults = Vec::new();
        if !self.pipeline.cancel_requested {
            let targets = self.targets().await?;
            for (name, newer) in &targets.ahead {
                let text = format!("{name} has pipeline {newer} already: it is not taken back");
                self.log.line(Output::System, &text).await;
            }
            let mut said: Option<Verdict> = None;
            for name in &targets.wanted {
                let outcome = match built::deploy_built(self.app, &self.pipeline, name).await {
                    Ok(asked) => {
                        said = said.into_iter().chain(asked.gate).max_by_key(|verdict| verdict.outcome);
                        asked.outcome
                    }
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(_) => {}
                    Err(error) if error.code == Code::Internal => return Err(error),
                    Err(error) => faults.push(format!("{name}: {}", error.message)),
                }
            }
            if !self.note_gate(said).await? {
                return Ok(Step::Lost);
            }
        }
        cancel::end_deployments(self.app, &self.pipeline.id).await?;
        self.await_them(faults).await
    }

    /// Keeps the worst that the gate said of where it goes, once: also what is kept back shows why. False: the job is
    /// another's.
    async fn note_gate(&mut self, said: Option<Verdict>) -> Result<bool> {
        let Some(said) = said.filter(|_| self.pipeline.gate.is_none()) else { return Ok(true) };
        let mut change: pipeline::ActiveModel = self.pipeline.clone().into();
        change.gate = Set(Some(serde_json::to_value(&said)?));
        self.write(change).await
    }

    /// Whether there is anything to deploy, or that was.
    pub(super) async fn is_deployed_anywhere(&self) -> Result<bool> {
        Ok(!self.targets().await?.wanted.is_empty() || !self.deployments(self.app.db.read_write()).await?.is_empty())
    }

    /// The environment that was named, and those that want every build of the service's branch.
    pub(super) async fn targets(&self) -> Result<Targets> {
        let wanted = self.pipeline.deploy_to.iter().cloned().collect();
        let mut targets = Targets { wanted, ahead: Vec::new() };
        let branch = self.service.git_branch.as_deref() == Some(self.pipeline.ref_name.as_str());
        // A tag may be called as the branch is, by somebody who may not push to that.
        if !branch || matches!(self.pipeline.trigger, PipelineTrigger::MergeRequest | PipelineTrigger::Tag) {
            return Ok(targets);
        }
        for place in environments::of_service(self.app.db.read(), &self.scope, &self.service.id).await? {
            if !place.auto_deploy || targets.wanted.contains(&place.name) {
                continue;
            }
            match self.newer_in(&place).await? {
                None => {
                    targets.wanted.insert(place.name);
                }
                Some(newer) => targets.ahead.push((place.name, newer)),
            }
        }
        Ok(targets)
    }

    /// The number of a later pipeline that this environment was already given, if there is one.
    async fn newer_in(&self, place: &environment::Model) -> Result<Option<i32>> {
        let db = self.app.db.read();
        let Some(latest) = place.latest_deployment_id.as_deref() else { return Ok(None) };
        let latest = self.scope.deployments().filter(deployment::Column::Id.eq(latest)).one(db).await?;
        let Some(id) = latest.and_then(|d| d.pipeline_id).filter(|id| *id != self.pipeline.id) else { return Ok(None) };
        let Some(other) = self.scope.pipelines().filter(pipeline::Column::Id.eq(id)).one(db).await? else {
            return Ok(None);
        };
        let mine = order::of(db, &self.scope, &self.pipeline).await?;
        Ok((order::of(db, &self.scope, &other).await? > mine).then_some(other.number))
    }

    async fn deployments(&self, db: &impl ConnectionTrait) -> Result<Vec<deployment::Model>> {
        // Held against the transactions that settle them: what is seen here is what they will find when they wake us.
        Ok(self
            .scope
            .deployments()
            .filter(deployment::Column::PipelineId.eq(&self.pipeline.id))
            .filter(deployment::Column::Trigger.eq(entity::DeploymentTrigger::Pipeline))
            .order_by_asc(deployment::Column::Id)
            .lock_shared()
            .all(db)
            .await?)
    }

    /// Sets the job aside while a deployment is at work, gives it up while all that is left waits for somebody, and says
    /// what came of them once they have ended.
    async fn await_them(&mut self, mut faults: Vec<String>) -> Result<Step> {
        let tx = self.app.begin().await?;
        // First of all that is held, as whoever cancels does: they find either what was deployed or a job to be woken.
        let held = pipeline::Entity::find_by_id(&self.pipeline.id).lock_exclusive().one(&tx).await?;
        let all = self.deployments(&tx).await?;
        match (all.is_empty() && faults.is_empty(), held.is_some_and(|row| row.cancel_requested)) {
            (true, true) => return Ok(Step::Canceled("it was canceled".to_owned())),
            // It was asked for and is no longer, or where it was deployed is gone.
            (true, false) => return Ok(Step::Passed(Some("no environment asks for it any more".to_owned()))),
            _ => {}
        }
        let open: Vec<_> = all.iter().filter(|d| d.finished_at.is_none()).collect();
        let asked = !open.is_empty() && open.iter().all(|d| d.status == RunStatus::WaitingApproval);
        if asked {
            let now = self.app.clock.now();
            self.stages
                .advance(StageKind::Deploy, Status::WaitingApproval, Some("an admin must allow it".to_owned()), now)
                .map_err(internal)?;
            let change = machine::advance(&self.pipeline, RunStatus::WaitingApproval, &self.stages, now)?;
            if !self.claim.complete(&tx).await? {
                return Ok(Step::Lost);
            }
            self.pipeline = change.update(&tx).await?;
            tx.commit().await?;
            self.publish();
            return Ok(Step::Elsewhere);
        }
        let waited = self.stages.get(StageKind::Deploy).is_some_and(|s| s.status == Status::WaitingApproval);
        if waited {
            let now = self.app.clock.now();
            self.stages.advance(StageKind::Deploy, Status::Running, None, now).map_err(internal)?;
            let change = machine::advance(&self.pipeline, RunStatus::Running, &self.stages, now)?;
            self.pipeline = change.update(&tx).await?;
        }
        if !open.is_empty() {
            return match self.claim.park(&tx).await? {
                true => {
                    tx.commit().await?;
                    self.publish();
                    Ok(Step::Elsewhere)
                }
                false => Ok(Step::Lost),
            };
        }
        if !self.claim.renew(&tx, self.app.clock.now() + self.app.settings.job_lease).await? {
            return Ok(Step::Lost);
        }
        tx.commit().await?;
        let mut canceled = Vec::new();
        for deployment in &all {
            let place = environment::Entity::find_by_id(&deployment.environment_id).one(self.app.db.read()).await?;
            let name = place.map_or_else(|| "an environment".to_owned(), |place| place.name);
            let why = deployment.message.as_deref().unwrap_or_default();
            match deployment.status {
                RunStatus::Failed => faults.push(format!("{name}, revision {}: {why}", deployment.revision)),
                RunStatus::Canceled => canceled.push(format!("{name}, revision {}: {why}", deployment.revision)),
                _ => {}
            }
        }
        Ok(match (faults.is_empty(), canceled.is_empty()) {
            (true, true) => Step::Passed(None),
            (true, false) => Step::Canceled(canceled.join("; ")),
            (false, _) => Step::Failed(faults.join("; ")),
        })
    }
}
