//! Saving how a service is built. Pipelines that were started keep what they were started with.

use entity::service;
use sea_orm::{ActiveModelTrait, IntoActiveModel, Set};
use serde_json::json;

use super::definition::{BuildDefinition, DockerfileMode, build_of};
use super::start::nothing_to_build;
use crate::app::audit::{self, Entry};
use crate::app::change::Change;
use crate::app::deployments::environments;
use crate::app::deployments::request::refuse_while_removing;
use crate::app::scans::start::not_configured;
use crate::app::services::check;
use crate::app::services::input::{EnvVarInput, RegistryAuth};
use crate::app::services::update::for_change;
use crate::app::{Actor, App, Result, Violations, git, secrets};
use crate::domain::image::Repository;
use crate::domain::names::SourcePath;
use crate::domain::scan::ScanKind;

/// A stored Dockerfile is at most this large, in bytes.
const LARGEST: usize = 256 * 1024;
/// Longest name of a stage.
const TARGET: usize = 128;

/// What becomes of a service's build settings; what is left out stays, and what is cleared is the default again.
#[derive(Clone, Default)]
pub struct SaveBuildSettings {
    /// The service's id.
    pub service_id: String,
    /// Where the Dockerfile comes from.
    pub mode: Change<DockerfileMode>,
    /// Relative to the context.
    pub dockerfile_path: Change<String>,
    /// The folder of the project that is built.
    pub context_path: Change<String>,
    /// An edited Dockerfile.
    pub dockerfile: Change<String>,
    /// Replaces all of them.
    pub args: Change<Vec<EnvVarInput>>,
    /// The stage that is built.
    pub target: Change<String>,
    /// Platforms.
    pub platforms: Change<Vec<String>>,
    /// Where the image is pushed.
    pub image_repository: Change<String>,
    /// The service's own registry login.
    pub registry_auth: Change<RegistryAuth>,
    /// small, medium, large, …
    pub profile: Change<String>,
    /// What is run in the image before it is deployed.
    pub test_command: Change<Vec<String>>,
    /// What is looked for.
    pub scans: Change<Vec<ScanKind>>,
}

