//! What every Dockerfile of the wizard keeps to.

use super::{fixtures, plan_of};

const INSTRUCTIONS: [&str; 8] = ["FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "CMD"];

/// The instructions of a Dockerfile, with continued lines joined and comments left out.
///
/// # Panics
/// When a line is none of the instructions that the wizard writes.
pub fn instructions(text: &str) -> Vec<(String, String)> {
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        assert!(INSTRUCTIONS.contains(&name), "{name:?} is no instruction of the wizard:\n{text}");
        (name.to_owned(), rest.to_owned())
    };
    lines.map(split).collect()
}

/// # Panics
/// When the Dockerfile breaks a rule.
pub fn assert_keeps_the_rules(name: &str, text: &str) {
    assert!(!text.contains("# syntax="), "{name}: no image is needed to read it");
    let all = instructions(text);
    for (instruction, rest) in &all {
        assert!(!(instruction == "COPY" && rest.contains("--link")), "{name}: {rest}");
        // In a command it is a word of JSON.
        assert!(instruction == "CMD" || !rest.contains("<<"), "{name}: {rest}");
    }
    let froms: Vec<&str> = all.iter().filter(|(name, _)| name == "FROM").map(|(_, rest)| rest.as_str()).collect();
    let stages: Vec<&str> = froms.iter().filter_map(|from| Some(from.split_once(" AS ")?.1)).collect();
    for from in &froms {
        let image = from.split(' ').next().unwrap();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(stages.contains(&image) || tag.is_some_and(|tag| tag != "latest"), "{name}: {image} has no fixed tag");
    }
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let users: Vec<&str> =
        all[last..].iter().filter(|(name, _)| name == "USER").map(|(_, rest)| rest.as_str()).collect();
    let [user] = users[..] else { panic!("{name}: one USER in the last stage, not {users:?}") };
    let (user, group) = user.split_once(':').unwrap();
    // A number: Kubernetes can't tell whether a name is root.
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0, "{name}");
    let (instruction, command) = all.last().unwrap();
    assert_eq!(instruction, "CMD", "{name}");
    let words: Vec<String> = serde_json::from_str(command).unwrap();
    assert!(!words.is_empty() && all.iter().filter(|(name, _)| name == "CMD").count() == 1, "{name}");
}

#[test]
fn each_keeps_the_rules() {
    let mut seen = 0;
    for (name, folder) in fixtures() {
        let plan = plan_of(&folder);
        let Some(text) = plan.dockerfile else { continue };
        seen += 1;
        assert_keeps_the_rules(&name, &text);
        let all = instructions(&text);
        if let Some(port) = plan.port {
            assert!(all.contains(&("EXPOSE".to_owned(), port.to_string())), "{name}: {port}");
        }
    }
    assert!(seen > 60, "{seen}");
}

/// Sources are copied after dependencies are installed, in every stage that does both.
#[test]
fn dependencies_stand_on_manifests_alone() {
    let installs = [
        "npm ci",
        "npm install",
        "yarn install",
        "pnpm install",
        "bun install",
        "pip install",
        "uv sync",
        "poetry install",
        "pdm install",
        "pipenv sync",
        "go mod download",
        "cargo fetch",
        "dependency:go-offline",
        "dependencies >",
        "dotnet restore",
        "composer install",
        "bundle install",
        "deno install",
        "mix deps.get",
    ];
    for (name, folder) in fixtures() {
        let Some(text) = plan_of(&folder).dockerfile else { continue };
        let mut copied = false;
        for (instruction, rest) in instructions(&text) {
            match instruction.as_str() {
                "FROM" => copied = false,
                "COPY" if rest == ". ." => copied = true,
                "RUN" => assert!(!copied || !installs.iter().any(|install| rest.contains(install)), "{name}: {rest}"),
                _ => {}
            }
        }
    }
}
