//! What a login may do, and the RBAC objects that let it.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ClusterError;

/// How many questions are on their way at once.
const AT_ONCE: usize = 8;

/// One thing that a login may do; where it is about something in namespaces, in each or in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// `get`, `list`, `watch`, `create`, `patch`, `delete`.
    pub verb: &'static str,
    /// The API group; empty for the core's.
    pub group: &'static str,
    /// The plural, with a subresource after a slash: `deployments`, `pods/log`.
    pub resource: &'static str,
    /// Whether it is about something in namespaces.
    pub namespaced: bool,
}

impl Permission {
    /// About something in namespaces.
    #[must_use]
    pub const fn namespaced(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, namespaced: true }
    }

    /// About something of the core's that is in no namespace.
    #[must_use]
    pub const fn global(verb: &'static str, resource: &'static str) -> Self {
        Self { verb, group: "", resource, namespaced: false }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.namespaced && !f.alternate() { f.write_str(" in all namespaces") } else { Ok(()) }
    }
}

impl Permission {
    /// As text for people, where it is needed in one namespace alone.
    #[must_use]
    pub fn within(&self, namespace: &str) -> String {
        if self.namespaced { format!("{self:#} in namespace {namespace}") } else { self.to_string() }
    }
}

/// Who a login is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user by name, as certificates and OIDC say it.
    User(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Subject {
    fn hash(&self) -> String {
        let text = match self {
            Self::User(name) => format!("user:{name}"),
            Self::ServiceAccount { namespace, name } => format!("account:{namespace}/{name}"),
        };
        hex::encode(&Sha256::digest(text.as_bytes())[..4])
    }
}

/// `namespace`: where what is about something in namespaces is needed; none for all of them.
pub(super) async fn missing(
    client: &Client,
    needed: &[Permission],
    namespace: Option<&str>,
) -> Result<Vec<Permission>, ClusterError> {
    let asked = stream::iter(needed.iter().copied());
    let asked = asked.map(|one| async move { Ok::<_, ClusterError>((one, may(client, &one, namespace).await?)) });
    let answers: Vec<(Permission, bool)> = asked.buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().filter(|(_, may)| !may).map(|(one, _)| one).collect())
}

async fn may(client: &Client, one: &Permission, namespace: Option<&str>) -> Result<bool, ClusterError> {
    let (resource, subresource) = match one.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (one.resource, None),
    };
    let attributes = ResourceAttributes {
        verb: Some(one.verb.to_owned()),
        group: Some(one.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        namespace: namespace.filter(|_| one.namespaced).map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), non_resource_attributes: None };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

pub(super) async fn who(client: &Client) -> Result<Subject, ClusterError> {
    let review = SelfSubjectReview::default();
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    let info = answer.status.and_then(|status| status.user_info);
    let name = info.and_then(|info| info.username).ok_or(ClusterError::Garbled)?;
    Ok(match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => {
            Subject::ServiceAccount { namespace: namespace.to_owned(), name: account.to_owned() }
        }
        None => Subject::User(name),
    })
}

/// The YAML of a ClusterRole and a ClusterRoleBinding that grant the permissions to the subject. Both are called `role` and
/// a hash of the subject, so that the grant of one login does not take the place of another's. Give it all that is needed,
/// not only what is missing: applied, it takes the place of the one before.
#[must_use]
pub fn grant_manifest(role: &str, permissions: &[Permission], subject: &Subject) -> String {
    granted(role, permissions, subject, None)
}

/// As [`grant_manifest`], with what is about something in namespaces granted in this one alone, which has to be there: a Role
/// and a RoleBinding. The ClusterRole holds the rest.
#[must_use]
pub fn grant_manifest_within(role: &str, permissions: &[Permission], subject: &Subject, namespace: &str) -> String {
    let (inside, global): (Vec<Permission>, Vec<Permission>) = permissions.iter().partition(|one| one.namespaced);
    let inside = granted(role, &inside, subject, Some(namespace));
    format!("{}---\n{inside}", granted(role, &global, subject, None))
}

