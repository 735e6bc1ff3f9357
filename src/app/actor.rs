//! Who acts, and the only way to an organization's rows.

use entity::{
    Role, audit_event, deployment, environment, finding, git_creation, git_settings, leftover, membership, pipeline,
    registry, runtime, scan, secret, security_gate, service, token, webhook_delivery,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};

use super::{Error, Result};
use crate::domain::policy::{self, Action, Standing};

/// One organization's rows. There is no way to a row of an organization but through its scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The organization's id.
    pub organization_id: String,
}

/// The person or token behind a request, inside one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Whose rows they may see.
    pub scope: Scope,
    /// The user.
    pub user_id: String,
    /// The lower of the user's role and the token's.
    pub role: Role,
    /// The session or API token they came with.
    pub token_id: String,
    /// Where the request came from.
    pub address: Option<String>,
}

macro_rules! scoped {
    ($($(#[$doc:meta])* $name:ident: $entity:ident;)*) => {
        impl Scope {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> Select<$entity::Entity> {
                $entity::Entity::find().filter($entity::Column::OrganizationId.eq(&self.organization_id))
            })*
        }
    };
}

scoped! {
    /// Its people.
    memberships: membership;
    /// Their sessions and API tokens.
    tokens: token;
    /// What was changed.
    audit_events: audit_event;
    /// Sealed values.
    secrets: secret;
    /// Git providers' settings.
    git_settings: git_settings;
    /// Projects being made.
    git_creations: git_creation;
    /// Registry logins.
    registries: registry;
    /// Places to deploy to.
    runtimes: runtime;
    /// Services.
    services: service;
    /// Environments.
    environments: environment;
    /// Pipelines.
    pipelines: pipeline;
    /// What Git providers sent.
    webhook_deliveries: webhook_delivery;
    /// Deployments.
    deployments: deployment;
    /// Scans.
    scans: scan;
    /// What scans saw. Those that are still being stored are among them.
    findings: finding;
    /// What may be carried to deployment.
    security_gates: security_gate;
    /// What environments left behind on other runtimes.
    leftovers: leftover;
}

impl Actor {
    /// Whether they may do what only admins may.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// What they are to the policy table.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.role {
            Role::Member => Standing::Member,
            Role::Admin => Standing::Admin,
        }
    }

    /// Whether the policy table lets them.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        policy::allows(self.standing(), action)
    }

    /// Goes on only if the policy table lets them.
    ///
    /// # Errors
    /// FORBIDDEN.
    pub fn require(&self, action: Action) -> Result<()> {
        if self.may(action) {
            return Ok(());
        }
        Err(Error::forbidden(format!("only an admin may {}", action.words())))
    }
}
