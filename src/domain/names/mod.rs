//! Validated names: checked once, at the edge, and carried as types from there on.
//!
//! Every `parse` takes the text as it came and never trims or folds it: what a person typed is what is stored, or
//! it is refused with a message that says what to write instead.

mod git;
mod people;
mod text;
mod usernames;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use git::{BranchName, CommitHash, NamespacePath, ProjectName, ProjectPath, SourcePath};
pub use people::{DisplayName, Email, check_password};
pub use text::{EnvName, EnvText, IngressPath, MountPath};
pub use usernames::gitlab_usernames;

/// What is wrong with a name, in words for the person who typed it. Never quotes the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

impl InvalidName {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A service's name: an RFC 1123 label, and not a namespace that Kubernetes keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

/// An environment's name (`production`, `staging`): an RFC 1123 label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName(String);

/// A Kubernetes namespace that may be ours: an RFC 1123 label, none of the reserved ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

/// A container's name, under which its neighbours reach it: an RFC 1123 label of at least 2 characters, which is
/// the least that a Docker engine takes, starting with a letter, which a Kubernetes Service asks for (RFC 1035).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// A runtime's name inside its organization: an RFC 1123 label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuntimeName(String);

/// An organization's short name: an RFC 1123 label. `default` is the first organization's and allowed here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrganizationSlug(String);

/// A host name of an ingress or the name of a Kubernetes object: RFC 1123 labels with dots between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    /// # Errors
    /// When the text is longer than 253 characters or one of its parts is no RFC 1123 label.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() > 253 {
            return Err(InvalidName::new("a domain name has at most 253 characters"));
        }
        text.split('.').try_for_each(|part| label("each part of a domain name", part))?;
        Ok(Self(text.to_owned()))
    }
}

impl ServiceName {
    /// # Errors
    /// When the text is no RFC 1123 label, or is `default` or starts with `kube-`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        label("a service name", text)?;
        not_reserved("a service name", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl Namespace {
    /// # Errors
    /// When the text is no RFC 1123 label, or is `default` or starts with `kube-`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        label("a namespace", text)?;
        not_reserved("a namespace", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl EnvironmentName {
    /// # Errors
    /// When the text is no RFC 1123 label.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        label("an environment's name", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl ContainerName {
    /// # Errors
    /// When the text is no RFC 1123 label of at least two characters, or starts with a digit.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        label("a container's name", text)?;
        if text.len() < 2 {
            return Err(InvalidName::new("a container's name has at least 2 characters"));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidName::new("a container's name starts with a letter"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl RuntimeName {
    /// # Errors
    /// When the text is no RFC 1123 label.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        label("a runtime's name", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl OrganizationSlug {
    /// # Errors
    /// When the text is no RFC 1123 label.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        label("an organization's short name", text)?;
        Ok(Self(text.to_owned()))
    }
}

/// RFC 1123 as Kubernetes reads it:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>.
fn label(what: &str, text: &str) -> Result<(), InvalidName> {
    let alnum = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return Err(InvalidName::new(format!("{what} is needed, like shop or shop-api")));
    };
    if bytes.len() > 63 {
        return Err(InvalidName::new(format!("{what} has at most 63 characters")));
    }
    if !bytes.iter().all(|b| alnum(b) || *b == b'-') {
        return Err(InvalidName::new(format!("{what} is made of lower-case letters a to z, digits and hyphens")));
    }
    if !alnum(first) || !alnum(last) {
        return Err(InvalidName::new(format!("{what} starts and ends with a letter or a digit")));
    }
    Ok(())
}

fn not_reserved(what: &str, text: &str) -> Result<(), InvalidName> {
    if text == "default" || text.starts_with("kube-") {
        return Err(InvalidName::new(format!(
            "{what} can be neither default nor start with kube-: Kubernetes keeps these namespaces for itself"
        )));
    }
    Ok(())
}

macro_rules! text_type {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    )*};
}
text_type!(
    ServiceName,
    Namespace,
    EnvironmentName,
    ContainerName,
    RuntimeName,
    OrganizationSlug,
    DomainName,
    EnvName,
    EnvText,
    MountPath,
    IngressPath,
    Email,
    DisplayName,
    BranchName,
    NamespacePath,
    ProjectName,
    ProjectPath,
    SourcePath,
    CommitHash
);
