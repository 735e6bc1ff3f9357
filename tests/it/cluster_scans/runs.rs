//! Runs that succeed, and what is on the cluster meanwhile.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_tool_runs_as_a_job_and_its_report_is_had() {
    let place = Place::new(ends(0, &["looking", "\u{1b}[31mdone\u{1b}[0m"]));
    let tool = Tool { files: vec![("rules.yaml".to_owned(), "see {source}".to_owned())], ..probe() };
    let (ran, lines) = place.run(&tool).await;
    let ran = ran.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    assert_eq!(ran, Ran { exit_code: 0, report_bytes: REPORT.len() as u64 });
    assert_eq!(std::fs::read_to_string(place.report()).unwrap(), REPORT);
    assert_eq!(lines.text(), "looking\ndone");

    // What it was given is what there is, and nothing else.
    let inputs = place.double.inputs("given");
    let mut archive = tar::Archive::new(inputs[0].as_slice());
    let mut entries = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        entries.push((entry.path().unwrap().display().to_string(), text));
    }
    let expected = [
        ("out", ""),
        ("files", ""),
        ("files/rules.yaml", "see /kiops/source"),
        ("source", ""),
        ("source/src", ""),
        ("source/src/main.py", "print(1)\n"),
        ("whole", ""),
    ];
    let entries: Vec<(&str, &str)> =
        entries.iter().map(|(name, text)| (name.trim_end_matches('/'), text.as_str())).collect();
    assert_eq!(entries, expected);

    // It leaves nothing behind, and asked for nothing again and again.
    assert!(place.left().is_empty(), "{:?}", place.left());
    let asked = place.double.take_asked();
    let count = |verb: &str, resource: &str| asked.iter().filter(|a| a.verb == verb && a.resource == resource).count();
    assert!(asked.len() <= 30, "{asked:#?}");
    assert_eq!((count("get", "pods"), count("get", "jobs")), (0, 0), "{asked:#?}");
    assert!(count("list", "pods") <= 2 && count("watch", "pods") <= 3, "{asked:#?}");
}

#[tokio::test]
async fn it_is_alone_and_within_limits() {
    let place = Place::new(goes_on());
    let tool = Tool { command: ["probe", "$(HOME)", "{report}"].map(str::to_owned).to_vec(), ..probe() };
    let looking = async {
        place.at_work("tool").await;
        let (job, pod) = (place.double.list("Job", NAMESPACE).remove(0), place.pod());
        for object in [&job, &pod] {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["kiops.dev/scan"], place.mark.scan_id.as_str());
            assert_eq!(labels["kiops.dev/service"], place.mark.service_id.as_str());
            assert_eq!(labels["kiops.dev/organization"], "org");
            assert_eq!(labels["kiops.dev/tool"], "probe");
        }
        assert_eq!(job["spec"]["backoffLimit"], 0);
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 120);
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        let all = pod["spec"]["containers"].as_array().unwrap();
        let container = all.iter().find(|one| one["name"] == "tool").unwrap();
        assert_eq!(container["command"], json!(["probe", "$$(HOME)", "/kiops/out/report.json"]));
        assert_eq!(container["resources"]["limits"]["memory"], (256 << 20).to_string());
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        // What scans get nowhere by chooses it, and what lets builds out does not.
        let policy = |name: &str| place.double.get("NetworkPolicy", NAMESPACE, name).unwrap()["spec"].clone();
        assert_eq!(policy("kiops-scans")["egress"], json!([]));
        let chosen =
            |operator: &str| json!({ "matchExpressions": [{ "key": "kiops.dev/scan", "operator": operator }] });
        assert_eq!(policy("kiops-scans")["podSelector"], chosen("Exists"));
        assert_eq!(policy("kiops-runs")["podSelector"], chosen("DoesNotExist"));
        assert_eq!(place.double.list("NetworkPolicy", NAMESPACE).len(), 2);
        let name = pod["metadata"]["name"].as_str().unwrap();
        place.double.end((NAMESPACE, name), "tool", 0);
    };
    let ((ran, lines), ()) = tokio::join!(place.run(&tool), looking);
    ran.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
}

