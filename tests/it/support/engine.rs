//! A Docker engine for the tests: the one that `KIOPS_TEST_DOCKER_HOST` names, else one of our own for the time of
//! the test binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::skip;

/// The shared engine's address.
static HOST: OnceLock<Option<String>> = OnceLock::new();
/// One build at a time: the classic builder is not in a hurry.
static BUILD: Mutex<()> = Mutex::new(());

/// The engine's address, or none after saying that the test is skipped.
///
/// # Panics
/// When there is no engine and `KIOPS_TEST_REQUIRE` lists `docker`.
#[expect(clippy::disallowed_methods, reason = "where the engine is, is said by the environment")]
pub fn docker(test: &str) -> Option<String> {
    let host = HOST.get_or_init(|| std::env::var("KIOPS_TEST_DOCKER_HOST").ok().or_else(start)).clone();
    if host.is_none() {
        skip(test, "docker");
    }
    host
}

/// The address of another engine than [`docker`]'s, or none after saying that the test is skipped.
///
/// # Panics
/// When there is none and `KIOPS_TEST_REQUIRE` lists `second-docker`.
#[expect(clippy::disallowed_methods, reason = "where the engine is, is said by the environment")]
pub fn second(test: &str) -> Option<String> {
    let host = std::env::var("KIOPS_TEST_SECOND_DOCKER_HOST").ok();
    if host.is_none() {
        skip(test, "second-docker");
    }
    host
}

/// Builds `tag` from scratch with a static busybox as `/bin/busybox` and the given Dockerfile lines after it.
pub fn build(host: &str, tag: &str, lines: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy("/bin/busybox", folder.path().join("busybox")).expect("busybox-static is installed");
    let links = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n";
    std::fs::write(folder.path().join("Dockerfile"), format!("{links}{lines}\n")).expect("a Dockerfile");
    build_folder(host, tag, folder.path());
}

/// Builds `tag` from a folder with a Dockerfile.
pub fn build_folder(host: &str, tag: &str, folder: &Path) {
    let _one = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Other test processes may build the same at this moment, and the classic builder takes layers from under them.
    for attempt in 1.. {
        let built = Command::new("docker")
            .args(["--host", host, "build", "--quiet", "--tag", tag, "."])
            .env("DOCKER_BUILDKIT", "0")
            .current_dir(folder)
            .output()
            .expect("the docker program is installed");
        if built.status.success() {
            return;
        }
        assert!(attempt < 5, "{}", String::from_utf8_lossy(&built.stderr));
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Starts an engine that ends soon after this process does.
fn start() -> Option<String> {
    let folder = std::env::temp_dir().join(format!("kiops-docker-{}", std::process::id()));
    std::fs::create_dir_all(&folder).ok()?;
    let host = format!("unix://{}", folder.join("docker.sock").display());
    let daemon = daemon(&folder, &host)?;
    watch(daemon.id(), &folder)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let answers = Command::new("docker")
            .args(["--host", &host, "version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if answers {
            return Some(host);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    None
}

fn daemon(folder: &Path, host: &str) -> Option<Child> {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let log = std::fs::File::create(path("log")).ok()?;
    Command::new("dockerd")
        .arg("--host")
        .arg(host)
        .arg("--data-root")
        .arg(path("data"))
        .arg("--exec-root")
        .arg(path("exec"))
        .arg("--pidfile")
        .arg(path("pid"))
        // Only networks of the tests' own: the default bridge may be another engine's.
        .args(["--bridge", "none"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .ok()
}

/// Rust runs nothing at a process's end, so that a small program waits for it: it ends the engine and takes the
/// folder away.
fn watch(daemon: u32, folder: &Path) -> Option<Child> {
    let script = "while kill -0 \"$1\" 2>/dev/null; do sleep 1; done; kill \"$2\"; \
                  while kill -0 \"$2\" 2>/dev/null; do sleep 1; done; rm -rf \"$3\"";
    Command::new("setsid")
        .args(["sh", "-c", script, "sh"])
        .arg(std::process::id().to_string())
        .arg(daemon.to_string())
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

/// Something that says that it is an engine whatever it is asked, so that it can be registered where nothing is to run.
pub async fn hollow() -> wiremock::MockServer {
    let server = wiremock::MockServer::start().await;
    let said = serde_json::json!({ "ApiVersion": "1.41", "Version": "20.10", "ID": "hollow" });
    let always = wiremock::ResponseTemplate::new(200).set_body_json(said);
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(always).mount(&server).await;
    server
}
