//! Java and Kotlin.

mod gradle;
mod maven;

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::{Tree, join};
use super::versions::{self, Asked};
use super::{Project, check};

/// Long-term releases, for which images are kept.
const LONG_TERM: [u32; 5] = [8, 11, 17, 21, 25];
const CURRENT: &str = "21";
const PORT: u16 = 8080;

/// What a build tool's files say.
struct Build {
    package_manager: &'static str,
    framework: Option<&'static str>,
    is_kotlin: bool,
    /// As the files say it: `17`, `1.8`.
    java: Option<(String, String)>,
    evidence: Vec<String>,
    /// The image of the build stage, without a version of Java: `maven:3.9-eclipse-temurin-{java}`.
    image: &'static str,
    /// Files and folders, each with where it goes.
    manifests: Vec<(String, String)>,
    /// Fills the cache with dependencies.
    resolve: String,
    cache: &'static str,
    package: String,
    /// What is built, below the project's folder.
    artifact: Artifact,
}

enum Artifact {
    /// One runnable jar; may be a pattern.
    Jar(String),
    /// A folder with all that is needed, and the command in it.
    Folder(String, Vec<String>),
}

/// A pom.xml or a Gradle build in the root.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let build = maven::read(tree).or_else(|| gradle::read(tree))?;
    let asked = build.java.as_ref().and_then(|(version, by)| Some(Asked::new(long_term(version)?, by)));
    let asked = tools(tree).or(asked);
    let (version, because) = Asked::or_current(asked, CURRENT);
    let mut evidence = build.evidence;
    evidence.push(because);

    let mut dockerfile = Dockerfile::new();
    dockerfile.stage(&build.image.replace("{java}", &version), "build").add("WORKDIR /src");
    for (from, to) in &build.manifests {
        dockerfile.add(&format!("COPY {from} {to}"));
    }
    dockerfile.run_with(&[build.cache], &[&build.resolve]).add("COPY . .");
    let (gather, copy, command) = match build.artifact {
        Artifact::Jar(jar) => {
            (format!("cp {jar} /app.jar"), "COPY --from=build /app.jar ./", words(&["java", "-jar", "app.jar"]))
        }
        Artifact::Folder(folder, command) => (format!("cp -r {folder} /out"), "COPY --from=build /out/ ./", command),
    };
    dockerfile.run_with(&[build.cache], &[&build.package, &gather]);

    dockerfile
        .stage(&format!("eclipse-temurin:{version}-jre"), "")
        .add("WORKDIR /app")
        .env(&[("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75"), ("PORT", &PORT.to_string())])
        .add(copy)
        .add("USER 10001:10001")
        .add(&format!("EXPOSE {PORT}"));
    Some(Proposal {
        language: if build.is_kotlin { "kotlin" } else { "java" },
        framework: build.framework.map(str::to_owned),
        version: Some(version),
        package_manager: Some(build.package_manager),
        port: Some(PORT),
        evidence,
        dockerfile,
        command: Some(command),
        ignore: vec!["**/target", "**/build", "**/.gradle", "*.iml"],
    })
}

/// The first long-term release that has what is asked for; what is newer than all is taken as it is.
fn long_term(version: &str) -> Option<String> {
    let asked: u32 = version.strip_prefix("1.").unwrap_or(version).split('.').next()?.parse().ok()?;
    let release = LONG_TERM.into_iter().find(|release| *release >= asked).unwrap_or(asked);
    (release < 100).then(|| release.to_string())
}

/// What a version manager's file says: `.java-version`, `.sdkmanrc`, `.tool-versions`, Heroku's system.properties.
fn tools(tree: &Tree<'_>) -> Option<Asked> {
    let of_java_version = || versions::of_file(tree, ".java-version");
    let keyed = |file: &str, key: &str| {
        let text = tree.text(file)?;
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))?;
        Some(Asked::new(check::version(value.split('-').next()?)?, file))
    };
    let tool = || {
        let text = tree.text(".tool-versions")?;
        let word = text.lines().find_map(|line| line.trim().strip_prefix("java "))?;
        let number = word.trim().trim_start_matches(|c: char| !c.is_ascii_digit()).split(['.', '+', '-']).next()?;
        Some(Asked::new(check::version(number)?, ".tool-versions"))
    };
    let found = of_java_version()
        .or_else(|| keyed(".sdkmanrc", "java"))
        .or_else(|| keyed("system.properties", "java.runtime.version"))
        .or_else(tool)?;
    Some(Asked { version: long_term(&found.version)?, ..found })
}

/// Whether sources are Kotlin and not Java.
fn has_kotlin(tree: &Tree<'_>, folder: &str) -> bool {
    tree.has_folder(&join(folder, "src/main/kotlin")) && !tree.has_folder(&join(folder, "src/main/java"))
}

/// The framework that a build file's text names.
fn framework(text: &str) -> Option<&'static str> {
    let known = [
        ("org.springframework.boot", "spring-boot"),
        ("io.quarkus", "quarkus"),
        ("io.ktor", "ktor"),
        ("io.micronaut", "micronaut"),
        ("io.javalin", "javalin"),
    ];
    known.into_iter().find(|(name, _)| text.contains(name)).map(|(_, framework)| framework)
}
