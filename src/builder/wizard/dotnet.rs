//! .NET: C#, F# and Visual Basic.

use roxmltree::Document;

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::{Tree, join};
use super::versions::Asked;
use super::{Project, check};

const CURRENT: &str = "10.0";
const PORT: u16 = 8080;
const MAX_PROJECTS: usize = 40;

#[derive(Debug)]
struct Unit {
    path: String,
    assembly: String,
    is_web: bool,
    is_program: bool,
    framework: Option<String>,
}

/// A project file or a solution in the root, of which a program comes.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let files = tree.files("");
    let solution = files.iter().find(|name| name.ends_with(".sln") || name.ends_with(".slnx"));
    let mut paths: Vec<String> = files.iter().filter(|name| is_project(name)).cloned().collect();
    if let Some(solution) = solution {
        paths.extend(listed(&tree.text(solution)?));
    }
    paths.sort();
    paths.dedup();
    let units: Vec<Unit> = paths.iter().take(MAX_PROJECTS).filter_map(|path| Unit::read(tree, path)).collect();
    let chosen = units.iter().find(|unit| unit.is_web).or_else(|| units.iter().find(|unit| unit.is_program))?;

    let mut evidence = Vec::new();
    if let Some(solution) = solution {
        evidence.push(format!("{solution}: a solution of {} projects", units.len()));
    }
    evidence.push(format!("{}: {}", chosen.path, if chosen.is_web { "a web project" } else { "a program" }));
    let by_target = chosen.framework.clone().map(|version| Asked::new(version, &chosen.path));
    let (version, because) = Asked::or_current(by_target, CURRENT);
    evidence.push(because);
    // The SDK builds for older targets too, so it may be newer than what runs.
    let sdk = sdk(tree).filter(|sdk| number(sdk) >= number(&version));
    if let Some(sdk) = &sdk {
        evidence.push(format!("global.json: SDK {sdk}"));
    }
    let sdk = sdk.unwrap_or_else(|| version.clone());

    let shared = [
        "global.json",
        "nuget.config",
        "NuGet.config",
        "NuGet.Config",
        "Directory.Build.props",
        "Directory.Build.targets",
        "Directory.Packages.props",
    ];
    let mut dockerfile = Dockerfile::new();
    dockerfile.stage(&format!("mcr.microsoft.com/dotnet/sdk:{sdk}"), "build").add("WORKDIR /src");
    let shared = tree.present(&shared);
    if !shared.is_empty() {
        dockerfile.add(&format!("COPY {} ./", shared.join(" ")));
    }
    let mut locked = false;
    for unit in &units {
        let folder = unit.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let lock = join(folder, "packages.lock.json");
        let target = if folder.is_empty() { "./".to_owned() } else { format!("{folder}/") };
        let with_lock = if tree.has(&lock) { format!("{} {lock}", unit.path) } else { unit.path.clone() };
        locked |= tree.has(&lock) && unit.path == chosen.path;
        dockerfile.add(&format!("COPY {with_lock} {target}"));
    }
    let restore = format!("dotnet restore {}{}", chosen.path, if locked { " --locked-mode" } else { "" });
    let publish = format!("dotnet publish {} --configuration Release --no-restore --output /out", chosen.path);
    dockerfile
        .run_with(&["/root/.nuget/packages"], &[&restore])
        .add("COPY . .")
        .run_with(&["/root/.nuget/packages"], &[&publish]);

    let runtime = if chosen.is_web { "aspnet" } else { "runtime" };
    dockerfile.stage(&format!("mcr.microsoft.com/dotnet/{runtime}:{version}"), "").add("WORKDIR /app");
    if chosen.is_web {
        // Since .NET 8 the port has a variable of its own.
        dockerfile.add(match number(&version) {
            0..8 => "ENV ASPNETCORE_URLS=http://+:8080",
            _ => "ENV ASPNETCORE_HTTP_PORTS=8080",
        });
    }
    dockerfile.add("COPY --from=build /out ./").add("USER 1654:1654");
    if chosen.is_web {
        dockerfile.add(&format!("EXPOSE {PORT}"));
    }
    Some(Proposal {
        language: "dotnet",
        framework: chosen.is_web.then(|| "aspnet".to_owned()),
        version: Some(version),
        package_manager: Some("nuget"),
        port: chosen.is_web.then_some(PORT),
        evidence,
        dockerfile,
        command: Some(words(&["dotnet", &format!("{}.dll", chosen.assembly)])),
        ignore: vec!["**/bin", "**/obj", "**/*.user", ".vs"],
    })
}

impl Unit {
    /// <https://learn.microsoft.com/en-us/dotnet/core/project-sdk/overview>
    fn read(tree: &Tree<'_>, path: &str) -> Option<Self> {
        let text = tree.text(path)?;
        let document = Document::parse(&text).ok()?;
        let root = document.root_element();
        let sdk = root.attribute("Sdk")?.to_owned();
        let property = |name: &str| {
            let found = root.descendants().find(|node| node.is_element() && node.tag_name().name() == name);
            found.and_then(|node| node.text()).map(str::trim)
        };
        let stem = path.rsplit('/').next()?.rsplit_once('.')?.0;
        let targets = property("TargetFramework").or_else(|| property("TargetFrameworks"));
        let shared = tree.text("Directory.Build.props");
        let shared = shared.as_deref().and_then(|text| between(text, "<TargetFramework>", "</TargetFramework>"));
        let targets = targets.or(shared).unwrap_or_default();
        // The newest of several; netstandard and net48 are none that run here.
        let framework = targets
            .split(';')
            .filter_map(|name| check::version(name.trim().strip_prefix("net")?))
            .filter(|version| version.contains('.'))
            .max_by_key(|version| number(version));
        let is_test = text.contains("Microsoft.NET.Test.Sdk");
        let is_web = sdk.starts_with("Microsoft.NET.Sdk.Web") && !is_test;
        let is_exe = property("OutputType").is_some_and(|kind| kind.eq_ignore_ascii_case("exe"))
            || sdk == "Microsoft.NET.Sdk.Worker";
        Some(Self {
            path: path.to_owned(),
            assembly: property("AssemblyName").and_then(check::word).unwrap_or_else(|| stem.to_owned()),
            is_web,
            is_program: is_exe && !is_test,
            framework,
        })
    }
}

fn is_project(name: &str) -> bool {
    [".csproj", ".fsproj", ".vbproj"].iter().any(|end| name.ends_with(end)) && check::is_path(name)
}

/// The projects of a solution: quoted paths, in the old format with backslashes.
fn listed(solution: &str) -> Vec<String> {
    let quoted =
        solution.lines().filter(|line| line.contains("Project")).flat_map(|line| line.split('"').skip(1).step_by(2));
    quoted.filter_map(|path| check::path(&path.replace('\\', "/"))).filter(|path| is_project(path)).collect()
}

fn sdk(tree: &Tree<'_>) -> Option<String> {
    let version = tree.json("global.json")?.pointer("/sdk/version")?.as_str().and_then(check::version)?;
    // The patch of an SDK rolls forward; images are named by the first two numbers.
    let (major, rest) = version.split_once('.')?;
    Some(format!("{major}.{}", rest.split('.').next()?))
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(rest[..rest.find(end)?].trim())
}

fn number(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}
