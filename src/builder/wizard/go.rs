//! Go modules.

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::{Tree, join};
use super::versions::Asked;
use super::{Project, check};

const CURRENT: &str = "1.26";
const PORT: u16 = 8080;

/// Frameworks by the module that a go.mod requires.
const FRAMEWORKS: [(&str, &str); 5] = [
    ("github.com/gin-gonic/gin", "gin"),
    ("github.com/labstack/echo", "echo"),
    ("github.com/gofiber/fiber", "fiber"),
    ("github.com/go-chi/chi", "chi"),
    ("github.com/gorilla/mux", "gorilla"),
];

/// Modules that are bindings to C.
const NEED_C: [&str; 3] =
    ["github.com/mattn/go-sqlite3", "github.com/confluentinc/confluent-kafka-go", "gopkg.in/rdkafka"];

/// Names by which the program that serves is known, among several.
const SERVERS: [&str; 6] = ["server", "web", "api", "app", "http", "main"];

/// A go.mod with a program in its root or below `cmd`.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let module = Module::read(&tree.text("go.mod")?);
    let programs = programs(tree);
    let program = choose(&programs, &module.name)?;
    let (version, asked) = Asked::or_current(module.version.map(|v| Asked::new(v, "go.mod")), CURRENT);
    let mut evidence = vec!["go.mod: a Go module".to_owned(), asked, format!("{}: package main", program.shown())];
    if programs.len() > 1 {
        let all: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
        evidence.push(format!("cmd: several programs ({}); this one was taken by its name or place", all.join(", ")));
    }
    let requires =
        |name: &str| module.requires.iter().any(|module| module == name || module.starts_with(&format!("{name}/")));
    let framework = FRAMEWORKS.iter().find(|(name, _)| requires(name)).map(|(_, framework)| (*framework).to_owned());
    let needs_c = NEED_C.iter().find(|name| requires(name));
    if let Some(name) = needs_c {
        evidence.push(format!("go.mod: {name} is built with C"));
    }

    let vendored = tree.has("vendor/modules.txt");
    let mut dockerfile = Dockerfile::new();
    dockerfile.stage(&format!("golang:{version}"), "build").add("WORKDIR /src");
    if vendored {
        evidence.push("vendor/modules.txt: the dependencies are in the tree".to_owned());
    } else {
        dockerfile
            .add(&format!("COPY {} ./", tree.present(&["go.mod", "go.sum"]).join(" ")))
            .run_with(&["/go/pkg/mod"], &["go mod download"]);
    }
    let cgo = format!("CGO_ENABLED={}", u8::from(needs_c.is_some()));
    let build = format!("{cgo} go build -trimpath -ldflags='-s -w' -o /out/app {}", program.package);
    dockerfile.add("COPY . .").run_with(&["/go/pkg/mod", "/root/.cache/go-build"], &[build.as_str()]);

    dockerfile
        .stage(if needs_c.is_some() { "debian:trixie-slim" } else { "alpine:3.22" }, "")
        .note("Certificates and time zones, which a Go program looks for.")
        .add("COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/")
        .add("COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /usr/local/share/zoneinfo.zip")
        .env(&[("ZONEINFO", "/usr/local/share/zoneinfo.zip"), ("PORT", &PORT.to_string())])
        .add("WORKDIR /app");
    // Pages that a program reads at run time are beside it.
    for folder in ["templates", "views", "static", "public", "web", "assets", "migrations"] {
        if tree.has_folder(folder) {
            dockerfile.add(&format!("COPY {folder} ./{folder}"));
        }
    }
    dockerfile
        .add("COPY --from=build /out/app /usr/local/bin/app")
        .add("USER 10001:10001")
        .add(&format!("EXPOSE {PORT}"));
    Some(Proposal {
        language: "go",
        framework,
        version: Some(version),
        package_manager: Some("go"),
        port: Some(PORT),
        evidence,
        dockerfile,
        command: Some(words(&["/usr/local/bin/app"])),
        ignore: vec!["bin", "*.test", "*.out"],
    })
}

#[derive(Debug)]
struct Program {
    name: String,
    /// As `go build` takes it.
    package: String,
}

impl Program {
    fn shown(&self) -> &str {
        if self.package == "." { "the root" } else { &self.package }
    }
}

fn programs(tree: &Tree<'_>) -> Vec<Program> {
    let mut found = Vec::new();
    if is_program(tree, "") {
        found.push(Program { name: ".".to_owned(), package: ".".to_owned() });
    }
    for name in tree.folders("cmd") {
        let folder = join("cmd", &name);
        if is_program(tree, &folder) {
            found.push(Program { name, package: format!("./{folder}") });
        }
    }
    if is_program(tree, "cmd") {
        found.push(Program { name: "cmd".to_owned(), package: "./cmd".to_owned() });
    }
    found
}

/// Whether a folder's files are a program. main.go is asked first, as it is usually there that it begins.
fn is_program(tree: &Tree<'_>, folder: &str) -> bool {
    let mut files = tree.files(folder);
    files.retain(|name| name.ends_with(".go") && !name.ends_with("_test.go"));
    files.sort_by_key(|name| (name != "main.go", name.clone()));
    let is_main = |name: &String| {
        let text = tree.text(&join(folder, name)).unwrap_or_default();
        let package = text.lines().map(str::trim).find(|line| line.starts_with("package "));
        package.is_some_and(|line| line.split_whitespace().nth(1) == Some("main"))
            && !text.lines().any(|line| line.trim() == "//go:build ignore")
    };
    files.iter().take(20).any(is_main)
}

/// The root's, the only one, the one named as the module, or one with the name of a server; else the first.
fn choose<'p>(programs: &'p [Program], module: &str) -> Option<&'p Program> {
    let named = |name: &str| programs.iter().find(|program| program.name == name);
    let last = module.rsplit('/').next().unwrap_or_default();
    named(".")
        .or_else(|| named(last))
        .or_else(|| SERVERS.iter().find_map(|name| named(name)))
        .or_else(|| programs.first())
}

/// What is read of a go.mod.
struct Module {
    name: String,
    version: Option<String>,
    requires: Vec<String>,
}

impl Module {
    /// <https://go.dev/ref/mod#go-mod-file>
    fn read(text: &str) -> Self {
        let mut module = Self { name: String::new(), version: None, requires: Vec::new() };
        let (mut minimum, mut toolchain) = (None, None);
        for line in text.lines() {
            let words: Vec<&str> = line.split("//").next().unwrap_or_default().split_whitespace().collect();
            match words.as_slice() {
                ["module", name] => name.trim_matches('"').clone_into(&mut module.name),
                ["go", version] => minimum = check::version(version),
                ["toolchain", name] => toolchain = name.strip_prefix("go").and_then(check::version),
                ["require", name, _] | [name, _] => module.requires.push(name.trim_matches('"').to_owned()),
                _ => {}
            }
        }
        // The toolchain is at least the language's version; it is what the project is built with.
        module.version = toolchain.or(minimum);
        module
    }
}
