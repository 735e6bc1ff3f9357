//! CycloneDX and Trivy.

use super::*;

fn trivy(kind: ScanKind, name: &str) -> Outcome {
    read_file(&tool("trivy", kind, Format::Trivy), &fixture("trivy").join(name), None)
}

fn cyclonedx(kind: ScanKind, report: &Value) -> Outcome {
    read_bytes(&tool("grype", kind, Format::Cyclonedx), report.to_string())
}

#[test]
fn trivy_reports_are_read() {
    let (read, found) = trivy(ScanKind::Sca, "npm.json").unwrap();
    assert_eq!((read.tool_name.as_str(), read.version.as_deref(), read.components), ("Trivy", Some("dev"), Some(12)));
    let finding = &found[0].finding;
    assert_eq!((found.len(), finding.rule.as_str(), finding.severity), (1, "CVE-2019-11358", Severity::Medium));
    let place = Place::Package {
        purl: "pkg:npm/jquery@3.3.9".to_owned(),
        name: "jquery".to_owned(),
        version: "3.3.9".to_owned(),
        manifest: Some("package-lock.json".to_owned()),
    };
    assert_eq!((&finding.place, finding.fixed_version.as_deref()), (&place, Some("3.4.0")));
    assert!(finding.title.starts_with("jquery: Prototype pollution"), "{}", finding.title);
    assert!(finding.description.as_deref().unwrap().starts_with("jQuery before 3.4.0"));
    assert_eq!(finding.help_url.as_deref(), Some("https://avd.aquasec.com/nvd/cve-2019-11358"));

    let (read, found) = trivy(ScanKind::Sca, "npm-with-suppressed.json").unwrap();
    assert_eq!((found.len() as u64, read.suppressed), (read.findings, 1));

    // Packages of an image's system are in no file, so that the image's name is in no identity.
    let image = findings(trivy(ScanKind::Sca, "alpine-310.json"));
    assert!(image.iter().all(|f| path_of(f).ends_with(" in -")), "{:?}", told(&image));
}

#[test]
fn trivy_and_its_sarif_are_one() {
    let mut found = trivy(ScanKind::Sca, "alpine-310.json").unwrap().1;
    let json = merge(found.clone(), &key());
    let sarif = read_file(&tool("sarif", ScanKind::Sca, Format::Sarif), &fixture("trivy/alpine-310.sarif"), None);
    let sarif = sarif.unwrap().1;
    assert!(!sarif.is_empty() && sarif.iter().all(|f| matches!(f.finding.place, Place::Package { .. })));
    assert!(sarif.iter().all(|f| f.finding.fixed_version.is_some()));
    // SARIF has no package URL of a system's package: it can't be the same.
    found.extend(sarif);
    assert!(merge(found, &key()).len() >= json.len());
}

#[test]
fn trivy_finds_faults_of_configuration_and_secrets() {
    let finding = only(trivy(ScanKind::Iac, "dockerfile.json"));
    assert_eq!((finding.rule.as_str(), finding.severity), ("DS-0002", Severity::High));
    assert_eq!(finding.title, "Specify at least 1 USER command in Dockerfile with non-root user as argument");
    assert!(finding.description.as_deref().unwrap().contains("Add 'USER <non root user name>'"));

    let found = findings(trivy(ScanKind::Secret, "secrets.json"));
    assert_eq!(told(&found), ["aws-access-key-id deploy.sh:3 CRITICAL", "mysecret deploy.sh:7 HIGH"]);
    assert!(!format!("{found:?}").contains("ghp_0123456789"));
    // A tool for packages that finds secrets as well: all of it counts for what it is declared for.
    let nothing = trivy(ScanKind::Sca, "secrets.json").unwrap_err();
    assert!(matches!(nothing, ScanError::LookedAtNothing(_)), "{nothing}");
}

