//! What the Build Wizard proposes is built, deployed and asked, on bases that are made of what this machine has.

use std::path::Path;

use serde_json::json;

use super::{Works, statuses, text};
use crate::support::bases;
use crate::support::git_server::Change;
use crate::support::server::{talk, until};

/// A tree without a Dockerfile, as a service of its own.
struct Tree {
    /// The folder of the project, and the service's name.
    name: &'static str,
    /// What the wizard's program listens on.
    port: u16,
    files: Vec<(String, Vec<u8>)>,
}

impl Tree {
    fn new(name: &'static str, port: u16, files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect();
        Self { name, port, files }
    }

    /// One of the trees that the wizard is tested with.
    fn fixture(name: &'static str, port: u16) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wizard").join(name);
        let files = walk(&folder).into_iter().map(|path| {
            let inside = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            (inside, std::fs::read(&path).unwrap())
        });
        Self { name, port, files: files.collect() }
    }

    /// Builds it as the wizard says, deploys it, and gives what is answered for each of the paths: status and body.
    fn answers(&self, works: &Works, paths: &[&str]) -> Vec<(u16, String)> {
        let changes: Vec<Change> =
            self.files.iter().map(|(path, content)| Change::file(&format!("{}/{path}", self.name), content)).collect();
        works.repositories.commit("team/shop", "main", &changes);
        let register = "mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }";
        let runtimes = works.server.data("{ runtimes { nodes { id name } } }", json!({}));
        let runtimes = runtimes["runtimes"]["nodes"].as_array().unwrap();
        let runtime = runtimes.iter().find(|runtime| runtime["name"] == "local").unwrap();
        let health = json!({ "path": "/", "intervalSeconds": 1, "timeoutSeconds": 2, "retries": 5, "startSeconds": 0 });
        let name = format!("{}-{}", self.name, std::process::id());
        let input = json!({
            "provider": "GITLAB", "project": "team/shop", "branch": "main", "runtimeId": runtime["id"], "name": name,
            "contextPath": self.name,
            "containers": [{ "name": "web", "port": self.port, "healthCheck": health }],
        });
        let data = works.server.data(register, json!({ "i": input }));
        let service = text(&data["registerGitProject"]["service"]["id"]);
        let save = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
        works.server.data(save, json!({ "i": { "serviceId": service, "mode": "WIZARD" } }));
        let start = "mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }";
        let started = works.server.data(start, json!({ "i": { "serviceId": service, "deployTo": "production" } }));
        let id = text(&started["startPipeline"]["pipeline"]["id"]);
        let done = works.ended(&id);
        assert_eq!(done["status"], "SUCCEEDED", "{}: {done:#}\n{:#?}", self.name, works.lines(&id));
        assert_eq!(statuses(&done), "SUCCEEDED SUCCEEDED SKIPPED SKIPPED SUCCEEDED");

        let endpoints = "query($id: ID!) { service(id: $id) { environments { endpoints { url } } } }";
        let data = works.server.data(endpoints, json!({ "id": service }));
        let url = text(&data["service"]["environments"][0]["endpoints"][0]["url"]);
        let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
        let found = paths.iter().map(|path| get(&format!("127.0.0.1:{port}"), path)).collect();

        // It ran as nobody special.
        let users = works.docker(&["ps", "--quiet", "--filter", &format!("name={name}")]);
        let user = works.docker(&["inspect", "--format", "{{.Config.User}}", users.lines().next().unwrap()]);
        assert!(user.split(':').next().and_then(|id| id.parse().ok()).is_some_and(|id: u32| id > 0), "{user}");

        let remove = "mutation($id: ID!) { removeService(input: {id: $id, deleteVolumes: true}) { id } }";
        works.server.data(remove, json!({ "id": service }));
        until("the service's end", 60, || {
            let status = "query($id: ID!) { service(id: $id) { status } }";
            works.server.data(status, json!({ "id": service }))["service"].is_null().then_some(())
        });
        found
    }
}

#[test]
fn docker_a_static_site_is_built_by_the_wizard_and_answers() {
    let test = "docker_a_static_site_is_built_by_the_wizard_and_answers";
    let Some(works) = Works::open(test) else { return };
    if !bases::nginx(test, &works.host, "nginx:1.28-alpine") {
        return;
    }
    let answers = Tree::fixture("static-site", 8080).answers(&works, &["/", "/style.css", "/missing", "/Procfile"]);
    assert_eq!(answers[0], (200, "<!doctype html>\n".to_owned()));
    assert_eq!(answers[1], (200, "p { color: red }\n".to_owned()));
    // What is no file is not found, and what is no page of the site is not in the image.
    assert_eq!((answers[2].0, answers[3].0), (404, 404));
    // A site in a folder of the project, with a page that is asked for without its ending.
    let mut public = Tree::fixture("static-public", 8080);
    public.files.push(("public/about.html".to_owned(), b"about us\n".to_vec()));
    let answers = public.answers(&works, &["/", "/about", "/README.md"]);
    assert_eq!((answers[0].0, answers[1].clone(), answers[2].0), (200, (200, "about us\n".to_owned()), 404));
    works.close();
}

#[test]
fn docker_python_is_built_by_the_wizard_and_answers() {
    let test = "docker_python_is_built_by_the_wizard_and_answers";
    let Some(works) = Works::open(test) else { return };
    if !bases::python(test, &works.host, &["python:3.13", "python:3.13-slim"]) {
        return;
    }
    let program = "import http.server, os, sys\n\
        class Hello(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        \
        self.end_headers()\n        self.wfile.write(f'hello from {sys.prefix}'.encode())\n\
        http.server.HTTPServer(('', int(os.environ['PORT'])), Hello).serve_forever()\n";
    let files = [
        ("requirements.txt", "# The standard library is enough.\n"),
        ("Procfile", "web: python -m shop\n"),
        ("shop/__main__.py", program),
    ];
    let answers = Tree::new("python", 8000, &files).answers(&works, &["/"]);
    assert_eq!(answers[0], (200, "hello from /app/.venv".to_owned()));
    works.close();
}

#[test]
fn docker_node_is_built_by_the_wizard_and_answers() {
    let test = "docker_node_is_built_by_the_wizard_and_answers";
    let Some(works) = Works::open(test) else { return };
    if !bases::node(test, &works.host, &["node:24", "node:24-slim"]) {
        return;
    }
    let package = "{ \"name\": \"hello\", \"private\": true, \"scripts\": { \"build\": \"node build.js\", \"start\": \"node dist/main.js\" } }\n";
    let lock = "{ \"name\": \"hello\", \"lockfileVersion\": 3, \"requires\": true, \"packages\": { \"\": { \"name\": \"hello\" } } }\n";
    let build = "const fs = require('node:fs'); fs.mkdirSync('dist'); fs.copyFileSync('main.js', 'dist/main.js')\n";
    let main = "require('node:http').createServer((_, reply) => reply.end(`hello from ${process.env.NODE_ENV}`)).listen(process.env.PORT)\n";
    let files = [("package.json", package), ("package-lock.json", lock), ("build.js", build), ("main.js", main)];
    let answers = Tree::new("node", 3000, &files).answers(&works, &["/"]);
    assert_eq!(answers[0], (200, "hello from production".to_owned()));
    works.close();
}

fn get(address: &str, path: &str) -> (u16, String) {
    let answer = talk(address, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path),
        }
    }
    found
}
