//! Test commands in pods of the built image.

use std::time::Duration;

use kiops::builder::{BuilderError, TestEnd};

use super::{Behaviour, Lines, NAMESPACE, Place, ends, image, limits};
use crate::support::cluster::Image;

#[tokio::test]
async fn the_command_runs_in_the_image_and_its_exit_code_is_told() {
    for code in [0, 3] {
        let place = Place::new(Behaviour::Missing);
        let behaviour = ends(code, &["checking".to_owned(), "\u{1b}[31mdone\u{1b}[0m".to_owned()]);
        // The registry asks for a login.
        place.double.image_like(&image(), Image { behaviour, root: true, private: true });
        let lines = Lines::default();
        let end = place.builder.test(&place.test(&["make", "test"]), &lines).await.unwrap();
        assert_eq!(end, TestEnd { exit_code: code.into(), out_of_memory: false });
        assert_eq!(lines.text(), "Stdout checking\nStdout done\n");
        assert!(place.left().is_empty(), "{:?}", place.left());
    }
}

#[tokio::test]
async fn it_is_alone_and_within_limits() {
    let place = Place::new(Behaviour::Missing);
    place.double.image(&image(), Behaviour::Runs(Duration::from_secs(600)));
    let mut request = place.test(&["/bin/check", "--all", "$(HOME)"]);
    request.limits = limits(3);
    let lines = Lines::default();
    let testing = place.builder.test(&request, &lines);
    let looking = async {
        place.at_work("test").await;
        let pod = place.double.list("Pod", NAMESPACE).remove(0);
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["image"], image());
        assert_eq!(container["command"], serde_json::json!(["/bin/check", "--all", "$$(HOME)"]));
        assert_eq!(container["resources"]["limits"]["memory"], (256 << 20).to_string());
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        assert!(place.double.get("NetworkPolicy", NAMESPACE, "kiops-runs").is_some());
    };
    let (end, ()) = tokio::join!(testing, looking);
    assert_eq!(end.unwrap_err(), BuilderError::TimedOut("the test command took longer than 3s".to_owned()));
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[tokio::test]
async fn other_ends_are_told_apart() {
    let place = Place::new(Behaviour::Missing);
    let lines = Lines::default();
    let run = async |behaviour: Behaviour| {
        place.double.image(&image(), behaviour);
        place.builder.test(&place.test(&["nothing"]), &lines).await
    };
    assert!(run(Behaviour::OutOfMemory).await.unwrap().out_of_memory);
    let said = "failed to create containerd task: exec: \"nothing\": executable file not found in $PATH: unknown";
    let error = run(Behaviour::NotStarted(said.to_owned())).await.unwrap_err();
    assert_eq!(error, BuilderError::Refused("the image has no program `nothing`".to_owned()));
    let error = run(Behaviour::Missing).await.unwrap_err();
    assert!(matches!(&error, BuilderError::Engine(why) if why.contains("does not get the image")), "{error:?}");
    assert!(matches!(place.builder.test(&place.test(&[]), &lines).await, Err(BuilderError::Refused(_))));
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[tokio::test]
async fn a_node_that_dies_holds_up_nobody() {
    let late = async {
        let place = Place::new(Behaviour::Missing);
        place.double.image(&image(), Behaviour::Runs(Duration::from_secs(600)));
        place.double.kill_node();
        let mut request = place.test(&["make", "test"]);
        request.limits = limits(2);
        let end = tokio::time::timeout(Duration::from_secs(40), place.builder.test(&request, &Lines::default())).await;
        assert!(matches!(end.expect("it ends"), Err(BuilderError::TimedOut(_))));
    };
    // How a command ended that did so is told, whatever becomes of its pod.
    let passed = async {
        let place = Place::new(Behaviour::Missing);
        place.double.image(&image(), ends(0, &[]));
        place.double.kill_node();
        let request = place.test(&["make", "test"]);
        let end = tokio::time::timeout(Duration::from_secs(40), place.builder.test(&request, &Lines::default())).await;
        assert_eq!(end.expect("it ends").unwrap().exit_code, 0);
    };
    let stumbling = async {
        let place = Place::new(Behaviour::Missing);
        place.double.image(&image(), ends(0, &[]));
        place.double.stumble();
        let end = place.builder.test(&place.test(&["make", "test"]), &Lines::default()).await;
        assert_eq!(end.unwrap().exit_code, 0);
    };
    tokio::join!(late, passed, stumbling);
}
