//! PHP, behind Apache.

use serde_json::Value;

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::Tree;
use super::versions::{self, Asked};
use super::{Project, node};

/// The current one first.
const VERSIONS: [&str; 8] = ["8.4", "8.5", "8.3", "8.2", "8.1", "8.0", "7.4", "7.3"];
const PORT: u16 = 8080;

/// Extensions that the image has.
const BUILT_IN: [&str; 22] = [
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "readline",
    "session",
    "simplexml",
    "sodium",
    "tokenizer",
];

/// Extensions that are compiled, each with the packages of Debian that it is compiled with.
const COMPILED: [(&str, &str); 14] = [
    ("bcmath", ""),
    ("calendar", ""),
    ("exif", ""),
    ("gd", "libfreetype-dev libjpeg62-turbo-dev libpng-dev"),
    ("gmp", "libgmp-dev"),
    ("intl", "libicu-dev"),
    ("mysqli", ""),
    ("pcntl", ""),
    ("pdo_mysql", ""),
    ("pdo_pgsql", "libpq-dev"),
    ("pgsql", "libpq-dev"),
    ("soap", "libxml2-dev"),
    ("sockets", ""),
    ("zip", "libzip-dev"),
];

/// A composer.json of a site.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let composer = project.tree.json("composer.json")?;
    let tree = project.tree;
    if tree.first(&["artisan", "public/index.php", "index.php", "web/index.php"]).is_none() && project.web.is_none() {
        return None;
    }
    Some(propose(project, &composer))
}

/// Pages of PHP without Composer.
pub fn detect_plain(project: &Project<'_>) -> Option<Proposal> {
    project.tree.first(&["index.php", "public/index.php"])?;
    Some(propose(project, &Value::Null))
}

fn propose(project: &Project<'_>, composer: &Value) -> Proposal {
    let tree = project.tree;
    let requires = |name: &str| composer.get("require").is_some_and(|all| all.get(name).is_some());
    let is_laravel = tree.has("artisan") && requires("laravel/framework");
    let framework = match () {
        () if is_laravel => Some("laravel"),
        () if requires("symfony/framework-bundle") => Some("symfony"),
        () if requires("slim/slim") => Some("slim"),
        () => None,
    };
    let root = [("public", "public/index.php"), ("web", "web/index.php")].into_iter().find(|(_, page)| tree.has(page));
    let root = root.map_or("", |(folder, _)| folder);

    let mut evidence = Vec::new();
    match (composer.is_null(), tree.first(&["artisan", "public/index.php", "web/index.php", "index.php"])) {
        (false, _) if is_laravel => evidence.push("composer.json, artisan: a Laravel project".to_owned()),
        (false, _) => evidence.push("composer.json: a PHP project".to_owned()),
        (true, page) => evidence.push(format!("{}: pages of PHP", page.unwrap_or("index.php"))),
    }
    let (version, because) = Asked::or_current(version(tree, composer), VERSIONS[0]);
    evidence.push(because);
    let extensions = extensions(composer, is_laravel, &mut evidence);

    let mut dockerfile = Dockerfile::new();
    let assets = is_laravel.then(|| node::assets(&mut dockerfile, tree)).flatten();
    if let Some(manager) = assets {
        evidence.push(format!("package.json: its build makes the assets, with {manager}"));
    }
    if !composer.is_null() {
        vendor(&mut dockerfile, tree);
    }
    dockerfile.stage(&format!("php:{version}-apache"), "").add("WORKDIR /var/www/html");
    compile(&mut dockerfile, &extensions);
    let mut site = format!("sed -ri -e 's/:80>/:{PORT}>/'");
    if !root.is_empty() {
        site.push_str(&format!(" -e 's|/var/www/html|/var/www/html/{root}|'"));
    }
    site.push_str(" /etc/apache2/sites-available/000-default.conf");
    dockerfile
        .note("Apache listens where no root is needed, and takes what .htaccess says.")
        .run(&[
            "a2enmod rewrite",
            &format!("sed -ri 's/^Listen 80$/Listen {PORT}/' /etc/apache2/ports.conf"),
            &site,
            "cp \"$PHP_INI_DIR/php.ini-production\" \"$PHP_INI_DIR/php.ini\"",
        ])
        .add("COPY . .");
    if !composer.is_null() {
        dockerfile.add("COPY --from=vendor /app/vendor ./vendor");
    }
    if assets.is_some() {
        dockerfile.add("COPY --from=assets /app/public/build ./public/build");
    }
    if is_laravel {
        dockerfile
            .note("What Laravel writes while it runs.")
            .run(&[
                "mkdir -p bootstrap/cache storage/logs storage/framework/cache/data storage/framework/sessions storage/framework/views",
                "php artisan package:discover",
                "chown -R www-data:www-data bootstrap/cache storage",
            ])
            .add("ENV LOG_CHANNEL=stderr");
    }
    dockerfile.add("USER 33:33").add(&format!("EXPOSE {PORT}"));
    Proposal {
        language: "php",
        framework: framework.map(str::to_owned),
        version: Some(version),
        package_manager: (!composer.is_null()).then_some("composer"),
        port: Some(PORT),
        evidence,
        dockerfile,
        command: Some(words(&["apache2-foreground"])),
        ignore: vec![
            "vendor",
            "node_modules",
            "storage/logs/*",
            "storage/framework/cache/data/*",
            "bootstrap/cache/*.php",
        ],
    }
}

