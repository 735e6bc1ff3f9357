//! Rules that a type alone cannot hold.

use std::time::Duration;

use super::{Config, scan_rules};

/// What is left of the 15 seconds that a server has to end is for requests at work.
const MOST_DRAIN: Duration = Duration::from_secs(5);

/// Rows of a page at most, whatever the configuration says: asking for more costs nothing, because it is refused.
const MOST_ROWS: u32 = 1_000;

impl Config {
    /// Every fault: the key's full name, and what is wrong with it.
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: &str| faults.push((key.to_owned(), message.to_owned()));
        for (key, url) in [
            ("server.public_url", &self.server.public_url),
            ("docker_hub.api_url", &self.docker_hub.api_url),
            ("docker_hub.registry_url", &self.docker_hub.registry_url),
            ("docker_hub.auth_url", &self.docker_hub.auth_url),
            ("github.api_url", &self.github.api_url),
        ] {
            let web = url::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
            if !web {
                fault(key, "an address that starts with http:// or https:// is needed");
            }
        }
        for (i, origin) in self.server.allowed_origins.iter().enumerate() {
            let is_origin = url::Url::parse(origin).is_ok_and(|url| {
                let alone = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
                let nobody = url.username().is_empty() && url.password().is_none();
                matches!(url.scheme(), "http" | "https") && alone && nobody && !origin.contains('*')
            });
            if !is_origin {
                let message = "an origin is needed, like https://app.example.com, and no wildcard";
                fault(&format!("server.allowed_origins.{i}"), message);
            }
        }
        if self.secrets.key_file.as_os_str().is_empty() {
            fault("secrets.key_file", "a path is needed");
        }
        if let Err(message) = self.telemetry.traces_url() {
            fault("telemetry.otlp_endpoint", message);
        }
        if self.server.drain > MOST_DRAIN {
            fault("server.drain", "5s at most: a server that is told to stop ends within 15 seconds");
        }
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|s| self.database.url.starts_with(s)) {
            fault("database.url", "an address that starts with sqlite:// or postgres:// is needed");
        }
        if let Err(message) = self.database.check_address() {
            fault("database.url", message);
        }
        if let Err(message) = self.database.check_password() {
            fault("database.password", message);
        }
        for (key, zero) in [
            ("database.max_connections", self.database.max_connections == 0),
            ("auth.login_attempts_per_minute", self.auth.login_attempts_per_minute == 0),
            ("deploy.keep_revisions", self.deploy.keep_revisions == 0),
            ("jobs.workers", self.jobs.workers == 0),
            ("build.max_context_bytes", self.build.max_context_bytes == 0),
            ("build.at_once", self.build.at_once == 0),
            ("build.at_once_per_organization", self.build.at_once_per_organization == 0),
            ("limits.query_depth", self.limits.query_depth == 0),
            ("limits.introspection_depth", self.limits.introspection_depth == 0),
            ("limits.query_complexity", self.limits.query_complexity == 0),
            ("limits.query_fields", self.limits.query_fields == 0),
            ("limits.query_root_fields", self.limits.query_root_fields == 0),
            ("limits.query_operations", self.limits.query_operations == 0),
            ("limits.document_bytes", self.limits.document_bytes == 0),
            ("limits.document_tokens", self.limits.document_tokens == 0),
            ("limits.operations_per_socket", self.limits.operations_per_socket == 0),
            ("limits.sockets_per_caller", self.limits.sockets_per_caller == 0),
            ("limits.request_body_bytes", self.limits.request_body_bytes == 0),
            ("limits.webhook_body_bytes", self.limits.webhook_body_bytes == 0),
            ("limits.page_default", self.limits.page_default == 0),
            ("limits.page_max", self.limits.page_max == 0),
            ("limits.log_page_max", self.limits.log_page_max == 0),
            ("logs.max_bytes_per_run", self.logs.max_bytes_per_run == 0),
        ] {
            if zero {
                fault(key, "at least 1 is needed");
            }
        }
        for (key, rows) in
            [("limits.page_max", self.limits.page_max), ("limits.log_page_max", self.limits.log_page_max)]
        {
            if rows > MOST_ROWS {
                fault(key, "1000 at most: a page is answered whole, from memory");
            }
        }
        if self.limits.page_default > self.limits.page_max {
            fault("limits.page_default", "cannot be more than limits.page_max");
        }
        let slash = self.build.runtime.split_once('/');
        if !self.build.runtime.is_empty() && !slash.is_some_and(|(o, r)| !o.is_empty() && !r.is_empty()) {
            fault("build.runtime", "write organization/runtime, or leave it empty for the local engine");
        }
        let namespace = self.build.namespace.as_str();
        let is_label = (1..=63).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !(namespace.starts_with('-') || namespace.ends_with('-'));
        if !is_label || namespace == "default" || namespace.starts_with("kube-") {
            fault("build.namespace", "an RFC 1123 label is needed, and neither default nor one of kube-");
        }
        if self.build.buildkit_image.is_empty() || self.build.buildkit_image.contains(char::is_whitespace) {
            fault("build.buildkit_image", "an image is needed, like moby/buildkit:rootless");
        }
        let platform = self.build.platform.as_str();
        let architecture = platform.strip_prefix("linux/").unwrap_or_default();
        let is_one =
            !architecture.is_empty() && architecture.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !platform.is_empty() && !is_one {
            fault("build.platform", "write linux/ARCHITECTURE, like linux/amd64, or leave it empty");
        }
        if !self.build.profiles.contains_key(&self.build.default_profile) {
            fault("build.default_profile", "names no profile of build.profiles");
        }
        for (name, profile) in &self.build.profiles {
            if !(profile.cpu.is_finite() && profile.cpu > 0.0) {
                fault(&format!("build.profiles.{name}.cpu"), "more than 0 cores are needed");
            }
        }
        for (name, tool) in &self.scan.tools {
            if !scan_rules::is_name(name) {
                let message =
                    "a tool's name has 63 letters, digits, - _ and . at most, and starts with one of the first two";
                fault(&format!("scan.tools.{name}"), message);
            }
            for (key, message) in tool.validate() {
                fault(&format!("scan.tools.{name}.{key}"), &message);
            }
        }
        for (o, organization) in self.organizations.iter().enumerate() {
            for (i, runtime) in organization.runtimes.iter().enumerate() {
                if runtime.docker.is_none() && runtime.kubernetes.is_none() {
                    fault(&format!("organizations.{o}.runtimes.{i}.docker"), "either docker or kubernetes is needed");
                }
            }
        }
        faults
    }
}
