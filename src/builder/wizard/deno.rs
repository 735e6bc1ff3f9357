//! Deno.

use serde_json::Value;

use super::Project;
use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::versions::{self, Asked};

const CURRENT: &str = "2.9.6";
const PORT: u16 = 8000;
const ENTRIES: [&str; 6] = ["main.ts", "server.ts", "mod.ts", "src/main.ts", "main.js", "main.tsx"];

/// A deno.json with a task to start or a main module.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let file = tree.first(&["deno.json", "deno.jsonc"])?;
    let settings: Value = serde_json::from_str(&without_comments(&tree.text(file)?)).ok()?;
    let has_task = |name: &str| settings.pointer(&format!("/tasks/{name}")).is_some();
    let entry = tree.first(&ENTRIES);
    let mut evidence = vec![format!("{file}: a Deno project")];
    // The image has this one version exactly: tags of Deno are whole versions.
    let exact = |asked: &Asked| asked.version.split('.').count() == 3;
    let asked = [
        versions::of_file(tree, ".deno-version"),
        versions::of_file(tree, ".dvmrc"),
        versions::of_tool(tree, &["deno"]),
    ];
    let (version, because) = Asked::or_current(asked.into_iter().flatten().find(exact), CURRENT);
    evidence.push(because);

    let command = if has_task("start") {
        evidence.push(format!("{file}: the task start"));
        words(&["deno", "task", "start"])
    } else if let Some(entry) = entry {
        evidence.push(format!("{entry}: the main module"));
        words(&["deno", "run", "--allow-net", "--allow-env", "--allow-read", entry])
    } else {
        project.web?.to_vec()
    };
    let is_fresh = settings.get("imports").and_then(Value::as_object).is_some_and(|all| {
        all.keys().any(|key| key.starts_with("$fresh") || key.starts_with("@fresh/") || key == "fresh")
    });

    let mut dockerfile = Dockerfile::new();
    dockerfile
        .stage(&format!("denoland/deno:{version}"), "")
        .add("WORKDIR /app")
        .env(&[("DENO_DIR", "/deno-dir"), ("PORT", &PORT.to_string())]);
    install(&mut dockerfile, &settings, &tree.present(&[file, "deno.lock", "package.json"]));
    dockerfile.add("COPY . .");
    let mut commands = Vec::new();
    if let Some(entry) = entry {
        commands.push(format!("deno cache {entry}"));
    }
    if has_task("build") {
        evidence.push(format!("{file}: the task build"));
        commands.push("deno task build".to_owned());
    }
    commands.push("chown -R 1993:1993 /deno-dir".to_owned());
    dockerfile
        .run(&commands.iter().map(String::as_str).collect::<Vec<_>>())
        .add("USER 1993:1993")
        .add(&format!("EXPOSE {PORT}"));
    Some(Proposal {
        language: "deno",
        framework: is_fresh.then(|| "fresh".to_owned()),
        version: Some(version),
        package_manager: Some("deno"),
        port: Some(PORT),
        evidence,
        dockerfile,
        command: Some(command),
        ignore: vec!["node_modules", "_fresh", "coverage"],
    })
}

/// The dependencies, as far as manifest and lock file name them, in a layer of their own.
fn install(dockerfile: &mut Dockerfile, settings: &Value, files: &[&str]) {
    if settings.get("imports").is_none() {
        return;
    }
    let frozen = if files.contains(&"deno.lock") { "deno install --frozen" } else { "deno install" };
    dockerfile.add(&format!("COPY {} ./", files.join(" "))).run(&[frozen]);
}

/// JSON of JSON with comments and with commas before a closing bracket.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut in_text = false;
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some(_)) if in_text => {
                out.push(c);
                out.extend(rest.next());
            }
            ('"', _) => {
                in_text = !in_text;
                out.push(c);
            }
            ('/', Some('/')) if !in_text => while rest.next_if(|c| *c != '\n').is_some() {},
            ('/', Some('*')) if !in_text => {
                let mut last = ' ';
                rest.next();
                for c in rest.by_ref() {
                    if (last, c) == ('*', '/') {
                        break;
                    }
                    last = c;
                }
            }
            (']' | '}', _) if !in_text => {
                out.truncate(out.trim_end().trim_end_matches(',').len());
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
