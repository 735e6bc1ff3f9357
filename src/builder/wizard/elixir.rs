//! Elixir: a release of Mix.

use super::Project;
use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::Tree;
use super::versions::{self, Asked};

const VERSIONS: [&str; 6] = ["1.18", "1.19", "1.17", "1.16", "1.15", "1.14"];
const PORT: u16 = 4000;

/// A mix.exs, which is a program: what is looked for in it are words.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let mix = tree.text("mix.exs")?;
    let name = app(&mix)?;
    let (version, because) = Asked::or_current(version(tree, &mix), VERSIONS[0]);
    let is_phoenix = mix.contains("{:phoenix,");
    let mut evidence = vec![format!("mix.exs: the application {name}"), because];
    if is_phoenix {
        evidence.push("mix.exs: phoenix among the dependencies".to_owned());
    }

    let mut dockerfile = Dockerfile::new();
    dockerfile
        .stage(&format!("elixir:{version}"), "build")
        .add("WORKDIR /app")
        .add("ENV MIX_ENV=prod")
        .run(&["mix local.hex --force", "mix local.rebar --force"])
        .add(&format!("COPY {} ./", tree.present(&["mix.exs", "mix.lock"]).join(" ")));
    let locked = if tree.has("mix.lock") { " --check-locked" } else { "" };
    let get = format!("mix deps.get --only prod{locked}");
    let config = tree.present(&["config/config.exs", "config/prod.exs"]);
    if config.is_empty() {
        dockerfile.run(&[&get, "mix deps.compile"]);
    } else {
        dockerfile
            .run(&[&get])
            .note("Dependencies are compiled with the settings of compile time; runtime.exs is for later.")
            .add(&format!("COPY {} ./config/", config.join(" ")))
            .run(&["mix deps.compile"]);
    }
    dockerfile.add("COPY . .");
    let mut commands = Vec::new();
    if mix.contains("\"assets.deploy\"") {
        evidence.push("mix.exs: the alias assets.deploy".to_owned());
        commands.push("mix assets.deploy");
    }
    commands.extend(["mix compile", "mix release --path /out"]);
    dockerfile.run(&commands);

    // The slim image of the same Elixir has the C library that the release was built with.
    dockerfile.stage(&format!("elixir:{version}-slim"), "").add("WORKDIR /app").env(&[
        ("LANG", "C.UTF-8"),
        ("HOME", "/tmp"),
        ("RELEASE_TMP", "/tmp"),
        ("PHX_SERVER", "true"),
        ("PORT", &PORT.to_string()),
    ]);
    dockerfile.add("COPY --from=build /out ./").add("USER 10001:10001").add(&format!("EXPOSE {PORT}"));
    Some(Proposal {
        language: "elixir",
        framework: is_phoenix.then(|| "phoenix".to_owned()),
        version: Some(version),
        package_manager: Some("mix"),
        port: Some(PORT),
        evidence,
        dockerfile,
        command: Some(words(&[&format!("/app/bin/{name}"), "start"])),
        ignore: vec!["_build", "deps", "cover", "*.ez", "assets/node_modules"],
    })
}

/// The name in `app: :shop`.
fn app(mix: &str) -> Option<String> {
    let rest = mix[mix.find("app: :")? + "app: :".len()..].to_owned();
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    matches!(end, 1..=100).then(|| rest[..end].to_owned())
}

fn version(tree: &Tree<'_>, mix: &str) -> Option<Asked> {
    let line = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let of_file = versions::of_file(tree, ".elixir-version").or_else(|| versions::of_tool(tree, &["elixir"]));
    if let Some(asked) = of_file {
        return Some(asked);
    }
    let range = mix[mix.find("elixir: \"")? + "elixir: \"".len()..].split('"').next()?;
    Some(Asked::new(line(&versions::in_range(range, &VERSIONS)?), "mix.exs"))
}
