//! The one table of who may do what. Guards, what a member's schema shows, and use cases are all derived from it.

/// What somebody is to the organization whose rows they ask for. A later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody is logged in.
    Nobody,
    /// What the product calls a regular user.
    Member,
    /// May change what others share.
    Admin,
}

/// What use cases ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Services, environments, deployments, rollbacks and logs: read and do.
    WorkOnServices,
    /// Remove a service or an environment with its volumes.
    DeleteVolumes,
    /// Turn requireApproval of an environment on or off.
    SetApproval,
    /// Let a deployment that waits for an approval go on, or stop it.
    ResolveApproval,
    /// Read registries and runtimes, and check a runtime.
    ReadPlaces,
    /// Store, change and remove registries.
    ChangeRegistries,
    /// Register, change and remove runtimes.
    ChangeRuntimes,
    /// Own password and tokens.
    OwnAccount,
    /// List and revoke the tokens of others.
    OthersTokens,
    /// Read and change who belongs to the organization.
    ManageUsers,
    /// Read the audit trail.
    ReadAuditTrail,
    /// Read and change the settings of Git providers.
    ChangeGitSettings,
    /// Make accounts on GitLab for others.
    CreateGitlabAccounts,
    /// Ignore a finding that the security gate counts.
    IgnoreBlocked,
    /// Save and remove security gates.
    ChangeGates,
    /// Deploy what the security gate keeps back.
    OverrideGate,
}

/// Every action.
pub const ACTIONS: [Action; 16] = [
    Action::WorkOnServices,
    Action::DeleteVolumes,
    Action::SetApproval,
    Action::ResolveApproval,
    Action::ReadPlaces,
    Action::ChangeRegistries,
    Action::ChangeRuntimes,
    Action::OwnAccount,
    Action::OthersTokens,
    Action::ManageUsers,
    Action::ReadAuditTrail,
    Action::ChangeGitSettings,
    Action::CreateGitlabAccounts,
    Action::IgnoreBlocked,
    Action::ChangeGates,
    Action::OverrideGate,
];

impl Action {
    /// The least standing that may do it.
    #[must_use]
    pub fn needs(self) -> Standing {
        match self {
            Self::WorkOnServices | Self::ReadPlaces | Self::OwnAccount => Standing::Member,
            Self::DeleteVolumes
            | Self::SetApproval
            | Self::ResolveApproval
            | Self::ChangeRegistries
            | Self::ChangeRuntimes
            | Self::OthersTokens
            | Self::ManageUsers
            | Self::ReadAuditTrail
            | Self::ChangeGitSettings
            | Self::CreateGitlabAccounts
            | Self::IgnoreBlocked
            | Self::ChangeGates
            | Self::OverrideGate => Standing::Admin,
        }
    }

    /// What an error calls it: "only an admin may …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::WorkOnServices => "work on services",
            Self::DeleteVolumes => "delete volumes",
            Self::SetApproval => "say whether deployments of an environment need an approval",
            Self::ResolveApproval => "approve or reject a deployment",
            Self::ReadPlaces => "read registries and runtimes",
            Self::ChangeRegistries => "change registries",
            Self::ChangeRuntimes => "change runtimes",
            Self::OwnAccount => "change this account",
            Self::OthersTokens => "see or revoke the tokens of others",
            Self::ManageUsers => "see or change users",
            Self::ReadAuditTrail => "read the audit trail",
            Self::ChangeGitSettings => "see or change Git settings",
            Self::CreateGitlabAccounts => "create GitLab accounts",
            Self::IgnoreBlocked => "ignore a finding that the security gate keeps back",
            Self::ChangeGates => "change security gates",
            Self::OverrideGate => "deploy what the security gate keeps back",
        }
    }
}

/// Whether they may.
#[must_use]
pub fn allows(who: Standing, action: Action) -> bool {
    who >= action.needs()
}