#[test]
fn trivy_without_results_has_looked_at_nothing() {
    let empty = json!({ "SchemaVersion": 2, "ArtifactName": "x" }).to_string();
    let clean = json!({ "SchemaVersion": 2, "Results": [{ "Target": "go.mod", "Class": "lang-pkgs" }] }).to_string();
    for (kind, report, is_nothing) in [
        (ScanKind::Sca, &empty, true),
        (ScanKind::Iac, &empty, true),
        (ScanKind::Secret, &empty, false),
        (ScanKind::Sca, &clean, false),
        (ScanKind::Iac, &clean, true),
    ] {
        let outcome = read_bytes(&tool("trivy", kind, Format::Trivy), report);
        assert_eq!(matches!(outcome, Err(ScanError::LookedAtNothing(_))), is_nothing, "{kind} {report}");
    }
}

#[test]
fn cyclonedx_examples_of_every_version_are_read() {
    for version in ["1.4", "1.5", "1.6", "1.7"] {
        let path = fixture("cyclonedx").join(format!("valid-vulnerability-{version}.json"));
        let (read, found) = read_file(&tool("t", ScanKind::Sca, Format::Cyclonedx), &path, None).unwrap();
        // The example says of its one vulnerability that it does not affect what it describes.
        assert_eq!((read.components, read.suppressed, found.len()), (Some(1), 1, 0), "{version}");
    }
    let path = fixture("trivy/pom.cdx.json");
    let (read, found) = read_file(&tool("t", ScanKind::Sca, Format::Cyclonedx), &path, None).unwrap();
    let finding = &found[0].finding;
    assert_eq!((read.tool_name.as_str(), finding.rule.as_str()), ("trivy", "CVE-2020-9548"));
    assert_eq!((finding.severity, finding.fixed_version.as_deref()), (Severity::Critical, Some("2.9.10.4")));
    assert_eq!(path_of(finding), "com.fasterxml.jackson.core:jackson-databind@2.9.1 in -");
}

#[test]
fn cyclonedx_vulnerabilities_are_of_components() {
    let ratings = json!([
        { "method": "CVSSv2", "score": 10.0 },
        { "method": "CVSSv31", "score": 9.8 },
        { "method": "CVSSv4", "score": 5.0 },
        { "method": "CVSSv4", "score": 7.5 },
        { "severity": "critical" },
    ]);
    let report = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5",
        "vulnerabilities": [
            { "id": "GHSA-AAAA-bbbb-cccc", "references": [{ "id": "cve-2026-7" }], "ratings": ratings,
              "description": "Bad\nthings", "source": { "url": "https://example.com/7" },
              "affects": [{ "ref": "a", "versions": [{ "version": "2.0", "status": "unaffected" }] },
                          { "ref": "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#inner" },
                          { "ref": "pkg:npm/elsewhere@1" }] },
            { "id": "CVE-2026-8", "affects": [{ "ref": "a" }], "analysis": { "state": "false_positive" } },
            { "id": "CVE-2026-9", "affects": [{ "ref": "a" }], "analysis": { "state": "exploitable" } },
        ],
        "components": [
            { "type": "library", "bom-ref": "a", "name": "a", "version": "1", "purl": "pkg:npm/a@1?x=y",
              "properties": [{ "name": "syft:location:0:path", "value": "/web/package-lock.json" }],
              "components": [{ "type": "library", "bom-ref": "inner", "group": "org", "name": "in", "version": "3" }] },
            { "type": "file", "bom-ref": "f", "name": "/bin/x" },
        ],
        "metadata": { "tools": [{ "vendor": "anchore", "name": "grype", "version": "0.9" }] },
    });
    let (read, found) = cyclonedx(ScanKind::Sca, &report).unwrap();
    assert_eq!((read.tool_name.as_str(), read.version.as_deref()), ("grype", Some("0.9")));
    assert_eq!((read.components, read.suppressed), (Some(2), 1));
    let finding = &found[0].finding;
    assert_eq!((finding.rule.as_str(), finding.severity), ("CVE-2026-7", Severity::High));
    assert_eq!(finding.aliases, ["GHSA-aaaa-bbbb-cccc".to_owned()].into());
    assert_eq!((finding.title.as_str(), finding.fixed_version.as_deref()), ("Bad", Some("2.0")));
    assert_eq!(
        told(&findings(cyclonedx(ScanKind::Sca, &report))),
        [
            "CVE-2026-7 a@1 in web/package-lock.json HIGH",
            "CVE-2026-7 elsewhere@1 in - HIGH",
            "CVE-2026-7 org/in@3 in - HIGH",
            "CVE-2026-9 a@1 in web/package-lock.json MEDIUM",
        ]
    );
}

