//! A server of Git repositories on loopback: the real `git http-backend` behind a login, and faults that it can be told
//! to have. Its routes fit into a provider's double.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use super::skip;

/// How it answers instead of as it should.
#[derive(Debug, Clone)]
pub enum Fault {
    /// With this status and a page.
    Status(u16),
    /// With a page of HTML and 200.
    Html,
    /// It points elsewhere.
    Redirect(String),
    /// Never.
    Stall,
    /// To `info/refs` as it should, never to what comes after.
    StallLater,
    /// To what comes after `info/refs` with this text.
    Rubbish(String),
}

/// One file, link or submodule of a commit.
#[derive(Debug, Clone)]
pub struct Change {
    mode: &'static str,
    path: String,
    content: Vec<u8>,
}

impl Change {
    /// A file.
    pub fn file(path: &str, content: impl AsRef<[u8]>) -> Self {
        Self { mode: "100644", path: path.to_owned(), content: content.as_ref().to_vec() }
    }

    /// A file that may be run.
    pub fn program(path: &str, content: &str) -> Self {
        Self { mode: "100755", ..Self::file(path, content) }
    }

    /// A symbolic link.
    pub fn link(path: &str, target: &str) -> Self {
        Self { mode: "120000", ..Self::file(path, target) }
    }

    /// A submodule at a commit.
    pub fn module(path: &str, commit: &str) -> Self {
        Self { mode: "160000", ..Self::file(path, commit) }
    }
}

/// Bare repositories in a folder. One is served at `/{namespace…}/{name}.git`.
pub struct Repositories {
    folder: TempDir,
    token: Mutex<String>,
    fault: Mutex<Option<Fault>>,
    seen: Mutex<Vec<String>>,
}

