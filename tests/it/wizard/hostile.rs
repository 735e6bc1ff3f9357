//! Trees that want something else than to be built.

use std::os::unix::fs::symlink;
use std::process::Command;

use kiops::builder::wizard::{BuildPlan, Files as _, Folder, Kind, Tree, plan};
use serde_json::json;

use super::dockerfile::{assert_keeps_the_rules, instructions};
use super::memory::Memory;
use super::plan_of;

fn planned(files: &[(&str, &str)]) -> BuildPlan {
    let mut memory = Memory::default();
    files.iter().for_each(|(path, content)| memory.insert(path, content.as_bytes()));
    plan(&Tree::new(&memory))
}

#[test]
fn a_link_out_of_the_tree_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    std::fs::write(outside.path().join("index.html"), "hello").unwrap();
    let tree = tempfile::tempdir().unwrap();
    symlink(outside.path().join("Dockerfile"), tree.path().join("Dockerfile")).unwrap();
    symlink("../../../../../../../../etc/passwd", tree.path().join("go.mod")).unwrap();
    symlink(outside.path(), tree.path().join("public")).unwrap();
    symlink(tree.path(), tree.path().join("round")).unwrap();
    symlink("loop", tree.path().join("loop")).unwrap();
    assert_eq!(plan_of(tree.path()), BuildPlan::default());

    let folder = Folder::open(tree.path()).unwrap();
    for path in ["Dockerfile", "go.mod", "public", "public/index.html", "loop", "/etc/passwd", "../x"] {
        assert_eq!(folder.kind(path), None, "{path}");
        assert_eq!(folder.read(path, 100_000), None, "{path}");
    }
    // One that stays inside is as good as the file.
    std::fs::write(tree.path().join("page.html"), "hello").unwrap();
    symlink("page.html", tree.path().join("index.html")).unwrap();
    assert_eq!(folder.kind("index.html"), Some(Kind::File));
    assert_eq!(plan_of(tree.path()).language.as_deref(), Some("static"));
}

#[test]
fn a_pipe_is_not_opened() {
    let tree = tempfile::tempdir().unwrap();
    for name in ["package.json", "go.mod", "Dockerfile"] {
        let made = Command::new("mkfifo").arg(tree.path().join(name)).status().unwrap();
        assert!(made.success());
    }
    symlink("/dev/zero", tree.path().join("Cargo.toml")).unwrap();
    assert_eq!(plan_of(tree.path()), BuildPlan::default());
}

#[test]
fn what_is_too_large_or_no_text_is_not_read() {
    let tree = tempfile::tempdir().unwrap();
    let package = tree.path().join("package.json");
    let start = r#"{"scripts": {"start": "node x.js"}}"#;
    std::fs::write(&package, format!("{start}{}", " ".repeat(1024 * 1024 - start.len()))).unwrap();
    assert_eq!(plan_of(tree.path()).language.as_deref(), Some("node"));
    std::fs::write(&package, format!("{start}{}", " ".repeat(1024 * 1024 - start.len() + 1))).unwrap();
    assert_eq!(plan_of(tree.path()).language, None);
    std::fs::write(&package, b"{\"scripts\": {\"start\": \"node \xff.js\"}}").unwrap();
    assert_eq!(plan_of(tree.path()).language, None);
    std::fs::write(&package, format!("\u{feff}{start}")).unwrap();
    assert_eq!(plan_of(tree.path()).language.as_deref(), Some("node"));
}

