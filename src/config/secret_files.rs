//! Secrets that are given as `x_file`.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::Config;

type Fault = (String, String);

pub(super) fn read(config: &mut Config, dir: &Path) -> Result<(), Fault> {
    let bootstrap = &mut config.bootstrap;
    one(dir, "bootstrap.admin_password", &mut bootstrap.admin_password, bootstrap.admin_password_file.as_deref())?;
    let telemetry = &mut config.telemetry;
    telemetry.metrics_token.take_if(|token| token.expose_secret().is_empty());
    one(dir, "telemetry.metrics_token", &mut telemetry.metrics_token, telemetry.metrics_token_file.as_deref())?;
    for (o, organization) in config.organizations.iter_mut().enumerate() {
        for (i, user) in organization.users.iter_mut().enumerate() {
            let key = format!("organizations.{o}.users.{i}.password");
            one(dir, &key, &mut user.password, user.password_file.as_deref())?;
        }
        for (i, git) in organization.git.iter_mut().enumerate() {
            one(dir, &format!("organizations.{o}.git.{i}.token"), &mut git.token, git.token_file.as_deref())?;
        }
    }
    Ok(())
}

/// Reads one file, without the newline at its end.
fn one(dir: &Path, key: &str, value: &mut Option<SecretString>, file: Option<&Path>) -> Result<(), Fault> {
    let Some(file) = file else { return Ok(()) };
    let at = |message: String| (format!("{key}_file"), message);
    if value.is_some() {
        return Err(at(format!("give either {key} or {key}_file, not both")));
    }
    let path: PathBuf = dir.join(file);
    let mut text = std::fs::read_to_string(&path).map_err(|e| at(format!("{}: {e}", path.display())))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(at(format!("{} is empty", path.display())));
    }
    *value = Some(SecretString::from(text));
    Ok(())
}
