//! Builds that succeed, and what is on the cluster meanwhile.

use kiops::builder::{BuilderError, Output};
use serde_json::json;

use super::{Behaviour, NAMESPACE, Place, SECRETS, begins, ends, image, is_over, prints};

#[tokio::test]
async fn a_build_gives_its_log_in_order_and_the_digest() {
    let account = [
        begins("a", "[1/2] FROM scratch"),
        // The cache of a first build is not there: it does without.
        is_over("m", "importing cache manifest from registry.test/acme/shop:buildcache", "not found"),
        begins("b", "[2/2] RUN make"),
        prints("b", "one\ntw"),
        prints("b", "o\n"),
        is_over("b", "[2/2] RUN make", ""),
        begins("e", "exporting to image"),
    ];
    let place = Place::new(ends(0, &account));
    place.write("main.c", "int main;");
    place.write("left-out/big", "x");
    let (built, lines) = place.build().await;
    let text = lines.text();
    let built = built.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(built.id, image());
    assert_eq!(built.digest.unwrap().as_str(), format!("sha256:{}", "d".repeat(64)));
    let order = [
        "System Building registry.test/acme/shop:0101010-1 from 1 files and folders.",
        "System It runs on the cluster with profile small: 1 cores, 256 MiB of memory, at most 1m.",
        "System [1/2] FROM scratch",
        "System [2/2] RUN make",
        "Stdout one",
        "Stdout two",
        "System exporting to image",
        "System Pushed registry.test/acme/shop:0101010-1, digest sha256:",
    ];
    let mut rest = text.as_str();
    for line in order {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line} is missing or too early:\n{text}"));
        rest = &rest[at + line.len()..];
    }

    // What was sent is what was listed.
    let inputs = place.double.inputs("source");
    let mut archive = tar::Archive::new(inputs[0].as_slice());
    let entries = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let entries: Vec<String> = entries.collect();
    let expected =
        ["context/", "context/main.c", "dockerfile/", "dockerfile/Dockerfile.dockerignore", "dockerfile/Dockerfile"];
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
async fn the_ground_is_made_once_and_closed() {
    let place = Place::new(ends(0, &[]));
    place.build().await.0.unwrap();
    let namespace = place.double.get("Namespace", "", NAMESPACE).unwrap();
    assert_eq!(namespace["metadata"]["labels"]["kiops.dev/purpose"], "builds");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
    let policy = place.double.get("NetworkPolicy", NAMESPACE, "kiops-runs").unwrap();
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(policy["spec"]["egress"].to_string().contains("169.254.0.0/16"), "{policy}");
    // Nothing was forced on a namespace that somebody else could have made at that moment.
    let asked = place.double.take_asked();
    let verbs: Vec<_> = asked.iter().filter(|one| one.resource == "namespaces").map(|one| one.verb.as_str()).collect();
    assert_eq!(verbs, ["get", "create"]);
    place.build().await.0.unwrap();
}

#[tokio::test]
async fn an_older_cluster_is_told_its_profiles_in_its_own_way() {
    let place = Place::new(ends(0, &[]));
    place.double.version("v1.29.4");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let jobs = seen.clone();
    place.double.admit(move |object| {
        if object["kind"] == "Job" {
            jobs.lock().unwrap().push_str(&object.to_string());
        }
        None
    });
    place.build().await.0.unwrap();
    let jobs = seen.lock().unwrap().clone();
    assert!(jobs.contains("container.apparmor.security.beta.kubernetes.io/build"), "{jobs}");
    assert!(!jobs.contains("appArmorProfile"), "{jobs}");
}

#[tokio::test]
async fn secrets_are_in_a_secret_and_nowhere_else() {
    // It goes on until it is ended.
    let place = Place::new(Behaviour::Runs(std::time::Duration::from_secs(600)));
    let request = place.request();
    let lines = super::Lines::default();
    let building = place.builder.build(&request, &lines);
    let looking = async {
        place.at_work("build").await;
        let everything = |kinds: &[&str]| {
            let all = kinds.iter().flat_map(|kind| place.double.list(kind, ""));
            all.map(|object| object.to_string()).collect::<String>()
        };
        let open = everything(&["Job", "Pod", "Event", "Namespace", "NetworkPolicy", "ConfigMap"]);
        assert!(open.contains("build-arg:LEVEL=2"), "{open}");
        use base64::Engine as _;
        for secret in SECRETS {
            let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
            assert!(!open.contains(secret) && !open.contains(&base64), "{secret}");
        }
        let secret = place.double.list("Secret", NAMESPACE).remove(0);
        let job = place.double.list("Job", NAMESPACE).remove(0);
        assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], job["metadata"]["uid"]);
        for object in [&secret, &job] {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["kiops.dev/run"], place.mark.run_id.as_str());
            assert_eq!(labels["kiops.dev/service"], place.mark.service_id.as_str());
            assert_eq!(labels["kiops.dev/organization"], "org");
        }
        let pod = place.double.list("Pod", NAMESPACE).remove(0);
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        assert_eq!(pod["spec"]["enableServiceLinks"], false);
        // Whoever removes the Job removes the Secret with it.
        let fresh = super::connect(&place.double.kubeconfig());
        fresh.clear(&place.mark.run_id).await.unwrap();
    };
    let (built, ()) = tokio::join!(building, looking);
    let error = built.unwrap_err();
    assert!(matches!(&error, BuilderError::Engine(why) if why.contains("somebody removed the pod")), "{error}");
    assert!(place.left().is_empty(), "{:?}", place.left());
    for secret in SECRETS {
        assert!(!lines.text().contains(secret));
    }
}

