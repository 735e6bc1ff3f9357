//! Whether somebody else on the cluster has the paths that an environment wants.

use k8s_openapi::api::networking::v1::Ingress;
use kube::api::Api;
use kube::{Resource as _, ResourceExt as _};

use super::manifest::Object;
use super::prune::of_any;
use super::{KubernetesRuntime, error};
use crate::domain::spec::Target;
use crate::runtime::RuntimeError;
use crate::runtime::labels::{ENVIRONMENT, ORGANIZATION};

impl KubernetesRuntime {
    /// Looks at every ingress that KIOPS made on the cluster. Ingress controllers merge those of one host, and give a path
    /// that two of them have to one of the two: an organization would serve another's requests.
    ///
    /// # Errors
    /// [`RuntimeError::Failed`] for a path that another organization has; one of the same organization is a warning.
    pub(super) async fn routes_are_free(
        &self,
        target: &Target,
        objects: &[Object],
    ) -> Result<Vec<String>, RuntimeError> {
        let Some(wanted) = objects.iter().find_map(|object| match object {
            Object::Ingress(ingress) => Some(ingress),
            _ => None,
        }) else {
            return Ok(Vec::new());
        };
        let all = Api::<Ingress>::all(self.cluster.client());
        let listed = all.list(&of_any()).await;
        let there = listed.map_err(|why| error(why.into()))?.items;
        judge(target, wanted, &there)
    }
}

fn judge(target: &Target, wanted: &Ingress, there: &[Ingress]) -> Result<Vec<String>, RuntimeError> {
    let mut warnings = Vec::new();
    for other in there.iter().filter(|other| other.labels().get(ENVIRONMENT) != Some(&target.environment_id)) {
        if class(other) != class(wanted) {
            continue;
        }
        let theirs = routes(other);
        let Some((host, path)) = routes(wanted).into_iter().find(|route| theirs.contains(route)) else { continue };
        let place = match host {
            Some(host) => format!("path {path} of host {host}"),
            None => format!("path {path} without a host"),
        };
        if other.labels().get(ORGANIZATION) != Some(&target.organization_id) {
            return Err(RuntimeError::Failed(format!(
                "{place} is taken by another organization on this cluster: give the environment a domain of its own"
            )));
        }
        let namespace = other.meta().namespace.as_deref().unwrap_or_default();
        warnings.push(format!(
            "{place} is also that of namespace {namespace}: only one of the two is reached; give each a domain of its own"
        ));
    }
    Ok(warnings)
}

fn class(ingress: &Ingress) -> Option<&str> {
    ingress.spec.as_ref()?.ingress_class_name.as_deref()
}

/// Host and path of all that an ingress leads somewhere.
fn routes(ingress: &Ingress) -> Vec<(Option<&str>, &str)> {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    let paths = rules.flat_map(|rule| {
        let paths = rule.http.iter().flat_map(|http| &http.paths);
        paths.map(|path| (rule.host.as_deref(), path.path.as_deref().unwrap_or("/")))
    });
    paths.collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::labels::{KIOPS, MANAGED_BY};

    fn ingress(organization: &str, environment: &str, host: Option<&str>, path: &str) -> Ingress {
        serde_json::from_value(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "shop", "namespace": environment, "labels": {
                MANAGED_BY: KIOPS, ORGANIZATION: organization, ENVIRONMENT: environment,
            } },
            "spec": { "rules": [{ "host": host, "http": { "paths": [
                { "path": path, "pathType": "Prefix",
                  "backend": { "service": { "name": "web", "port": { "name": "main" } } } },
            ] } }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_path_belongs_to_one_organization() {
        let target = Target {
            organization_id: "o-1".to_owned(),
            service_id: "s-1".to_owned(),
            service: "shop".to_owned(),
            environment_id: "e-1".to_owned(),
            environment: "production".to_owned(),
            namespace: "shop".to_owned(),
        };
        let wanted = ingress("o-1", "e-1", Some("shop.example"), "/");
        let other = |organization, environment, host, path| {
            judge(&target, &wanted, &[ingress(organization, environment, host, path)])
        };
        let said = other("o-2", "e-2", Some("shop.example"), "/").unwrap_err().to_string();
        assert!(said.contains("path / of host shop.example is taken") && !said.contains("e-2"), "{said}");
        let warned = other("o-1", "e-2", Some("shop.example"), "/").unwrap();
        assert!(warned.len() == 1 && warned[0].contains("namespace e-2"), "{warned:?}");
        for (organization, environment, host, path) in [
            ("o-2", "e-2", Some("other.example"), "/"),
            ("o-2", "e-2", None, "/"),
            ("o-2", "e-2", Some("shop.example"), "/api"),
            ("o-1", "e-1", Some("shop.example"), "/"),
        ] {
            assert_eq!(other(organization, environment, host, path).unwrap(), Vec::<String>::new(), "{host:?} {path}");
        }
    }
}