/// Everything that reaches a Dockerfile from these files is either a plain word or left out.
#[test]
fn no_value_adds_an_instruction() {
    let evil = [
        "x\nRUN touch /pwned",
        "x; touch /pwned",
        "$(touch /pwned)",
        "`touch /pwned`",
        "x && touch /pwned",
        "../../etc",
        "/etc/passwd",
        "-x",
        "x\\",
        "x\u{202e}y",
        "x' y",
        "x\" y",
        "x<<EOF",
        "--link",
    ];
    for evil in evil {
        let package = json!({
            "name": evil, "main": evil, "packageManager": format!("pnpm@{evil}"), "engines": {"node": evil},
            "volta": {"node": evil}, "scripts": {"start": format!("node {evil}"), "build": evil},
            "dependencies": {"express": evil}, "workspaces": [evil, format!("{evil}/*")],
        });
        let angular = json!({"projects": {evil: {"architect": {"build": {
            "builder": "@angular/build:application", "options": {"outputPath": {"base": evil, "browser": evil}}}}}}});
        let quoted = serde_json::Value::from(evil).to_string();
        let trees: Vec<Vec<(&str, String)>> = vec![
            vec![("package.json", package.to_string()), (".nvmrc", evil.to_owned())],
            vec![
                (
                    "package.json",
                    json!({"dependencies": {"@angular/core": "1"}, "scripts": {"build": evil}}).to_string(),
                ),
                ("angular.json", angular.to_string()),
            ],
            vec![
                ("index.js", String::new()),
                ("package.json", "{}".to_owned()),
                ("Procfile", format!("web: node {evil}")),
            ],
            vec![
                ("go.mod", format!("module {evil}\ngo {evil}\ntoolchain go{evil}")),
                ("main.go", "package main".to_owned()),
            ],
            vec![
                (
                    "Cargo.toml",
                    format!("[package]\nname = {quoted}\n[[bin]]\nname = {quoted}\n[workspace]\nmembers = [{quoted}]"),
                ),
                ("src/bin/ok.rs", String::new()),
                ("rust-toolchain.toml", format!("[toolchain]\nchannel = {quoted}")),
                ("src/main.rs", String::new()),
            ],
            vec![
                ("requirements.txt", "flask".to_owned()),
                ("app.py", format!("{evil} = Flask()\napp = Flask({evil})")),
                (".python-version", evil.to_owned()),
            ],
            vec![
                ("requirements.txt", "django".to_owned()),
                ("manage.py", format!("os.environ.setdefault('DJANGO_SETTINGS_MODULE', '{evil}')")),
                ("main.py", String::new()),
            ],
            vec![(
                "pom.xml",
                format!(
                    "<project><artifactId>{evil}</artifactId><version>{evil}</version><build><finalName>{evil}</finalName><p>maven-shade-plugin</p></build></project>"
                ),
            )],
            vec![
                ("build.gradle", "id 'application'".to_owned()),
                ("settings.gradle", format!("rootProject.name = '{evil}'\ninclude '{evil}'")),
            ],
            vec![(
                "x.csproj",
                format!(
                    "<Project Sdk=\"Microsoft.NET.Sdk.Web\"><P><AssemblyName>{evil}</AssemblyName><TargetFramework>net{evil}</TargetFramework></P></Project>"
                ),
            )],
            vec![
                ("composer.json", json!({"require": {"php": evil, format!("ext-{evil}"): "*"}}).to_string()),
                ("index.php", String::new()),
                (".php-version", evil.to_owned()),
            ],
            vec![
                ("Gemfile", format!("ruby '{evil}'\ngem 'sinatra'")),
                ("app.rb", String::new()),
                (".ruby-version", evil.to_owned()),
            ],
            vec![
                ("deno.json", json!({"tasks": {"start": evil}, "imports": {evil: evil}}).to_string()),
                (".deno-version", evil.to_owned()),
            ],
            vec![
                ("mix.exs", format!("app: :{evil}, elixir: \"{evil}\"")),
                (".tool-versions", format!("elixir {evil}")),
            ],
        ];
        for files in trees {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (*path, content.as_str())).collect();
            let plan = planned(&files);
            for line in &plan.evidence {
                assert!(!line.chars().any(|c| c.is_control() || !c.is_ascii()), "{line:?}");
            }
            let Some(text) = &plan.dockerfile else { continue };
            assert_keeps_the_rules(evil, text);
            assert!(text.is_ascii(), "{text}");
            for (instruction, rest) in instructions(text) {
                // A command is the project's own; there it is a word of JSON.
                assert!(instruction == "CMD" || !rest.contains("pwned"), "{evil:?} in {rest}");
            }
        }
    }
}

/// Names of files are somebody's text too.
#[test]
fn files_with_hostile_names_are_not_named() {
    let plan = planned(&[
        ("a b\nRUN x.csproj", "<Project Sdk=\"Microsoft.NET.Sdk.Web\" />"),
        ("$(x).sln", ""),
        ("Dockerfile.\u{1b}[2J", ""),
        ("cmd/$(x)/main.go", "package main"),
        ("go.mod", "module x"),
        ("sub $(x)/package.json", r#"{"scripts": {"start": "x"}}"#),
    ]);
    assert_eq!(plan, BuildPlan::default());
}

#[test]
fn deep_and_long_documents_end_in_nothing() {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    for (file, text) in [
        ("package.json", deep("[", "]", 400_000)),
        ("deno.json", deep("{\"a\":", "}", 100_000)),
        ("pom.xml", deep("<a>", "</a>", 140_000)),
        ("x.csproj", deep("<a>", "", 300_000)),
        ("Cargo.toml", format!("a = {}", deep("[", "]", 400_000))),
        ("pyproject.toml", format!("{}a = 1", "a.".repeat(300_000))),
        ("Procfile", format!("web: {}", "x".repeat(900_000))),
        ("go.mod", "require (\n".repeat(90_000)),
        ("mix.exs", format!("app: :{}", "a".repeat(900_000))),
    ] {
        assert_eq!(planned(&[(file, &text)]), BuildPlan::default(), "{file}");
    }
    let yaml = deep("[", "]", 400_000);
    planned(&[("package.json", "{}"), ("pnpm-workspace.yaml", &yaml)]);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\npackages: [*g,*g,*g,*g,*g,*g,*g,*g,*g]";
    planned(&[("package.json", "{}"), ("pnpm-workspace.yaml", bomb)]);
}

/// A root of thousands of packages costs no more than the number of files that are read.
#[test]
fn the_number_of_files_read_is_bounded() {
    let mut memory = Memory::default();
    memory.insert("package.json", br#"{"workspaces": ["a/*"]}"#);
    for n in 0..3000 {
        memory.insert(&format!("a/p{n}/package.json"), b"{}");
        memory.insert(&format!("b{n}/go.mod"), b"module x");
    }
    let plan = plan(&Tree::new(&memory));
    assert_eq!(plan.language, None);
    assert!(memory.read.borrow().len() < 1_500, "{}", memory.read.borrow().len());
}
