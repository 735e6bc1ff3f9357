//! What the container of a tool is: pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountType, MountVolumeOptions, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};

use crate::scanner::Tool;
use crate::scanner::run::fill::Places;
use crate::scanner::run::inside::{HOME, OUT, VOLUME, places};
use crate::scanner::run::{Job, inside};

/// Processes and threads in the container.
const MOST_PROCESSES: i64 = 4096;
/// The least memory that an engine takes for a container.
const LEAST_MEMORY: u64 = 6 * 1024 * 1024;

/// Whose something is.
pub(super) fn labels(job: &Job<'_>) -> HashMap<String, String> {
    inside::labels(job).map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// The container of a run, on an engine with so many cores, in a network.
pub(super) fn container(
    job: &Job<'_>,
    (image, here): (&str, &Places),
    network: &str,
    cores: Option<i64>,
) -> ContainerCreateBody {
    let tool = job.tool;
    let mut words = places(here).command(tool).into_iter();
    ContainerCreateBody {
        image: Some(image.to_owned()),
        // The image's own entry point is not what was declared.
        entrypoint: words.next().map(|program| vec![program]),
        cmd: Some(words.collect()),
        // What the image says of its environment stays, PATH above all.
        env: Some(vec![format!("HOME={HOME}"), "TMPDIR=/tmp".to_owned()]),
        working_dir: Some(OUT.to_owned()),
        labels: Some(labels(job)),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host(job, network, cores)),
        ..Default::default()
    }
}

fn host(job: &Job<'_>, network: &str, cores: Option<i64>) -> HostConfig {
    let tool = job.tool;
    let memory = i64::try_from(tool.memory.max(LEAST_MEMORY)).ok();
    // An engine refuses more cores than it has.
    let cpu = cores.filter(|cores| *cores > 0).map_or(tool.cpu, |cores| tool.cpu.min(cores as f64));
    // Counted as the container's memory. Tools bring libraries along that they unpack there and run.
    let in_memory = format!("rw,exec,nosuid,nodev,mode=1777,size={}", tool.memory.max(LEAST_MEMORY));
    HostConfig {
        // A float becomes the nearest whole number.
        nano_cpus: Some((cpu * 1e9) as i64),
        memory,
        // As much as memory: no swap.
        memory_swap: memory,
        pids_limit: Some(MOST_PROCESSES),
        ulimits: Some(vec![ulimit("fsize", tool.max_report_bytes.max(tool.memory)), ulimit("core", 0)]),
        network_mode: Some(network.to_owned()),
        publish_all_ports: Some(false),
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), in_memory.clone()), (HOME.to_owned(), in_memory)])),
        mounts: Some(mounts(job, tool)),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        // What it prints is read as it comes; nothing of it is kept on the engine's disk.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..Default::default()
    }
}

fn ulimit(name: &str, most: u64) -> ResourcesUlimits {
    let most = i64::try_from(most).ok();
    ResourcesUlimits { name: Some(name.to_owned()), soft: most, hard: most }
}

fn mounts(job: &Job<'_>, tool: &Tool) -> Vec<Mount> {
    let volume = Mount {
        target: Some(VOLUME.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels(job)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let declared = tool.mounts.iter().map(|(from, to)| Mount {
        source: Some(from.clone()),
        target: Some(to.clone()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    });
    std::iter::once(volume).chain(declared).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::domain::scan::ScanKind;
    use crate::scanner::run::Mark;
    use crate::scanner::run::inside::SCAN;
    use crate::scanner::{Format, Target};

    #[test]
    fn a_container_may_do_little() {
        let tool = Tool {
            name: "one".to_owned(),
            kind: ScanKind::Sast,
            image: Some("one:1".to_owned()),
            command: vec!["one".to_owned(), "--out={report}".to_owned(), "{source}".to_owned()],
            files: Vec::new(),
            format: Format::Sarif,
            timeout: Duration::from_secs(1),
            ok_exit_codes: vec![0],
            network: false,
            cpu: 8.0,
            memory: 1 << 30,
            history: false,
            max_report_bytes: 1 << 20,
            mounts: vec![("/srv/db".to_owned(), "/db".to_owned())],
        };
        let mark = Mark { scan_id: "s".to_owned(), service_id: "v".to_owned(), organization_id: "o".to_owned() };
        let target = Target::default();
        let job = Job {
            tool: &tool,
            target: &target,
            mark: &mark,
            host: None,
            images: None,
            report: Path::new("/r"),
            join: None,
        };
        let here = Places { source: Some("/here".to_owned()), ..Places::default() };
        let body = container(&job, ("one:1", &here), "none", Some(2));
        assert_eq!(body.entrypoint.unwrap(), ["one"]);
        assert_eq!(body.cmd.unwrap(), ["--out=/kiops/out/report.json", "/kiops/source"]);
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.nano_cpus, host.memory, host.memory_swap),
            (Some(2_000_000_000), Some(1 << 30), Some(1 << 30))
        );
        assert_eq!((host.privileged, host.readonly_rootfs), (Some(false), Some(true)));
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.binds, None);
        let mounts = host.mounts.unwrap();
        let declared = mounts.iter().find(|mount| mount.typ == Some(MountType::BIND)).unwrap();
        assert_eq!((declared.source.as_deref(), declared.read_only), (Some("/srv/db"), Some(true)));
        assert_eq!(mounts.len(), 2);
        assert_eq!(body.labels.unwrap()[SCAN], "s");
    }
}
