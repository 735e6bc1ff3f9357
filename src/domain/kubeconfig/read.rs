//! From a kubeconfig's text to a login, with an allow-list of keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_norway::{Mapping, Value};
use url::{Host, Url};

use super::ClusterLogin;
use crate::domain::addresses::{check_name, never_a_runtime};
use crate::domain::names::DomainName;
use crate::domain::yaml::{self, show, text};

/// Longest bearer token: service accounts' are about one KiB, those with many groups some more.
const MAX_TOKEN: usize = 16 * 1024;

/// How to get files into the text.
const FLATTEN: &str = "`kubectl config view --raw --flatten` writes a kubeconfig that holds its files";

/// Keys that may be there and are not needed: of the whole file.
const OF_FILE: [&str; 8] =
    ["apiVersion", "kind", "preferences", "clusters", "users", "contexts", "current-context", "extensions"];
const OF_CONTEXT: [&str; 4] = ["cluster", "user", "namespace", "extensions"];
const OF_CLUSTER: [&str; 5] =
    ["server", "certificate-authority-data", "tls-server-name", "insecure-skip-tls-verify", "extensions"];
const OF_USER: [&str; 4] = ["token", "client-certificate-data", "client-key-data", "extensions"];

pub(super) fn read(yaml: &str, context: Option<&str>) -> Result<ClusterLogin, String> {
    let file = yaml::read(yaml)?;
    let file = file.as_mapping().ok_or("a kubeconfig is a mapping with clusters, users and contexts")?;
    let file = Part { path: String::new(), map: file };
    file.only(&OF_FILE)?;
    if file.text("kind")?.is_some_and(|kind| kind != "Config") {
        return Err("kind: a kubeconfig's kind is Config".to_owned());
    }
    let name = match context {
        Some(name) => name.to_owned(),
        None => match file.text("current-context")?.filter(|name| !name.is_empty()) {
            Some(name) => name,
            None => return Err(format!("current-context is not set: choose a context of {}", file.names("contexts"))),
        },
    };
    let context = file.named("contexts", "context", &name)?;
    context.only(&OF_CONTEXT)?;
    let namespace = context.text("namespace")?.filter(|namespace| !namespace.is_empty());
    if let Some(namespace) = &namespace {
        let label = DomainName::parse(namespace).is_ok() && namespace.len() < 64 && !namespace.contains('.');
        if !label {
            return Err(format!("{} is no name of a namespace", context.at("namespace")));
        }
    }
    let cluster = file.named("clusters", "cluster", &context.needed("cluster")?)?;
    let user = file.named("users", "user", &context.needed("user")?)?;

    cluster.only(&OF_CLUSTER)?;
    user.only(&OF_USER)?;
    if cluster.map.get("insecure-skip-tls-verify").is_some_and(|value| value.as_bool() != Some(false)) {
        let at = cluster.at("insecure-skip-tls-verify");
        return Err(format!(
            "{at} is not accepted: anybody on the way could read the login; \
             give the cluster's authority in certificate-authority-data"
        ));
    }
    let tls_server_name = cluster.text("tls-server-name")?;
    if let Some(name) = &tls_server_name {
        ServerName::try_from(name.as_str())
            .map_err(|_| format!("{} is no host name", cluster.at("tls-server-name")))?;
    }
    let token = user.text("token")?;
    if let Some(token) = &token
        && (token.is_empty() || token.len() > MAX_TOKEN || token.bytes().any(|b| !b.is_ascii_graphic()))
    {
        return Err(format!("{} is no bearer token: it has spaces or other signs, or is too long", user.at("token")));
    }
    let certificate = match (user.data("client-certificate-data")?, user.data("client-key-data")?) {
        (Some(certificate), Some(key)) => {
            certificates(&certificate, &user.at("client-certificate-data"))?;
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
                format!("{} holds no PEM private key that can be used without a password", user.at("client-key-data"))
            })?;
            Some((certificate, key.into()))
        }
        (None, None) => None,
        (Some(_), None) => return Err(format!("{} is needed with the certificate", user.at("client-key-data"))),
        (None, Some(_)) => return Err(format!("{} is needed with the key", user.at("client-certificate-data"))),
    };
    if token.is_none() && certificate.is_none() {
        return Err(format!("{} has neither a token nor a client certificate: nobody could log in with it", user.path));
    }
    let ca = cluster.data("certificate-authority-data")?;
    if let Some(ca) = &ca {
        certificates(ca, &cluster.at("certificate-authority-data"))?;
    }
    Ok(ClusterLogin {
        server: server(&cluster)?,
        ca,
        tls_server_name,
        token: token.map(Into::into),
        certificate,
        namespace,
    })
}

/// A mapping and where it stands.
struct Part<'a> {
    path: String,
    map: &'a Mapping,
}

impl<'a> Part<'a> {
    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Refuses every other key, and says what is wrong with the known ones.
    fn only(&self, keys: &[&str]) -> Result<(), String> {
        for key in self.map.keys() {
            let key = show(key);
            if !keys.contains(&key.as_str()) {
                let key: String = key.chars().filter(|c| !c.is_control()).take(100).collect();
                return Err(format!("{} is not accepted: {}", self.at(&key), why_not(&key)));
            }
        }
        Ok(())
    }

