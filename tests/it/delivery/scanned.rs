//! Real scanners: what is planted for each of them in a project is found, and is one list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{BASE, Works, text};
use crate::support::git_server::Change;
use crate::support::server::until;
use crate::support::skip;

/// Where the programs are; none after saying that the test is skipped.
#[expect(clippy::disallowed_methods, reason = "where the programs are is said by the environment")]
fn programs(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KIOPS_TEST_SCANNERS").map(PathBuf::from).filter(|f| f.join("semgrep").exists());
    if folder.is_none() {
        skip(test, "scanners");
    }
    folder
}

/// The declarations of the tools, as settings. They are processes, since their images can't be had without a registry.
fn declared(programs: &Path) -> Vec<(String, String)> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scans/tools");
    let (rule, converter) = (rules.join("semgrep.yaml"), rules.join("wapiti_sarif.py"));
    let program = |name: &str| programs.join(name).to_str().unwrap().to_owned();
    let rule = format!("--config={}", rule.display());
    let semgrep = ["scan", "--metrics=off", "--disable-version-check", &rule, "--sarif-output={report}", "{source}"];
    let bandit = ["-r", "{source}", "--exit-zero", "-q", "-f", "sarif", "-o", "{report}"];
    let [converter, wapiti] = [converter.to_str().unwrap().to_owned(), program("wapiti")];
    let wapiti = [converter.as_str(), &wapiti, "{url}", "{report}"];
    // As they are shipped, but for where the program is.
    let gitleaks = ["dir", "--no-banner", "--redact=100", "--exit-code=0", "--report-format=sarif"];
    let gitleaks = [gitleaks.as_slice(), &["--report-path={report}", "{source}"]].concat();
    let checkov = ["--directory={source}", "--skip-download", "--quiet", "--compact", "--soft-fail"];
    let checkov =
        [checkov.as_slice(), &["--output=cli", "--output=sarif", "--output-file-path=console,{report}"]].concat();
    let syft = ["scan", "docker-archive:{image}", "--quiet", "--output=cyclonedx-json={report}"];
    let tools: [(&str, &str, &str, &str, &[&str]); 6] = [
        ("SEMGREP", "SAST", "sarif", "semgrep", &semgrep),
        ("BANDIT", "SAST", "sarif", "bandit", &bandit),
        ("GITLEAKS", "SECRET", "sarif", "gitleaks", &gitleaks),
        ("CHECKOV", "IAC", "sarif", "checkov", &checkov),
        ("SYFT", "SBOM", "cyclonedx", "syft", &syft),
        ("WAPITI", "DAST", "sarif", "python3", &wapiti),
    ];
    tools
        .iter()
        .flat_map(|(name, kind, format, of, arguments)| {
            let command: Vec<String> =
                std::iter::once(program(of)).chain(arguments.iter().map(|a| (*a).to_owned())).collect();
            let set = |key: &str, value: String| (format!("SCAN__TOOLS__{name}__{key}"), value);
            [
                set("KIND", (*kind).to_owned()),
                set("FORMAT", (*format).to_owned()),
                set("COMMAND", json!(command).to_string()),
                set("TIMEOUT", "3m".to_owned()),
            ]
        })
        .collect()
}

#[test]
fn real_tools_find_what_is_planted_for_each_and_it_is_one_list() {
    let test = "real_tools_find_what_is_planted_for_each_and_it_is_one_list";
    let Some(programs) = programs(test) else { return };
    let settings = declared(&programs);
    let mut settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    settings.push(("BUILD__TIMEOUT", "10m"));
    let Some(works) = Works::open_with(test, &settings) else { return };
    // Put together here, so that this file is no finding itself.
    let token = format!("ghp_{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8");
    let package = json!({ "name": "left-pad", "version": "1.3.0", "license": "WTFPL" }).to_string();
    let dockerfile = format!(
        "FROM {BASE}\nCOPY index.html /www/index.html\nCOPY left-pad.json /usr/lib/node_modules/left-pad/package.json\n\
         STOPSIGNAL SIGKILL\nCMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"{}\", \"-h\", \"/www\"]\n",
        works.port
    );
    let commit = works.repositories.commit(
        "team/shop",
        "main",
        &[
            Change::file("app.py", "def run(text):\n    return eval(text)\n"),
            Change::file("deploy.sh", format!("export TOKEN={token}\n")),
            Change::file("left-pad.json", package),
            Change::file("Dockerfile", dockerfile),
        ],
    );
    works.save(json!({ "scans": ["SAST", "SECRET", "IAC", "SBOM", "DAST"] }));
    let id = works.start(json!({ "deployTo": "production" }));
    let done = until("the pipeline's end", 400, || {
        let found = works.look(&id);
        (!["QUEUED", "RUNNING"].iter().any(|s| found["status"] == *s)).then_some(found)
    });
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}\n{:#?}", works.lines(&id));
    assert_eq!(super::statuses(&done), "SUCCEEDED SUCCEEDED SUCCEEDED SKIPPED SUCCEEDED", "{:#?}", works.lines(&id));

    let ask = "query($id: ID!) { service(id: $id) {
        scans(first: 20) { nodes { kind status message reportUrl tools { name version status message } commit { sha } } }
        findings(first: 100) { nodes { kind rule severity state detectedBy location } } } }";
    let look = || works.server.data(ask, json!({ "id": works.service }))["service"].take();
    let service = until("the scan of what runs", 120, || {
        let service = look();
        let ended = |s: &Value| s["kind"] == "DAST" && !["QUEUED", "RUNNING"].iter().any(|waits| s["status"] == *waits);
        service["scans"]["nodes"].as_array().unwrap().iter().any(ended).then_some(service)
    });
    let scans = service["scans"]["nodes"].as_array().unwrap();
    let kinds: BTreeSet<String> = scans.iter().map(|scan| text(&scan["kind"])).collect();
    assert_eq!(kinds, ["DAST", "IAC", "SAST", "SBOM", "SECRET"].map(str::to_owned).into(), "{service:#}");
    for scan in scans {
        assert_eq!(scan["status"], "SUCCEEDED", "{scan:#}\n{:#?}", works.lines(&id));
        assert!(scan["kind"] == "DAST" || scan["commit"]["sha"] == commit, "{scan:#}");
    }
    let findings = service["findings"]["nodes"].as_array().unwrap();
    let found = |tool: &str, rule: &str, location: &str| {
        findings.iter().any(|finding| {
            finding["detectedBy"].as_array().unwrap().contains(&json!(tool))
                && text(&finding["rule"]).ends_with(rule)
                && text(&finding["location"]).contains(location)
                && finding["state"] == "OPEN"
        })
    };
    assert!(found("semgrep", "no-eval", "app.py:2"), "{findings:#?}");
    assert!(found("bandit", "B307", "app.py:2"), "{findings:#?}");
    assert!(found("gitleaks", "github-pat", "deploy.sh:1"), "{findings:#?}");
    assert!(found("checkov", "CKV_DOCKER_3", "Dockerfile"), "{findings:#?}");
    assert!(found("wapiti", "Clickjacking Protection", "http://"), "{findings:#?}");
    let sbom = scans.iter().find(|scan| scan["kind"] == "SBOM").unwrap();
    let report = works.report(&text(&sbom["reportUrl"]));
    assert!(report.contains("left-pad") && report.contains("CycloneDX"), "{report}");
    // The value of the secret is nowhere.
    assert!(!works.lines(&id).iter().any(|line| line.contains(&token)) && !works.server.log().contains(&token));
    for scan in scans {
        assert!(!works.report(&text(&scan["reportUrl"])).contains(&token));
    }
    works.close();
}
