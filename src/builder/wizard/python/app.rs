//! What a Python project starts.

use super::manager::Dependencies;
use crate::builder::wizard::check;
use crate::builder::wizard::dockerfile::words;
use crate::builder::wizard::tree::Tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    Django,
    FastApi,
    Flask,
}

impl Framework {
    pub fn name(self) -> &'static str {
        match self {
            Self::Django => "django",
            Self::FastApi => "fastapi",
            Self::Flask => "flask",
        }
    }
}

/// What is started, and how.
#[derive(Debug)]
pub struct App {
    pub framework: Option<Framework>,
    pub command: Vec<String>,
    pub evidence: Vec<String>,
    /// Django's static files are collected into the image.
    pub collects_static: bool,
}

/// Modules in which an application object is looked for.
const MODULES: [&str; 14] = [
    "main.py",
    "app.py",
    "asgi.py",
    "wsgi.py",
    "server.py",
    "api.py",
    "application.py",
    "app/main.py",
    "app/__init__.py",
    "app/app.py",
    "api/main.py",
    "src/main.py",
    "src/app.py",
    "src/app/main.py",
];

const BIND: &str = "0.0.0.0:8000";

/// Django by its manage.py, FastAPI and Flask by their application object, else a program.
pub fn find(tree: &Tree<'_>, dependencies: &Dependencies) -> Option<App> {
    if let Some(app) = django(tree, dependencies) {
        return Some(app);
    }
    if dependencies.have("fastapi") {
        let (file, target) = object(tree, "FastAPI(")?;
        let mut command = words(&["uvicorn", &target, "--host", "0.0.0.0", "--port", "8000"]);
        if target.ends_with(":create_app") {
            command.push("--factory".to_owned());
        }
        let evidence = vec![format!("{file}: the FastAPI application {target}")];
        return Some(App { framework: Some(Framework::FastApi), command, evidence, collects_static: false });
    }
    if dependencies.have("flask") {
        let (file, target) = object(tree, "Flask(")?;
        let command = words(&["gunicorn", "--bind", BIND, &target]);
        let evidence = vec![format!("{file}: the Flask application {target}")];
        return Some(App { framework: Some(Framework::Flask), command, evidence, collects_static: false });
    }
    let file = tree.first(&["main.py", "app.py", "__main__.py", "bot.py", "run.py", "src/main.py"])?;
    let evidence = vec![format!("{file}: a program, of no framework that is known")];
    Some(App { framework: None, command: words(&["python", file]), evidence, collects_static: false })
}

fn django(tree: &Tree<'_>, dependencies: &Dependencies) -> Option<App> {
    let manage = tree.text("manage.py")?;
    let settings = quoted_after(&manage, "DJANGO_SETTINGS_MODULE")?;
    let package = settings.split('.').next().filter(|package| is_identifier(package))?;
    let mut evidence = vec![format!("manage.py: the Django project {package}")];
    let asgi_only = tree.has(&format!("{package}/asgi.py")) && !tree.has(&format!("{package}/wsgi.py"));
    let uses_asgi = asgi_only || (dependencies.have("uvicorn") && !dependencies.have("gunicorn"));
    let command = if uses_asgi {
        words(&["uvicorn", &format!("{package}.asgi:application"), "--host", "0.0.0.0", "--port", "8000"])
    } else {
        words(&["gunicorn", "--bind", BIND, &format!("{package}.wsgi:application")])
    };
    let module = settings.replace('.', "/");
    let sources = [format!("{module}.py"), format!("{module}/__init__.py"), format!("{package}/settings/base.py")];
    let collects = |path: &String| {
        tree.text(path).is_some_and(|text| text.lines().any(|line| line.trim_start().starts_with("STATIC_ROOT")))
    };
    let collects_static = sources.iter().any(collects);
    if collects_static {
        evidence.push("the settings have STATIC_ROOT: static files are collected".to_owned());
    }
    Some(App { framework: Some(Framework::Django), command, evidence, collects_static })
}

/// The module, and `module:name` of the first variable that is set to what `constructor` makes, or of a factory.
fn object(tree: &Tree<'_>, constructor: &str) -> Option<(&'static str, String)> {
    MODULES.into_iter().find_map(|file| {
        let text = tree.text(file)?;
        let constructed = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let name = name.split(':').next().unwrap_or_default().trim_end();
            let value = value
                .trim()
                .split_once('.')
                .filter(|(module, _)| is_identifier(module))
                .map_or(value.trim(), |(_, call)| call);
            // A line that is indented is inside of a function.
            (is_identifier(name) && value.starts_with(constructor)).then(|| name.to_owned())
        });
        let factory = || {
            let makes = text.contains(constructor) && text.lines().any(|line| line.starts_with("def create_app("));
            makes.then(|| if constructor == "Flask(" { "create_app()".to_owned() } else { "create_app".to_owned() })
        };
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__");
        // Of `src`, which is on the path, the module is named without it.
        let module = module.strip_prefix("src/").unwrap_or(module).replace('/', ".");
        let name = constructed.or_else(factory)?;
        Some((file, format!("{module}:{name}")))
    })
}

/// The second of two quoted words of a line, of which the first is `key`.
fn quoted_after(text: &str, key: &str) -> Option<String> {
    let rest = &text[text.find(key)? + key.len()..];
    let line = rest.lines().next()?;
    let quote = line.trim_start_matches(['"', '\'', ',', ' ', ']', '=']);
    let word = quote.split(['"', '\'']).next()?;
    check::word(word).filter(|word| word.split('.').all(is_identifier))
}

fn is_identifier(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    matches!(text.len(), 1..=100) && text.bytes().all(plain) && !text.starts_with(|c: char| c.is_ascii_digit())
}