    /// A text; none where the key is not there.
    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(given)) => Ok(Some(given.clone())),
            // YAML reads an unquoted name or token of digits as a number.
            Some(Value::Number(given)) if given.is_u64() => Ok(Some(given.to_string())),
            Some(_) => Err(format!("{} is no text", self.at(key))),
        }
    }

    fn needed(&self, key: &str) -> Result<String, String> {
        self.text(key)?.filter(|text| !text.is_empty()).ok_or_else(|| format!("{} is needed", self.at(key)))
    }

    /// What base64 text stands for, which has to be text.
    fn data(&self, key: &str) -> Result<Option<String>, String> {
        let Some(encoded) = self.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let encoded: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let bytes = STANDARD.decode(encoded).map_err(|_| format!("{} is no base64", self.at(key)))?;
        String::from_utf8(bytes).map(Some).map_err(|_| format!("{} holds no PEM text", self.at(key)))
    }

    /// The named entry of a list like `clusters`, whose entries are a `name` and a mapping at `what`.
    fn named(&self, list: &str, what: &str, name: &str) -> Result<Part<'a>, String> {
        let mut found = None;
        for (index, entry) in self.entries(list)?.iter().enumerate() {
            if entry.get("name").and_then(text).as_deref() != Some(name) {
                continue;
            }
            if found.is_some() {
                return Err(format!("{list}: the name {name:?} stands twice"));
            }
            let path = format!("{list}.{index}");
            let map = entry.as_mapping().ok_or_else(|| format!("{path} is no mapping"))?;
            Part { path: path.clone(), map }.only(&["name", what])?;
            let map = entry.get(what).and_then(Value::as_mapping);
            let path = format!("{path}.{what}");
            found = Some(Part { map: map.ok_or_else(|| format!("{path} is needed"))?, path });
        }
        found.ok_or_else(|| format!("{list} has no {name:?}; there is {}", self.names(list)))
    }

    fn entries(&self, list: &str) -> Result<&'a [Value], String> {
        match self.map.get(list) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Sequence(entries)) => Ok(entries),
            Some(_) => Err(format!("{list} is no list")),
        }
    }

    /// Every name of a list, for people.
    fn names(&self, list: &str) -> String {
        let entries = self.entries(list).unwrap_or_default();
        let names = entries.iter().filter_map(|entry| entry.get("name").and_then(text));
        let names: Vec<String> = names.take(20).map(|name| format!("{name:?}")).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// Why a key is not taken, and what to do instead.
fn why_not(key: &str) -> String {
    match key {
        "exec" => "it names a program to run here; use the token of a service account".to_owned(),
        "auth-provider" => "it can name a program to run here; use the token of a service account".to_owned(),
        "tokenFile" => "it names a file of this machine; give the token itself in token".to_owned(),
        "certificate-authority" | "client-certificate" | "client-key" => {
            format!("it names a file of this machine; give what is in it in {key}-data: {FLATTEN}")
        }
        "proxy-url" => "connections go to the server itself".to_owned(),
        "username" | "password" => {
            "Kubernetes takes no passwords any more; use a token or a client certificate".to_owned()
        }
        "as" | "as-uid" | "as-groups" | "as-user-extra" => "a login acts as itself".to_owned(),
        _ => "it is not one of the keys that are read".to_owned(),
    }
}

fn certificates(pem: &str, at: &str) -> Result<(), String> {
    let bad = || format!("{at} holds no PEM certificate");
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate.map_err(|_| bad())?;
        found += 1;
    }
    if found == 0 { Err(bad()) } else { Ok(()) }
}

/// The server's address in its one spelling.
fn server(cluster: &Part<'_>) -> Result<String, String> {
    let (given, at) = (cluster.needed("server")?, cluster.at("server"));
    let form = || format!("{at} is an address like https://host:6443");
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '%' | '@' | '?' | '#');
    if given.len() > 1024 || given.contains(odd) || given.contains("/../") || given.contains("//.") {
        return Err(form());
    }
    let url = Url::parse(&given).map_err(|_| form())?;
    if url.scheme() != "https" {
        return Err(format!("{at} has to start with https://"));
    }
    let path = url.path().trim_end_matches('/');
    if path.contains("//") || given.ends_with("/..") {
        return Err(form());
    }
    let refused = match url.host().ok_or_else(form)? {
        Host::Domain(name) => check_name(name).err(),
        Host::Ipv4(ip) => never_a_runtime(ip.into()),
        Host::Ipv6(ip) => never_a_runtime(ip.into()),
    };
    if let Some(why) = refused {
        return Err(format!("{at} is {why}: no cluster is there"));
    }
    let host = url.host_str().ok_or_else(form)?;
    Ok(match url.port() {
        Some(port) => format!("https://{host}:{port}{path}"),
        None => format!("https://{host}{path}"),
    })
}