/// Every root field of the API and the least standing that it exists for. One that is not listed exists for nobody.
pub const ROOT_FIELDS: &[(&str, &str, Standing)] = &[
    ("Query", "node", Standing::Member),
    ("Query", "viewer", Standing::Member),
    ("Query", "registrationMenus", Standing::Member),
    ("Query", "gitSettings", Standing::Admin),
    ("Query", "gitNamespaces", Standing::Member),
    ("Query", "gitProjects", Standing::Member),
    ("Query", "gitProject", Standing::Member),
    ("Query", "gitBranches", Standing::Member),
    ("Query", "imageRepositories", Standing::Member),
    ("Query", "imageTags", Standing::Member),
    ("Query", "registries", Standing::Member),
    ("Query", "runtimes", Standing::Member),
    ("Query", "runtime", Standing::Member),
    ("Query", "services", Standing::Member),
    ("Query", "service", Standing::Member),
    ("Query", "composeImport", Standing::Member),
    ("Query", "exportService", Standing::Member),
    ("Query", "deploymentPreview", Standing::Member),
    ("Query", "rollbackPreview", Standing::Member),
    ("Query", "buildPlan", Standing::Member),
    ("Query", "pipelines", Standing::Member),
    ("Query", "deployments", Standing::Member),
    ("Query", "findings", Standing::Member),
    ("Query", "securityGate", Standing::Member),
    ("Query", "users", Standing::Admin),
    ("Query", "auditEvents", Standing::Admin),
    ("Query", "apiTokens", Standing::Member),
    ("Query", "server", Standing::Member),
    ("Mutation", "login", Standing::Nobody),
    ("Mutation", "logout", Standing::Member),
    ("Mutation", "createApiToken", Standing::Member),
    ("Mutation", "revokeApiToken", Standing::Member),
    ("Mutation", "changePassword", Standing::Member),
    ("Mutation", "createUser", Standing::Admin),
    ("Mutation", "setUserRole", Standing::Admin),
    ("Mutation", "removeUser", Standing::Admin),
    ("Mutation", "saveGitlabSettings", Standing::Admin),
    ("Mutation", "saveGithubSettings", Standing::Admin),
    ("Mutation", "deleteGitSettings", Standing::Admin),
    ("Mutation", "createGitlabAccounts", Standing::Admin),
    ("Mutation", "saveRegistry", Standing::Admin),
    ("Mutation", "deleteRegistry", Standing::Admin),
    ("Mutation", "registerRuntime", Standing::Admin),
    ("Mutation", "updateRuntime", Standing::Admin),
    ("Mutation", "removeRuntime", Standing::Admin),
    ("Mutation", "checkRuntime", Standing::Member),
    ("Mutation", "registerGitProject", Standing::Member),
    ("Mutation", "createGitProject", Standing::Member),
    ("Mutation", "registerDockerHubService", Standing::Member),
    ("Mutation", "updateService", Standing::Member),
    ("Mutation", "removeService", Standing::Member),
    ("Mutation", "saveEnvironment", Standing::Member),
    ("Mutation", "removeEnvironment", Standing::Member),
    ("Mutation", "saveBuildSettings", Standing::Member),
    ("Mutation", "saveAutoCi", Standing::Member),
    ("Mutation", "replayWebhookDelivery", Standing::Member),
    ("Mutation", "startPipeline", Standing::Member),
    ("Mutation", "cancelPipeline", Standing::Member),
    ("Mutation", "retryPipeline", Standing::Member),
    ("Mutation", "startScan", Standing::Member),
    ("Mutation", "setFindingState", Standing::Member),
    ("Mutation", "saveSecurityGate", Standing::Admin),
    ("Mutation", "removeSecurityGate", Standing::Admin),
    ("Mutation", "deployService", Standing::Member),
    ("Mutation", "rollbackService", Standing::Member),
    ("Mutation", "resolveApproval", Standing::Member),
    ("Mutation", "stopService", Standing::Member),
    ("Mutation", "restartService", Standing::Member),
    ("Subscription", "pipeline", Standing::Member),
    ("Subscription", "pipelineLog", Standing::Member),
    ("Subscription", "deployment", Standing::Member),
    ("Subscription", "deploymentLog", Standing::Member),
    ("Subscription", "scan", Standing::Member),
    ("Subscription", "serviceChanged", Standing::Member),
    ("Subscription", "instanceLog", Standing::Member),
];

/// Every type that `node` answers with, and the least standing that it exists for.
pub const NODES: &[(&str, Standing)] = &[
    ("User", Standing::Member),
    ("Organization", Standing::Member),
    ("ApiToken", Standing::Member),
    ("AuditEvent", Standing::Admin),
    ("GitSettings", Standing::Admin),
    ("Registry", Standing::Member),
    ("Runtime", Standing::Member),
    ("Service", Standing::Member),
    ("Environment", Standing::Member),
    ("Deployment", Standing::Member),
    ("Pipeline", Standing::Member),
    ("WebhookDelivery", Standing::Member),
    ("Scan", Standing::Member),
    ("Finding", Standing::Member),
];

/// Fields of other types, fields of inputs, and arguments (`field.argument`) that exist for admins alone.
pub const ADMIN_PARTS: &[(&str, &str)] =
    &[("DeployServiceInput", "gateOverride"), ("ResolveApprovalInput", "gateOverride")];

/// The types whose fields are all in [`ROOT_FIELDS`].
pub const ROOTS: [&str; 3] = ["Query", "Mutation", "Subscription"];

/// The least standing that a root field exists for; none when the table does not know it.
#[must_use]
pub fn root_field(root: &str, field: &str) -> Option<Standing> {
    ROOT_FIELDS.iter().find(|(r, f, _)| *r == root && *f == field).map(|(_, _, needs)| *needs)
}

/// The least standing that a type exists for as an answer of `node`; none when the table does not know it.
#[must_use]
pub fn node(kind: &str) -> Option<Standing> {
    NODES.iter().find(|(k, _)| *k == kind).map(|(_, needs)| *needs)
}

/// Whether a member's schema has the field of the type, or the argument when `part` is `field.argument`.
#[must_use]
pub fn member_sees(type_name: &str, part: &str) -> bool {
    if ROOTS.contains(&type_name) && !part.contains('.') {
        return root_field(type_name, part).is_some_and(|needs| needs <= Standing::Member);
    }
    !ADMIN_PARTS.contains(&(type_name, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_may_do_all_that_a_member_may() {
        for action in ACTIONS {
            assert!(allows(Standing::Admin, action), "{action:?}");
            assert!(!allows(Standing::Nobody, action), "{action:?}");
        }
        assert!(allows(Standing::Member, Action::WorkOnServices));
        assert!(!allows(Standing::Member, Action::DeleteVolumes));
    }

    #[test]
    fn only_login_is_open_to_nobody() {
        let open: Vec<_> = ROOT_FIELDS.iter().filter(|(_, _, n)| *n == Standing::Nobody).collect();
        assert_eq!(open, [&("Mutation", "login", Standing::Nobody)]);
    }

    #[test]
    fn each_field_is_listed_once() {
        for (i, (root, field, _)) in ROOT_FIELDS.iter().enumerate() {
            assert!(ROOTS.contains(root));
            assert!(!ROOT_FIELDS[..i].iter().any(|(r, f, _)| r == root && f == field), "{root}.{field}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_shown() {
        assert!(!member_sees("Query", "everything"));
        assert!(!member_sees("Query", "auditEvents"));
        assert!(member_sees("Query", "viewer"));
        assert!(member_sees("User", "email"));
    }
}
