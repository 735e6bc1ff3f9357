//! The real server program, with everything that it keeps in a temporary folder.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use entity::Db;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::app::new_database;

/// The first admin's password.
pub const PASSWORD: &str = "correct horse battery";

/// A server that can be killed and started again on what it left.
pub struct Server {
    /// Where it answers: `127.0.0.1:PORT`.
    pub address: String,
    /// The first admin's session.
    pub token: String,
    database: String,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// One with an empty database of the kind that the suite runs on, ready to answer, and its admin logged in.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more of its configuration: `BUILD__TIMEOUT` and the like.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_as(&[], settings)
    }

    /// The same, told to be a part of a server by the arguments of its command line.
    pub fn start_as(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database_in(&folder);
        let mut server = Self::spawned(folder, database, (arguments, settings));
        let login = "mutation($p: String!) { login(input: {email: \"admin@localhost\", password: $p}) { token } }";
        let data = server.data(login, json!({ "p": PASSWORD }));
        server.token = data["login"]["token"].as_str().unwrap().to_owned();
        server
    }

    /// Another one on the same database, with the same key and session, ready to answer.
    pub fn beside(&self, arguments: &[&str]) -> Self {
        let key = self.folder.path().join("data/secret.key");
        let settings = [("SECRETS__KEY_FILE", key.to_str().unwrap())];
        let folder = tempfile::tempdir().unwrap();
        let mut other = Self::spawned(folder, self.database.clone(), (arguments, &settings));
        other.token.clone_from(&self.token);
        other
    }

    fn spawned(folder: TempDir, database: String, (arguments, settings): (&[&str], &[(&str, &str)])) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let child = spawn(&folder, &address, &database, (&arguments, &settings));
        let mut server = Self { address, token: String::new(), database, arguments, settings, folder, child };
        server.wait_until_ready();
        server
    }

    /// The whole response to a document.
    pub fn ask(&self, document: &str, variables: Value) -> Value {
        self.post(document, variables).1
    }

    /// The status of HTTP and the whole response to a document.
    pub fn post(&self, document: &str, variables: Value) -> (u16, Value) {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let authorization = match self.token.is_empty() {
            true => String::new(),
            false => format!("Authorization: Bearer {}\r\n", self.token),
        };
        let request = format!(
            "POST /graphql HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
             {authorization}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = talk(&self.address, &request).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {head}\n{body}"));
        (status.unwrap_or_else(|| panic!("no status: {head}")), body)
    }

    /// The data of a document that must succeed.
    pub fn data(&self, document: &str, variables: Value) -> Value {
        let mut answer = self.ask(document, variables);
        assert!(answer.get("errors").is_none(), "{document}\n{answer:#}\n{}", self.log());
        answer["data"].take()
    }

    /// Ends it as a power cut would.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on what it left.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.address, &self.database, (&self.arguments, &self.settings));
        self.wait_until_ready();
    }

    /// Asks it to end: it does so soon, and says that all is well.
    pub fn stop(&mut self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended: ExitStatus = until("the server's end", 15, || self.child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(0), "{}", self.log());
    }

    /// Runs another command of the program beside the server, with its configuration: exit code and standard output.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (code, said, _) = self.run_whole(arguments);
        (code, said)
    }

    /// The same, and standard error.
    pub fn run_whole(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let ended = program(&self.folder, &self.address, &self.database).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
    }

    /// The file of its database, on SQLite.
    pub fn database_file(&self) -> PathBuf {
        Db::file(&self.database).unwrap()
    }

    /// The folder of the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Works with its database beside it, as another server would.
    pub fn with_database<T: Send>(&self, work: impl AsyncFnOnce(Db) -> T + Send) -> T {
        let url = self.database.clone();
        let work = move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { work(Db::connect(&url, 2).await.unwrap()).await })
        };
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn wait_until_ready(&mut self) {
        let request = "GET /readyz HTTP/1.0\r\n\r\n";
        until("the server", 30, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            talk(&self.address, request).ok().filter(|answer| answer.split(' ').nth(1) == Some("200"))
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where a test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// Asks until there is an answer.
///
/// # Panics
/// When there is none in so many seconds.
pub fn until<T>(what: &str, seconds: u64, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {seconds} s for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends a request whose answer ends with the connection.
pub fn talk(address: &str, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(180)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A new database for a server. From a thread of its own: a test's thread may be a runtime's already.
fn database_in(folder: &TempDir) -> String {
    let folder = folder.path().to_owned();
    let make = move || tokio::runtime::Runtime::new().unwrap().block_on(new_database(&folder));
    std::thread::spawn(make).join().unwrap()
}

fn spawn(
    folder: &TempDir,
    address: &str,
    database: &str,
    (arguments, settings): (&[String], &[(String, String)]),
) -> Child {
    let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    let settings = settings.iter().map(|(key, value)| (format!("KIOPS_{key}"), value));
    program(folder, address, database).args(arguments).envs(settings).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The program with its configuration, to be told what to do.
fn program(folder: &TempDir, address: &str, database: &str) -> Command {
    let settings = [
        ("DATABASE__URL", database),
        ("SERVER__LISTEN", address),
        ("SERVER__PUBLIC_URL", &format!("http://{address}")),
        ("BOOTSTRAP__ADMIN_PASSWORD", PASSWORD),
        ("JOBS__LEASE", "3s"),
        ("JOBS__POLL", "200ms"),
        ("NET__ALLOW", "127.0.0.0/8"),
        ("DEPLOY__TIMEOUT", "50s"),
        ("RUNTIMES__LOCAL_ENGINE", "true"),
        ("TELEMETRY__LOG", "info,kiops::http=warn"),
        // Nobody answers there, and at once: nothing leaves this machine.
        ("DOCKER_HUB__REGISTRY_URL", "http://127.0.0.1:1"),
        ("DOCKER_HUB__API_URL", "http://127.0.0.1:1"),
        ("DOCKER_HUB__AUTH_URL", "http://127.0.0.1:1"),
    ];
    let mut program = Command::new(env!("CARGO_BIN_EXE_kiops"));
    program
        .current_dir(folder.path())
        .envs(settings.map(|(key, value)| (format!("KIOPS_{key}"), value)))
        .stdin(Stdio::null());
    program
}
