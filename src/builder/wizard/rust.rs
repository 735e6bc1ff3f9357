//! Cargo packages and workspaces.

use toml::{Table, Value};

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::{Tree, join};
use super::versions::{self, Asked};
use super::{Project, check};

const CURRENT: &str = "1.94";
const PORT: u16 = 8080;
const MAX_MEMBERS: usize = 60;

const FRAMEWORKS: [(&str, &str); 6] = [
    ("axum", "axum"),
    ("actix-web", "actix"),
    ("rocket", "rocket"),
    ("warp", "warp"),
    ("poem", "poem"),
    ("leptos", "leptos"),
];

/// Crates that are linked with a library of the system, and its package in Debian 13.
const LIBRARIES: [(&str, &str); 3] =
    [("openssl-sys", "libssl3t64"), ("pq-sys", "libpq5"), ("mysqlclient-sys", "libmariadb3")];

/// Names by which the program that serves is known, among several.
const SERVERS: [&str; 5] = ["server", "web", "api", "app", "main"];

/// A Cargo.toml of which a program comes.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let root = tree.toml("Cargo.toml")?;
    let packages = packages(tree, &root);
    let programs: Vec<&Program> = packages.iter().flat_map(|package| &package.programs).collect();
    let chosen = choose(&packages, &programs)?;
    let mut evidence = vec![match root.contains_key("workspace") {
        true => format!("Cargo.toml: a workspace of {} packages", packages.len()),
        false => "Cargo.toml: a package".to_owned(),
    }];
    let (version, asked) = Asked::or_current(version(tree, &root), CURRENT);
    evidence.push(asked);
    evidence.push(format!("{}: the program {}", join(&chosen.folder, "Cargo.toml"), chosen.name));
    if programs.len() > 1 {
        let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
        evidence
            .push(format!("all programs are in the image ({}); the command is another one's name", names.join(", ")));
    }
    let uses = |name: &str| packages.iter().any(|package| package.dependencies.iter().any(|known| known == name));
    let framework = FRAMEWORKS.iter().find(|(name, _)| uses(name)).map(|(_, framework)| (*framework).to_owned());

    let lock = tree.text("Cargo.lock");
    let locked = if lock.is_some() { " --locked" } else { "" };
    let mut dockerfile = Dockerfile::new();
    dockerfile.stage(&format!("rust:{version}"), "build").add("WORKDIR /src");
    manifests(&mut dockerfile, tree, &packages, locked);
    let mut commands = vec![format!("cargo build --release{locked} --workspace --bins"), "mkdir /out".to_owned()];
    let built: Vec<String> = programs.iter().map(|program| format!("target/release/{}", program.name)).collect();
    commands.push(format!("cp {} /out/", built.join(" ")));
    dockerfile
        .add("COPY . .")
        .run_with(&[REGISTRY, "/src/target"], &commands.iter().map(String::as_str).collect::<Vec<_>>());

    dockerfile.stage("debian:trixie-slim", "");
    let lock = lock.unwrap_or_default();
    let locks = |name: &str| lock.contains(&format!("name = \"{name}\""));
    // With openssl-src OpenSSL is built into the program.
    let linked = |name: &str| locks(name) && !(name == "openssl-sys" && locks("openssl-src"));
    let libraries: Vec<&str> = LIBRARIES.iter().filter(|(name, _)| linked(name)).map(|(_, package)| *package).collect();
    if !libraries.is_empty() {
        evidence.push(format!("Cargo.lock: needs {}", libraries.join(", ")));
        dockerfile.apt(&libraries);
    }
    dockerfile
        .add("COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/")
        .env(&[("PORT", &PORT.to_string())])
        .add("WORKDIR /app");
    for folder in ["templates", "static", "public", "assets", "migrations"] {
        if tree.has_folder(folder) {
            dockerfile.add(&format!("COPY {folder} ./{folder}"));
        }
    }
    dockerfile.add("COPY --from=build /out/ /usr/local/bin/").add("USER 10001:10001").add(&format!("EXPOSE {PORT}"));
    Some(Proposal {
        language: "rust",
        framework,
        version: Some(version),
        package_manager: Some("cargo"),
        port: Some(PORT),
        evidence,
        dockerfile,
        command: Some(words(&[&format!("/usr/local/bin/{}", chosen.name)])),
        ignore: vec!["target", "**/*.rs.bk"],
    })
}

