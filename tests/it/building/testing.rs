//! Test commands in containers of an image.

use super::*;

/// An image whose entry point must not be run.
async fn image(place: &Place) -> BuiltImage {
    let lines = "VOLUME /data\nEXPOSE 80\nENTRYPOINT [\"/bin/busybox\", \"false\"]\nCMD [\"never\"]";
    place.built(&place.request(lines)).await.0
}

#[tokio::test]
async fn the_exit_code_decides_and_nothing_is_left() {
    let Some(place) = Place::new("the_exit_code_decides_and_nothing_is_left") else { return };
    let image = image(&place).await;
    let volumes = place.docker(&["volume", "ls", "--quiet"]);
    for code in [0, 3] {
        let lines = Lines::default();
        let script = format!("echo to-out; echo to-err >&2; busybox printf 'no end'; exit {code}");
        let request = place.test(&image.id, &["/bin/sh", "-c", &script]);
        let end = place.builder.test(&request, &lines).await.unwrap();
        assert_eq!((end.exit_code, end.out_of_memory), (code, false));
        assert!(lines.has(Output::Stdout, "to-out") && lines.has(Output::Stderr, "to-err"), "{}", lines.text());
        assert!(lines.has(Output::Stdout, "no end"), "{}", lines.text());
        assert_eq!(place.left(), "");
    }
    // Those of others may have gone meanwhile.
    let after = place.docker(&["volume", "ls", "--quiet"]);
    assert!(after.lines().all(|volume| volumes.contains(volume)), "{after}");
}

#[tokio::test]
async fn arguments_are_no_shell_and_a_missing_program_is_named() {
    let Some(place) = Place::new("arguments_are_no_shell_and_a_missing_program_is_named") else { return };
    let image = image(&place).await;
    let lines = Lines::default();
    let request = place.test(&image.id, &["busybox", "echo", "$HOME; `id`", "--", "a b"]);
    place.builder.test(&request, &lines).await.unwrap();
    assert!(lines.has(Output::Stdout, "$HOME; `id` -- a b"), "{}", lines.text());
    for (program, why) in
        [("npm", "the image has no program `npm`"), ("/no/such", "the image has no program `/no/such`")]
    {
        let failed = place.builder.test(&place.test(&image.id, &[program, "test"]), &lines).await;
        assert_eq!(failed, Err(BuilderError::Refused(why.into())));
        assert_eq!(place.left(), "");
    }
    let failed = place.builder.test(&place.test(&image.id, &["/data", "test"]), &lines).await;
    assert!(matches!(&failed, Err(BuilderError::Refused(why)) if why.contains("cannot be run")), "{failed:?}");
    let failed = place.builder.test(&place.test(&image.id, &[]), &lines).await;
    assert!(matches!(failed, Err(BuilderError::Refused(_))), "{failed:?}");
}

#[tokio::test]
async fn memory_and_processes_have_their_limits() {
    let Some(place) = Place::new("memory_and_processes_have_their_limits") else { return };
    let image = image(&place).await;
    let lines = Lines::default();
    let mut request = place.test(&image.id, &["/bin/sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"]);
    request.limits.memory = 32 << 20;
    let end = place.builder.test(&request, &lines).await.unwrap();
    assert!(end.out_of_memory && end.exit_code == 137, "{end:?}\n{}", lines.text());

    let lines = Lines::default();
    let forks = "n=0; while busybox test $n -lt 5000; do busybox sleep 100 & n=$((n+1)); done; echo all of them";
    let request = place.test(&image.id, &["/bin/sh", "-c", forks]);
    let outcome = place.builder.test(&request, &lines).await;
    assert!(!lines.has(Output::Stdout, "all of them"), "{outcome:?}\n{}", lines.text());
    assert!(outcome.as_ref().is_ok_and(|end| end.exit_code != 0) || outcome.is_err(), "{outcome:?}");
    assert_eq!(place.left(), "");
}

#[tokio::test]
async fn a_test_ends_when_its_time_is_over() {
    let Some(place) = Place::new("a_test_ends_when_its_time_is_over") else { return };
    let image = image(&place).await;
    let lines = Lines::default();
    let mut request = place.test(&image.id, &["/bin/sh", "-c", "echo begun; busybox sleep 3600"]);
    request.limits = limits(3);
    let since = Instant::now();
    let failed = place.builder.test(&request, &lines).await;
    assert_eq!(failed, Err(BuilderError::TimedOut("the test command took longer than 3s".into())));
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    assert!(lines.has(Output::Stdout, "begun"), "{}", lines.text());
    assert_eq!(place.left(), "");
}

#[tokio::test]
async fn a_test_that_is_given_up_is_gone_when_clear_returns() {
    let Some(place) = Place::new("a_test_that_is_given_up_is_gone_when_clear_returns") else { return };
    let image = image(&place).await;
    let lines = Lines::default();
    let request = place.test(&image.id, &["/bin/sh", "-c", "echo begun; busybox sleep 3600"]);
    tokio::select! {
        done = place.builder.test(&request, &lines) => panic!("{done:?}"),
        () = within(30, "it has begun", || lines.has(Output::Stdout, "begun")) => {}
    }
    assert_ne!(place.left(), "");
    let since = Instant::now();
    place.builder.clear(&place.mark.run_id).await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(place.left(), "");
    // The same run can be tried again.
    let end = place.builder.test(&place.test(&image.id, &["busybox", "true"]), &lines).await.unwrap();
    assert_eq!(end.exit_code, 0);
}

#[tokio::test]
async fn a_flood_of_a_test_is_read_line_by_line() {
    let Some(place) = Place::new("a_flood_of_a_test_is_read_line_by_line") else { return };
    let image = image(&place).await;
    let lines = Lines::default();
    let script = "busybox head -c 20000000 /dev/zero | busybox tr '\\0' x; echo; busybox yes | busybox head -n 100000";
    let end = place.builder.test(&place.test(&image.id, &["/bin/sh", "-c", script]), &lines).await.unwrap();
    assert_eq!(end.exit_code, 0);
    let all = lines.0.lock().unwrap();
    assert_eq!(all.iter().filter(|(_, text)| text == "y").count(), 100_000);
    assert!(all.iter().all(|(_, text)| text.len() <= 16 * 1024 + 8));
}
