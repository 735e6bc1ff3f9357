//! Reports of real tools, unedited; `tests/fixtures/scans/README.md` says how they were made.

use super::*;

fn real(name: &str, kind: ScanKind) -> Outcome {
    let format = if name.ends_with(".sarif") { Format::Sarif } else { Format::Cyclonedx };
    let tool_name = name.split(['-', '.']).next().unwrap();
    read_file(&tool(tool_name, kind, format), &fixture("reports").join(name), Some(&fixture("source")))
}

#[test]
fn semgrep() {
    let (read, found) = real("semgrep.sarif", ScanKind::Sast).unwrap();
    assert_eq!((read.tool_name.as_str(), read.version.as_deref()), ("Semgrep OSS", Some("1.185.0")));
    assert_eq!((read.rules_run, read.incomplete), (Some(3), None));
    let relative = merge(found, &key());
    assert_eq!(
        told(&relative),
        [
            "rules.eval-used app/web/naïve file.js:1 CRITICAL",
            "rules.noted app/main.py:12 LOW",
            "rules.noted app/main.py:20 LOW",
            "rules.shell-true app/main.py:13 HIGH"
        ]
    );
    let shell = relative.iter().find(|f| f.rule.ends_with("shell-true")).unwrap();
    assert_eq!(shell.title, "A shell runs \"echo \" + name: whoever calls may add commands.");
    let absolute = findings(real("semgrep-absolute.sarif", ScanKind::Sast));
    // Its rules are named after the folder that they were read from; the CWE says that they are the same.
    let ids = |all: &[Finding]| all.iter().filter(|f| !f.rule.ends_with("noted")).map(|f| f.identity.clone()).collect();
    let (one, other): (std::collections::BTreeSet<String>, std::collections::BTreeSet<String>) =
        (ids(&relative), ids(&absolute));
    assert_eq!(one.intersection(&other).count(), 2, "{:?} {:?}", told(&relative), told(&absolute));
}

#[test]
fn semgrep_with_a_rule_that_cannot_be_read_is_incomplete_and_without_rules_nothing() {
    let (read, found) = real("semgrep-broken.sarif", ScanKind::Sast).unwrap();
    assert!(read.incomplete.as_deref().unwrap().contains("Rule parse error in rule rules.broken"), "{read:?}");
    assert_eq!(found.len(), 4);
    let nothing = real("semgrep-no-rules.sarif", ScanKind::Sast).unwrap_err();
    assert_eq!(nothing, ScanError::LookedAtNothing("Semgrep OSS ran no rule".to_owned()));
}

#[test]
fn bandit() {
    let all = findings(real("bandit.sarif", ScanKind::Sast));
    assert_eq!(
        told(&all),
        [
            "B105 app/main.py:26 LOW",
            "B307 app/main.py:22 MEDIUM",
            "B307 app/main.py:31 MEDIUM",
            "B307 app/main.py:32 MEDIUM",
            "B324 app/main.py:22 HIGH",
            "B404 app/main.py:2 LOW",
            "B602 app/main.py:13 HIGH",
            "B608 app/main.py:21 MEDIUM"
        ]
    );
    let password = all.iter().find(|f| f.rule == "B105").unwrap();
    assert!(!format!("{password:?}").contains("hunter2-of"), "{password:?}");
    assert_eq!(password.title, "Possible hardcoded password: 'hunt****'");
    let absolute = findings(real("bandit-absolute.sarif", ScanKind::Sast));
    let ids = |all: &[Finding]| all.iter().map(|f| f.identity.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all), ids(&absolute));
    assert_eq!(real("bandit-clean.sarif", ScanKind::Sast).unwrap().1.len(), 0);
    let nothing = real("bandit-nothing.sarif", ScanKind::Sast).unwrap_err();
    assert_eq!(nothing, ScanError::LookedAtNothing("Bandit found no file to look at".to_owned()));
}

#[test]
fn two_tools_agree_on_a_shell() {
    let mut found = real("semgrep.sarif", ScanKind::Sast).unwrap().1;
    found.extend(real("bandit.sarif", ScanKind::Sast).unwrap().1);
    let all = merge(found, &key());
    let shell: Vec<_> = all.iter().filter(|f| path_of(f) == "app/main.py:13").collect();
    assert_eq!(shell.len(), 1);
    assert_eq!(shell[0].detected_by, ["bandit".to_owned(), "semgrep".to_owned()].into());
    assert_eq!(all.len(), 11);
}

#[test]
fn gitleaks() {
    let secrets = ["AKIAQ3EGRIJ5VX2PTW4M", "9fK2mQ7xLp4TzR8vWc3NbY6hJd1GsE5a"];
    let told_all = findings(real("gitleaks.sarif", ScanKind::Secret));
    let redacted = findings(real("gitleaks-dir-redacted.sarif", ScanKind::Secret));
    for all in [&told_all, &redacted] {
        assert_eq!(told(all), ["aws-access-token app/settings.env:1 HIGH", "generic-api-key app/settings.env:2 HIGH"]);
        let shown = format!("{all:?}");
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
    // One has the secrets, the other is redacted; the source knows them.
    let ids = |all: &[Finding]| all.iter().map(|f| f.identity.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&told_all), ids(&redacted));
}

#[test]
fn checkov() {
    let all = findings(real("checkov.sarif", ScanKind::Iac));
    assert_eq!(all.len(), 27);
    assert!(told(&all).contains(&"CKV_DOCKER_1 deploy/Dockerfile:4 HIGH".to_owned()));
    // It lists the rules that found something, so without any nothing can be said.
    assert_eq!(real("checkov-nothing.sarif", ScanKind::Iac).unwrap().0.rules_run, None);
}

#[test]
fn syft() {
    let (read, found) = real("syft.cdx.json", ScanKind::Sbom).unwrap();
    assert_eq!((read.tool_name.as_str(), read.version.as_deref()), ("syft", Some("1.18.1")));
    assert_eq!((read.components, found.len()), (Some(3), 0));
    let nothing = real("syft-nothing.cdx.json", ScanKind::Sbom).unwrap_err();
    assert!(matches!(nothing, ScanError::LookedAtNothing(_)), "{nothing}");
}

/// What comes of each of the examples that others wrote: findings, and what else is to be said.
#[test]
fn examples_of_the_format_are_all_read() {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["sarif-tutorials", "iam-sarif-report"] {
        for entry in std::fs::read_dir(fixture(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|end| end != "sarif") {
                continue;
            }
            let outcome = read_file(&tool("tool", ScanKind::Sast, Format::Sarif), &path, None);
            let line = match outcome {
                Ok((read, found)) => {
                    let mut said = vec![format!("{} suppressed", read.suppressed)];
                    said.extend(read.incomplete);
                    said.extend(found.iter().map(|Found { finding, .. }| {
                        format!("{} {} {}: {}", finding.rule, path_of(finding), finding.severity, finding.title)
                    }));
                    said
                }
                Err(error) => vec![format!("{error:?}")],
            };
            said.insert(path.file_name().unwrap().to_string_lossy().into_owned(), line);
        }
    }
    insta::assert_json_snapshot!(said);
}
