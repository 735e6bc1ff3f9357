//! Secrets that are given as `x_file`, and other files that entries are made of.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::Config;
use super::organizations::{DeclaredOrganization, DeclaredRuntime};

type Fault = (String, String);

/// A secret has less than this.
const MOST_BYTES: u64 = 1024 * 1024;

/// Reads every file, and gives what is wrong with them. What others may read is noted in the configuration's warnings.
pub(super) fn read(config: &mut Config, dir: &Path) -> Vec<Fault> {
    let mut files = Files { dir, faults: Vec::new(), warnings: Vec::new() };
    let bootstrap = &mut config.bootstrap;
    files.secret("bootstrap.admin_password", &mut bootstrap.admin_password, bootstrap.admin_password_file.as_deref());
    let database = &mut config.database;
    files.secret("database.password", &mut database.password, database.password_file.as_deref());
    let telemetry = &mut config.telemetry;
    telemetry.metrics_token.take_if(|token| token.expose_secret().is_empty());
    files.secret("telemetry.metrics_token", &mut telemetry.metrics_token, telemetry.metrics_token_file.as_deref());
    for (o, organization) in config.organizations.iter_mut().enumerate() {
        files.organization(&format!("organizations.{o}"), organization);
    }
    config.warnings.append(&mut files.warnings);
    files.faults
}

struct Files<'a> {
    dir: &'a Path,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Files<'_> {
    fn organization(&mut self, at: &str, organization: &mut DeclaredOrganization) {
        for (i, user) in organization.users.iter_mut().enumerate() {
            self.secret(&format!("{at}.users.{i}.password"), &mut user.password, user.password_file.as_deref());
        }
        for (i, registry) in organization.registries.iter_mut().enumerate() {
            let key = format!("{at}.registries.{i}.token");
            self.secret(&key, &mut registry.token, registry.token_file.as_deref());
            self.needs(&key, registry.token.as_ref(), registry.token_file.as_deref());
        }
        for (i, git) in organization.git.iter_mut().enumerate() {
            let key = format!("{at}.git.{i}.token");
            self.secret(&key, &mut git.token, git.token_file.as_deref());
            self.needs(&key, git.token.as_ref(), git.token_file.as_deref());
        }
        for (i, runtime) in organization.runtimes.iter_mut().enumerate() {
            self.runtime(&format!("{at}.runtimes.{i}"), runtime);
        }
    }

    fn runtime(&mut self, at: &str, runtime: &mut DeclaredRuntime) {
        if let Some(kubernetes) = &mut runtime.kubernetes {
            let key = format!("{at}.kubernetes.kubeconfig_file");
            kubernetes.kubeconfig = self.file(&key, &kubernetes.kubeconfig_file);
            self.look(&key, &kubernetes.kubeconfig_file);
        }
        if let Some(docker) = &mut runtime.docker {
            let (at, tls) = (format!("{at}.docker"), &mut docker.tls);
            let mut read = |name: &str, path: &Option<std::path::PathBuf>| {
                path.as_ref().and_then(|path| self.file(&format!("{at}.{name}"), path))
            };
            tls.ca = read("tls_ca_file", &docker.tls_ca_file);
            tls.cert = read("tls_cert_file", &docker.tls_cert_file);
            tls.key = read("tls_key_file", &docker.tls_key_file);
            if let Some(path) = &docker.tls_key_file {
                self.look(&format!("{at}.tls_key_file"), path);
            }
        }
    }

    /// Reads the file of a secret, where it has one.
    fn secret(&mut self, key: &str, value: &mut Option<SecretString>, file: Option<&Path>) {
        let Some(file) = file else { return };
        let file_key = format!("{key}_file");
        if value.is_some() {
            self.faults.push((file_key.clone(), format!("give either {key} or {file_key}, not both")));
            return;
        }
        *value = self.file(&file_key, file);
        self.look(&file_key, file);
    }

    /// What an entry can't be without. A file that can't be read was complained of already.
    fn needs(&mut self, key: &str, value: Option<&SecretString>, file: Option<&Path>) {
        if value.is_none() && file.is_none() {
            let name = key.rsplit('.').next().unwrap_or(key);
            self.faults.push((key.to_owned(), format!("{name} or {name}_file is needed")));
        }
    }

    /// Reads one file, without the newline at its end.
    fn file(&mut self, key: &str, file: &Path) -> Option<SecretString> {
        let path = self.dir.join(file);
        let shown = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        let text = match std::fs::metadata(&path) {
            Ok(about) if about.len() > MOST_BYTES => Err("it has more than 1 MiB".to_owned()),
            _ => std::fs::read_to_string(&path).map_err(|e| e.to_string()),
        };
        let text = text.map(|text| {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        });
        match text {
            Ok(text) if text.is_empty() => self.faults.push((key.to_owned(), format!("{shown} is empty"))),
            Ok(text) => return Some(SecretString::from(text)),
            Err(why) => self.faults.push((key.to_owned(), format!("{shown}: {why}"))),
        }
        None
    }

    /// Warns of a secret's file that everybody on this machine may read.
    fn look(&mut self, key: &str, file: &Path) {
        let path = self.dir.join(file);
        if std::fs::metadata(&path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0) {
            let shown = path.strip_prefix(".").unwrap_or(&path).display();
            let message = format!("everybody on this machine may read {shown}: take that away (chmod 600)");
            self.warnings.push((key.to_owned(), message));
        }
    }
}
