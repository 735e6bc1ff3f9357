//! Security gates, and what they say.

use async_graphql::{Context, Enum, Object, SimpleObject};
use entity::{deployment, pipeline};
use serde_json::Value;

use super::enums::{ScanKind, Severity};
use super::identity::User;
use crate::app::Error;
use crate::app::scans::gates::{self, Gate};
use crate::graphql::errors::{Result, nullable};
use crate::graphql::loaders::loaders;

/// What a gate does with what it does not like.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entity::GateMode")]
pub enum GateMode {
    /// Keeps the deployment back.
    Block,
    /// Lists violations and lets it through.
    Warn,
}

/// What a gate said.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "gates::Outcome")]
pub enum GateOutcome {
    /// Nothing is against it.
    Passed,
    /// Something is, and it goes on.
    Warned,
    /// It does not go on.
    Blocked,
    /// It was blocked, and an admin let it go on.
    Overridden,
}

/// What a pipeline may carry to deployment. Evaluated on stored results; scans are not run again.
pub struct SecurityGate(pub Gate);

/// The worst of a kind that is let through.
#[derive(SimpleObject)]
pub struct GateRule {
    /// What is looked for.
    kind: ScanKind,
    /// The highest severity that is let through.
    max_severity: Severity,
    /// Whether only findings are counted that were first seen after the rule was saved and are in no revision that was
    /// deployed.
    only_new: bool,
}

/// A rule that was broken.
#[derive(SimpleObject)]
pub struct GateViolation {
    /// The rule.
    rule: GateRule,
    /// By how many findings; 0 when there is no result to count in.
    count: i32,
    /// What is against it.
    message: String,
}

/// What a gate said of a deployment.
pub struct GateVerdict(gates::Verdict);

impl From<&gates::Rule> for GateRule {
    fn from(rule: &gates::Rule) -> Self {
        Self { kind: rule.kind.into(), max_severity: rule.max_severity.into(), only_new: rule.only_new }
    }
}

impl From<gates::Verdict> for GateVerdict {
    fn from(verdict: gates::Verdict) -> Self {
        Self(verdict)
    }
}

impl GateVerdict {
    /// What the gate said of a deployment.
    ///
    /// # Errors
    /// INTERNAL when the row holds something else.
    pub fn of_deployment(row: &deployment::Model) -> Result<Option<Self>> {
        stored(row.gate.as_ref())
    }

    /// The worst that it said of a pipeline's deployments.
    ///
    /// # Errors
    /// INTERNAL when the row holds something else.
    pub fn of_pipeline(row: &pipeline::Model) -> Result<Option<Self>> {
        stored(row.gate.as_ref())
    }

    async fn load_person(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match &self.0.overridden_by {
            Some(id) => Ok(loaders(ctx)?.person(id).await?.map(User)),
            None => Ok(None),
        }
    }
}

fn stored(gate: Option<&Value>) -> Result<Option<GateVerdict>> {
    let read = |value: &Value| serde_json::from_value(value.clone()).map(GateVerdict);
    Ok(gate.map(read).transpose().map_err(Error::from)?)
}

/// What a pipeline may carry to deployment. Evaluated on stored results; scans are not run again.
#[Object]
impl SecurityGate {
    /// Whether it is asked.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// Highest severity that is let through, per kind; nothing listed means no limit.
    async fn rules(&self) -> Vec<GateRule> {
        self.0.rules.iter().map(GateRule::from).collect()
    }

    /// WARN lists violations and lets the deployment through.
    async fn mode(&self) -> GateMode {
        self.0.mode.into()
    }

    /// A service without rules of its own has the organization's.
    async fn inherited(&self) -> bool {
        self.0.inherited
    }
}

/// What a gate said of a deployment.
#[Object]
impl GateVerdict {
    /// In a word.
    async fn outcome(&self) -> GateOutcome {
        self.0.outcome.into()
    }

    /// The rules that were broken.
    async fn violations(&self) -> Vec<GateViolation> {
        let violation = |v: &gates::Violation| GateViolation {
            rule: GateRule::from(&v.rule),
            count: i32::try_from(v.count).unwrap_or(i32::MAX),
            message: v.message.clone(),
        };
        self.0.violations.iter().map(violation).collect()
    }

    /// Who let it go on; null when they left.
    async fn overridden_by(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(self.load_person(ctx).await)
    }

    /// Why.
    async fn override_reason(&self) -> Option<&str> {
        self.0.override_reason.as_deref()
    }
}
