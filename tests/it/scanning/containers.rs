//! Tools as containers: what they are given, what they find, how they end.

use super::*;

#[tokio::test]
async fn a_boxed_tool_leaves_its_report_and_nothing_else() {
    let Some(mut place) = Place::on_engine("a_boxed_tool_leaves_its_report_and_nothing_else") else { return };
    let source = place.target.source.clone().unwrap();
    fs::create_dir_all(source.join("deep/er")).unwrap();
    let long = "n".repeat(150);
    fs::write(source.join("deep/er").join(&long), "long\n").unwrap();
    std::os::unix::fs::symlink("../main.py", source.join("deep/link")).unwrap();
    place.target.image = Some(IMAGE.to_owned());
    place.target.url = Some("http://web:8080/".to_owned());
    let text = "busybox cat \"$2/main.py\" \"$2/deep/link\" \"$2/deep/er/\"* \"$5/plan\"; busybox tar -tf \"$3\"; \
                echo \"$@\"; echo trouble >&2; busybox printf report > \"$1\"; exit 1";
    let words = ["/bin/sh", "-c", text, "sh", "{report}", "{source}", "{image}", "{url}", "{files}"];
    let mut probe = Tool { image: Some(IMAGE.to_owned()), ok_exit_codes: vec![1], ..tool(&words) };
    probe.files = vec![("plan".to_owned(), "scan {url}\n".to_owned())];
    let (ran, lines) = place.run(&probe).await;
    let (ran, report) = ran.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    assert_eq!((ran.exit_code, ran.report_bytes, report.as_str()), (1, 6, "report"));
    assert_eq!(lines.all().iter().filter(|line| *line == "print(1)").count(), 2, "{}", lines.text());
    for part in ["long", "scan http://web:8080/", "manifest.json", "trouble"] {
        assert!(lines.has(part), "{part}\n{}", lines.text());
    }
    let told = "/kiops/out/report.json /kiops/source /kiops/image.tar http://web:8080/ /kiops/files";
    assert!(lines.has(told), "{}", lines.text());
    assert_eq!(place.left(), "");
    assert_eq!(place.folders(), Vec::<String>::new());
}

#[tokio::test]
async fn an_entry_point_is_replaced_and_another_user_can_read_and_report() {
    let Some(place) = Place::on_engine("an_entry_point_is_replaced_and_another_user_can_read_and_report") else {
        return;
    };
    let image = "kiops-test/scanner-user:1";
    let lines = "VOLUME /data\nUSER 12345:12345\nHEALTHCHECK CMD [\"/bin/busybox\", \"false\"]\n\
                 ENTRYPOINT [\"/bin/busybox\", \"false\"]\nCMD [\"never\"]";
    engine::build(place.docker_host(), image, lines);
    let text = "busybox cat \"$2/main.py\" > \"$1\" && busybox id -u && busybox touch $HOME/x $TMPDIR/y && busybox pwd";
    let probe = Tool { image: Some(image.to_owned()), ..script(text) };
    let (report, said) = place.report(&probe).await;
    assert_eq!(report, "print(1)\n");
    assert_eq!(said.all(), ["12345", "/kiops/out"]);
    assert_eq!(place.left(), "");
}

#[tokio::test]
async fn each_bad_end_of_a_container_says_what_it_was() {
    let Some(place) = Place::on_engine("each_bad_end_of_a_container_says_what_it_was") else { return };
    for (text, why) in [
        ("echo the reason >&2; exit 3", "probe ended with exit code 3; it said: the reason"),
        ("kill -KILL $$; exit 4", "probe ended with exit code 4"),
        ("echo all is well", "probe wrote no report"),
        (": > \"$1\"", "probe wrote nothing into its report"),
    ] {
        let (failure, _) = place.failure(&boxed(text)).await;
        assert_eq!(failure, ScanError::Failed(why.to_owned()), "{text}");
    }
    for text in [
        "busybox ln -s /etc/passwd \"$1\"",
        "busybox ln -s /bin/busybox \"$1\"",
        "busybox mkdir \"$1\"",
        "busybox mkfifo \"$1\"",
    ] {
        let (failure, _) = place.failure(&boxed(text)).await;
        assert!(matches!(&failure, ScanError::Unreadable(_)), "{text}: {failure:?}");
    }
    assert_eq!((place.left(), place.folders()), (String::new(), Vec::new()));
}

