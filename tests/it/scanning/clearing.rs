//! Runs that are given up, and those of a server that was killed.

use super::*;

#[tokio::test]
async fn a_process_that_is_given_up_is_gone() {
    let place = Place::new();
    let (nap, other) = (nap(), nap());
    let lines = Lines::default();
    let probe = script(&format!("setsid sleep {nap} & echo begun; sleep {other}"));
    let report = place.temp.path().join("report");
    let job = place.job(&probe, &report);
    tokio::select! {
        done = place.runner.run(&job, &lines) => panic!("{done:?}"),
        () = within(30, "both are at work", || is_at_work(&nap) && is_at_work(&other)) => {}
    }
    // The future has been dropped.
    assert!(!is_at_work(&nap) && !is_at_work(&other));
    assert_eq!(place.folders(), Vec::<String>::new());
    place.runner.clear(&place.mark.scan_id, None).await.unwrap();
}

#[tokio::test]
async fn a_container_that_is_given_up_is_gone_when_clear_returns() {
    let Some(place) = Place::on_engine("a_container_that_is_given_up_is_gone_when_clear_returns") else { return };
    let nap = nap();
    let lines = Lines::default();
    let probe = Tool { network: true, ..boxed(&format!("echo begun; busybox sleep {nap}")) };
    let report = place.temp.path().join("report");
    let job = place.job(&probe, &report);
    tokio::select! {
        done = place.runner.run(&job, &lines) => panic!("{done:?}"),
        () = within(30, "it has begun", || lines.has("begun")) => {}
    }
    assert_ne!(place.left(), "");
    let since = Instant::now();
    place.runner.clear(&place.mark.scan_id, place.engine.as_ref()).await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    assert!(!is_at_work(&nap));
    assert_eq!((place.left(), place.folders()), (String::new(), Vec::new()));
    // Once more is no error, and the same scan can be tried again.
    place.runner.clear(&place.mark.scan_id, place.engine.as_ref()).await.unwrap();
    assert_eq!(place.report(&boxed("echo x > \"$1\"")).await.0, "x\n");
}

#[tokio::test]
async fn one_scan_is_cleared_and_the_other_goes_on() {
    let test = "one_scan_is_cleared_and_the_other_goes_on";
    let (Some(one), Some(other)) = (Place::on_engine(test), Place::on_engine(test)) else { return };
    let (nap, lines) = (nap(), Lines::default());
    let staying = boxed("echo begun; busybox sleep 6; echo x > \"$1\"");
    let report = other.temp.path().join("report");
    let job = other.job(&staying, &report);
    let stays = other.runner.run(&job, &lines);
    tokio::pin!(stays);
    let goes = async {
        let going = Lines::default();
        let probe = boxed(&format!("echo begun; busybox sleep {nap}"));
        let report = one.temp.path().join("report");
        let job = one.job(&probe, &report);
        tokio::select! {
            done = one.runner.run(&job, &going) => panic!("{done:?}"),
            () = within(30, "both have begun", || going.has("begun") && lines.has("begun")) => {}
        }
        one.runner.clear(&one.mark.scan_id, one.engine.as_ref()).await.unwrap();
        assert_eq!(one.left(), "");
        assert_ne!(other.left(), "");
    };
    let (ran, ()) = tokio::join!(stays, goes);
    assert_eq!(ran.unwrap().report_bytes, 2);
}

/// Runs the rest of this test as a process of its own, which is killed in the middle.
const KILLED: &str = "KIOPS_TEST_SCANNING_KILLED";

/// The server that is killed. Does nothing but when [`what_a_killed_server_left_is_found`] runs it.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what to run is said by the test that runs this")]
async fn the_server_that_is_killed() {
    let Ok(told) = std::env::var(KILLED) else { return };
    let words: Vec<&str> = told.split('|').collect();
    let [runs, id, nap, host] = words[..] else { panic!("{told}") };
    let mut place = Place::new();
    place.runner = ToolRunner::new(Path::new(runs)).unwrap();
    place.mark.scan_id = id.to_owned();
    place.engine = (!host.is_empty()).then(|| Host::Engine(EngineConnection { host: host.to_owned(), tls: None }));
    let report = place.temp.path().join("report");
    let process = script(&format!("setsid sleep {nap} & sleep {nap}"));
    let container = Tool { network: true, ..boxed(&format!("busybox sleep {nap}5")) };
    let lines = Lines::default();
    let (process, container) = (place.job(&process, &report), place.job(&container, &report));
    let boxed = async {
        match place.engine {
            Some(_) => place.runner.run(&container, &lines).await.map(|_| ()),
            None => std::future::pending().await,
        }
    };
    let ended = tokio::join!(place.runner.run(&process, &lines), boxed);
    panic!("{ended:?}");
}

#[tokio::test]
async fn what_a_killed_server_left_is_found() {
    let test = "what_a_killed_server_left_is_found";
    let Some(place) = Place::on_engine(test) else { return };
    let nap = nap();
    let boxed = format!("{nap}5");
    let host = place.docker_host();
    let runs = place.runs().canonicalize().unwrap();
    let begin = || {
        let told = format!("{}|{}|{nap}|{host}", runs.display(), place.mark.scan_id);
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scanning::clearing::the_server_that_is_killed", "--nocapture"])
            .env(KILLED, told)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut server = begin();
    within(60, "both are at work", || is_at_work(&nap) && is_at_work(&boxed)).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(is_at_work(&nap) && is_at_work(&boxed) && !place.folders().is_empty() && !place.left().is_empty());
    place.runner.clear(&place.mark.scan_id, place.engine.as_ref()).await.unwrap();
    assert!(!is_at_work(&nap) && !is_at_work(&boxed));
    assert_eq!((place.left(), place.folders()), (String::new(), Vec::new()));

    // Without anybody who knows of the scan the next start ends what is on this machine.
    let mut server = begin();
    within(60, "both are at work", || is_at_work(&nap) && is_at_work(&boxed)).await;
    // As long as the server is there, others of the same machine leave it alone.
    drop(ToolRunner::new(&runs).unwrap());
    assert!(is_at_work(&nap) && !place.folders().is_empty());
    server.kill().unwrap();
    server.wait().unwrap();
    drop(ToolRunner::new(&runs).unwrap());
    assert!(!is_at_work(&nap));
    assert_eq!(place.folders(), Vec::<String>::new());
    place.runner.clear(&place.mark.scan_id, place.engine.as_ref()).await.unwrap();
    assert_eq!(place.left(), "");
}
