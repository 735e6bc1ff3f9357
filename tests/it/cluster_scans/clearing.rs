//! Runs that are given up, and those of a server that was killed.

use serde_json::json;

use super::*;

#[tokio::test]
async fn what_is_given_up_is_gone_when_clear_returns() {
    let place = Place::new(goes_on());
    let other = Mark { scan_id: format!("{}-other", place.mark.scan_id), ..place.mark.clone() };
    let tool = Tool { network: true, ..probe() };
    let (lines, report) = (Lines::default(), place.report());
    let (one, two) = (place.job(&tool, &report), Job { mark: &other, ..place.job(&tool, &report) });
    let begun = async {
        place.until("both are at work", || place.double.list("Pod", NAMESPACE).len() == 2).await;
        place.at_work("tool").await;
    };
    tokio::select! {
        done = place.runner.run(&one, &lines) => panic!("{done:?}"),
        done = place.runner.run(&two, &lines) => panic!("{done:?}"),
        () = begun => {}
    }
    // Both futures have been dropped, as by a server that is killed. Another one clears up.
    assert_eq!(place.left().len(), 6, "{:?}", place.left());
    let fresh = runner(&place.temp.path().join("another"));
    fresh.clear(&place.mark.scan_id, Some(&place.host)).await.unwrap();
    let left = place.left();
    assert_eq!(left.len(), 3, "{left:?}");
    for kind in ["Job", "Pod", "NetworkPolicy"] {
        let mine = place.double.list(kind, NAMESPACE);
        assert!(!mine.iter().any(|one| one["metadata"]["labels"]["kiops.dev/scan"] == place.mark.scan_id.as_str()));
    }
    fresh.clear(&other.scan_id, Some(&place.host)).await.unwrap();
    assert!(place.left().is_empty(), "{:?}", place.left());
    // Once more is no error, and the same scan can be tried again.
    fresh.clear(&other.scan_id, Some(&place.host)).await.unwrap();
    place.double.image(IMAGE, ends(0, &[]));
    place.run(&tool).await.0.unwrap();
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_or_a_pod_that_stays_is_said() {
    let place = Place::new(goes_on());
    let (tool, lines, report) = (probe(), Lines::default(), place.report());
    let job = place.job(&tool, &report);
    tokio::select! {
        done = place.runner.run(&job, &lines) => panic!("{done:?}"),
        () = place.at_work("tool") => {}
    }
    place.double.go_away();
    let away = place.runner.clear(&place.mark.scan_id, Some(&place.host)).await;
    assert!(matches!(away, Err(ScanError::Unreachable(_))), "{away:?}");
    place.double.come_back();
    place.double.kill_node();
    let stays = place.runner.clear(&place.mark.scan_id, Some(&place.host)).await;
    assert!(matches!(&stays, Err(ScanError::Unreachable(why)) if why.contains("is gone with its pods")), "{stays:?}");
}

#[tokio::test]
async fn a_job_that_never_began_goes_with_the_next_run() {
    let place = Place::new(ends(0, &[]));
    place.run(&probe()).await.0.unwrap();
    for (name, created) in [("kiops-scan-old", "2020-01-01T00:00:00Z"), ("kiops-scan-new", "2099-01-01T00:00:00Z")] {
        let labels = json!({ "app.kubernetes.io/managed-by": "kiops", "kiops.dev/scan": "gone" });
        let meta = json!({ "name": name, "namespace": NAMESPACE, "labels": labels });
        let spec = json!({ "suspend": true, "activeDeadlineSeconds": 60, "template": {} });
        place.double.put("Job", json!({ "metadata": meta, "spec": spec }));
        place.double.change("Job", (NAMESPACE, name), |job| job["metadata"]["creationTimestamp"] = created.into());
    }
    place.run(&probe()).await.0.unwrap();
    assert_eq!(place.left(), ["Job kiops-scan-new"]);
}

#[tokio::test]
async fn who_removes_the_pod_is_not_taken_for_the_tools_end() {
    let place = Place::new(goes_on());
    let removing = async {
        place.at_work("tool").await;
        place.runner.clear(&place.mark.scan_id, Some(&place.host)).await.unwrap();
    };
    let tool = probe();
    let (error, ()) = tokio::join!(place.failure(&tool), removing);
    assert_eq!(error, ScanError::Failed("somebody removed the pod of probe from the cluster".to_owned()));
}
