//! Texts as Kubernetes and its kubelets read them.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::domain::secret::RegistryLogin;

/// A text that Kubernetes leaves as it is, in arguments and variables: it would read `$(NAME)` as another variable's value,
/// and reads `$$` as `$`.
#[must_use]
pub fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Logins by registry host as Docker's `config.json`, which kubelets
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets>) and BuildKit read.
#[must_use]
pub fn docker_config<'a>(logins: impl IntoIterator<Item = (&'a String, &'a RegistryLogin)>) -> SecretString {
    let entry = |(host, login): (&String, &RegistryLogin)| {
        let token = login.token.expose_secret();
        // BuildKit takes the two from `auth` alone, kubelets from either.
        let auth = base64(&format!("{}:{token}", login.username));
        (registry_key(host), json!({ "username": login.username, "password": token, "auth": auth }))
    };
    let auths: Map<String, Value> = logins.into_iter().map(entry).collect();
    json!({ "auths": auths }).to_string().into()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Docker Hub's logins have stood under this address since its first version, and whoever reads them looks there.
fn registry_key(host: &str) -> String {
    match host {
        "docker.io" => "https://index.docker.io/v1/".to_owned(),
        host => host.to_owned(),
    }
}
