//! A tool on whatever cluster there is: the tests' own, or the real one that `KIOPS_TEST_KUBECONFIG` names;
//! `KIOPS_TEST_BUILDKIT` names BuildKit's image where it is not the default one.

use super::*;
use crate::support;

/// The image that kiops.toml names; its busybox is the tool, too.
const DEFAULT: &str = "moby/buildkit:v0.32.2-rootless";

#[expect(clippy::disallowed_methods, reason = "what there is to test with is said by the environment")]
fn said(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
async fn a_tool_sees_the_source_and_its_report_is_had() {
    let cluster = support::place::Place::start();
    let namespace = cluster.namespace("scans");
    let here = Place::new(ends(0, &["it looks"]));
    let image = match &cluster.double {
        Some(double) => {
            double.image(
                BUILDKIT,
                ends(0, &["it looks"]).but_in("given", Behaviour::Unpacks).but_in("keeper", Behaviour::runs()),
            );
            double.leaves(BUILDKIT, |out| std::fs::write(out.join("report.json"), "print(1)\n").unwrap());
            BUILDKIT.to_owned()
        }
        None => said("KIOPS_TEST_BUILDKIT").unwrap_or_else(|| DEFAULT.to_owned()),
    };
    let host = host(&cluster.kubeconfig, &namespace, &image);
    let script = "echo it looks; cp \"$1/src/main.py\" \"$2\"";
    let tool = Tool {
        image: Some(image),
        command: ["sh", "-c", script, "-", "{source}", "{report}"].map(str::to_owned).to_vec(),
        timeout: Duration::from_secs(600),
        ..probe()
    };
    let (lines, report) = (Lines::default(), here.report());
    let job = Job { host: Some(&host), ..here.job(&tool, &report) };
    let ran = here.runner.run(&job, &lines).await.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    assert_eq!(ran.exit_code, 0);
    assert_eq!(std::fs::read_to_string(&report).unwrap(), "print(1)\n");
    assert!(lines.text().ends_with("it looks"), "{}", lines.text());
    here.runner.clear(&here.mark.scan_id, Some(&host)).await.unwrap();
    cluster.remove(&namespace).await;
}
