//! A request, taken apart: what is asked of which kind, and by whom.

use std::collections::BTreeMap;

use super::kinds::{self, Kind};
use super::knobs::Login;

/// A request about objects.
pub struct Call {
    pub kind: &'static Kind,
    /// Empty where it is about all, or about a kind that is in none.
    pub namespace: String,
    /// Empty where it is about a collection.
    pub name: String,
    /// `status`, `scale`, `log`; empty without one.
    pub subresource: String,
    pub verb: &'static str,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    pub accept: String,
    pub agent: String,
    pub body: Vec<u8>,
}

/// What was asked, as the tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The plural, with the subresource: `pods/log`.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub user: String,
    pub status: u16,
}

impl Call {
    /// Takes a path apart; none where the API has no such path.
    pub fn place(path: &str) -> Option<(&'static Kind, String, String, String)> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let own = |text: &str| text.to_owned();
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, tail @ ..] if *plural != "status" && *plural != "finalize" => {
                (own(namespace), [&[*plural], tail].concat())
            }
            rest => (String::new(), rest.to_vec()),
        };
        let (plural, name, sub) = match rest.as_slice() {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, sub] => (*plural, *name, *sub),
            _ => return None,
        };
        let kind = kinds::at(group, version, plural)?;
        let fits = kind.namespaced || namespace.is_empty();
        // One object is always in one namespace.
        let whole = !kind.namespaced || name.is_empty() || !namespace.is_empty();
        (fits && whole).then(|| (kind, namespace, own(name), own(sub)))
    }

    /// Whether a parameter has this value; `true` is also said by `1`.
    pub fn is(&self, key: &str, value: &str) -> bool {
        self.query.get(key).is_some_and(|given| given == value || (value == "true" && given == "1"))
    }

    /// `pods/log`.
    pub fn resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.kind.plural.to_owned(),
            sub => format!("{}/{sub}", self.kind.plural),
        }
    }
}

impl Login {
    /// Whether they may; `resource` is `deployments.apps`, `pods/log`.
    ///
    /// A rule for one namespace is written `pods@shop`; the namespace is empty for what is asked of all.
    pub fn may(&self, verb: &str, (resource, namespace): (&str, &str)) -> bool {
        let inside = format!("{resource}@{namespace}");
        let fits = |rule: &str, word: &str| rule == "*" || rule == word || (word == resource && rule == inside);
        self.may.iter().any(|(verbs, resources)| fits(verbs, verb) && fits(resources, resource))
    }
}

/// `deployments.apps`, `deployments/scale.apps` is written `deployments.apps/scale`.
pub fn rule_name(group: &str, resource: &str) -> String {
    match (resource.split_once('/'), group) {
        (_, "") => resource.to_owned(),
        (None, group) => format!("{resource}.{group}"),
        (Some((plural, sub)), group) => format!("{plural}.{group}/{sub}"),
    }
}

/// Decodes a query.
pub fn query_of(query: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}