impl Repositories {
    /// None yet; whoever knows the token, with any user name, may read and push all of them.
    pub fn new(token: &str) -> Arc<Self> {
        Arc::new(Self {
            folder: tempfile::tempdir().unwrap(),
            token: Mutex::new(token.to_owned()),
            fault: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// Makes an empty one: `shop/api`.
    pub fn create(&self, path: &str) {
        self.create_with(path, &["--object-format=sha1"]);
    }

    /// The same with other arguments for `git init`.
    pub fn create_with(&self, path: &str, args: &[&str]) {
        let folder = self.folder.path().join(format!("{path}.git"));
        let mut command = git();
        command.args(["init", "--quiet", "--bare", "--initial-branch=main"]).args(args).arg(folder);
        assert!(command.status().unwrap().success());
    }

    /// Commits on top of a branch, which is made where it is not there; gives the commit's hash.
    pub fn commit(&self, path: &str, branch: &str, changes: &[Change]) -> String {
        let name = format!("refs/heads/{branch}");
        let mut stream = format!(
            "commit {name}\nauthor Ada Lovelace <ada@example.com> 1700000000 +0100\n\
             committer Bob <bob@example.com> 1700000001 +0000\ndata 14\nChange a thing\n"
        )
        .into_bytes();
        if let Ok(parent) = self.try_git(path, &["rev-parse", "--verify", "--quiet", &name], b"") {
            stream.extend(format!("from {parent}\n").bytes());
        }
        for change in changes {
            // As C has strings, so that any path passes.
            let quoted: String = change.path.bytes().map(|byte| format!("\\{byte:03o}")).collect();
            if change.mode == "160000" {
                stream.extend(format!("M 160000 {} \"{quoted}\"\n", String::from_utf8_lossy(&change.content)).bytes());
                continue;
            }
            stream.extend(format!("M {} inline \"{quoted}\"\ndata {}\n", change.mode, change.content.len()).bytes());
            stream.extend(&change.content);
            stream.push(b'\n');
        }
        self.git(path, &["fast-import", "--quiet", "--force"], &stream);
        self.git(path, &["rev-parse", &name], b"")
    }

    /// Runs `git` in a repository; gives what it prints, without the last line end.
    ///
    /// # Panics
    /// When it fails.
    pub fn git(&self, path: &str, args: &[&str], stdin: &[u8]) -> String {
        self.try_git(path, args, stdin).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    fn try_git(&self, path: &str, args: &[&str], stdin: &[u8]) -> Result<String, String> {
        let folder = self.folder.path().join(format!("{path}.git"));
        let mut child = git()
            .arg("--git-dir")
            .arg(folder)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Makes a tree object of entries as they are: mode, name and hash; nothing is checked.
    pub fn tree(&self, path: &str, entries: &[(&str, &str, &str)]) -> String {
        let mut object = Vec::new();
        for (mode, name, hash) in entries {
            object.extend(format!("{mode} {name}\0").bytes());
            object.extend(hex::decode(hash).unwrap());
        }
        self.git(path, &["hash-object", "-t", "tree", "--literally", "-w", "--stdin"], &object)
    }

    /// Makes a file's object.
    pub fn blob(&self, path: &str, content: &[u8]) -> String {
        self.git(path, &["hash-object", "-w", "--stdin"], content)
    }

    /// Makes a commit of a tree and has a branch point at it.
    pub fn commit_tree(&self, path: &str, branch: &str, tree: &str) -> String {
        let object = format!(
            "tree {tree}\nauthor A <a@example.com> 1700000000 +0000\ncommitter A <a@example.com> 1700000000 +0000\n\nx\n"
        );
        let args = ["hash-object", "-t", "commit", "--literally", "-w", "--stdin"];
        let commit = self.git(path, &args, object.as_bytes());
        self.git(path, &["update-ref", &format!("refs/heads/{branch}"), &commit], b"");
        commit
    }

    /// Has a branch point at a commit, whatever it pointed at before: a forced push.
    pub fn force(&self, path: &str, branch: &str, commit: &str) {
        self.git(path, &["update-ref", &format!("refs/heads/{branch}"), commit], b"");
    }

    /// Deletes a branch.
    pub fn delete(&self, path: &str, branch: &str) {
        self.git(path, &["update-ref", "-d", &format!("refs/heads/{branch}")], b"");
    }

    /// Forgets all commits that nothing points at.
    pub fn prune(&self, path: &str) {
        self.git(path, &["-c", "gc.reflogExpire=now", "gc", "--quiet", "--prune=now"], b"");
    }

    /// From now on another token is taken.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut lock(&self.token));
    }

    /// From now on it answers like this, or as it should.
    pub fn set_fault(&self, fault: Option<Fault>) {
        *lock(&self.fault) = fault;
    }

    /// Methods and addresses of all requests since the last call of this.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.seen))
    }
}

/// A running server of nothing but repositories. It ends with the runtime of the test.
pub struct GitServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// What it serves.
    pub repositories: Arc<Repositories>,
}

impl GitServer {
    /// An empty one; none after saying that the test is skipped.
    ///
    /// # Panics
    /// When git is not installed and `KIOPS_TEST_REQUIRE` lists `git`.
    pub async fn start(test: &str, token: &str) -> Option<Self> {
        if !is_there() {
            skip(test, "git");
            return None;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let repositories = Repositories::new(token);
        let app = routes(Arc::clone(&repositories));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Some(Self { url, repositories })
    }

    /// `http://127.0.0.1:PORT/shop/api.git`.
    pub fn address(&self, path: &str) -> String {
        format!("{}/{path}.git", self.url)
    }
}

/// Whether this machine has `git` and its server side.
pub fn is_there() -> bool {
    let answer = Command::new("git").arg("--exec-path").output();
    answer.is_ok_and(|out| {
        let folder = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        std::path::Path::new(&folder).join("git-http-backend").exists()
    })
}

/// The routes of all repositories: a fallback, so that a double of a provider can put its own before.
pub fn routes(repositories: Arc<Repositories>) -> Router {
    Router::new().fallback(answer).with_state(repositories)
}

/// Answers one request of `git`.
pub async fn answer(State(repositories): State<Arc<Repositories>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    lock(&repositories.seen).push(format!("{} {}", request.method(), request.uri()));
    let is_first = path.ends_with("/info/refs");
    let fault = lock(&repositories.fault).clone();
    match fault {
        Some(Fault::Status(status)) => {
            return (StatusCode::from_u16(status).unwrap(), "<h1>No</h1>").into_response();
        }
        Some(Fault::Html) => return ([(header::CONTENT_TYPE, "text/html")], "<h1>Welcome</h1>").into_response(),
        Some(Fault::Redirect(to)) => return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::StallLater) if !is_first => std::future::pending().await,
        Some(Fault::Rubbish(text)) if !is_first => {
            return ([(header::CONTENT_TYPE, "application/x-git-upload-pack-result")], text).into_response();
        }
        _ => {}
    }
    if !knows_token(request.headers(), &lock(&repositories.token)) {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"Git\"")];
        return (StatusCode::UNAUTHORIZED, ask, "HTTP Basic: Access denied").into_response();
    }
    let repository = path.split_once(".git/").map(|(name, _)| format!("{}.git", name.trim_start_matches('/')));
    match repository {
        Some(name) if !name.contains("..") && repositories.folder.path().join(&name).is_dir() => {}
        _ => return (StatusCode::NOT_FOUND, "no such repository").into_response(),
    }
    backend(&repositories, request).await
}

fn knows_token(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let encoded = given.and_then(|value| value.strip_prefix("Basic "));
    let pair = encoded.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    pair.split_once(':').is_some_and(|(_, password)| password == token)
}

/// `git http-backend` as a CGI program: <https://git-scm.com/docs/git-http-backend>.
async fn backend(repositories: &Repositories, request: Request) -> Response {
    let mut command = tokio::process::Command::from(git());
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repositories.folder.path())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default());
    let passed = [
        (header::CONTENT_TYPE, "CONTENT_TYPE"),
        (header::CONTENT_LENGTH, "CONTENT_LENGTH"),
        (header::CONTENT_ENCODING, "HTTP_CONTENT_ENCODING"),
        (HeaderName::from_static("git-protocol"), "GIT_PROTOCOL"),
    ];
    for (header, variable) in passed {
        if let Some(value) = request.headers().get(header).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.into_body().into_data_stream().map_err(std::io::Error::other);
    tokio::spawn(async move {
        // Either side may end first.
        let _ = tokio::io::copy(&mut StreamReader::new(body), &mut stdin).await;
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut response = Response::builder();
    loop {
        let mut line = String::new();
        (&mut stdout).take(8192).read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("status") {
            response = response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap());
        } else {
            response = response.header(name, HeaderValue::from_str(value).unwrap());
        }
    }
    tokio::spawn(async move { child.wait().await });
    response.body(Body::from_stream(ReaderStream::new(stdout))).unwrap()
}

/// `git` with nobody's configuration.
fn git() -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", "1700000000 +0000")
        .env("GIT_COMMITTER_DATE", "1700000000 +0000")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com");
    command
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
