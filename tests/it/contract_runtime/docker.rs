//! The suite on a Docker engine.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kiops::domain::image::{Repository, Tag};
use kiops::domain::spec::Target;
use kiops::runtime::docker::DockerRuntime;
use kiops::runtime::{DockerConnection, Runtime};

use super::{Place, holds};
use crate::support::engine;

const WEB: &str = r#"STOPSIGNAL SIGKILL
COPY busybox /www/busybox
CMD ["/bin/sh", "-c", "if [ \"$FAIL\" = 1 ]; then busybox echo broken $TOKEN; exit 7; fi; busybox echo hello > /www/index.html; exec busybox httpd -f -p 80 -h /www"]"#;

holds!(EnginePlace::start =>
    environment_values_arrive,
    neighbours_are_reached_by_name_and_internal_ports_are_closed,
    volumes_are_kept_over_revisions,
    a_failed_revision_is_undone_and_the_old_one_serves_throughout,
    a_first_revision_that_fails_leaves_nothing,
    a_rollback_restores_all_of_a_revision,
    unchanged_containers_are_left_running,
    stopped_restarted_removed,
    logs_are_followed_over_revisions,
);

/// An environment of its own on the shared engine.
struct EnginePlace {
    host: String,
    runtime: DockerRuntime,
    target: Target,
}

impl EnginePlace {
    fn start(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let host = engine::docker(test)?;
        let id = format!("contract-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let target = Target {
            organization_id: "org-1".into(),
            service_id: format!("svc-{id}"),
            service: "shop".into(),
            environment_id: format!("env-{id}"),
            environment: "production".into(),
            namespace: "shop".into(),
        };
        let runtime = DockerRuntime::connect(&DockerConnection { host: host.clone(), tls: None }).unwrap();
        engine::build(&host, "kiops-test/contract:1", WEB);
        Some(Self { host, runtime, target })
    }

    fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker").args(["--host", &self.host]).args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim_end_matches('\n').to_owned()
    }

    /// Ids or names of what has this environment's label.
    fn list(&self, what: &[&str]) -> Vec<String> {
        let filter = format!("label=kiops.dev/environment={}", self.target.environment_id);
        self.docker(&[what, &["--filter", &filter]].concat()).lines().map(str::to_owned).collect()
    }

    fn id(&self, container: &str) -> String {
        let filter = format!("label=kiops.dev/container={container}");
        let found = self.list(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}", "--filter", &filter]);
        let main = found.iter().find(|line| !line.contains('.')).unwrap_or_else(|| panic!("no {container}: {found:?}"));
        main.split(' ').next().unwrap().to_owned()
    }

    fn shell(&self, container: &str, line: &str) -> String {
        self.docker(&["exec", &self.id(container), "/bin/sh", "-c", line])
    }
}

#[async_trait]
impl Place for EnginePlace {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn image(&self) -> (Repository, Tag) {
        (Repository::parse("kiops-test/contract").unwrap(), Tag::parse("1").unwrap())
    }

    async fn identity(&self, container: &str) -> String {
        self.id(container)
    }

    async fn variable(&self, container: &str, name: &str) -> Option<String> {
        Some(self.shell(container, &format!("busybox printf %s \"${name}\"")))
    }

    async fn reaches(&self, from: &str, to: &str) -> bool {
        let asked = format!("busybox wget -qO /dev/null http://{to}/busybox && busybox echo reached");
        self.shell(from, &asked).contains("reached")
    }

    async fn is_published(&self, container: &str) -> bool {
        !self.docker(&["port", &self.id(container)]).is_empty()
    }

    async fn write(&self, container: &str, mount_path: &str, text: &str) {
        self.shell(container, &format!("busybox printf %s '{text}' > {mount_path}/text"));
    }

    async fn read(&self, container: &str, mount_path: &str) -> Option<String> {
        Some(self.shell(container, &format!("busybox cat {mount_path}/text")))
    }

    async fn print(&self, container: &str, line: &str) {
        self.shell(container, &format!("busybox printf '%s\\n' '{line}' > /proc/1/fd/1"));
    }

    async fn is_empty(&self) -> bool {
        self.list(&["ps", "--all", "--quiet"]).is_empty()
            && self.list(&["network", "ls", "--quiet"]).is_empty()
            && self.volumes().await == 0
    }

    async fn volumes(&self) -> usize {
        self.list(&["volume", "ls", "--quiet"]).len()
    }
}