fn granted(role: &str, permissions: &[Permission], subject: &Subject, within: Option<&str>) -> String {
    let name = format!("{role}-{}", subject.hash());
    let name = name.as_str();
    let (role_kind, binding_kind) = match within {
        Some(_) => ("Role", "RoleBinding"),
        None => ("ClusterRole", "ClusterRoleBinding"),
    };
    let metadata = Meta { name, namespace: within };
    let mut verbs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for one in permissions {
        let verbs = verbs.entry((one.group, one.resource)).or_default();
        if !verbs.contains(&one.verb) {
            verbs.push(one.verb);
        }
    }
    // Resources with the same verbs share a rule, so that people can read it.
    let mut rules: Vec<Rule<'_>> = Vec::new();
    for ((group, resource), verbs) in verbs {
        match rules.iter_mut().find(|rule| rule.api_groups == [group] && rule.verbs == verbs) {
            Some(rule) => rule.resources.push(resource),
            None => rules.push(Rule { api_groups: [group], resources: vec![resource], verbs }),
        }
    }
    let role = Role { api_version: RBAC, kind: role_kind, metadata, rules };
    let subject = match subject {
        Subject::User(name) => {
            Bound { kind: "User", name, namespace: None, api_group: Some("rbac.authorization.k8s.io") }
        }
        Subject::ServiceAccount { namespace, name } => {
            Bound { kind: "ServiceAccount", name, namespace: Some(namespace), api_group: None }
        }
    };
    let binding = Binding {
        api_version: RBAC,
        kind: binding_kind,
        metadata,
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io", kind: role_kind, name },
        subjects: [subject],
    };
    let yaml = |part: Result<String, serde_norway::Error>| part.expect("texts are always YAML");
    format!("{}---\n{}", yaml(serde_norway::to_string(&role)), yaml(serde_norway::to_string(&binding)))
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

// k8s_openapi's types put their fields in another order than people write them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Role<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Meta<'a>,
    rules: Vec<Rule<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct Meta<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    api_groups: [&'a str; 1],
    resources: Vec<&'a str>,
    verbs: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Binding<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Meta<'a>,
    role_ref: RoleRef<'a>,
    subjects: [Bound<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleRef<'a> {
    api_group: &'a str,
    kind: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bound<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_group: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_what_rbac_reads() {
        let namespaced = true;
        let needed = [
            Permission { verb: "create", group: "", resource: "namespaces", namespaced: false },
            Permission { verb: "get", group: "apps", resource: "deployments", namespaced },
            Permission { verb: "patch", group: "apps", resource: "deployments", namespaced },
            Permission { verb: "get", group: "apps", resource: "replicasets", namespaced },
            Permission { verb: "get", group: "", resource: "pods/log", namespaced },
        ];
        let account = Subject::ServiceAccount { namespace: "ops".to_owned(), name: "kiops".to_owned() };
        insta::assert_snapshot!(grant_manifest("kiops-runtime", &needed, &account));
        let user = grant_manifest("kiops-runtime", &needed, &Subject::User("jane: 1\n---\n".to_owned()));
        assert_eq!(user.matches("\n---\n").count(), 1, "{user}");
        let within = grant_manifest_within("kiops-builder", &needed, &account, "builds");
        let parts: Vec<&str> = within.split("---\n").collect();
        let [global, _, inside, binding] = parts.as_slice() else { panic!("{within}") };
        assert!(global.contains("- namespaces") && !global.contains("deployments"), "{global}");
        assert!(inside.contains("kind: Role\n") && inside.contains("namespace: builds\n"), "{inside}");
        assert!(inside.contains("- deployments") && !inside.contains("- namespaces"), "{inside}");
        assert!(binding.contains("kind: RoleBinding\n") && binding.contains("namespace: builds\n"), "{binding}");
        assert_eq!(needed[1].within("builds"), "get deployments.apps in namespace builds");
        assert_eq!(needed[0].within("builds"), "create namespaces");
    }
}