#[tokio::test]
async fn a_secret_that_is_printed_is_masked_in_the_reason() {
    let failure = format!("process \"/bin/sh -c x\" did not complete successfully: {}: exit code: 1", SECRETS[0]);
    let place = Place::new(ends(
        1,
        &[
            begins("b", "[2/2] RUN x"),
            prints("b", &format!("token {}\n", SECRETS[0])),
            is_over("b", "[2/2] RUN x", &failure),
        ],
    ));
    let error = place.build().await.0.unwrap_err().to_string();
    assert_eq!(error, "RUN x: exit code 1: token ***");
}

#[tokio::test]
async fn lines_come_while_it_goes_on_and_none_is_lost_when_the_api_server_is_away() {
    let place = Place::new(Behaviour::Runs(std::time::Duration::from_secs(600)));
    let request = place.request();
    let lines = super::Lines::default();
    let building = place.builder.build(&request, &lines);
    let driving = async {
        place.at_work("build").await;
        let pod = place.double.list("Pod", NAMESPACE).remove(0)["metadata"]["name"].as_str().unwrap().to_owned();
        let print = |line: &str| place.double.print((NAMESPACE, &pod), "build", line);
        print(&begins("a", "[1/1] RUN long"));
        print(&prints("a", "before\n"));
        place.until("the line has come", || lines.text().contains("Stdout before")).await;
        place.double.go_away();
        print(&prints("a", "meanwhile\n"));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        place.double.come_back();
        print(&prints("a", "after\n"));
        place.until("the rest has come", || lines.text().contains("Stdout after")).await;
        place.double.end((NAMESPACE, &pod), "build", 0);
    };
    let (built, ()) = tokio::join!(building, driving);
    built.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    let printed: Vec<String> = lines
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|(output, _)| *output == Output::Stdout)
        .map(|(_, text)| text.clone())
        .collect();
    assert_eq!(printed, ["before", "meanwhile", "after"]);
}

#[tokio::test]
async fn a_line_that_breaks_off_is_read_again_as_a_whole() {
    let place = Place::new(Behaviour::Runs(std::time::Duration::from_secs(600)));
    let request = place.request();
    let lines = super::Lines::default();
    let building = place.builder.build(&request, &lines);
    let driving = async {
        place.at_work("build").await;
        let pod = place.double.list("Pod", NAMESPACE).remove(0)["metadata"]["name"].as_str().unwrap().to_owned();
        let print = |line: &str| place.double.print((NAMESPACE, &pod), "build", line);
        print(&begins("a", "[1/1] RUN long"));
        print(&prints("a", "before\n"));
        place.until("the line has come", || lines.text().contains("Stdout before")).await;
        // Behind its time, within what it says.
        place.double.tear_a_line_after(60);
        print(&prints("a", "torn\n"));
        print(&prints("a", "after\n"));
        place.until("the rest has come", || lines.text().contains("Stdout after")).await;
        place.double.end((NAMESPACE, &pod), "build", 0);
    };
    let (built, ()) = tokio::join!(building, driving);
    built.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    let all = lines.text();
    let printed: Vec<&str> = all.lines().filter(|line| line.starts_with("Stdout")).collect();
    assert_eq!(printed, ["Stdout before", "Stdout torn", "Stdout after"], "{all}");
    assert!(!all.contains("vertex"), "{all}");
}

#[tokio::test]
async fn a_build_outlasts_an_api_server_that_is_away_again_and_again() {
    let place = Place::new(ends(0, &[begins("a", "[1/1] RUN make"), prints("a", "made\n")]));
    place.double.stumble();
    let (built, lines) = place.build().await;
    built.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    assert!(lines.text().contains("Stdout made") && lines.text().contains("it is waited for"), "{}", lines.text());
    assert!(place.left().is_empty(), "{:?}", place.left());
    let asked = place.double.take_asked();
    for (verb, resource) in [("get", "namespaces"), ("create", "namespaces"), ("patch", "jobs"), ("get", "pods/attach")]
    {
        let refused = asked.iter().any(|one| one.verb == verb && one.resource == resource && one.status == 502);
        assert!(refused, "{verb} {resource}: {asked:#?}");
    }
}
