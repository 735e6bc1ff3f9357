//! A build and a test on whatever cluster there is: the tests' own, or the real one that `KIOPS_TEST_KUBECONFIG` names. A
//! real one needs a repository that it may push to without a login (`KIOPS_TEST_REPOSITORY`), over HTTP where
//! `KIOPS_TEST_PLAIN_HTTP` is set; `KIOPS_TEST_BUILDKIT` names BuildKit's image where it is not the default one.

use kiops::builder::{BuildRequest, ClusterPlace, TestRequest};
use kiops::domain::image::Repository;

use super::{BUILDKIT, Lines, REPOSITORY, buildkit, connect_to, ends, image, limits};
use crate::support;
use crate::support::cluster::Behaviour;
use crate::support::place::Place;

/// The image that kiops.toml names.
const DEFAULT: &str = "moby/buildkit:v0.32.2-rootless";

#[expect(clippy::disallowed_methods, reason = "what there is to test with is said by the environment")]
fn said(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test]
async fn an_image_is_built_pushed_and_tested() {
    let cluster = Place::start();
    let repository = match &cluster.double {
        Some(_) => REPOSITORY.to_owned(),
        None => match said("KIOPS_TEST_REPOSITORY") {
            Some(repository) => repository,
            None => return support::skip("an_image_is_built_pushed_and_tested", "registry"),
        },
    };
    let buildkit_image = match &cluster.double {
        Some(double) => {
            double.image(BUILDKIT, buildkit(ends(0, &[])));
            double.image(&image(), ends(0, &["755".to_owned()]));
            BUILDKIT.to_owned()
        }
        None => said("KIOPS_TEST_BUILDKIT").unwrap_or_else(|| DEFAULT.to_owned()),
    };
    let repository = Repository::parse(&repository).unwrap();
    let plain_http = match said("KIOPS_TEST_PLAIN_HTTP") {
        Some(_) => vec![repository.host().to_owned()],
        None => Vec::new(),
    };
    let namespace = cluster.namespace("builds");
    let builder = connect_to(
        &cluster.kubeconfig,
        ClusterPlace {
            namespace: namespace.clone(),
            image: buildkit_image,
            disk: 1 << 30,
            plain_http,
            platform: None,
            scans: false,
        },
    );

    let on_double = super::Place::new(Behaviour::Missing);
    on_double.write("folder/file", "text");
    std::fs::copy("/bin/busybox", on_double.context.path().join("busybox")).unwrap();
    let request = BuildRequest {
        dockerfile: "FROM scratch\nCOPY busybox /busybox\nCOPY folder/ /folder/\n".to_owned(),
        repository,
        args: Vec::new(),
        secrets: Vec::new(),
        logins: Vec::new(),
        limits: limits(600),
        ..on_double.request()
    };
    let lines = Lines::default();
    let built = builder.build(&request, &lines).await.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    let test = TestRequest {
        image_id: built.id,
        login: None,
        limits: limits(600),
        ..on_double.test(&["/busybox", "stat", "-c", "%a", "/folder"])
    };
    let lines = Lines::default();
    let end = builder.test(&test, &lines).await.unwrap_or_else(|error| panic!("{error}\n{}", lines.text()));
    assert_eq!((end.exit_code, lines.text().as_str()), (0, "Stdout 755\n"));
    cluster.remove(&namespace).await;
}
