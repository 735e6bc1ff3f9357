//! Builds that fail, take too long, or are given up.

use std::time::Duration;

use super::{BUILDKIT, Behaviour, Lines, NAMESPACE, Place, begins, buildkit, connect, ends, is_over, limits, prints};
use kiops::builder::BuilderError;
use serde_json::json;

fn forever() -> Behaviour {
    Behaviour::Runs(Duration::from_secs(600))
}

#[tokio::test]
async fn the_step_that_failed_is_named_with_its_last_line() {
    let error = "process \"/bin/sh -c make\" did not complete successfully: exit code: 2";
    let place = Place::new(ends(
        1,
        &[
            begins("b", "[build 3/5] RUN make"),
            prints("b", "compiling\n2 tests failed\n"),
            is_over("b", "[build 3/5] RUN make", error),
            "Dockerfile:3".to_owned(),
            format!("error: failed to solve: {error}"),
        ],
    ));
    let (built, lines) = place.build().await;
    assert_eq!(built.unwrap_err(), BuilderError::Failed("RUN make: exit code 2: 2 tests failed".to_owned()));
    assert!(lines.text().contains("Stdout 2 tests failed") && lines.text().contains("System Dockerfile:3"));
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[tokio::test]
async fn what_cannot_be_built_is_refused() {
    let line = "error: failed to solve: dockerfile parse error on line 1: unknown instruction: FORM".to_owned();
    let place = Place::new(ends(1, &[line]));
    let error = place.build().await.0.unwrap_err();
    assert!(matches!(&error, BuilderError::Refused(why) if why.contains("unknown instruction: FORM")), "{error}");
    let mut request = place.request();
    request.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
    assert!(matches!(place.build_this(&request).await.0, Err(BuilderError::Refused(_))));
    request.platforms = vec!["windows/amd64".to_owned()];
    assert!(matches!(place.build_this(&request).await.0, Err(BuilderError::Refused(_))));
}

#[tokio::test]
async fn a_push_that_fails_is_told_from_a_build_that_fails() {
    for (said, refused) in [
        ("failed to push registry.test/acme/shop:0101010-1: denied: requested access to the resource is denied", true),
        ("failed to push registry.test/acme/shop:0101010-1: dial tcp 192.0.2.1:443: i/o timeout", false),
    ] {
        let place = Place::new(ends(
            1,
            &[
                begins("e", "exporting to image"),
                is_over("e", "exporting to image", said),
                format!("error: failed to solve: {said}"),
            ],
        ));
        let error = place.build().await.0.unwrap_err();
        match (&error, refused) {
            (BuilderError::PushRefused(why), true) => {
                assert!(
                    why.starts_with("registry.test refuses registry.test/acme/shop:0101010-1 with the login"),
                    "{why}"
                );
            }
            (BuilderError::PushFailed(_), false) => {}
            _ => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn too_little_memory_is_said_with_the_profile() {
    let place = Place::new(Behaviour::OutOfMemory);
    let error = place.build().await.0.unwrap_err();
    let BuilderError::Failed(why) = &error else { panic!("{error:?}") };
    assert_eq!(why, "the build was killed: it wanted more memory than profile small has (256 MiB)");
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let place = Place::new(forever());
    let mut request = place.request();
    request.limits = limits(2);
    let error = place.build_this(&request).await.0.unwrap_err();
    assert_eq!(error, BuilderError::TimedOut("the build took longer than 2s".to_owned()));
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[tokio::test]
async fn what_is_given_up_leaves_nothing() {
    let place = Place::new(forever());
    let request = place.request();
    let lines = Lines::default();
    {
        let building = place.builder.build(&request, &lines);
        tokio::select! {
            built = building => panic!("{built:?}"),
            () = place.at_work("build") => {}
        }
    }
    assert!(!place.left().is_empty());
    place.builder.clear(&place.mark.run_id).await.unwrap();
    assert!(place.left().is_empty(), "{:?}", place.left());
    // Again, and of a run that never was: nothing there is no error.
    place.builder.clear(&place.mark.run_id).await.unwrap();
    place.builder.clear("never-was").await.unwrap();
}

#[tokio::test]
async fn after_a_crash_it_is_cleared_and_built_again() {
    for container in ["source", "build"] {
        let first = if container == "source" { forever().but_in("source", forever()) } else { buildkit(forever()) };
        let place = Place::new(forever());
        place.double.image(BUILDKIT, first);
        let request = place.request();
        {
            let lines = Lines::default();
            let building = place.builder.build(&request, &lines);
            tokio::select! {
                built = building => panic!("{built:?}"),
                () = place.at_work(container) => {}
            }
        }
        // Another process, which knows nothing.
        place.double.image(BUILDKIT, buildkit(ends(0, &[])));
        let other = connect(&place.double.kubeconfig());
        other.clear(&place.mark.run_id).await.unwrap();
        assert!(place.left().is_empty(), "{:?}", place.left());
        let lines = Lines::default();
        let built = other.build(&request, &lines).await.unwrap();
        assert_eq!(built.id, super::image());
    }
}

#[tokio::test]
async fn a_source_that_does_not_arrive_builds_nothing() {
    let place = Place::new(ends(0, &[]));
    let full = ends(1, &["tar: write error: No space left on device".to_owned()]);
    place.double.image(BUILDKIT, buildkit(ends(0, &[])).but_in("source", full));
    let error = place.build().await.0.unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");

    let mut request = place.request();
    place.write("large", &"x".repeat(2000));
    request.max_context_bytes = 1000;
    let error = place.build_this(&request).await.0.unwrap_err();
    assert!(matches!(&error, BuilderError::Refused(why) if why.contains("larger than 1000 bytes")), "{error}");
}

#[tokio::test]
async fn a_pod_that_is_put_out_says_why() {
    let place = Place::new(forever());
    let request = place.request();
    let lines = Lines::default();
    let building = place.builder.build(&request, &lines);
    let driving = async {
        place.at_work("build").await;
        let pod = place.double.list("Pod", NAMESPACE).remove(0)["metadata"]["name"].as_str().unwrap().to_owned();
        let why = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.";
        place.double.put_out((NAMESPACE, &pod), "Evicted", why);
    };
    let (built, ()) = tokio::join!(building, driving);
    let error = built.unwrap_err().to_string();
    assert!(error.contains("the cluster ended the build: Evicted: Pod ephemeral local storage"), "{error}");
}

#[tokio::test]
async fn a_pod_that_is_drained_is_the_clusters_doing() {
    let place = Place::new(forever());
    let request = place.request();
    let lines = Lines::default();
    let building = place.builder.build(&request, &lines);
    let driving = async {
        place.at_work("build").await;
        let pod = place.double.list("Pod", NAMESPACE).remove(0);
        let annotations = &pod["metadata"]["annotations"];
        assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
        assert_eq!(annotations["karpenter.sh/do-not-disrupt"], "true");
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        place.double.drain((NAMESPACE, &name));
    };
    let (built, ()) = tokio::join!(building, driving);
    let error = built.unwrap_err().to_string();
    assert_eq!(error, "the cluster ended the build: EvictionByEvictionAPI: Eviction API: evicting");
}

#[tokio::test]
async fn a_connection_that_breaks_while_the_source_is_sent_is_what_is_told() {
    let missing = "error: failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory";
    // Within a file, and after the first folder, which is a whole archive to `tar`; of a source that fits into what is on its
    // way at once, and of one that does not.
    for (size, bytes) in [(8_000_000, 100_000), (8_000_000, 512), (2_000, 1_000), (2_000, 512)] {
        let place = Place::new(ends(1, &[missing.to_owned()]));
        place.write("large", &"x".repeat(size));
        place.double.break_input_after(bytes);
        let error = place.build().await.0.unwrap_err();
        let BuilderError::Unreachable(why) = &error else { panic!("{size}, {bytes}: {error:?}") };
        assert!(why.starts_with("the connection to the cluster broke while the source was sent"), "{why}");
        assert!(place.left().is_empty(), "{:?}", place.left());
    }
}

#[tokio::test]
async fn what_a_crash_left_suspended_is_swept_by_the_next_build() {
    let place = Place::new(ends(0, &[]));
    place.build().await.0.unwrap();
    let job = |name: &str| {
        let labels = json!({ "app.kubernetes.io/managed-by": "kiops", "kiops.dev/run": name });
        let containers = json!([{ "name": "build", "image": BUILDKIT }]);
        json!({
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
            "spec": {
                "suspend": true, "activeDeadlineSeconds": 120,
                "template": { "metadata": {}, "spec": { "restartPolicy": "Never", "containers": containers } },
            },
        })
    };
    for (name, suspended) in [("forgotten", true), ("fresh", true), ("at-work", false)] {
        place.double.put("Job", job(name));
        place.double.change("Job", (NAMESPACE, name), |job| {
            job["spec"]["suspend"] = suspended.into();
            if name != "fresh" {
                job["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
            }
        });
    }
    place.build().await.0.unwrap();
    let left: Vec<String> = place.left().into_iter().filter(|one| one.starts_with("Job")).collect();
    assert_eq!(left, ["Job at-work", "Job fresh"]);
}
