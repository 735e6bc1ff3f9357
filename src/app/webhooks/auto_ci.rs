//! What starts a service's pipelines by itself, as its row keeps it.

use chrono::{DateTime, Utc};
use entity::service;
use serde::{Deserialize, Serialize};

use crate::app::git::{self, Source};
use crate::app::{App, Error, Result};
use crate::domain::git::Provider;
use crate::domain::names::BranchName;
use crate::domain::node;
use crate::domain::secret::SecretString;
use crate::domain::webhook::{BranchPattern, Filter, Proof, Scheme};

/// What starts a service's pipelines by itself. The webhook's secret is a sealed row of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoCiDefinition {
    /// Deliveries are taken.
    pub enabled: bool,
    /// Branches or patterns; none: the service's own branch.
    pub branches: Vec<String>,
    /// Pushes to branches.
    pub on_push: bool,
    /// Merge requests from the same project.
    pub on_merge_request: bool,
    /// Tags.
    pub on_tag: bool,
    /// Who sees to the webhook; none while it is off.
    pub installation: Option<Installation>,
    /// Why people have to, or why the provider still has one while it is off.
    pub installation_message: Option<String>,
    /// The provider's id of the webhook.
    pub hook_id: Option<String>,
    /// What proves GitLab's deliveries, as soon as it is known: there is no way down from a signature to a token.
    pub proof: Option<StoredProof>,
    /// Who is asking the provider at the moment.
    pub saving: Option<Saving>,
}

/// Who sees to the webhook: the words of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Installation {
    /// This server has put it there.
    Installed,
    /// Somebody pastes address and secret.
    Manual,
}

/// What proves GitLab's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StoredProof {
    /// A signature over the body.
    Signature,
    /// The secret itself.
    Token,
}

/// Somebody is asking the provider: nobody else does, until they are done or have been silent for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saving {
    /// An id of this one time.
    pub by: String,
    /// When they are taken for dead.
    pub until: DateTime<Utc>,
}

impl Default for AutoCiDefinition {
    fn default() -> Self {
        Self {
            enabled: false,
            branches: Vec::new(),
            on_push: true,
            on_merge_request: false,
            on_tag: false,
            installation: None,
            installation_message: None,
            hook_id: None,
            proof: None,
            saving: None,
        }
    }
}

impl From<Proof> for StoredProof {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::Signature => Self::Signature,
            Proof::Token => Self::Token,
        }
    }
}

impl AutoCiDefinition {
    /// How deliveries are proven.
    #[must_use]
    pub fn scheme(&self, provider: Provider, secret: SecretString) -> Scheme {
        match (provider, self.proof) {
            (Provider::Github, _) => Scheme::Github(secret),
            (Provider::Gitlab, Some(StoredProof::Signature)) => Scheme::GitlabSigned(secret),
            (Provider::Gitlab, Some(StoredProof::Token)) => Scheme::GitlabToken(secret),
            (Provider::Gitlab, None) => Scheme::GitlabPasted(secret),
        }
    }

    /// What pipelines are wanted for.
    ///
    /// # Errors
    /// INTERNAL when what is stored was never checked.
    pub fn filter(&self, source: &Source) -> Result<Filter> {
        let branches = self.branches.iter().map(|text| BranchPattern::parse(text));
        Ok(Filter {
            branches: branches.collect::<std::result::Result<_, _>>().map_err(Error::internal)?,
            on_push: self.on_push,
            on_merge_request: self.on_merge_request,
            on_tag: self.on_tag,
            service_branch: BranchName::parse(&source.branch).map_err(Error::internal)?,
            external_project_id: source.external_id.clone(),
        })
    }
}

/// What starts a service's pipelines by itself; as a service has it that nobody has set up, where nothing is stored.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn auto_ci_of(service: &service::Model) -> Result<AutoCiDefinition> {
    match service.auto_ci.clone() {
        None => Ok(AutoCiDefinition::default()),
        Some(stored) => serde_json::from_value(stored)
            .map_err(|e| Error::internal(format!("Auto CI of service {}: {e}", service.id))),
    }
}

/// Where the provider sends to; none for a service that is made of images.
#[must_use]
pub fn webhook_url(app: &App, service: &service::Model) -> Option<String> {
    let provider = match git::source_of(service)?.provider {
        Provider::Gitlab => "gitlab",
        Provider::Github => "github",
    };
    Some(format!("{}/webhooks/{provider}/{}", app.settings.public_url, node::id(node::SERVICE, &service.id)))
}
