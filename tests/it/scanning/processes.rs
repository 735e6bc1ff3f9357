//! Tools as processes: what they are told, what they find, how they end.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[tokio::test]
async fn a_tool_leaves_its_report_and_nothing_else() {
    let place = Place::new();
    let text = "ls \"$2\"; echo trouble >&2; printf '{\"version\": \"2.1.0\"}' > \"$1\"; exit 1";
    let tool = Tool { ok_exit_codes: vec![0, 1], ..script(text) };
    let (ran, lines) = place.run(&tool).await;
    let (ran, report) = ran.unwrap();
    assert_eq!((ran.exit_code, ran.report_bytes), (1, 20));
    assert_eq!(report, "{\"version\": \"2.1.0\"}");
    assert!(lines.has("main.py") && lines.has("trouble"), "{}", lines.text());
    assert_eq!(place.folders(), Vec::<String>::new());
    let mode = fs::metadata(place.temp.path().join("report")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn arguments_come_through_one_by_one() {
    let place = Place::new();
    let marker = place.temp.path().join("marker");
    let hostile = [
        "two words".to_owned(),
        "\"quoted\" 'and so'".to_owned(),
        format!("$(touch {})", marker.display()),
        format!("; touch {}; `touch {}` && x | y > z", marker.display(), marker.display()),
        "line\nend".to_owned(),
        "{\"json\": {}}".to_owned(),
        "*".to_owned(),
        "--".to_owned(),
        "-x".to_owned(),
        String::new(),
        "ü\u{202e}".to_owned(),
        "at={source}/x".to_owned(),
    ];
    let print = "out=$1; shift; for a in \"$@\"; do printf '%s\\0' \"$a\"; done > \"$out\"";
    let mut probe = tool(&["/bin/sh", "-c", print, "sh", "{report}"]);
    probe.command.extend(hostile.iter().cloned());
    let (report, _) = place.report(&probe).await;
    let got: Vec<&str> = report.split_terminator('\0').collect();
    let mut expected: Vec<String> = hostile.to_vec();
    expected[11] = format!("at={}/x", place.target.source.as_ref().unwrap().display());
    assert_eq!(got, expected);
    assert!(!marker.exists());
}

#[tokio::test]
async fn the_environment_is_cleared() {
    let place = Place::new();
    let text = "tr '\\0' '\\n' < /proc/$$/environ > \"$1\"; echo; pwd; stat -c %a .; ls -A; ulimit -c; nice";
    let (report, lines) = place.report(&script(text)).await;
    let mut names: Vec<&str> = report.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "PATH", "TMPDIR"]);
    let value = |name: &str| report.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (home, runs) = (value("HOME="), place.runs().canonicalize().unwrap());
    assert!(home.starts_with(runs.to_str().unwrap()), "{home}");
    assert_eq!(value("TMPDIR="), format!("{home}/tmp"));
    let said = lines.all();
    assert!(said.contains(&home) && said.contains(&"700".to_owned()) && said.contains(&"10".to_owned()), "{said:?}");
}

#[tokio::test]
async fn a_tool_gets_its_own_files() {
    let place = Place::new();
    let mut probe = tool(&["/bin/sh", "-c", "cat \"$1/plan.yaml\" > \"$2\"", "sh", "{files}", "{report}"]);
    probe.files = vec![("plan.yaml".to_owned(), "url: \"{url}\"\nreport: \"{report}\"\nkept: {other} {}\n".to_owned())];
    let mut place = place;
    place.target.url = Some("http://web:8080/a?b=c".to_owned());
    let (report, _) = place.report(&probe).await;
    assert!(report.starts_with("url: \"http://web:8080/a?b=c\"\nreport: \"/"), "{report}");
    assert!(report.ends_with("report.json\"\nkept: {other} {}\n"), "{report}");
    for url in ["file:///etc/passwd", "--config=/x", "http://u:p@x/", "http://x/$(id)", "no address"] {
        place.target.url = Some(url.to_owned());
        assert!(matches!(place.failure(&probe).await.0, ScanError::Failed(why) if why.contains("address")), "{url}");
    }
    place.target.url = None;
    assert!(matches!(place.failure(&probe).await.0, ScanError::Failed(why) if why.contains("an address")));
}

