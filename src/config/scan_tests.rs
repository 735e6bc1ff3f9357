#![expect(clippy::unwrap_used, reason = "tests")]

use super::scan::ReportFormat;
use super::tests::load;

/// A tool that is right, of which one line is replaced or added.
fn with(line: &str) -> String {
    let key = line.split('=').next().unwrap().trim();
    let right =
        ["kind = 'SAST'", "image = 'a/b:1'", "command = ['x', '{source}', '--out={report}']", "format = 'sarif'"];
    let kept = right.iter().filter(|right| right.split('=').next().unwrap().trim() != key);
    format!("[scan.tools.one]\n{}\n{line}\n", kept.copied().collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_tool_has_its_defaults() {
    let config = load(&with("enabled = true"), &[]).unwrap();
    let tool = &config.scan.tools["one"];
    assert_eq!((tool.ok_exit_codes.as_slice(), tool.timeout.as_secs(), tool.network), ([0].as_slice(), 900, false));
    assert_eq!((tool.memory.0, tool.format), (4 << 30, ReportFormat::Sarif));
}

#[test]
fn a_history_is_that_of_a_source() {
    assert!(load(&with("history = true"), &[]).unwrap().scan.tools["one"].history);
    let image = "[scan.tools.one]\nkind = 'SCA'\nimage = 'a/b:1'\ncommand = ['x', '{image}', '{report}']\n\
                 format = 'trivy'\nhistory = true\n";
    let error = load(image, &[]).unwrap_err().to_string();
    assert!(error.contains("scan.tools.one.history"), "{error}");
}

#[test]
fn each_fault_of_a_tool_is_named() {
    for (line, key, part) in [
        ("kind = 'LINT'", "kind", "SAST, SCA"),
        ("kind = 'sast'", "kind", "SAST, SCA"),
        ("command = []", "command", "a program"),
        ("command = ['']", "command", "a program"),
        ("command = ['{source}', '{report}']", "command", "the program"),
        ("command = ['x', '{report}']", "command", "{source} is needed"),
        ("command = ['x', '{source}']", "command", "{report} is needed"),
        ("command = ['x', '{source}', '{report}', '{sources}']", "command", "no placeholder {sources}"),
        ("command = ['x', '{source}', '{report}', 'a={Foo}b']", "command", "no placeholder {Foo}"),
        ("command = ['x', '{source}', '{report}', '{image}']", "command", "not {image}"),
        ("command = ['x', '{source}', '{report}', '{url}']", "command", "not {url}"),
        ("command = ['x', '{source}', '{report}', '{files}']", "command", "there are none"),
        ("command = ['x', '{source}', '{report}', \"a\\u0000b\"]", "command", "NUL"),
        ("files = { 'a.yaml' = 'x' }", "files", "{files}"),
        ("files = { '../a' = 'x' }", "files.../a", "letters"),
        ("format = 'cyclonedx'", "format", "sarif"),
        ("format = 'trivy'", "format", "sarif"),
        ("format = 'xml'", "format", ""),
        ("image = 'a/b'", "image", "a version"),
        ("image = 'a/b:latest'", "image", "a version"),
        ("image = ''", "image", "an image"),
        ("image = 'A/b:1'", "image", "an image"),
        ("image = '-x:1'", "image", "an image"),
        ("image = 'a b:1'", "image", "an image"),
        ("image = 'a/b:1@sha256:12'", "image", "an image"),
        ("image = 'http://a/b:1'", "image", "an image"),
        ("cpu = 0.0", "cpu", "cores"),
        ("cpu = nan", "cpu", "cores"),
        ("cpu = inf", "cpu", "cores"),
        ("cpu = -1.0", "cpu", "cores"),
        ("memory = '1Mi'", "memory", "6Mi"),
        ("timeout = '0s'", "timeout", ""),
        ("max_report_bytes = 0", "max_report_bytes", "at least 1"),
        ("ok_exit_codes = []", "ok_exit_codes", "at least one"),
        ("ok_exit_codes = [256]", "ok_exit_codes", "255"),
        ("mounts = { 'a' = '/b' }", "mounts.a", "absolute"),
        ("mounts = { '/a' = 'b' }", "mounts./a", "absolute"),
        ("mounts = { '/a/../b' = '/b' }", "mounts./a/../b", "absolute"),
        ("mounts = { '/' = '/b' }", "mounts./", "absolute"),
        ("mounts = { '/a' = '/' }", "mounts./a", "absolute"),
        ("mounts = { '/var/run/docker.sock' = '/b' }", "mounts./var/run/docker.sock", "sockets"),
        ("mounts = { '/srv/engine.sock' = '/b' }", "mounts./srv/engine.sock", "sockets"),
        ("mounts = { '/var' = '/b' }", "mounts./var", "sockets"),
        ("mounts = { '/proc/1' = '/b' }", "mounts./proc/1", "kernel"),
        ("mounts = { '/a' = '/kiops/source' }", "mounts./a", "already"),
        ("mounts = { '/a' = '/home' }", "mounts./a", "already"),
        ("mounts = { '/a' = '/sys' }", "mounts./a", "already"),
        ("networks = true", "networks", "no such key"),
    ] {
        let faults = load(&with(line), &[]).unwrap_err();
        let key = format!("scan.tools.one.{key}");
        let error = faults.0.iter().find(|fault| fault.key == key).unwrap_or_else(|| panic!("{line}: {faults}"));
        assert!(error.message.contains(part), "{line}: {error}");
        // A name with dots in it can't be looked for by its key.
        assert!(error.place.contains("kiops.toml") || key.matches('.').count() > 1, "{line}: {error}");
    }
    let error = load(&with("enabled = true").replace("tools.one", "tools.'a b'"), &[]).unwrap_err();
    assert_eq!(error.0[0].key, "scan.tools.a b");
    let process = with("mounts = { '/a' = '/b' }").replace("image = 'a/b:1'\n", "");
    assert!(load(&process, &[]).unwrap_err().to_string().contains("tools in an image"));
}

#[test]
fn kinds_are_given_what_they_look_at() {
    for (kind, words, format, is_right) in [
        ("SAST", "'{source}'", "sarif", true),
        ("SCA", "'{source}'", "sarif", true),
        ("SCA", "'docker-archive:{image}'", "trivy", true),
        ("SCA", "'{image}', '{source}'", "cyclonedx", true),
        ("SCA", "'{url}'", "sarif", false),
        ("SECRET", "'{source}'", "trivy", true),
        ("IAC", "'{image}'", "sarif", false),
        ("IAC", "'{source}'", "cyclonedx", false),
        ("SBOM", "'{image}'", "cyclonedx", true),
        ("SBOM", "'{image}'", "sarif", false),
        ("DAST", "'{url}'", "sarif", true),
        ("DAST", "'{source}'", "sarif", false),
        ("DAST", "'{url}', '{source}'", "sarif", false),
    ] {
        let text =
            format!("[scan.tools.one]\nkind = '{kind}'\nformat = '{format}'\ncommand = ['x', {words}, '{{report}}']");
        assert_eq!(load(&text, &[]).is_ok(), is_right, "{text}");
    }
}

#[test]
fn braces_are_not_only_placeholders() {
    for argument in ["{}", "{\"a\": 1}", "{{.Name}}", "{1,2}", "a{", "}", "{source", "{a-b}"] {
        let line = format!("command = ['x', '{{source}}', '{{report}}', '{argument}']");
        assert!(load(&with(&line), &[]).is_ok(), "{argument}");
    }
    for image in ["a:1", "a/b:v1.2-rc_1", "host:5000/a/b:1", "ghcr.io/a/b@sha256:", "localhost/a:1"] {
        let image = if image.ends_with(':') { format!("{image}{}", "0".repeat(64)) } else { image.to_owned() };
        assert!(load(&with(&format!("image = '{image}'")), &[]).is_ok(), "{image}");
    }
    // What is in a file may look like a placeholder that there is not.
    let line = "files = { 'a.yaml' = 'x: {y} {source} {report}' }\ncommand = ['x', '{files}/a.yaml']";
    assert!(load(&with(line).replace("command = ['x', '{source}', '--out={report}']\n", ""), &[]).is_ok());
}

#[test]
fn what_is_shipped_is_off_and_right() {
    let config = load("", &[]).unwrap();
    let names: Vec<&str> = config.scan.tools.keys().map(String::as_str).collect();
    let shipped =
        ["checkov", "gitleaks", "nuclei", "opengrep", "osv-scanner", "semgrep", "syft", "trivy", "zap-baseline"];
    assert_eq!(names, shipped);
    assert!(config.scan.tools.values().all(|tool| !tool.enabled));
    let all: String = shipped.iter().map(|name| format!("[scan.tools.{name}]\nenabled = true\n")).collect();
    let config = load(&all, &[]).unwrap();
    assert!(config.scan.tools.values().all(|tool| tool.enabled));
    let kinds: std::collections::BTreeSet<&str> = config.scan.tools.values().map(|tool| tool.kind.as_str()).collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let one = load("", &[("KIOPS_SCAN__TOOLS__SEMGREP__ENABLED", "true")]).unwrap();
    assert!(one.scan.tools["semgrep"].enabled && !one.scan.tools["trivy"].enabled);
}

#[test]
fn what_teams_name_themselves_is_read_from_the_environment_too() {
    let said = [
        ("KIND", "SAST"),
        ("COMMAND", "mine, {source}, {report}"),
        ("FORMAT", "sarif"),
        ("IMAGE", "mine:1"),
        ("OK_EXIT_CODES", "[0, 3]"),
        ("NETWORK", "true"),
        ("HISTORY", "true"),
        ("CPU", "1.5"),
        ("MEMORY", "1Gi"),
        ("MAX_REPORT_BYTES", "1024"),
    ];
    let said: Vec<_> = said.iter().map(|(key, text)| (format!("KIOPS_SCAN__TOOLS__MINE__{key}"), *text)).collect();
    let mut env: Vec<_> = said.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    env.extend([("KIOPS_BUILD__PROFILES__HUGE__CPU", "16"), ("KIOPS_BUILD__PROFILES__HUGE__MEMORY", "32Gi")]);
    let config = load("", &env).unwrap();
    let tool = &config.scan.tools["mine"];
    assert_eq!((tool.ok_exit_codes.as_slice(), tool.max_report_bytes), (&[0, 3][..], 1024));
    assert!(tool.network && tool.history && (tool.cpu - 1.5).abs() < f64::EPSILON);
    assert!((config.build.profiles["huge"].cpu - 16.0).abs() < f64::EPSILON);
    let wrong = load("", &[("KIOPS_BUILD__PROFILES__SMALL2__CPU", "many"), env[11]]).unwrap_err();
    assert_eq!(wrong.0[0].key, "build.profiles.small2.cpu");
}

#[test]
fn whoever_gives_a_command_declares_the_tool_anew() {
    let text = "[scan.tools.semgrep]\nkind = 'SAST'\ncommand = ['semgrep', '{source}', '{report}']\nformat = 'sarif'";
    let config = load(text, &[]).unwrap();
    let tool = &config.scan.tools["semgrep"];
    assert!(tool.enabled && tool.image.is_none() && !tool.network);
    assert!(config.scan.tools.contains_key("trivy"));
    let of = |key: &str| format!("KIOPS_SCAN__TOOLS__SEMGREP__{key}");
    let (kind, command, format) = (of("KIND"), of("COMMAND"), of("FORMAT"));
    let said = [(kind.as_str(), "SAST"), (&command, "['semgrep', '{source}', '{report}']"), (&format, "sarif")];
    let config = load("", &said).unwrap();
    let tool = &config.scan.tools["semgrep"];
    assert!(tool.enabled && tool.image.is_none() && !tool.network);
    let without = load(&text.replace("format = 'sarif'", ""), &[]).unwrap_err();
    assert_eq!(without.0[0].key, "scan.tools.semgrep.format");
    let some = load("scan.tools.semgrep.timeout = '1m'", &[]).unwrap();
    let tool = &some.scan.tools["semgrep"];
    assert!(!tool.enabled && tool.image.is_some() && tool.timeout.as_secs() == 60);
}