const REGISTRY: &str = "/usr/local/cargo/registry";

#[derive(Debug, Clone)]
struct Program {
    name: String,
    /// Of its package.
    folder: String,
}

#[derive(Debug)]
struct Package {
    folder: String,
    name: String,
    default_run: Option<String>,
    programs: Vec<Program>,
    stand_ins: Vec<String>,
    dependencies: Vec<String>,
}

impl Package {
    /// <https://doc.rust-lang.org/cargo/reference/cargo-targets.html#target-auto-discovery>
    fn read(tree: &Tree<'_>, folder: &str, manifest: &Table) -> Option<Self> {
        let package = manifest.get("package")?.as_table()?;
        let name = check::word(package.get("name")?.as_str()?).filter(|name| !name.contains('/'))?;
        let mut names = Vec::new();
        let declared = manifest.get("bin").and_then(Value::as_array).into_iter().flatten();
        // One that needs a feature is only built when that is asked for.
        let always = declared.filter(|bin| bin.get("required-features").is_none());
        names.extend(always.filter_map(|bin| bin.get("name")?.as_str()).filter_map(check::word));
        if package.get("autobins").and_then(Value::as_bool) != Some(false) {
            if names.is_empty() && tree.has(&join(folder, "src/main.rs")) {
                names.push(name.clone());
            }
            let bins = join(folder, "src/bin");
            names.extend(tree.files(&bins).iter().filter_map(|file| file.strip_suffix(".rs").map(str::to_owned)));
            let folders = tree.folders(&bins).into_iter();
            names.extend(folders.filter(|name| tree.has(&join(&bins, &format!("{name}/main.rs")))));
        }
        names.retain(|name| !name.contains('/'));
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let text = |key: &str| package.get(key).and_then(Value::as_str).and_then(check::word);
        let dependencies = manifest.get("dependencies").and_then(Value::as_table);
        Some(Self {
            folder: folder.to_owned(),
            default_run: text("default-run"),
            programs: names.into_iter().map(|name| Program { name, folder: folder.to_owned() }).collect(),
            stand_ins: stand_ins(tree, folder, manifest),
            dependencies: dependencies.into_iter().flat_map(Table::keys).cloned().collect(),
            name,
        })
    }
}

/// The root's package and the members of its workspace.
fn packages(tree: &Tree<'_>, root: &Table) -> Vec<Package> {
    let mut found: Vec<Package> = Package::read(tree, "", root).into_iter().collect();
    let workspace = root.get("workspace").and_then(Value::as_table);
    let texts = |key: &str| {
        let all = workspace.and_then(|table| table.get(key)).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str)
            .filter_map(|text| {
                text.strip_suffix("/*").map_or_else(
                    || check::path(text).map(|path| (path, "")),
                    |path| check::path(path).map(|path| (path, "/*")),
                )
            })
            .collect::<Vec<_>>()
    };
    let mut folders = Vec::new();
    for (path, rest) in texts("members") {
        match rest {
            "" => folders.push(path),
            _ => folders.extend(tree.folders(&path).iter().map(|name| join(&path, name))),
        }
    }
    let excluded = texts("exclude");
    folders.retain(|folder| !excluded.iter().any(|(path, _)| path == folder));
    folders.sort();
    folders.dedup();
    let read = |folder: &String| Package::read(tree, folder, &tree.toml(&join(folder, "Cargo.toml"))?);
    found.extend(folders.iter().take(MAX_MEMBERS).filter_map(read));
    found
}

