//! What somebody changed by hand: the difference between what is there and what it would be if the revision were applied
//! again, which the API server itself works out (a dry run). So a quantity that is written in another way, or a default
//! that it filled in, is no change.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::control::STOPPED;
use super::manifest::{self, Object};
use super::namespace::Standing;
use super::{KubernetesRuntime, error};
use crate::cluster::{ClusterError, FIELD_MANAGER};
use crate::engine::neutralise;
use crate::runtime::labels::REVISION;
use crate::runtime::words::mask;
use crate::runtime::{Rollout, RuntimeError};

/// Objects that are asked about at once.
const AT_ONCE: usize = 4;
/// How long it may take altogether; what is not known by then is not told.
const LONGEST: Duration = Duration::from_secs(15);
/// Fields that are named of one object.
const MOST_FIELDS: usize = 3;
/// Longest value that is quoted.
const LONGEST_VALUE: usize = 60;

impl KubernetesRuntime {
    pub(super) async fn what_changed(&self, serving: &Rollout) -> Result<Vec<String>, RuntimeError> {
        let target = &serving.spec.target;
        if !matches!(self.standing(target).await?, Standing::Ours(_)) {
            return Ok(vec![format!("Namespace {} is gone", target.namespace)]);
        }
        let objects = manifest::objects(serving)?;
        let asked = stream::iter(objects).map(|object| self.changed(serving, object)).buffered(AT_ONCE);
        let told = asked.try_filter_map(|told| std::future::ready(Ok(told))).try_collect::<Vec<String>>();
        match tokio::time::timeout(LONGEST, told).await {
            Ok(told) => told,
            Err(_) => Err(RuntimeError::Unreachable("the cluster took too long to answer".to_owned())),
        }
    }

    /// One object's sentence, when it is not as it was applied.
    async fn changed(&self, serving: &Rollout, object: Object) -> Result<Option<String>, RuntimeError> {
        let told = match object {
            Object::Namespace(_) => return Ok(None),
            Object::Secret(wanted) => self.secret_changed(&wanted).await,
            Object::Claim(mut wanted) => {
                let api = self.api_in::<PersistentVolumeClaim>(&serving.spec.target.namespace);
                match api.get_opt(&wanted.name_any()).await {
                    Ok(Some(there)) => {
                        manifest::settle(&mut wanted, &there);
                        self.compared(&wanted).await
                    }
                    Ok(None) => Ok(Some(gone::<PersistentVolumeClaim>(&wanted.metadata))),
                    Err(why) => Err(why.into()),
                }
            }
            Object::Service(wanted) => self.compared(&wanted).await,
            Object::Deployment(wanted) => self.compared(&*wanted).await,
            Object::Autoscaler(wanted) => self.compared(&wanted).await,
            Object::Budget(wanted) => self.compared(&wanted).await,
            Object::Ingress(wanted) => self.compared(&*wanted).await,
        };
        match told {
            Ok(told) => Ok(told.map(|text| mask(serving, &neutralise(&text)))),
            // What the cluster would not take today says nothing about what is there.
            Err(ClusterError::Invalid(_) | ClusterError::Conflict(_)) => Ok(None),
            Err(why) => Err(error(why)),
        }
    }

    /// Only whether a Secret is as it was made: what is in it is nobody's to read, and does not travel.
    async fn secret_changed(&self, wanted: &Secret) -> Result<Option<String>, ClusterError> {
        let namespace = wanted.metadata.namespace.as_deref().unwrap_or_default();
        let found = self.api_in::<Secret>(namespace).get_metadata_opt(&wanted.name_any()).await?;
        let Some(found) = found else { return Ok(Some(gone::<Secret>(&wanted.metadata))) };
        Ok(others(found.managed_fields()).next().map(|by| format!("Secret {} was changed ({by})", wanted.name_any())))
    }

    async fn compared<K>(&self, wanted: &K) -> Result<Option<String>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
    {
        let (name, namespace) = (wanted.name_any(), wanted.namespace().unwrap_or_default());
        let api = self.api_in::<K>(&namespace);
        let Some(there) = api.get_opt(&name).await? else { return Ok(Some(gone::<K>(wanted.meta()))) };
        let by = PatchParams::apply(FIELD_MANAGER).force().validation_strict().dry_run();
        let would_be: K = api.patch(&name, &by, &Patch::Apply(wanted)).await?;
        let is_stopped = there.annotations().contains_key(STOPPED);
        let (Ok(now), Ok(then)) = (serde_json::to_value(&there), serde_json::to_value(&would_be)) else {
            return Ok(None);
        };
        let mut found = Vec::new();
        differences("", &now, &then, &mut found);
        found.retain(|(path, ..)| is_ours_to_say(path) && !(is_stopped && path == "spec.replicas"));
        if found.is_empty() {
            return Ok(None);
        }
        let more = found.len().saturating_sub(MOST_FIELDS);
        let fields = found.iter().take(MOST_FIELDS).map(|(path, now, then)| match now.is_null() {
            true => format!("{path} is not there, and was applied as {}", quoted(then)),
            false => format!("{path} is {}, and not {} as applied", quoted(now), quoted(then)),
        });
        let mut text = format!("{} {name}: {}", K::kind(&()), fields.collect::<Vec<_>>().join("; "));
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        let by: BTreeSet<String> = others(there.managed_fields()).collect();
        if !by.is_empty() {
            text.push_str(&format!(" ({})", by.into_iter().collect::<Vec<_>>().join(", ")));
        }
        Ok(Some(text))
    }
}

fn gone<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> String {
    format!("{} {} is gone", K::kind(&()), meta.name.as_deref().unwrap_or_default())
}

/// Who else wrote to an object, but for what a cluster's own controllers write.
fn others(
    entries: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry],
) -> impl Iterator<Item = String> {
    let hands = entries.iter().filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty());
    let names = hands.filter_map(|entry| entry.manager.clone());
    names.filter(|name| !name.starts_with(FIELD_MANAGER) && !name.starts_with("kube-"))
}

/// What the server keeps of an object for itself says nothing about what was applied, and neither does the revision's
/// number, which an unchanged object takes over from the next.
fn is_ours_to_say(path: &str) -> bool {
    const SERVERS: [&str; 6] =
        ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];
    let of_server =
        SERVERS.iter().any(|field| path.strip_prefix("metadata.").is_some_and(|rest| rest.starts_with(field)));
    !of_server && !path.starts_with("status") && !path.ends_with(REVISION)
}

/// Where two values differ: the path, what is there and what it would be. Lists whose items have names are compared by
/// them.
fn differences(path: &str, now: &Value, then: &Value, found: &mut Vec<(String, Value, Value)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            let keys: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
            for key in keys {
                let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&below(key), &value(now), &value(then), found);
            }
        }
        (Value::Array(now), Value::Array(then)) if now.iter().chain(then).all(|item| item["name"].is_string()) => {
            let names: BTreeSet<&str> = now.iter().chain(then).filter_map(|item| item["name"].as_str()).collect();
            for name in names {
                let item = |all: &[Value]| all.iter().find(|item| item["name"] == name).cloned().unwrap_or_default();
                differences(&format!("{path}[{name}]"), &item(now), &item(then), found);
            }
        }
        (now, then) if now != then => found.push((path.to_owned(), now.clone(), then.clone())),
        _ => {}
    }
}

/// A value for people, cut.
fn quoted(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
