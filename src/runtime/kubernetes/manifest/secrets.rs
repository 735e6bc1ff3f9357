//! Secret variables and the logins of registries.
//!
//! A container's Secret is named after the sealed rows whose values it holds, and never changes: a new value is a new
//! Secret, so that the pods of the revision that serves keep theirs until the new ones have taken over, and a pod template
//! that names another Secret is another template. The ids of rows are random, so that the name tells nothing of a value.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, Secret, SecretKeySelector};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Frame, Object, short_hash};
use crate::cluster::docker_config;
pub(super) use crate::cluster::literal;
use crate::domain::secret::RegistryLogin;
use crate::domain::spec::{ContainerSpec, EnvValue};
use crate::runtime::RuntimeError;

/// The Secret with the logins of registries.
pub(super) const LOGINS: &str = "kiops-registries";
/// Its one key.
pub(super) const LOGINS_KEY: &str = ".dockerconfigjson";
/// Its type: <https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets>.
pub(super) const LOGINS_TYPE: &str = "kubernetes.io/dockerconfigjson";
/// The type of a container's Secret.
pub(super) const VARIABLES_TYPE: &str = "Opaque";

/// The logins, for every pod to pull with. It is there without any too: a login that comes later then changes no pod, and
/// a kubelet that checks again who may use an image finds what it needs.
pub(super) fn logins(frame: &Frame<'_>, logins: &BTreeMap<String, RegistryLogin>) -> Object {
    let text = docker_config(logins);
    Object::Secret(Secret {
        metadata: frame.meta(LOGINS),
        type_: Some(LOGINS_TYPE.to_owned()),
        data: Some(BTreeMap::from([(LOGINS_KEY.to_owned(), ByteString(text.expose_secret().as_bytes().to_vec()))])),
        ..Default::default()
    })
}

/// The Secret of a container's secret variables, when it has any.
pub(super) fn variables(
    frame: &Frame<'_>,
    container: &ContainerSpec,
    values: &BTreeMap<String, SecretString>,
) -> Result<Option<Object>, RuntimeError> {
    let mut data = BTreeMap::new();
    for (name, row) in rows(container) {
        let value = values.get(row).ok_or_else(|| {
            RuntimeError::Failed(format!("container {}: the secret variable {name} has no value", container.name))
        })?;
        data.insert(name.clone(), ByteString(value.expose_secret().as_bytes().to_vec()));
    }
    let Some(name) = secret_name(frame, container) else { return Ok(None) };
    Ok(Some(Object::Secret(Secret {
        metadata: frame.meta_of(container, &name),
        type_: Some(VARIABLES_TYPE.to_owned()),
        immutable: Some(true),
        data: Some(data),
        ..Default::default()
    })))
}

/// A container's variables, in the order of their names.
pub(super) fn env(frame: &Frame<'_>, container: &ContainerSpec) -> Option<Vec<EnvVar>> {
    let secret = secret_name(frame, container).unwrap_or_default();
    let variable = |(name, value): (&String, &EnvValue)| match value {
        EnvValue::Plain(text) => EnvVar { name: name.clone(), value: Some(literal(text)), ..Default::default() },
        EnvValue::Secret(_) => EnvVar {
            name: name.clone(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector { name: secret.clone(), key: name.clone(), optional: None }),
                ..Default::default()
            }),
            ..Default::default()
        },
    };
    let variables: Vec<EnvVar> = container.env.iter().map(variable).collect();
    (!variables.is_empty()).then_some(variables)
}

/// Which rows hold a container's secret variables.
pub(super) fn rows(container: &ContainerSpec) -> impl Iterator<Item = (&String, &String)> {
    container.env.iter().filter_map(|(name, value)| match value {
        EnvValue::Secret(row) => Some((name, row)),
        EnvValue::Plain(_) => None,
    })
}

/// The name of a container's Secret; none where it has no secret variable. What is shown to people goes without the
/// hash: whose value changed is marked there.
pub(super) fn secret_name(frame: &Frame<'_>, container: &ContainerSpec) -> Option<String> {
    let rows: Vec<_> = rows(container).collect();
    if rows.is_empty() {
        return None;
    }
    // What is made of texts alone can be written as JSON.
    let text = serde_json::to_string(&rows).unwrap_or_default();
    Some(match frame.revision {
        Some(_) => format!("{}-env-{}", container.name, short_hash(&text)),
        None => format!("{}-env", container.name),
    })
}
