//! The tools of the built-in kiops.toml, run as they are declared there, where their programs are at hand: those of the
//! folder that `KIOPS_TEST_SCANNERS` names. As processes, since their images can't be had without a registry.

use std::collections::BTreeMap;

use kiops::config::scan::{ReportFormat, ScanTool};

use super::*;
use crate::support::skip;

/// A tool as it is shipped, with its program from the folder; none after saying that the test is skipped.
#[expect(clippy::disallowed_methods, reason = "where the programs are is said by the environment")]
fn shipped(test: &str, name: &str) -> Option<Tool> {
    #[derive(serde::Deserialize)]
    struct File {
        scan: Scan,
    }
    #[derive(serde::Deserialize)]
    struct Scan {
        tools: BTreeMap<String, ScanTool>,
    }
    let file: File = toml::from_str(kiops::config::DEFAULTS).unwrap();
    let declared = &file.scan.tools[name];
    let program = std::env::var("KIOPS_TEST_SCANNERS")
        .ok()
        .map(|folder| Path::new(&folder).join(Path::new(&declared.command[0]).file_name().unwrap()))
        .filter(|program| program.exists());
    let Some(program) = program else {
        skip(test, "scanners");
        return None;
    };
    let mut command = declared.command.clone();
    command[0] = program.to_str().unwrap().to_owned();
    Some(Tool {
        name: name.to_owned(),
        kind: ScanKind::of_word(&declared.kind).unwrap(),
        image: None,
        command,
        files: declared.files.clone().into_iter().collect(),
        format: match declared.format {
            ReportFormat::Sarif => Format::Sarif,
            ReportFormat::Cyclonedx => Format::Cyclonedx,
            ReportFormat::Trivy => Format::Trivy,
        },
        timeout: declared.timeout,
        ok_exit_codes: declared.ok_exit_codes.clone(),
        network: declared.network,
        cpu: declared.cpu,
        memory: declared.memory.0,
        history: declared.history,
        max_report_bytes: declared.max_report_bytes,
        mounts: Vec::new(),
    })
}

fn source(place: &Place, name: &str, text: &str) {
    let path = place.target.source.as_ref().unwrap().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Rule ids of the results of a SARIF document.
fn rules(report: &str) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let results = runs.iter().flat_map(|run| run["results"].as_array().unwrap());
    results.map(|result| result["ruleId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn semgrep_reports_what_its_rules_find() {
    let Some(mut tool) = shipped("semgrep_reports_what_its_rules_find", "semgrep") else { return };
    let mut place = Place::new();
    place.runner = place.runner.with_most_scratch(1 << 30);
    // Its own rules come from the internet.
    let rule = "rules:\n- id: no-eval\n  pattern: eval(...)\n  message: no\n  languages: [python]\n  severity: ERROR\n";
    let config = tool.command.iter().position(|argument| argument.starts_with("--config=")).unwrap();
    tool.command[config] = "--config={files}/rules.yaml".to_owned();
    tool.files = vec![("rules.yaml".to_owned(), rule.to_owned())];
    source(&place, "app.py", "def run(text):\n    return eval(text)\n");
    let (report, _) = place.report(&tool).await;
    let rules = rules(&report);
    assert!(rules.len() == 1 && rules[0].ends_with("no-eval"), "{rules:?}");
}

#[tokio::test]
async fn gitleaks_reports_secrets_and_not_their_values() {
    let Some(tool) = shipped("gitleaks_reports_secrets_and_not_their_values", "gitleaks") else { return };
    let place = Place::new();
    // Put together here, so that this file is no finding itself.
    let token = format!("ghp_{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8");
    let folder = place.target.source.clone().unwrap();
    let git = |args: &[&str]| {
        let of = ["-c", "user.name=Ada", "-c", "user.email=ada@acme.example"];
        let out = std::process::Command::new("git").arg("-C").arg(&folder).args(of).args(args).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    git(&["init", "--quiet"]);
    for text in [format!("export TOKEN={token}\n"), "export TOKEN=$1\n".to_owned()] {
        source(&place, "deploy.sh", &text);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "x"]);
    }
    // A later commit took it out.
    assert!(tool.history);
    let (report, _) = place.report(&tool).await;
    assert_eq!(rules(&report), ["github-pat"]);
    assert!(!report.contains(&token));
}

#[tokio::test]
async fn checkov_reports_and_does_what_no_source_tells_it() {
    let Some(tool) = shipped("checkov_reports_and_does_what_no_source_tells_it", "checkov") else { return };
    let mut place = Place::new();
    place.runner = place.runner.with_most_scratch(1 << 30);
    let marker = place.temp.path().join("marker");
    source(&place, "Dockerfile", "FROM nginx:1.27\nADD x /x\nEXPOSE 22\n");
    let evil = place.target.source.as_ref().unwrap().join("evil");
    let config = format!("external-checks-dir:\n- {evil:?}\nskip-check:\n- CKV_DOCKER_1\n");
    source(&place, ".checkov.yaml", &config);
    for name in ["evil/__init__.py", "evil/check.py"] {
        source(&place, name, &format!("open({:?}, 'w')\n", marker.to_str().unwrap()));
    }
    let (report, _) = place.report(&tool).await;
    assert!(rules(&report).iter().any(|rule| rule == "CKV_DOCKER_1"), "{report}");
    assert!(!marker.exists());
    // In two arguments it would be told: why they are one.
    let mut told = tool;
    let folder = told.command.iter().position(|argument| argument == "--directory={source}").unwrap();
    told.command.splice(folder..=folder, ["--directory".to_owned(), "{source}".to_owned()]);
    let _ = place.run(&told).await;
    assert!(marker.exists());
}

#[tokio::test]
async fn syft_reports_what_an_image_is_made_of() {
    let test = "syft_reports_what_an_image_is_made_of";
    let Some(tool) = shipped(test, "syft") else { return };
    let Some(mut place) = Place::on_engine(test) else { return };
    place.runner = place.runner.with_most_scratch(1 << 30);
    place.target.image = Some(IMAGE.to_owned());
    let (report, _) = place.report(&tool).await;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["bomFormat"], "CycloneDX");
    let names: Vec<&str> =
        report["components"].as_array().unwrap().iter().filter_map(|component| component["name"].as_str()).collect();
    assert!(names.contains(&"busybox"), "{names:?}");
}
