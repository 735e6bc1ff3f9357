//! What Kubernetes tells this process, where it runs in a pod.

use std::path::PathBuf;

use super::ConfigSource;

/// Where every pod finds its service account's token.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The cluster around this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The API server's host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The folder of the service account's `token`, `ca.crt` and `namespace`.
    pub folder: PathBuf,
}

/// The cluster around this process; none when it runs in no pod.
#[must_use]
pub fn surroundings(source: &ConfigSource) -> Option<Surroundings> {
    let value = |name: &str| source.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    Some(Surroundings {
        host: value("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty())?.to_owned(),
        port: value("KUBERNETES_SERVICE_PORT")?.parse().ok()?,
        folder: PathBuf::from(FOLDER),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_its_cluster() {
        let source = |env: &[(&str, &str)]| ConfigSource {
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..ConfigSource::default()
        };
        let told = source(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443")]);
        let around = Surroundings { host: "10.96.0.1".to_owned(), port: 443, folder: PathBuf::from(FOLDER) };
        assert_eq!(surroundings(&told), Some(around));
        assert_eq!(surroundings(&source(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1")])), None);
        assert_eq!(surroundings(&source(&[])), None);
    }
}