/// What the project says to run; else the only program, the first package's own, one with the name of a server, or
/// the first.
fn choose<'p>(packages: &'p [Package], programs: &[&'p Program]) -> Option<&'p Program> {
    let named = |name: &str| programs.iter().find(|program| program.name == name).copied();
    let said = packages.iter().find_map(|package| named(package.default_run.as_deref()?));
    let own = || packages.first().filter(|package| package.folder.is_empty()).and_then(|package| named(&package.name));
    said.or_else(own).or_else(|| SERVERS.iter().find_map(|name| named(name))).or_else(|| programs.first().copied())
}

fn version(tree: &Tree<'_>, root: &Table) -> Option<Asked> {
    let channel = |table: &Table| check::version(table.get("toolchain")?.get("channel")?.as_str()?);
    if let Some(version) = tree.toml("rust-toolchain.toml").as_ref().and_then(channel) {
        return Some(Asked::new(version, "rust-toolchain.toml"));
    }
    if let Some(asked) = versions::of_file(tree, "rust-toolchain").or_else(|| versions::of_tool(tree, &["rust"])) {
        return Some(asked);
    }
    // rust-version is the least that is needed: a current release has it too, unless it is newer.
    let least = root.get("package").or_else(|| root.get("workspace")?.get("package"))?.get("rust-version")?.as_str()?;
    let least = check::version(least)?;
    let minor = |version: &str| version.split('.').nth(1).and_then(|part| part.parse::<u32>().ok());
    (minor(&least) > minor(CURRENT)).then(|| Asked::new(least, "Cargo.toml, rust-version"))
}

/// The layer of dependencies: all manifests, and what they name.
fn manifests(dockerfile: &mut Dockerfile, tree: &Tree<'_>, packages: &[Package], locked: &str) {
    let files = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain"];
    dockerfile.add(&format!("COPY {} ./", tree.present(&files).join(" ")));
    if tree.has_folder(".cargo") {
        dockerfile.add("COPY .cargo ./.cargo");
    }
    for package in packages.iter().filter(|package| !package.folder.is_empty()) {
        dockerfile.add(&format!("COPY {0}/Cargo.toml ./{0}/", package.folder));
    }
    let files: Vec<&str> = packages.iter().flat_map(|package| &package.stand_ins).map(String::as_str).collect();
    let folders: std::collections::BTreeSet<&str> =
        files.iter().filter_map(|file| Some(file.rsplit_once('/')?.0)).collect();
    dockerfile.note("Cargo reads no manifest without its source files: for the moment there are empty ones.");
    dockerfile.run_with(
        &[REGISTRY],
        &[
            &format!("mkdir -p {}", folders.into_iter().collect::<Vec<_>>().join(" ")),
            &format!("touch {}", files.join(" ")),
            &format!("cargo fetch{locked}"),
            "find . -name '*.rs' -delete",
        ],
    );
}

/// The source files without which Cargo takes a manifest for faulty: of each target without a path.
fn stand_ins(tree: &Tree<'_>, folder: &str, manifest: &Table) -> Vec<String> {
    let mut files = vec![join(folder, "src/lib.rs")];
    if tree.has(&join(folder, "src/main.rs")) {
        files.push(join(folder, "src/main.rs"));
    }
    for (kind, place) in [("bin", "src/bin"), ("bench", "benches"), ("test", "tests"), ("example", "examples")] {
        let targets = manifest.get(kind).and_then(Value::as_array).into_iter().flatten();
        let placeless = targets.filter(|target| target.get("path").is_none());
        let names = placeless.filter_map(|target| target.get("name")?.as_str()).filter_map(check::word);
        files.extend(names.map(|name| join(folder, &format!("{place}/{name}.rs"))));
    }
    // One that default-run names may be found by its place alone.
    for file in tree.files(&join(folder, "src/bin")).iter().filter(|file| file.ends_with(".rs")) {
        files.push(join(folder, &format!("src/bin/{file}")));
    }
    files.retain(|file| check::is_path(file));
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files
}