#[test]
fn cyclonedx_without_components_has_looked_at_nothing() {
    let empty = json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "components": [] });
    let files =
        json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{ "type": "file", "name": "x" }] });
    for report in [&empty, &files] {
        for kind in [ScanKind::Sbom, ScanKind::Sca] {
            assert!(matches!(cyclonedx(kind, report), Err(ScanError::LookedAtNothing(_))), "{report}");
        }
    }
}

#[test]
fn documents_of_several_images_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, image: &str, document: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        bom::Part { image: image.to_owned(), document: path }
    };
    let web = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": { "type": "container", "bom-ref": "root", "name": "x" } },
        "components": [
            { "type": "library", "bom-ref": "a", "name": "a", "version": "1", "purl": "pkg:npm/a@1",
              "components": [{ "type": "library", "bom-ref": "b", "name": "b", "purl": "pkg:npm/b@1" }] },
            { "type": "file", "name": "/etc/passwd" },
        ],
        "dependencies": [{ "ref": "root", "dependsOn": ["a"] }, { "ref": "a", "dependsOn": ["b"] }],
    });
    // Keys have no order.
    let db = json!({
        "dependencies": [{ "ref": "a" }], "components": [{ "type": "library", "bom-ref": "a", "name": "a" }],
        "specVersion": "1.6", "bomFormat": "CycloneDX",
    });
    let parts = [
        part("web", "registry.example:5000/team/web:1.27", web),
        part("db", "mysql@sha256:0123", db),
        bom::Part { image: "syft".to_owned(), document: fixture("reports/syft.cdx.json") },
    ];
    let mut out = Vec::new();
    bom::join("shop", &parts, &mut out).unwrap();
    let whole: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&whole["bomFormat"], &whole["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
    assert_eq!(whole["metadata"]["component"]["name"], "shop");
    let images = whole["components"].as_array().unwrap();
    let names: Vec<_> = images.iter().map(|image| (&image["name"], &image["version"])).collect();
    let (web, tag) = (json!("registry.example:5000/team/web"), json!("1.27"));
    assert_eq!(names[..2], [(&web, &tag), (&json!("mysql"), &json!("sha256:0123"))]);
    assert_eq!(images[0]["bom-ref"], "image-1/root");
    assert_eq!(images[0]["components"][0]["components"][0]["bom-ref"], "image-1/b");
    assert_eq!(images[1]["components"], json!([{ "type": "library", "bom-ref": "image-2/a", "name": "a" }]));
    let dependencies = whole["dependencies"].as_array().unwrap();
    assert_eq!(dependencies[0]["dependsOn"].as_array().unwrap().len(), 3);
    assert!(dependencies.contains(&json!({ "ref": "image-1/a", "dependsOn": ["image-1/b"] })));
    assert!(dependencies.contains(&json!({ "ref": "image-2/a" })));
    // Every reference is to one thing, and it is read again as all of them were.
    let mut known = std::collections::BTreeSet::new();
    let mut references = vec![&whole["metadata"]["component"]];
    references.extend(images);
    while let Some(component) = references.pop() {
        if let Some(reference) = component["bom-ref"].as_str() {
            assert!(known.insert(reference), "{reference}");
        }
        references.extend(component["components"].as_array().into_iter().flatten());
    }
    for dependency in dependencies {
        let all = dependency["dependsOn"].as_array().into_iter().flatten().chain([&dependency["ref"]]);
        for reference in all.filter_map(Value::as_str) {
            assert!(known.contains(reference) || reference.starts_with("image-3/"), "{reference}");
        }
    }
    assert!(cyclonedx(ScanKind::Sbom, &whole).unwrap().0.components > Some(5));
}