#[tokio::test]
async fn a_missing_image_or_program_is_said_to_be_missing() {
    let Some(place) = Place::on_engine("a_missing_image_or_program_is_said_to_be_missing") else { return };
    let image = "127.0.0.1:1/nobody/scanner:1";
    let (failure, _) = place.failure(&Tool { image: Some(image.to_owned()), ..script("true") }).await;
    let ScanError::Missing(why) = &failure else { panic!("{failure:?}") };
    assert!(why.contains(image) && why.contains("scan.tools.probe.image"), "{why}");
    for program in ["semgrep", "/opt/no/such"] {
        let probe = Tool { image: Some(IMAGE.to_owned()), ..tool(&[program, "{report}"]) };
        let (failure, _) = place.failure(&probe).await;
        let ScanError::Missing(why) = &failure else { panic!("{failure:?}") };
        assert!(why.contains(program) && why.contains(IMAGE), "{why}");
    }
    // There, and nothing that can be run.
    let probe = Tool { image: Some(IMAGE.to_owned()), ..tool(&["/etc/hosts", "{report}"]) };
    let (failure, _) = place.failure(&probe).await;
    assert!(matches!(&failure, ScanError::Failed(why) if why.contains("can't be started")), "{failure:?}");
    let mount = Tool { mounts: vec![("/no/such/folder".to_owned(), "/db".to_owned())], ..boxed("true") };
    let (failure, _) = place.failure(&mount).await;
    assert!(matches!(&failure, ScanError::Failed(why) if why.contains("/no/such/folder")), "{failure:?}");
    assert_eq!((place.left(), place.folders()), (String::new(), Vec::new()));
    let away = Host::Engine(EngineConnection { host: "unix:///nowhere/docker.sock".to_owned(), tls: None });
    let place = Place { engine: Some(away), ..Place::new() };
    assert!(matches!(place.failure(&boxed("true")).await.0, ScanError::Unreachable(_)));
}

#[tokio::test]
async fn a_container_that_hangs_ends_with_its_time() {
    let Some(place) = Place::on_engine("a_container_that_hangs_ends_with_its_time") else { return };
    let nap = nap();
    let text = format!("trap '' TERM; echo begun; busybox sleep {nap} & busybox sleep {nap}");
    let probe = Tool { timeout: Duration::from_secs(4), ..boxed(&text) };
    let since = Instant::now();
    let (failure, lines) = place.failure(&probe).await;
    assert_eq!(failure, ScanError::TimedOut("probe took longer than 4s (scan.tools.probe.timeout)".to_owned()));
    assert!(since.elapsed() < Duration::from_secs(12), "{:?}", since.elapsed());
    assert!(lines.has("begun"), "{}", lines.text());
    assert!(!is_at_work(&nap));
    assert_eq!((place.left(), place.folders()), (String::new(), Vec::new()));
}

#[tokio::test]
async fn a_report_in_a_container_that_grows_and_grows_is_stopped_early() {
    let Some(place) = Place::on_engine("a_report_in_a_container_that_grows_and_grows_is_stopped_early") else { return };
    let why = "the report of probe is larger than 1048576 bytes (scan.tools.probe.max_report_bytes)";
    let slow = "i=0; while :; do busybox head -c 400000 /dev/zero >> \"$1\"; busybox sleep 0.2; done";
    let since = Instant::now();
    let (failure, _) = place.failure(&boxed(slow)).await;
    assert_eq!(failure, ScanError::Unreadable(why.to_owned()));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    let (failure, _) = place.failure(&boxed("busybox head -c 1048577 /dev/zero > \"$1\"")).await;
    assert_eq!(failure, ScanError::Unreadable(why.to_owned()));
    // Two GiB are more than one file may have.
    let at_once = "busybox head -c 2147483648 /dev/zero > \"$1\"; busybox stat -c %s \"$1\"; exit 0";
    let (failure, lines) = place.failure(&boxed(at_once)).await;
    assert_eq!(failure, ScanError::Unreadable(why.to_owned()));
    assert!(lines.all().iter().all(|line| line.parse::<u64>().is_ok_and(|n| n <= 512 << 20)), "{}", lines.text());
    assert_eq!((place.left(), place.folders()), (String::new(), Vec::new()));
}

#[tokio::test]
async fn a_container_may_say_a_lot() {
    let Some(place) = Place::on_engine("a_container_may_say_a_lot") else { return };
    let text = "busybox yes rubbish | busybox head -c 100000000; echo x > \"$1\"";
    let (_, lines) = place.report(&boxed(text)).await;
    let bytes: usize = lines.all().iter().map(String::len).sum();
    assert!(bytes < 5 << 20 && lines.has("are not shown"), "{bytes}");
}
