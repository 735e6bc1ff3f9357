//! Maven: pom.xml, with or without the wrapper.

use roxmltree::{Document, Node};

use super::{Artifact, Build};
use crate::builder::wizard::check;
use crate::builder::wizard::tree::{Tree, join};

const MAX_MODULES: usize = 40;

struct Pom {
    folder: String,
    text: String,
    name: String,
    version: Option<String>,
    final_name: Option<String>,
    packaging: String,
    java: Option<String>,
    modules: Vec<String>,
}

/// The root's project, or that of its modules which can be started.
pub(super) fn read(tree: &Tree<'_>) -> Option<Build> {
    let root = Pom::read(tree, "")?;
    let mut modules = Vec::new();
    let mut waiting: Vec<String> = root.modules.iter().rev().cloned().collect();
    while let Some(folder) = waiting.pop() {
        if modules.len() == MAX_MODULES {
            break;
        }
        if let Some(pom) = Pom::read(tree, &folder) {
            waiting.extend(pom.modules.iter().rev().map(|module| join(&folder, module)));
            modules.push(pom);
        }
    }
    let all: Vec<&Pom> = std::iter::once(&root).chain(&modules).collect();
    let started = *all.iter().find(|pom| pom.is_started())?;

    let mut evidence = vec!["pom.xml: a Maven project".to_owned()];
    if !started.folder.is_empty() {
        evidence.push(format!("{}/pom.xml: the module that makes a program", started.folder));
    }
    let mut manifests = vec![("pom.xml".to_owned(), "./".to_owned())];
    for pom in &modules {
        manifests.push((join(&pom.folder, "pom.xml"), format!("{}/", pom.folder)));
    }
    let has_wrapper = tree.has("mvnw") && tree.has(".mvn/wrapper/maven-wrapper.properties");
    if tree.has_folder(".mvn") {
        manifests.insert(0, (".mvn".to_owned(), "./.mvn".to_owned()));
    }
    let (maven, image) = if has_wrapper {
        evidence.push("mvnw: the Maven wrapper".to_owned());
        manifests.insert(0, ("mvnw".to_owned(), "./".to_owned()));
        ("sh ./mvnw", "eclipse-temurin:{java}-jdk")
    } else {
        ("mvn", "maven:3.9-eclipse-temurin-{java}")
    };
    let only =
        if started.folder.is_empty() { String::new() } else { format!(" --projects {} --also-make", started.folder) };
    // Modules that need one another can't be resolved before they are built.
    let tolerant = if modules.is_empty() { "" } else { " --fail-never" };
    let framework = all.iter().find_map(|pom| super::framework(&pom.text));
    Some(Build {
        package_manager: "maven",
        framework,
        is_kotlin: super::has_kotlin(tree, &started.folder),
        java: started.java.clone().or_else(|| root.java.clone()).map(|java| (java, "pom.xml".to_owned())),
        evidence,
        image,
        manifests,
        resolve: format!("{maven} --batch-mode --no-transfer-progress{tolerant} dependency:go-offline"),
        cache: "/root/.m2",
        package: format!("{maven} --batch-mode --no-transfer-progress -DskipTests{only} package"),
        artifact: started.artifact(),
    })
}

impl Pom {
    fn read(tree: &Tree<'_>, folder: &str) -> Option<Self> {
        let text = tree.text(&join(folder, "pom.xml"))?;
        let document = Document::parse(&text).ok()?;
        let project = document.root_element();
        let literal = |name: &str| value(project, name).and_then(check::word);
        let java = ["java.version", "maven.compiler.release", "maven.compiler.target", "maven.compiler.source"];
        let properties = child(project, "properties");
        let java = java.into_iter().find_map(|name| check::version(value(properties?, name)?));
        let modules = child(project, "modules").into_iter().flat_map(|node| node.children());
        let modules =
            modules.filter(|node| node.has_tag_name_in("module")).filter_map(|node| check::path(node.text()?));
        let parent = child(project, "parent");
        Some(Self {
            folder: folder.to_owned(),
            name: literal("artifactId")?,
            version: literal("version")
                .or_else(|| parent.and_then(|parent| value(parent, "version")).and_then(check::word)),
            final_name: child(project, "build").and_then(|build| value(build, "finalName")).and_then(check::word),
            packaging: literal("packaging").unwrap_or_else(|| "jar".to_owned()),
            java,
            modules: modules.collect(),
            text,
        })
    }

    /// Whether its build makes something that is started: a plugin says so. A module that others inherit from only
    /// has plugins to hand on.
    fn is_started(&self) -> bool {
        let plugins = [
            "spring-boot-maven-plugin",
            "quarkus-maven-plugin",
            "maven-shade-plugin",
            "maven-assembly-plugin",
            "<mainClass>",
        ];
        self.packaging != "pom" && plugins.iter().any(|plugin| self.text.contains(plugin))
    }

    fn artifact(&self) -> Artifact {
        let target = join(&self.folder, "target");
        if self.text.contains("quarkus-maven-plugin") {
            let command = ["java", "-jar", "quarkus-run.jar"];
            return Artifact::Folder(join(&target, "quarkus-app"), crate::builder::wizard::dockerfile::words(&command));
        }
        let kind = if self.packaging == "war" { "war" } else { "jar" };
        let suffix = if self.text.contains("jar-with-dependencies") { "-jar-with-dependencies" } else { "" };
        let name = match (&self.final_name, &self.version) {
            (Some(name), _) => name.clone(),
            (None, Some(version)) => format!("{}-{version}", self.name),
            // The version is set from elsewhere.
            (None, None) => format!("{}-*", self.name),
        };
        Artifact::Jar(format!("{target}/{name}{suffix}.{kind}"))
    }
}

trait Named {
    /// Whether the element has the name, in whatever namespace: not all poms have one.
    fn has_tag_name_in(&self, name: &str) -> bool;
}

impl Named for Node<'_, '_> {
    fn has_tag_name_in(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

fn child<'a, 'd>(node: Node<'a, 'd>, name: &str) -> Option<Node<'a, 'd>> {
    node.children().find(|child| child.has_tag_name_in(name))
}

fn value<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}
