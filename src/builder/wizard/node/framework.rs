//! Frameworks: what each builds, and how that is served.

use super::manager::Setup;
use super::package::Package;
use crate::builder::wizard::tree::Tree;
use crate::builder::wizard::web_server::Missing;

/// What is in the image.
#[derive(Debug)]
pub enum Layout {
    /// The project with its production dependencies.
    Server {
        command: Vec<String>,
        /// Folders that it writes to while it runs.
        writes: Vec<&'static str>,
    },
    /// Folders of the build that need no dependencies: from, to.
    Bundle { copies: Vec<(String, String)>, command: Vec<String>, writes: Vec<&'static str> },
    /// A folder of files.
    Static { folder: String, missing: Missing },
}

/// What a package is.
#[derive(Debug)]
pub struct Shape {
    pub framework: Option<&'static str>,
    pub port: u16,
    pub layout: Layout,
    /// Variables of the image, beside PORT.
    pub env: Vec<(&'static str, &'static str)>,
    /// The program whose `build` is run when there is no such script.
    pub builds_with: Option<&'static str>,
    /// Whether development dependencies are needed to run.
    pub keeps_development: Keeps,
    pub evidence: Vec<String>,
}

/// Which dependencies are in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    Production,
    All,
}

impl Shape {
    /// A server of no framework.
    pub fn server(command: Vec<String>) -> Self {
        Self::of(None, Layout::Server { command, writes: Vec::new() })
    }

    fn of(framework: Option<&'static str>, layout: Layout) -> Self {
        Self {
            framework,
            port: 3000,
            layout,
            env: Vec::new(),
            builds_with: None,
            keeps_development: Keeps::Production,
            evidence: Vec::new(),
        }
    }

    fn page(framework: &'static str, folder: &str, missing: Missing) -> Self {
        Self::of(Some(framework), Layout::Static { folder: folder.to_owned(), missing })
    }

    fn with(mut self, evidence: String) -> Self {
        self.evidence.push(evidence);
        self
    }

    fn env(mut self, env: &[(&'static str, &'static str)]) -> Self {
        self.env.extend_from_slice(env);
        self
    }

    fn builds_with(mut self, program: &'static str) -> Self {
        self.builds_with = Some(program);
        self
    }
}

/// Frameworks of servers, which are started by a script; only their name is told.
pub fn server(package: &Package) -> Option<&'static str> {
    let known = [
        ("@nestjs/core", "nest"),
        ("fastify", "fastify"),
        ("koa", "koa"),
        ("hono", "hono"),
        ("@hapi/hapi", "hapi"),
        ("express", "express"),
    ];
    known.into_iter().find(|(name, _)| package.has(name)).map(|(_, framework)| framework)
}

struct Look<'a> {
    tree: &'a Tree<'a>,
    package: &'a Package,
    setup: &'a Setup,
}

/// The framework of a package, if its build or its serving is known. One that builds on another comes before it.
pub fn detect(tree: &Tree<'_>, package: &Package, setup: &Setup) -> Option<Shape> {
    let look = Look { tree, package, setup };
    let shape = look
        .next()
        .or_else(|| look.nuxt())
        .or_else(|| look.react_router())
        .or_else(|| look.svelte_kit())
        .or_else(|| look.astro())
        .or_else(|| look.angular())
        .or_else(|| look.pages())?;
    let name = shape.framework.unwrap_or_default();
    Some(Shape {
        evidence: [vec![format!("{}: {name} among the dependencies", package.file())], shape.evidence].concat(),
        ..shape
    })
}

