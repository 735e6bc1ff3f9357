//! Runs that have no result, and why.

use serde_json::json;

use super::*;

#[tokio::test]
async fn each_way_to_end_badly_is_told_apart() {
    let place = Place::new(ends(3, &["it breaks"]));
    let failed = |text: &str| ScanError::Failed(text.to_owned());
    assert_eq!(place.failure(&probe()).await, failed("probe ended with exit code 3; it said: it breaks"));
    place.double.image(IMAGE, Behaviour::OutOfMemory);
    let text = "probe was killed: it wanted more than 256 MiB (scan.tools.probe.memory)";
    assert_eq!(place.failure(&probe()).await, failed(text));
    let said = "failed to create containerd task: exec: \"probe\": executable file not found in $PATH: unknown";
    place.double.image(IMAGE, Behaviour::NotStarted(said.to_owned()));
    let text = format!("{IMAGE} has no program probe (scan.tools.probe.command)");
    assert_eq!(place.failure(&probe()).await, ScanError::Missing(text));
}

#[tokio::test]
async fn what_it_leaves_is_a_report_or_it_has_none() {
    let place = Place::new(ends(0, &[]));
    place.double.leaves(IMAGE, |_| {});
    assert_eq!(place.failure(&probe()).await, ScanError::Failed("probe wrote no report".to_owned()));
    place.double.leaves(IMAGE, |out| std::fs::write(out.join("report.json"), "").unwrap());
    assert_eq!(place.failure(&probe()).await, ScanError::Failed("probe wrote nothing into its report".to_owned()));
    place.double.leaves(IMAGE, |out| std::os::unix::fs::symlink("/etc/passwd", out.join("report.json")).unwrap());
    let text = "what probe left as its report is no file of its own";
    assert_eq!(place.failure(&probe()).await, ScanError::Unreadable(text.to_owned()));
    place.double.leaves(IMAGE, |out| std::fs::create_dir(out.join("report.json")).unwrap());
    assert_eq!(place.failure(&probe()).await, ScanError::Unreadable(text.to_owned()));
    place.double.leaves(IMAGE, |out| std::fs::write(out.join("report.json"), vec![b'x'; 40 << 20]).unwrap());
    let text = "the report of probe is larger than 1048576 bytes (scan.tools.probe.max_report_bytes)";
    assert_eq!(place.failure(&probe()).await, ScanError::Unreadable(text.to_owned()));
    assert!(!place.report().exists());
}

#[tokio::test]
async fn what_hangs_is_ended_when_its_time_is_over() {
    let place = Place::new(goes_on());
    let tool = Tool { timeout: Duration::from_secs(2), ..probe() };
    let text = "probe took longer than 2s (scan.tools.probe.timeout)";
    assert_eq!(place.failure(&tool).await, ScanError::TimedOut(text.to_owned()));
    place.double.image(IMAGE, Behaviour::Unschedulable);
    let error = place.failure(&tool).await;
    assert!(matches!(&error, ScanError::TimedOut(why) if why.contains("has not begun: 0/1 nodes")), "{error}");
}

#[tokio::test]
async fn an_image_that_is_not_had_is_named_with_what_to_configure() {
    let place = Place::new(Behaviour::Missing);
    let error = place.failure(&probe()).await;
    let ScanError::Missing(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("scan.tools.probe.image") && why.contains(IMAGE) && why.contains("not found"), "{why}");
    place.double.image(BUILDKIT, Behaviour::Missing);
    let error = place.failure(&probe()).await;
    let ScanError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("build.buildkit_image") && why.contains(BUILDKIT), "{why}");
}

#[tokio::test]
async fn a_source_that_did_not_arrive_as_a_whole_is_no_clean_one() {
    // Where the last file would begin: to `tar` that is a whole archive, and the tool sees a part of the source.
    let place = Place::new(ends(0, &[]));
    place.run(&probe()).await.0.unwrap();
    let sent = place.double.inputs("given").remove(0);
    let mut archive = tar::Archive::new(sent.as_slice());
    let last = archive.entries().unwrap().map(|entry| entry.unwrap().raw_header_position()).max().unwrap();
    for bytes in [usize::try_from(last).unwrap(), 700] {
        let place = Place::new(ends(0, &[]));
        place.double.break_input_after(bytes);
        let error = place.failure(&probe()).await;
        assert!(matches!(&error, ScanError::Unreachable(_) | ScanError::Failed(_)), "{error:?}");
        if bytes > 700 {
            let text = "the connection to the cluster broke while what it looks at was sent";
            assert!(matches!(&error, ScanError::Unreachable(why) if why.starts_with(text)), "{error:?}");
        }
        assert!(!place.report().exists());
    }
}

