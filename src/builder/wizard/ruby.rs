//! Ruby: Rails, Sinatra and what else rackup starts.

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::Tree;
use super::versions::{self, Asked};
use super::{Project, check};

const CURRENT: &str = "3.4";

/// Gems that are linked with a library of the system, and its package in Debian.
const LIBRARIES: [(&str, &str); 4] =
    [("pg", "libpq5"), ("mysql2", "libmariadb3"), ("ruby-vips", "libvips42"), ("image_processing", "libvips42")];

/// A Gemfile and something to start.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let gemfile = tree.text("Gemfile")?;
    let lock = tree.text("Gemfile.lock").unwrap_or_default();
    let uses = |gem: &str| {
        let quoted = [format!("gem \"{gem}\""), format!("gem '{gem}'")];
        gemfile.lines().any(|line| quoted.iter().any(|quoted| line.trim_start().starts_with(quoted)))
    };
    let locks = |gem: &str| lock.lines().any(|line| line.trim_start().starts_with(&format!("{gem} (")));
    let is_rails = uses("rails") && tree.has("config/application.rb");
    let (framework, port, command, file) = if is_rails {
        (Some("rails"), 3000, words(&["bin/rails", "server", "-b", "0.0.0.0", "-p", "3000"]), "config/application.rb")
    } else if tree.has("config.ru") {
        let command = if uses("puma") {
            words(&["bundle", "exec", "puma", "-b", "tcp://0.0.0.0:9292"])
        } else {
            words(&["bundle", "exec", "rackup", "--host", "0.0.0.0", "--port", "9292"])
        };
        (uses("sinatra").then_some("sinatra"), 9292, command, "config.ru")
    } else if let Some(file) = tree.first(&["app.rb", "server.rb", "main.rb"]).filter(|_| uses("sinatra")) {
        (Some("sinatra"), 4567, words(&["bundle", "exec", "ruby", file, "-o", "0.0.0.0", "-p", "4567"]), file)
    } else if let Some(web) = project.web {
        (None, 3000, web.to_vec(), "Procfile")
    } else {
        return None;
    };

    let mut evidence = vec![format!("Gemfile, {file}: a Ruby project"), String::new()];
    let (version, because) = Asked::or_current(version(tree, &gemfile, &lock), CURRENT);
    evidence[1] = because;
    let node = super::node::image(tree).filter(|_| is_rails);
    let has_assets = is_rails && ["propshaft", "sprockets-rails"].into_iter().any(|gem| uses(gem) || locks(gem));

    let mut dockerfile = Dockerfile::new();
    if let Some(node) = &node {
        evidence.push("package.json: Node builds the assets".to_owned());
        dockerfile.stage(node, "node");
    }
    dockerfile.stage(&format!("ruby:{version}"), "build").add("WORKDIR /app");
    environment(&mut dockerfile, is_rails, &lock);
    if node.is_some() {
        dockerfile.add("COPY --from=node /usr/local/ /usr/local/").add("COPY --from=node /opt/ /opt/");
    }
    let files = tree.present(&["Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions"]);
    dockerfile
        .add(&format!("COPY {} ./", files.join(" ")))
        .run(&["bundle install", "rm -rf \"$BUNDLE_PATH\"/ruby/*/cache"]);
    if node.is_some() {
        super::node::install_assets(&mut dockerfile, tree);
    }
    dockerfile.add("COPY . .");
    if has_assets {
        dockerfile.note("No secret: Rails makes a throwaway key for this one command.");
        let mut commands = vec!["SECRET_KEY_BASE_DUMMY=1 ./bin/rails assets:precompile"];
        if node.is_some() {
            commands.push("rm -rf node_modules");
        }
        dockerfile.run(&commands);
    }

    dockerfile.stage(&format!("ruby:{version}-slim"), "");
    let mut libraries: Vec<&str> =
        LIBRARIES.iter().filter(|(gem, _)| uses(gem) || locks(gem)).map(|(_, package)| *package).collect();
    libraries.dedup();
    if !libraries.is_empty() {
        evidence.push(format!("Gemfile: needs {}", libraries.join(", ")));
        dockerfile.apt(&libraries);
    }
    dockerfile.add("WORKDIR /app");
    environment(&mut dockerfile, is_rails, &lock);
    dockerfile
        .env(&[("HOME", "/tmp"), ("PORT", &port.to_string())])
        .add("COPY --from=build /usr/local/bundle /usr/local/bundle")
        .add("COPY --from=build /app ./");
    if is_rails {
        dockerfile
            .note("What Rails writes while it runs.")
            .run(&["mkdir -p tmp/pids log storage db", "chown -R 10001:10001 tmp log storage db"]);
    }
    dockerfile.add("USER 10001:10001").add(&format!("EXPOSE {port}"));
    Some(Proposal {
        language: "ruby",
        framework: framework.map(str::to_owned),
        version: Some(version),
        package_manager: Some("bundler"),
        port: Some(port),
        evidence,
        dockerfile,
        command: Some(command),
        ignore: vec![
            ".bundle",
            "vendor/bundle",
            "node_modules",
            "log/*",
            "tmp/*",
            "storage/*",
            "config/master.key",
            "public/assets",
        ],
    })
}

fn environment(dockerfile: &mut Dockerfile, is_rails: bool, lock: &str) {
    let mut variables =
        vec![("BUNDLE_PATH", "/usr/local/bundle"), ("BUNDLE_WITHOUT", "development:test"), ("RACK_ENV", "production")];
    // A deployment is what the lock file says and nothing else; without one there is nothing to hold to.
    if !lock.is_empty() {
        variables.push(("BUNDLE_DEPLOYMENT", "1"));
    }
    if is_rails {
        variables.extend([("RAILS_ENV", "production"), ("RAILS_LOG_TO_STDOUT", "1")]);
    }
    dockerfile.env(&variables);
}

fn version(tree: &Tree<'_>, gemfile: &str, lock: &str) -> Option<Asked> {
    let file = || {
        let text = tree.text(".ruby-version")?;
        let line = text.trim();
        Some(Asked::new(check::version(line.strip_prefix("ruby-").unwrap_or(line))?, ".ruby-version"))
    };
    let locked = || {
        let line = lock.lines().find_map(|line| line.trim().strip_prefix("ruby "))?;
        // 3.3.0p0: the patch level is no part of the tag.
        Some(Asked::new(check::version(line.split('p').next()?)?, "Gemfile.lock"))
    };
    let said = || {
        let line = gemfile.lines().find_map(|line| line.trim().strip_prefix("ruby "))?;
        let range = line.split(['"', '\'']).nth(1)?;
        let lines = ["3.4", "4.0", "3.3", "3.2", "3.1", "3.0", "2.7"];
        Some(Asked::new(versions::in_range(range, &lines)?, "Gemfile"))
    };
    file().or_else(|| versions::of_tool(tree, &["ruby"])).or_else(locked).or_else(said)
}
