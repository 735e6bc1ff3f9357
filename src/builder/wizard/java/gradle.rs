//! Gradle: Groovy or Kotlin build scripts, which are programs: what is looked for in them are words.

use super::{Artifact, Build};
use crate::builder::wizard::check;
use crate::builder::wizard::tree::{Tree, join};

const MAX_PROJECTS: usize = 40;
const SCRIPTS: [&str; 2] = ["build.gradle.kts", "build.gradle"];
const SETTINGS: [&str; 2] = ["settings.gradle.kts", "settings.gradle"];

struct Script {
    folder: String,
    file: &'static str,
    text: String,
}

/// The root's project, or the first of its subprojects that can be started.
pub(super) fn read(tree: &Tree<'_>) -> Option<Build> {
    let settings_file = tree.first(&SETTINGS);
    let settings = settings_file.and_then(|file| tree.text(file)).unwrap_or_default();
    let mut scripts: Vec<Script> = script(tree, "").into_iter().collect();
    if scripts.is_empty() && settings_file.is_none() {
        return None;
    }
    scripts.extend(included(&settings).iter().take(MAX_PROJECTS).filter_map(|folder| script(tree, folder)));
    let started = scripts.iter().find(|script| script.starts().is_some())?;
    let started_by = started.starts()?;
    let catalog = tree.text("gradle/libs.versions.toml").unwrap_or_default();

    let at = join(&started.folder, started.file);
    let mut evidence = vec![format!("{at}: a Gradle project that makes a program")];
    let mut manifests = Vec::new();
    let has_wrapper = tree.has("gradlew") && tree.has("gradle/wrapper/gradle-wrapper.properties");
    let (gradle, image) = if has_wrapper {
        evidence.push("gradlew: the Gradle wrapper".to_owned());
        ("sh ./gradlew", "eclipse-temurin:{java}-jdk")
    } else {
        ("gradle", "gradle:8-jdk{java}")
    };
    let root: Vec<&str> = tree.present(&["gradlew", SETTINGS[0], SETTINGS[1], "gradle.properties", "gradle.lockfile"]);
    let root: Vec<&str> =
        root.into_iter().chain(scripts.iter().filter(|s| s.folder.is_empty()).map(|s| s.file)).collect();
    manifests.push((root.join(" "), "./".to_owned()));
    if tree.has_folder("gradle") {
        manifests.push(("gradle".to_owned(), "./gradle".to_owned()));
    }
    if tree.has_folder("buildSrc") {
        manifests.push(("buildSrc".to_owned(), "./buildSrc".to_owned()));
    }
    for script in scripts.iter().filter(|script| !script.folder.is_empty()) {
        manifests.push((join(&script.folder, script.file), format!("{}/", script.folder)));
    }
    // The path of a task: `:app:bootJar`.
    let project =
        if started.folder.is_empty() { String::new() } else { format!(":{}:", started.folder.replace('/', ":")) };
    let build = join(&started.folder, "build");
    let (task, artifact) = match started_by {
        Start::BootJar => ("bootJar", Artifact::Jar(format!("{build}/libs/*.jar"))),
        Start::Quarkus => (
            "quarkusBuild",
            Artifact::Folder(format!("{build}/quarkus-app"), command(&["java", "-jar", "quarkus-run.jar"])),
        ),
        Start::Application => {
            let name = match started.folder.rsplit('/').next() {
                Some("") | None => root_name(&settings)?,
                Some(name) => name.to_owned(),
            };
            let program = format!("/app/bin/{name}");
            ("installDist", Artifact::Folder(format!("{build}/install/{name}"), command(&[&program])))
        }
    };
    Some(Build {
        package_manager: "gradle",
        framework: super::framework(&started.text).or_else(|| super::framework(&catalog)),
        is_kotlin: super::has_kotlin(tree, &started.folder),
        java: scripts.iter().find_map(|script| java(&script.text)).map(|java| (java, at)),
        evidence,
        image,
        manifests,
        resolve: format!("{gradle} --no-daemon {project}dependencies > /dev/null"),
        cache: "/root/.gradle",
        package: format!("{gradle} --no-daemon {project}{task}"),
        artifact,
    })
}

fn command(words: &[&str]) -> Vec<String> {
    crate::builder::wizard::dockerfile::words(words)
}

#[derive(Clone, Copy)]
enum Start {
    BootJar,
    Quarkus,
    Application,
}

impl Script {
    /// By which plugin a program comes of it.
    fn starts(&self) -> Option<Start> {
        // A plugin that is only named for subprojects is not applied.
        let applied = |name: &str| self.text.lines().any(|line| line.contains(name) && !line.contains("apply false"));
        let any = |names: &[&str]| names.iter().any(|name| applied(name));
        if any(&["\"org.springframework.boot\"", "'org.springframework.boot'", "libs.plugins.spring.boot"]) {
            Some(Start::BootJar)
        } else if any(&["\"io.quarkus\"", "'io.quarkus'", "libs.plugins.quarkus"]) {
            Some(Start::Quarkus)
        } else if any(&[
            "id(\"application\")",
            "id 'application'",
            "id(\"io.ktor.plugin\")",
            "id 'io.ktor.plugin'",
            "apply plugin: 'application'",
            "libs.plugins.ktor",
        ]) || self.text.lines().any(|line| matches!(line.trim(), "application" | "`application`"))
        {
            Some(Start::Application)
        } else {
            None
        }
    }
}

fn script(tree: &Tree<'_>, folder: &str) -> Option<Script> {
    let file = SCRIPTS.into_iter().find(|file| tree.has(&join(folder, file)))?;
    Some(Script { folder: folder.to_owned(), file, text: tree.text(&join(folder, file))? })
}

/// The folders of `include("app", "libs:core")`.
fn included(settings: &str) -> Vec<String> {
    let lines =
        settings.lines().map(str::trim).filter(|line| line.starts_with("include(") || line.starts_with("include "));
    let quoted = lines.flat_map(|line| line.split(['"', '\'']).skip(1).step_by(2));
    quoted.filter_map(|name| check::path(&name.trim_start_matches(':').replace(':', "/"))).collect()
}

fn root_name(settings: &str) -> Option<String> {
    let line = settings.lines().find(|line| line.trim().starts_with("rootProject.name"))?;
    check::word(line.split(['"', '\'']).nth(1)?).filter(|name| !name.contains('/'))
}

/// `jvmToolchain(21)`, `JavaLanguageVersion.of(21)`, `JavaVersion.VERSION_17`, `sourceCompatibility = '17'`.
fn java(text: &str) -> Option<String> {
    let keys = ["jvmToolchain(", "JavaLanguageVersion.of(", "JavaVersion.VERSION_", "sourceCompatibility"];
    keys.into_iter().find_map(|key| {
        let rest = text[text.find(key)? + key.len()..].trim_start_matches([' ', '=', '"', '\'']);
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_'))).unwrap_or(rest.len());
        check::version(&rest[..end].replace('_', "."))
    })
}
