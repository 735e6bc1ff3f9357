//! An image registry of a test's own, with a login.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::server::{talk, until};
use super::skip;

/// The account that may push and pull.
pub const USER: &str = "ada";
/// Its password.
pub const TOKEN: &str = "registry-token-of-ada";

/// A private registry on this machine.
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub address: String,
    folder: TempDir,
    child: Child,
}

impl Registry {
    /// An empty one; none after saying that the test is skipped.
    ///
    /// # Panics
    /// When the program is not installed and `KIOPS_TEST_REQUIRE` lists `registry`.
    pub fn start(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = run(&folder, &address);
        if child.is_none() {
            skip(test, "registry");
        }
        let registry = Self { address, folder, child: child? };
        registry.wait();
        Some(registry)
    }

    /// Ends it; what it holds stays.
    pub fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again under the same address.
    pub fn restart(&mut self) {
        self.child = run(&self.folder, &self.address).unwrap();
        self.wait();
    }

    fn wait(&self) {
        until("the registry", 20, || {
            talk(&self.address, "GET /v2/ HTTP/1.0\r\n\r\n").ok().filter(|answer| answer.contains(" 401 "))
        });
    }

    /// Pushes an image that the engine holds.
    pub fn push(&self, docker: &str, image: &str, name: &str) {
        let target = format!("{}/{name}", self.address);
        let config = self.folder.path().join("docker");
        let run = |args: &[&str]| {
            let mut command = Command::new("docker");
            command.arg("--config").arg(&config).args(["--host", docker]).args(args);
            let out = command.output().unwrap();
            assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        run(&["login", "--username", USER, "--password", TOKEN, &self.address]);
        run(&["tag", image, &target]);
        run(&["push", "--quiet", &target]);
        // It has to be pulled from now on.
        run(&["rmi", &target]);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(folder: &TempDir, address: &str) -> Option<Child> {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let users = Command::new("htpasswd").args(["-Bbn", USER, TOKEN]).output().ok()?;
    std::fs::write(path("users"), users.stdout).unwrap();
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n\
         auth:\n  htpasswd:\n    realm: kiops\n    path: {}\n",
        path("data"),
        path("users")
    );
    std::fs::write(path("config.yml"), config).unwrap();
    Command::new("docker-registry")
        .args(["serve", &path("config.yml")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}
