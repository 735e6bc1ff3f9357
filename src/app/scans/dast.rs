//! Where a service answers that is scanned while it runs: addresses that KIOPS itself has stored of what it deployed, and
//! no others. Nothing that a person types becomes one.

use entity::{RuntimeKind, environment};
use url::{Host, Url};

use crate::app::deployments::{environments, live, request};
use crate::app::pipelines::engine;
use crate::app::runtimes::same;
use crate::app::{App, Result, Scope};
use crate::domain::addresses;
use crate::domain::spec::Target;
use crate::runtime::docker::spec::network_name;
use crate::scanner::run::Beside;

/// An address of what an environment runs. Only [`of`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    url: String,
    inside: Option<Inside>,
}

/// The same, for a tool in an image on the same engine or cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Inside {
    beside: Beside,
    url: String,
}

impl Address {
    /// Where it answers: for a process here, or for a tool in an image in the environment's own network or beside its own
    /// namespace, which is the second.
    pub(super) fn seen_from(&self, is_container: bool) -> (&str, Option<&Beside>) {
        match &self.inside {
            Some(inside) if is_container => (&inside.url, Some(&inside.beside)),
            _ => (&self.url, None),
        }
    }
}

/// The addresses of an environment as of the revision that serves: endpoints of its instances, or its domain, that speak
/// HTTP.
///
/// # Errors
/// The inner one says for people why there is none; the outer one is INTERNAL.
pub(super) async fn of(
    app: &App,
    scope: &Scope,
    place: &environment::Model,
) -> Result<std::result::Result<Vec<Address>, String>> {
    let Some(spec) = request::current_spec(app.db.read(), scope, place).await? else {
        return Ok(Err(format!("nothing is deployed to {}: deploy the service first", place.name)));
    };
    if place.stopped {
        return Ok(Err(format!("{} is stopped: restart it first", place.name)));
    }
    let runtime = environments::runtime(app.db.read(), scope, &place.runtime_id).await?;
    let is_on_our_host = match runtime.kind {
        RuntimeKind::Docker => match engine::engine_id(app).await? {
            Some(id) => same::is_engine(app, &runtime, &id).await.unwrap_or(false),
            None => false,
        },
        RuntimeKind::Kubernetes => match engine::runtime_that_builds(app).await? {
            // The very one, and not one that says it is: whoever registered that could name any namespace of the cluster.
            Some(builds) => runtime.id == builds.id,
            None => false,
        },
    };
    let mut found = Vec::new();
    for endpoint in live::endpoints(app, scope, place).await? {
        let Some(url) = may_be_scanned(&endpoint.url).filter(|_| !endpoint.is_internal) else { continue };
        let port = spec.containers.iter().find(|c| c.name == endpoint.container).and_then(|c| c.port);
        let inside = port
            .filter(|_| is_on_our_host)
            .map(|port| inside(runtime.kind, &spec.target, (&endpoint.container, port, url.path())));
        found.push(Address { url: url.into(), inside });
    }
    match found.is_empty() {
        true => Ok(Err(format!("{} has no endpoint that speaks HTTP and is reached from outside", place.name))),
        false => Ok(Ok(found)),
    }
}

/// Where a container answers to its neighbours, and to those whom a scan lets in among them.
fn inside(kind: RuntimeKind, target: &Target, (container, port, path): (&str, u16, &str)) -> Inside {
    match kind {
        RuntimeKind::Docker => {
            Inside { beside: Beside::Network(network_name(target)), url: format!("http://{container}:{port}{path}") }
        }
        // Its Service has the container's name and port, and this is what every pod's resolver finds, whatever the cluster's
        // own domain is.
        RuntimeKind::Kubernetes => Inside {
            url: format!("http://{container}.{}.svc:{port}{path}", target.namespace),
            beside: Beside::Namespace(target.namespace.clone()),
        },
    }
}

/// An endpoint that a tool may be sent to: HTTP, without a login in it, and never the metadata of a cloud, whatever somebody
/// has called the environment's domain.
fn may_be_scanned(endpoint: &str) -> Option<Url> {
    let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let plain = url.username().is_empty() && url.password().is_none();
    let allowed = match url.host()? {
        Host::Domain(name) => addresses::check_name(name).is_ok(),
        Host::Ipv4(ip) => addresses::never_a_runtime(ip.into()).is_none(),
        Host::Ipv6(ip) => addresses::never_a_runtime(ip.into()).is_none(),
    };
    (plain && allowed).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_deployed_is_scanned() {
        for good in ["http://127.0.0.1:32768", "http://192.0.2.1:80", "https://shop.example.com/api"] {
            assert!(may_be_scanned(good).is_some(), "{good}");
        }
        for bad in [
            "tcp://127.0.0.1:5432",
            "http://169.254.169.254/",
            "http://2852039166/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/",
            "http://somebody:secret@192.0.2.1/",
            "file:///etc/passwd",
            "--help",
            "",
        ] {
            assert!(may_be_scanned(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_container_goes_into_the_network_of_the_service() {
        let beside = Beside::Network("shop-production-1".to_owned());
        let inside = Inside { beside: beside.clone(), url: "http://web:80/".to_owned() };
        let address = Address { url: "http://192.0.2.1:32768/".to_owned(), inside: Some(inside) };
        assert_eq!(address.seen_from(false), ("http://192.0.2.1:32768/", None));
        assert_eq!(address.seen_from(true), ("http://web:80/", Some(&beside)));
        let elsewhere = Address { inside: None, ..address };
        assert_eq!(elsewhere.seen_from(true), ("http://192.0.2.1:32768/", None));
    }
}