fn version(tree: &Tree<'_>, composer: &Value) -> Option<Asked> {
    if let Some(asked) = versions::of_file(tree, ".php-version").or_else(|| versions::of_tool(tree, &["php"])) {
        return Some(asked);
    }
    let platform = composer.pointer("/config/platform/php");
    let range = platform.or_else(|| composer.pointer("/require/php"))?.as_str()?;
    let version = versions::in_range(range, &VERSIONS)?;
    // Whether 8.2.0 of the platform or 8.2 of a range: images are taken by the line.
    let line = version.split('.').take(2).collect::<Vec<_>>().join(".");
    Some(Asked::new(line, "composer.json"))
}

/// The extensions to compile: those that composer.json requires, and those that nearly every Laravel needs.
fn extensions(composer: &Value, is_laravel: bool, evidence: &mut Vec<String>) -> Vec<(&'static str, &'static str)> {
    let required = composer.get("require").and_then(Value::as_object);
    let required: Vec<&str> =
        required.into_iter().flat_map(|all| all.keys()).filter_map(|key| key.strip_prefix("ext-")).collect();
    let usual: &[&str] = if is_laravel { &["bcmath", "pcntl", "pdo_mysql", "pdo_pgsql"] } else { &[] };
    let asked = |name: &str| required.contains(&name) || usual.contains(&name);
    let unknown = required.iter().filter(|name| {
        !BUILT_IN.contains(name) && !COMPILED.iter().any(|(known, _)| known == *name) && super::check::is_word(name)
    });
    for name in unknown {
        evidence.push(format!("composer.json: ext-{name} is not known to the wizard; add it to the Dockerfile"));
    }
    COMPILED.into_iter().filter(|(name, _)| asked(name)).collect()
}

fn compile(dockerfile: &mut Dockerfile, extensions: &[(&str, &str)]) {
    let mut packages: Vec<&str> = extensions.iter().flat_map(|(_, packages)| packages.split_whitespace()).collect();
    packages.dedup();
    if !packages.is_empty() {
        dockerfile.apt(&packages);
    }
    if extensions.is_empty() {
        return;
    }
    let mut commands = Vec::new();
    if extensions.iter().any(|(name, _)| *name == "gd") {
        commands.push("docker-php-ext-configure gd --with-freetype --with-jpeg".to_owned());
    }
    let names: Vec<&str> = extensions.iter().map(|(name, _)| *name).collect();
    commands.push(format!("docker-php-ext-install {}", names.join(" ")));
    dockerfile.run(&commands.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Composer's stage. The image's PHP is not the one that runs, so platform requirements are not looked at here; the
/// lock file was made with them.
fn vendor(dockerfile: &mut Dockerfile, tree: &Tree<'_>) {
    const FLAGS: &str = "--no-dev --no-interaction --no-progress --no-scripts --ignore-platform-reqs";
    dockerfile
        .stage("composer:2.8", "vendor")
        .add("WORKDIR /app")
        .add(&format!("COPY {} ./", tree.present(&["composer.json", "composer.lock"]).join(" ")))
        .run_with(&["/tmp/cache"], &[&format!("composer install {FLAGS} --no-autoloader")])
        .add("COPY . .")
        .run(&["composer dump-autoload --no-dev --no-scripts --optimize --ignore-platform-reqs"]);
}