impl Look<'_> {
    /// The first of these files of the package, without what separates words, so that `output: 'export'` and
    /// `output:"export"` are one.
    fn config(&self, stem: &str) -> String {
        let names = ["ts", "js", "mjs", "mts", "cjs"].map(|end| self.package.at(&format!("{stem}.{end}")));
        let text = names.iter().find_map(|name| self.tree.text(name)).unwrap_or_default();
        text.chars().filter(|c| !c.is_whitespace()).map(|c| if matches!(c, '\'' | '`') { '"' } else { c }).collect()
    }

    fn has_folder(&self, folder: &str) -> bool {
        self.tree.has_folder(&self.package.at(folder))
    }

    fn server(&self, framework: &'static str, program: &str, arguments: &[&str]) -> Shape {
        let mut command = self.setup.program(self.package, program);
        command.extend(arguments.iter().map(|word| (*word).to_owned()));
        Shape::of(Some(framework), Layout::Server { command, writes: Vec::new() })
    }

    fn next(&self) -> Option<Shape> {
        self.package.has("next").then_some(())?;
        let config = self.config("next.config");
        let host = [("HOSTNAME", "0.0.0.0"), ("NEXT_TELEMETRY_DISABLED", "1")];
        let shape = if config.contains("output:\"export\"") {
            Shape::page("next", "out", Missing::NotFound).with("next.config: output is export".to_owned())
        } else if config.contains("output:\"standalone\"") && self.package.folder.is_empty() {
            let mut copies = vec![
                (".next/standalone/".to_owned(), "./".to_owned()),
                (".next/static/".to_owned(), "./.next/static/".to_owned()),
            ];
            if self.has_folder("public") {
                copies.push(("public/".to_owned(), "./public/".to_owned()));
            }
            let layout = Layout::Bundle { copies, command: self.setup.runs("server.js"), writes: vec![".next"] };
            Shape::of(Some("next"), layout).env(&host).with("next.config: output is standalone".to_owned())
        } else {
            let mut shape = self.server("next", "next", &["start"]).env(&host);
            if let Layout::Server { writes, .. } = &mut shape.layout {
                writes.push(".next/cache");
            }
            shape
        };
        Some(shape.builds_with("next"))
    }

    fn nuxt(&self) -> Option<Shape> {
        self.package.has("nuxt").then_some(())?;
        let copies = vec![(".output/".to_owned(), "./.output/".to_owned())];
        let command = self.setup.runs(".output/server/index.mjs");
        let layout = Layout::Bundle { copies, command, writes: Vec::new() };
        Some(Shape::of(Some("nuxt"), layout).env(&[("HOST", "0.0.0.0")]).builds_with("nuxt"))
    }

    /// React Router 7 and its predecessor Remix.
    fn react_router(&self) -> Option<Shape> {
        let entry = "./build/server/index.js";
        if self.package.has("@react-router/dev") {
            let shape = if self.config("react-router.config").contains("ssr:false") {
                Shape::page("react-router", "build/client", Missing::IndexPage)
                    .with("react-router.config: ssr is false".to_owned())
            } else if self.package.has("@react-router/serve") {
                self.server("react-router", "react-router-serve", &[entry])
            } else {
                // A server of the project's own; its script knows.
                let script = self.package.script("start")?;
                Shape::of(
                    Some("react-router"),
                    Layout::Server { command: super::start("start", script, self.setup), writes: Vec::new() },
                )
            };
            return Some(shape.builds_with("react-router"));
        }
        self.package.has("@remix-run/dev").then_some(())?;
        if self.package.has("@remix-run/serve") {
            let has_vite = !self.config("vite.config").is_empty();
            let entry = if has_vite { entry } else { "./build/index.js" };
            let program = if has_vite { "remix vite:build" } else { "remix" };
            let shape = self.server("remix", "remix-serve", &[entry]);
            return Some(if has_vite { shape } else { shape.builds_with(program) });
        }
        let script = self.package.script("start")?;
        Some(Shape::of(
            Some("remix"),
            Layout::Server { command: super::start("start", script, self.setup), writes: Vec::new() },
        ))
    }

    fn svelte_kit(&self) -> Option<Shape> {
        self.package.has("@sveltejs/kit").then_some(())?;
        let config = self.config("svelte.config");
        let adapter = |name: &str| config.contains(&format!("\"@sveltejs/adapter-{name}\""));
        let shape = if adapter("static") {
            // With a fallback page it is a single page; its name is the project's choice.
            let missing =
                if config.contains("fallback:\"index.html\"") { Missing::IndexPage } else { Missing::NotFound };
            Shape::page("sveltekit", "build", missing).with("svelte.config: adapter-static".to_owned())
        } else if adapter("node") {
            let command = self.setup.runs("build/index.js");
            Shape::of(Some("sveltekit"), Layout::Server { command, writes: Vec::new() })
                .with("svelte.config: adapter-node".to_owned())
        } else {
            let mut shape = self.server("sveltekit", "vite", &["preview", "--host", "0.0.0.0", "--port", "3000"]);
            shape.keeps_development = Keeps::All;
            shape.with("svelte.config: no adapter for a server of its own, so Vite's preview serves it; @sveltejs/adapter-node makes a smaller image".to_owned())
        };
        Some(shape.builds_with("vite"))
    }

    fn astro(&self) -> Option<Shape> {
        self.package.has("astro").then_some(())?;
        let is_server = self.config("astro.config").contains("adapter:") && self.package.has("@astrojs/node");
        let shape = if is_server {
            let command = self.setup.runs("./dist/server/entry.mjs");
            let mut shape = Shape::of(Some("astro"), Layout::Server { command, writes: Vec::new() });
            shape.port = 4321;
            shape.env(&[("HOST", "0.0.0.0")]).with("astro.config: an adapter for Node".to_owned())
        } else {
            Shape::page("astro", "dist", Missing::NotFound)
        };
        Some(shape.builds_with("astro"))
    }

    /// angular.json says which project is built and where that goes.
    fn angular(&self) -> Option<Shape> {
        self.package.has("@angular/core").then_some(())?;
        let json = self.tree.json(&self.package.at("angular.json"))?;
        let projects = json.get("projects")?.as_object()?;
        let is_app = |project: &serde_json::Value| project.get("projectType").is_none_or(|kind| kind == "application");
        let (name, project) = projects.iter().find(|(_, project)| is_app(project))?;
        let build = project.pointer("/architect/build").or_else(|| project.pointer("/targets/build"))?;
        let builder = build.get("builder")?.as_str()?;
        let options = build.get("options");
        let option = |pointer: &str| options?.pointer(pointer);
        let base = option("/outputPath/base").or_else(|| option("/outputPath")).and_then(|path| path.as_str());
        let base = crate::builder::wizard::check::path(base.unwrap_or(&format!("dist/{name}")))?;
        if !builder.ends_with(":application") {
            return Some(Shape::page("angular", &base, Missing::IndexPage).builds_with("ng"));
        }
        let is_server = option("/ssr").is_some_and(|ssr| ssr.is_object() || ssr == true)
            && option("/outputMode").is_none_or(|mode| mode != "static");
        let shape = if is_server {
            let copies = vec![(format!("{base}/"), format!("./{base}/"))];
            let command = self.setup.runs(&format!("{base}/server/server.mjs"));
            let mut shape = Shape::of(Some("angular"), Layout::Bundle { copies, command, writes: Vec::new() });
            shape.port = 4000;
            shape.with("angular.json: rendered on a server".to_owned())
        } else {
            let inner = option("/outputPath/browser").and_then(|path| path.as_str()).unwrap_or("browser");
            let folder =
                if inner.is_empty() { base } else { format!("{base}/{}", crate::builder::wizard::check::path(inner)?) };
            Shape::page("angular", &folder, Missing::IndexPage)
        };
        Some(shape.builds_with("ng"))
    }

    /// Bundlers of pages. A project that has a server too is started by its script.
    fn pages(&self) -> Option<Shape> {
        let known = [
            ("react-scripts", "create-react-app", "build", "react-scripts"),
            ("@vue/cli-service", "vue-cli", "dist", "vue-cli-service"),
            ("vite", "vite", "dist", "vite"),
        ];
        let (_, framework, folder, program) = known.into_iter().find(|(name, ..)| self.package.has(name))?;
        let script = self.package.script("start").unwrap_or_default();
        let serves = ["vite", "react-scripts", "vue-cli-service", "serve"];
        let is_development = script.is_empty() || script.split_whitespace().any(|word| serves.contains(&word));
        let runs_server = server(self.package).is_some() && !is_development;
        let is_library = !self.tree.has(&self.package.at("index.html")) && framework == "vite";
        if runs_server || !is_development || is_library {
            return None;
        }
        let folder = match framework {
            "vite" => self.out_dir().unwrap_or_else(|| folder.to_owned()),
            _ => folder.to_owned(),
        };
        Some(Shape::page(framework, &folder, Missing::IndexPage).builds_with(program))
    }

    /// Vite's `build.outDir`, where it is a literal.
    fn out_dir(&self) -> Option<String> {
        let config = self.config("vite.config");
        let rest = &config[config.find("outDir:\"")? + "outDir:\"".len()..];
        crate::builder::wizard::check::path(rest.split('"').next()?)
    }
}
