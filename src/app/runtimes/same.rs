//! Whether two runtimes are one place: an engine may be registered twice, under two addresses.

use entity::{RuntimeKind, runtime};

use super::connect;
use crate::app::{App, Result};

/// What two runtimes are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// One engine or cluster: what is on one is on the other.
    Same,
    /// Two.
    Different,
    /// One of them never said which it is.
    Unknown,
}

/// From what is stored: asks neither.
#[must_use]
pub fn as_stored(one: &runtime::Model, other: &runtime::Model) -> Sameness {
    compare(one, other, (one.engine_id.as_deref(), other.engine_id.as_deref()))
}

/// Asks both. One that does not answer is what it last said it was.
pub async fn ask(app: &App, one: &runtime::Model, other: &runtime::Model) -> Sameness {
    // What the addresses tell needs no answer.
    let known = compare(one, other, (None, None));
    if known != Sameness::Unknown {
        return known;
    }
    let (first, second) = futures_util::join!(engine_id(app, one), engine_id(app, other));
    compare(one, other, (first.as_deref(), second.as_deref()))
}

/// Whether a runtime is the engine of this id: by what it last said, and if it never said anything it is asked.
///
/// # Errors
/// UPSTREAM_ERROR when it has to be asked and does not answer.
pub async fn is_engine(app: &App, row: &runtime::Model, id: &str) -> Result<bool> {
    if row.kind != RuntimeKind::Docker {
        return Ok(false);
    }
    let said = match &row.engine_id {
        Some(said) => Some(said.clone()),
        None => connect(app, row).await?.check().await?.engine_id,
    };
    Ok(said.as_deref() == Some(id))
}

fn compare(one: &runtime::Model, other: &runtime::Model, ids: (Option<&str>, Option<&str>)) -> Sameness {
    if one.id == other.id {
        return Sameness::Same;
    }
    if one.kind != other.kind {
        return Sameness::Different;
    }
    if one.endpoint == other.endpoint {
        return Sameness::Same;
    }
    match ids {
        (Some(one), Some(other)) if one == other => Sameness::Same,
        (Some(_), Some(_)) => Sameness::Different,
        _ => Sameness::Unknown,
    }
}

async fn engine_id(app: &App, row: &runtime::Model) -> Option<String> {
    let answer = match connect(app, row).await {
        Ok(client) => client.check().await.ok(),
        Err(_) => None,
    };
    answer.and_then(|info| info.engine_id).or_else(|| row.engine_id.clone())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use entity::RuntimeStatus;

    use super::*;

    fn engine(id: &str, endpoint: &str, engine_id: Option<&str>) -> runtime::Model {
        runtime::Model {
            id: id.to_owned(),
            organization_id: "o".to_owned(),
            name: id.to_owned(),
            kind: RuntimeKind::Docker,
            endpoint: endpoint.to_owned(),
            tls_ca: None,
            tls_cert: None,
            secret_id: None,
            status: RuntimeStatus::Ready,
            status_message: None,
            version: None,
            engine_id: engine_id.map(str::to_owned),
            checked_at: None,
            ingress_class: None,
            storage_class: None,
            exposure: None,
            missing_permissions: None,
            grant_manifest: None,
            declared: false,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn one_engine_under_two_names() {
        let first = engine("a", "tcp://192.0.2.1:2375", Some("x"));
        for (other, expected) in [
            (engine("b", "tcp://192.0.2.2:2375", Some("x")), Sameness::Same),
            (engine("b", "tcp://192.0.2.2:2375", Some("y")), Sameness::Different),
            (engine("b", "tcp://192.0.2.2:2375", None), Sameness::Unknown),
            (engine("b", "tcp://192.0.2.1:2375", None), Sameness::Same),
            (engine("a", "tcp://192.0.2.9:2375", Some("y")), Sameness::Same),
        ] {
            assert_eq!(as_stored(&first, &other), expected, "{other:?}");
            assert_eq!(as_stored(&other, &first), expected, "{other:?}");
        }
        let cluster = runtime::Model { kind: RuntimeKind::Kubernetes, ..first.clone() };
        assert_eq!(as_stored(&first, &runtime::Model { id: "k".to_owned(), ..cluster }), Sameness::Different);
    }
}