/// Saves what is given. An argument that is named without a value keeps its stored one.
///
/// # Errors
/// NOT_FOUND, BAD_USER_INPUT with every fault, FAILED_PRECONDITION for a scan that no tool is configured for and while
/// the service is being removed.
pub async fn save(app: &App, actor: &Actor, input: SaveBuildSettings) -> Result<service::Model> {
    let scope = &actor.scope;
    let tx = app.begin().await?;
    let stored = for_change(&tx, scope, &input.service_id).await?;
    let source = git::source_of(&stored).ok_or_else(nothing_to_build)?;
    refuse_while_removing(&stored)?;
    let before = build_of(&stored)?;
    let mut v = Violations::default();
    let args = match input.args {
        Change::Keep => None,
        Change::Clear => Some(check::variables(&mut v, "input.buildArgs", Vec::new(), &[])),
        Change::Set(args) => Some(check::variables(&mut v, "input.buildArgs", args, &before.args)),
    };
    let context_path = input.context_path.over(Some(source.context_path)).unwrap_or_else(|| ".".to_owned());
    v.check("input.contextPath", SourcePath::parse(&context_path));
    if let Change::Set(auth) = &input.registry_auth {
        check::login(&mut v, "input.registryAuth", auth);
    }
    let mut after = BuildDefinition {
        mode: input.mode.over(Some(before.mode)).unwrap_or_default(),
        dockerfile_path: input.dockerfile_path.over(before.dockerfile_path),
        dockerfile: input.dockerfile.over(before.dockerfile),
        args: before.args,
        target: input.target.over(before.target),
        platforms: input.platforms.over(Some(before.platforms)).unwrap_or_default(),
        image_repository: input.image_repository.over(before.image_repository),
        profile: input.profile.over(before.profile),
        test_command: input.test_command.over(before.test_command),
        scans: input.scans.over(Some(before.scans)).unwrap_or_default(),
    };
    faults(&mut v, app, &after);
    v.finish()?;
    scannable(app, &after.scans)?;

    if let Some(args) = args {
        after.args = check::seal_env(app, &tx, scope, args).await?;
    }
    let mut change = stored.clone().into_active_model();
    match input.registry_auth {
        Change::Keep => {}
        Change::Clear => {
            change.registry_username = Set(None);
            change.registry_secret_id = Set(None);
        }
        Change::Set(auth) => {
            change.registry_secret_id = Set(Some(secrets::store(app, &tx, scope, &auth.token).await?));
            change.registry_username = Set(Some(auth.username));
        }
    }
    change.build = Set(Some(serde_json::to_value(&after)?));
    change.git_context_path = Set(Some(context_path.clone()));
    change.changed_at = Set(app.clock.now());
    let row = change.update(&tx).await?;
    let entry = Entry {
        action: "build_settings.saved",
        subject_kind: "Service",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({
            "mode": after.mode,
            "contextPath": context_path,
            "imageRepository": after.image_repository,
            "profile": after.profile,
            "testCommand": after.test_command,
        }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    environments::changed(app, &row);
    Ok(row)
}

fn faults(v: &mut Violations, app: &App, build: &BuildDefinition) {
    match (&build.dockerfile_path, build.mode) {
        (None, DockerfileMode::Path) => v.add("input.dockerfilePath", "mode PATH needs the path of the Dockerfile"),
        (Some(path), _) => {
            v.check("input.dockerfilePath", SourcePath::parse(path));
        }
        (None, _) => {}
    }
    if let Some(text) = &build.dockerfile {
        if build.mode != DockerfileMode::Wizard {
            v.add("input.dockerfile", "a stored Dockerfile is for mode WIZARD: set that, or clear the Dockerfile");
        }
        if text.trim().is_empty() || text.len() > LARGEST || text.contains('\0') {
            v.add("input.dockerfile", format!("a Dockerfile is a text of at most {LARGEST} bytes that is not empty"));
        }
    }
    if let Some(target) = &build.target {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let first = target.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !first || target.len() > TARGET || !target.bytes().all(fits) {
            v.add("input.target", "a stage is named by letters, digits, dots, underscores and hyphens");
        }
    }
    if build.platforms.len() > 1 {
        v.add("input.platforms", "a Docker engine builds for one platform at a time: name one, or none for its own");
    }
    for (i, platform) in build.platforms.iter().enumerate() {
        if !is_platform(platform) {
            v.add(format!("input.platforms.{i}"), "a platform is written like linux/amd64 or linux/arm64/v8");
        }
    }
    if let Some(repository) = &build.image_repository {
        v.check("input.imageRepository", Repository::parse(repository));
    }
    if let Some(profile) = &build.profile
        && !app.settings.build_profiles.iter().any(|p| p.name == *profile)
    {
        let names: Vec<&str> = app.settings.build_profiles.iter().map(|p| p.name.as_str()).collect();
        v.add("input.profile", format!("there is no such profile: there are {}", names.join(", ")));
    }
    if let Some(command) = &build.test_command {
        check::arguments(v, "input.testCommand", command);
    }
}

/// `os/architecture[/variant]`.
fn is_platform(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let part =
        |p: &&str| !p.is_empty() && p.len() <= 32 && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (2..=3).contains(&parts.len()) && parts.iter().all(part)
}

/// A scan that no tool is configured for would look at nothing.
fn scannable(app: &App, scans: &[ScanKind]) -> Result<()> {
    let without = scans.iter().find(|kind| !app.settings.scanners.iter().any(|s| s.kind == **kind));
    match without {
        None => Ok(()),
        Some(kind) => Err(not_configured(*kind)),
    }
}
