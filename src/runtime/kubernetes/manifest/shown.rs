//! A revision's manifests for people.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::secrets::{LOGINS, LOGINS_KEY, LOGINS_TYPE, VARIABLES_TYPE, rows, secret_name};
use super::{Frame, Object};
use crate::domain::compose::{CHANGED_MASK, MASK};
use crate::domain::emit;
use crate::domain::spec::{ContainerSpec, EnvValue, Spec};

/// The manifests of a spec as YAML documents: secrets masked, without what is known of a revision alone (its number, and
/// how long its rollout may take). The same spec always gives the same text, and no text in it ends a document.
///
/// A container's Secret stands here as `<container>-env`; the name on the cluster also says which values it holds. With
/// `before`, a secret that has another value than there shows as changed.
#[must_use]
pub fn shown(spec: &Spec, before: Option<&Spec>) -> String {
    let frame = Frame::of(spec, None);
    let logins = BTreeMap::from([(LOGINS_KEY.to_owned(), MASK.to_owned())]);
    let mut objects = vec![frame.namespace(), secret(frame.meta(LOGINS), LOGINS_TYPE, logins)];
    for container in &spec.containers {
        let old = before.and_then(|spec| spec.containers.iter().find(|c| c.name == container.name));
        objects.extend(variables(&frame, container, old));
    }
    objects.extend(frame.all_but_secrets());
    // Objects of these types are made of what a YAML value can be.
    let documents = objects.iter().filter_map(|object| serde_norway::to_value(object).ok());
    documents.map(|value| emit::document(&value)).collect::<Vec<_>>().join("---\n")
}

/// The Secret of a container's secret variables, beside what they were before.
fn variables(frame: &Frame<'_>, container: &ContainerSpec, old: Option<&ContainerSpec>) -> Option<Object> {
    let name = secret_name(frame, container)?;
    let masked = rows(container).map(|(name, row)| {
        // Sealed rows never change, so that another row is another value as far as anybody was told.
        let text = match old.and_then(|old| old.env.get(name)) {
            Some(EnvValue::Secret(before)) if before == row => MASK,
            Some(_) => CHANGED_MASK,
            None => MASK,
        };
        (name.clone(), text.to_owned())
    });
    let mut object = secret(frame.meta_of(container, &name), VARIABLES_TYPE, masked.collect());
    if let Object::Secret(secret) = &mut object {
        secret.immutable = Some(true);
    }
    Some(object)
}

/// With texts in the place of bytes, so that what is masked looks like it and is valid all the same.
fn secret(metadata: ObjectMeta, kind: &str, texts: BTreeMap<String, String>) -> Object {
    let (type_, string_data) = (Some(kind.to_owned()), Some(texts));
    Object::Secret(Secret { metadata, type_, string_data, ..Default::default() })
}
