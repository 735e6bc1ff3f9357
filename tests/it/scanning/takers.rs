//! Tools as processes that take more than they may, or do not end.

use super::*;

#[tokio::test]
async fn a_hanging_tool_ends_with_all_that_it_started() {
    let place = Place::new();
    let naps: Vec<String> = (0..4).map(|_| nap()).collect();
    // A child that ignores TERM, one in a session of its own, one whose parent is gone, and the tool itself.
    let text = format!(
        "(trap '' TERM INT HUP; sleep {}) & setsid sleep {} & (setsid sh -c 'sleep {} & :' &); echo begun; sleep {}",
        naps[0], naps[1], naps[2], naps[3]
    );
    let tool = Tool { timeout: Duration::from_secs(2), ..script(&text) };
    let since = Instant::now();
    let (failure, lines) = place.failure(&tool).await;
    let took = since.elapsed();
    assert_eq!(failure, ScanError::TimedOut("probe took longer than 2s (scan.tools.probe.timeout)".to_owned()));
    assert!(lines.has("begun"), "{}", lines.text());
    assert!(took < Duration::from_secs(5), "{took:?}");
    for nap in naps {
        assert!(!is_at_work(&nap), "{nap} goes on");
    }
    assert_eq!(place.folders(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_tool_leaves_behind_ends_with_it() {
    let place = Place::new();
    let nap = nap();
    let since = Instant::now();
    // The child holds the tool's outputs open.
    let (report, _) = place.report(&script(&format!("setsid sleep {nap} & echo done > \"$1\""))).await;
    assert_eq!(report, "done\n");
    assert!(!is_at_work(&nap));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_report_that_grows_and_grows_is_stopped_early() {
    let mut place = Place::new();
    place.runner = ToolRunner::new(&place.runs()).unwrap().with_most_scratch(8 << 30);
    let tool = script("head -c 2147483648 /dev/zero > \"$1\"; sleep 60");
    let since = Instant::now();
    let (failure, _) = place.failure(&tool).await;
    let why = "the report of probe is larger than 1048576 bytes (scan.tools.probe.max_report_bytes)";
    assert_eq!(failure, ScanError::Unreadable(why.to_owned()));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert!(!place.temp.path().join("report").exists());
    assert_eq!(place.folders(), Vec::<String>::new());
    // Also when it has ended before anybody looked.
    let (failure, _) = place.failure(&script("head -c 1048577 /dev/zero > \"$1\"")).await;
    assert_eq!(failure, ScanError::Unreadable(why.to_owned()));
}

#[tokio::test]
async fn the_disk_is_not_filled() {
    let place = Place::new();
    // One file, which the kernel stops, and many of them, which we do.
    let (failure, _) = place.failure(&script("head -c 2147483648 /dev/zero > big")).await;
    assert!(matches!(failure, ScanError::Failed(_)), "{failure:?}");
    let many = "i=0; while :; do head -c 10000000 /dev/zero > $TMPDIR/$i; i=$((i+1)); sleep 0.05; done";
    let (failure, _) = place.failure(&script(many)).await;
    assert_eq!(failure, ScanError::Failed("probe wrote more than 64 MiB to its folder".to_owned()));
    assert_eq!(place.folders(), Vec::<String>::new());
}

#[tokio::test]
async fn a_flood_of_words_is_cut() {
    let place = Place::new();
    let text = "yes 'rubbish \u{1b}[31m' | head -c 100000000; head -c 1000000 /dev/urandom >&2; echo x > \"$1\"";
    let (_, lines) = place.report(&script(text)).await;
    let bytes: usize = lines.all().iter().map(String::len).sum();
    assert!(bytes < 5 << 20, "{bytes}");
    assert!(lines.has("are not shown"));
    assert!(lines.all().iter().all(|line| line.chars().all(|c| c == '\t' || !c.is_control())));
    // One line without an end.
    let text = "head -c 100000000 /dev/zero | tr '\\0' x; echo x > \"$1\"";
    let (_, lines) = place.report(&script(text)).await;
    assert!(lines.all().iter().all(|line| line.len() <= 16 * 1024 + 8));
}

#[tokio::test]
async fn memory_has_its_limit() {
    let place = Place::new();
    let tool = Tool { memory: 64 << 20, ..script("x=0123456789abcdef; while :; do x=$x$x; done") };
    let (failure, _) = place.failure(&tool).await;
    assert!(matches!(failure, ScanError::Failed(_)), "{failure:?}");
    // Several that are small, and together are not.
    // The end of what comes is kept until there is no more.
    let part = "(head -c 40000000 /dev/zero; sleep 30) | tail -c 40000000 > /dev/null";
    let text = format!("for n in 1 2 3 4; do {part} & done; wait");
    let tool = Tool { memory: 100 << 20, ..script(&text) };
    let (failure, _) = place.failure(&tool).await;
    let why = "probe took more than 100 MiB of memory (scan.tools.probe.memory)";
    assert_eq!(failure, ScanError::Failed(why.to_owned()));
}

#[tokio::test]
async fn a_tool_is_on_no_more_cores_than_it_may_use() {
    let place = Place::new();
    let (report, _) = place.report(&script("sleep 0.3; nproc > \"$1\"")).await;
    assert_eq!(report, "1\n");
}