#[tokio::test]
async fn who_declares_the_network_or_scans_a_neighbour_gets_out_while_it_runs() {
    for (network, join) in [(true, None), (false, Some("shop-production")), (true, Some("shop-production"))] {
        let mut place = Place::new(goes_on());
        place.join = join.map(|namespace| Beside::Namespace(namespace.to_owned()));
        let tool = Tool { network, ..probe() };
        let looking = async {
            place.at_work("tool").await;
            let job = place.double.list("Job", NAMESPACE).remove(0);
            let name = job["metadata"]["name"].as_str().unwrap();
            let policy = place.double.get("NetworkPolicy", NAMESPACE, name).unwrap();
            assert_eq!(policy["metadata"]["ownerReferences"][0]["uid"], job["metadata"]["uid"]);
            let chosen = &policy["spec"]["podSelector"]["matchLabels"];
            assert_eq!(chosen["kiops.dev/job"], place.pod()["metadata"]["labels"]["kiops.dev/job"]);
            let egress = policy["spec"]["egress"].to_string();
            assert_eq!(egress.contains("0.0.0.0/0"), network, "{egress}");
            assert_eq!(
                egress.contains("\"kubernetes.io/metadata.name\":\"shop-production\""),
                join.is_some(),
                "{egress}"
            );
            assert!(!network || egress.contains("169.254.0.0/16"), "{egress}");
            let pod = place.pod()["metadata"]["name"].as_str().unwrap().to_owned();
            place.double.end((NAMESPACE, &pod), "tool", 0);
        };
        let ((ran, _), ()) = tokio::join!(place.run(&tool), looking);
        ran.unwrap();
        assert!(place.left().is_empty(), "{:?}", place.left());
    }
}

#[tokio::test]
async fn what_looks_for_secrets_is_not_listened_to() {
    let place = Place::new(ends(1, &["password = hunter2"]));
    let tool = Tool { kind: ScanKind::Secret, ..probe() };
    let (ran, lines) = place.run(&tool).await;
    let error = ran.unwrap_err().to_string();
    assert!(!error.contains("hunter2") && !lines.text().contains("hunter2"), "{error}\n{}", lines.text());
    let tool = Tool { ok_exit_codes: vec![0, 1], ..tool };
    let (ran, lines) = place.run(&tool).await;
    assert_eq!((ran.unwrap().exit_code, lines.text().as_str()), (1, ""));
}

#[tokio::test]
async fn words_come_while_it_goes_on_and_a_cluster_that_is_away_ends_nothing() {
    let place = Place::new(goes_on());
    let lines = Lines::default();
    let (tool, report) = (probe(), place.report());
    let job = place.job(&tool, &report);
    let driving = async {
        place.at_work("tool").await;
        let pod = place.pod()["metadata"]["name"].as_str().unwrap().to_owned();
        let print = |line: &str| place.double.print((NAMESPACE, &pod), "tool", line);
        print("before");
        place.until("the line has come", || lines.text().contains("before")).await;
        place.double.go_away();
        print("meanwhile");
        tokio::time::sleep(Duration::from_millis(500)).await;
        place.double.come_back();
        print("after");
        place.until("the rest has come", || lines.text().contains("after")).await;
        // The report is asked for again where the connection breaks.
        place.double.break_programs(2);
        place.double.end((NAMESPACE, &pod), "tool", 0);
    };
    let (ran, ()) = tokio::join!(place.runner.run(&job, &lines), driving);
    ran.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    let text = lines.text();
    let said: Vec<&str> = text.lines().filter(|line| ["before", "meanwhile", "after"].contains(line)).collect();
    assert_eq!(said, ["before", "meanwhile", "after"], "{text}");
    assert_eq!(std::fs::read_to_string(place.report()).unwrap(), REPORT);
}

#[tokio::test]
async fn a_large_report_comes_in_parts() {
    let place = Place::new(ends(0, &[]));
    let bytes = 24 << 20;
    place.double.leaves(IMAGE, move |out| std::fs::write(out.join("report.json"), vec![b'x'; bytes]).unwrap());
    let tool = Tool { max_report_bytes: 32 << 20, ..probe() };
    assert_eq!(place.run(&tool).await.0.unwrap().report_bytes, bytes as u64);
    assert_eq!(std::fs::read(place.report()).unwrap(), vec![b'x'; bytes]);
}