#[tokio::test]
async fn a_report_that_can_not_be_read_out_is_worth_another_try() {
    let place = Place::new(ends(0, &[]));
    place.double.break_programs(100);
    let error = place.failure(&probe()).await;
    assert!(matches!(&error, ScanError::Unreachable(why) if why.contains("report of probe")), "{error:?}");
}

#[tokio::test]
async fn what_the_cluster_ends_is_the_clusters_doing() {
    let place = Place::new(goes_on());
    let driving = async {
        place.at_work("tool").await;
        let pod = place.pod()["metadata"]["name"].as_str().unwrap().to_owned();
        let why = "Usage of EmptyDir volume \"out\" exceeds the limit \"268435456\".";
        place.double.put_out((NAMESPACE, &pod), "Evicted", why);
    };
    let tool = probe();
    let (error, ()) = tokio::join!(place.failure(&tool), driving);
    let ScanError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.starts_with("the cluster ended probe: Evicted: Usage of EmptyDir volume \"out\""), "{why}");
}

#[tokio::test]
async fn folders_of_a_node_are_no_tools() {
    let place = Place::new(ends(0, &[]));
    let tool = Tool { mounts: vec![("/srv/db".to_owned(), "/db".to_owned())], ..probe() };
    let error = place.failure(&tool).await;
    assert!(matches!(&error, ScanError::Missing(why) if why.contains("scan.tools.probe.mounts")), "{error:?}");
    assert!(place.double.take_asked().is_empty());
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_left_alone() {
    let place = Place::new(ends(0, &[]));
    place.double.put("Namespace", json!({ "metadata": { "name": NAMESPACE, "labels": { "team": "x" } }, "spec": {} }));
    let error = place.failure(&probe()).await;
    assert!(matches!(&error, ScanError::Failed(why) if why.contains("build.namespace")), "{error:?}");
    let namespace = place.double.get("Namespace", "", NAMESPACE).unwrap();
    assert!(namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"].is_null(), "{namespace}");
}

#[tokio::test]
async fn a_login_that_may_not_read_reports_is_told_what_it_lacks() {
    use kiops::builder::kubernetes::ClusterBuilders;
    use kiops::builder::{ClusterConnection, ClusterPlace};

    let mut place = Place::new(ends(0, &[]));
    let inside = |resource: &str| format!("{resource}@{NAMESPACE}");
    let of_builds = [
        ("*", "jobs.batch"),
        ("*", "secrets"),
        ("*", "pods"),
        ("*", "pods/log"),
        ("*", "pods/attach"),
        ("*", "events"),
        ("create", "networkpolicies.networking.k8s.io"),
        ("patch", "networkpolicies.networking.k8s.io"),
    ]
    .map(|(verb, resource)| (verb, inside(resource)));
    let (exec, policies) = (inside("pods/exec"), inside("networkpolicies.networking.k8s.io"));
    let mut granted = vec![("get", "namespaces"), ("create", "namespaces"), ("patch", "namespaces")];
    granted.extend(of_builds.iter().map(|(verb, resource)| (*verb, resource.as_str())));
    place.double.login("a-token-for-builds", "system:serviceaccount:ops:builder", &granted);
    let kubeconfig = place.double.kubeconfig_of("a-token-for-builds");
    place.host = host(&kubeconfig, NAMESPACE, BUILDKIT);
    let error = place.failure(&probe()).await;
    let ScanError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("pods/exec") && why.contains("kiops doctor"), "{why}");
    assert!(!why.contains("a-token-for-builds"));

    let lacks = async |scans: bool| {
        let login = ClusterLogin::read(&kubeconfig, None).map_err(|why| panic!("{why}")).unwrap();
        let connection = ClusterConnection {
            access: ClusterAccess::Login(Box::new(login)),
            place: ClusterPlace {
                namespace: NAMESPACE.to_owned(),
                image: BUILDKIT.to_owned(),
                disk: 1 << 30,
                plain_http: Vec::new(),
                platform: None,
                scans,
            },
        };
        ClusterBuilders::default().connect(&connection).unwrap().lacks().await.unwrap()
    };
    // Where no tool is in an image nobody is asked for more than builds need.
    assert_eq!(lacks(false).await, None);
    let missing = lacks(true).await.unwrap();
    let all = [
        format!("delete networkpolicies.networking.k8s.io in namespace {NAMESPACE}"),
        format!("get pods/exec in namespace {NAMESPACE}"),
        format!("create pods/exec in namespace {NAMESPACE}"),
    ];
    assert_eq!(missing.permissions, all);
    assert!(missing.grant.contains("pods/exec"), "{}", missing.grant);
    granted.extend([("*", exec.as_str()), ("delete", policies.as_str())]);
    place.double.login("a-token-for-builds", "system:serviceaccount:ops:builder", &granted);
    assert_eq!(lacks(true).await, None);
    place.run(&Tool { network: true, ..probe() }).await.0.unwrap();
    assert!(place.left().is_empty(), "{:?}", place.left());
}