#[tokio::test]
async fn each_bad_end_says_what_it_was() {
    let place = Place::new();
    for (text, why) in [
        ("echo first; echo the reason >&2; exit 3", "probe ended with exit code 3; it said: the reason"),
        ("echo half > \"$1\"; exit 3", "probe ended with exit code 3"),
        ("echo about to; kill -SEGV $$", "probe was ended by signal 11; it said: about to"),
        ("kill -KILL $$", "probe was ended by signal 9"),
        ("echo all is well", "probe wrote no report; it said: all is well"),
        (": > \"$1\"", "probe wrote nothing into its report"),
    ] {
        let (failure, _) = place.failure(&script(text)).await;
        assert_eq!(failure, ScanError::Failed(why.to_owned()), "{text}");
    }
    for text in ["ln -s /etc/passwd \"$1\"", "mkdir \"$1\"", "mkfifo \"$1\"", "echo x > other; ln other \"$1\""] {
        let (failure, _) = place.failure(&script(text)).await;
        let is_refused = matches!(&failure, ScanError::Unreadable(why) if why.contains("no file of its own"));
        assert!(is_refused, "{text}: {failure:?}");
    }
    assert_eq!(place.folders(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_missing_is_said_to_be_missing() {
    let mut place = Place::new();
    let (failure, _) = place.failure(&tool(&["no-such-scanner", "{source}", "{report}"])).await;
    let ScanError::Missing(why) = &failure else { panic!("{failure:?}") };
    assert!(why.contains("no-such-scanner") && why.contains("scan.tools.probe"), "{why}");
    let (failure, _) = place.failure(&tool(&["/etc/passwd", "{report}"])).await;
    assert!(matches!(&failure, ScanError::Failed(why) if why.contains("can't be run")), "{failure:?}");
    place.target.source = None;
    let (failure, _) = place.failure(&script("true")).await;
    assert_eq!(failure, ScanError::Failed("probe looks at source code, and there is none".to_owned()));
    let (failure, _) = place.failure(&tool(&["true", "{image}", "{report}"])).await;
    assert_eq!(failure, ScanError::Failed("probe looks at an image, and there is none".to_owned()));
    place.target.image = Some("x".to_owned());
    let (failure, _) = place.failure(&tool(&["true", "{image}", "{report}"])).await;
    assert!(matches!(failure, ScanError::Missing(why) if why.contains("nothing is there that has it")));
    let boxed = Tool { image: Some(IMAGE.to_owned()), ..tool(&["true", "{report}"]) };
    let (failure, _) = place.failure(&boxed).await;
    assert!(matches!(failure, ScanError::Missing(why) if why.contains("nothing is there to run it")));
}

#[tokio::test]
async fn two_at_once_do_not_meet() {
    let (one, other) = (Place::new(), Place::new());
    let text = "echo \"$HOME\" > mine; sleep 1; count=$(ls -A | grep -c .); (cat mine; echo $count) > \"$1\"";
    let tool = script(text);
    // Twice the same scan, and another one.
    let second = Place { mark: one.mark.clone(), runner: ToolRunner::new(&one.runs()).unwrap(), ..Place::new() };
    let ((first, _), (second, _), (third, _)) =
        tokio::join!(one.report(&tool), second.report(&tool), other.report(&tool));
    let homes: std::collections::BTreeSet<&str> =
        [&first, &second, &third].iter().map(|report| report.lines().next().unwrap()).collect();
    assert_eq!(homes.len(), 3, "{homes:?}");
    // The temporary folder, and what it wrote itself.
    assert!([first, second, third].iter().all(|report| report.ends_with("\n2\n")));
}

#[tokio::test]
async fn an_image_is_saved_for_a_process() {
    let Some(mut place) = Place::on_engine("an_image_is_saved_for_a_process") else { return };
    let text = "tar -tf \"$2\" > \"$1\"; tar -xOf \"$2\" manifest.json; stat -c %s \"$2\"";
    let probe = tool(&["/bin/sh", "-c", text, "sh", "{report}", "{image}"]);
    place.target.image = Some(IMAGE.to_owned());
    let (report, lines) = place.report(&probe).await;
    assert!(report.contains("manifest.json") && lines.has(IMAGE), "{report}\n{}", lines.text());
    // By the engine's own id too, which has no name in it.
    place.target.image = Some(place.docker(&["inspect", "--format", "{{.Id}}", IMAGE]));
    assert!(place.report(&probe).await.0.contains("manifest.json"));
    place.target.image = Some("kiops-test/never-built:1".to_owned());
    let (failure, _) = place.failure(&probe).await;
    assert!(matches!(&failure, ScanError::Failed(why) if why.contains("is not on the engine")), "{failure:?}");
    place.target.image = Some(IMAGE.to_owned());
    place.runner = ToolRunner::new(&place.runs()).unwrap().with_most_scratch(100_000);
    let (failure, _) = place.failure(&probe).await;
    assert!(matches!(&failure, ScanError::Failed(why) if why.contains("larger than")), "{failure:?}");
    assert_eq!(place.folders(), Vec::<String>::new());
}
