//! Private images, and whose login pulls them.

use serde_json::{Value, json};

use super::{Shop, WEB, code, text};
use crate::support::registry::{Registry, TOKEN, USER};

#[test]
fn private_images_run_with_the_services_or_the_organizations_login() {
    let test = "private_images_run";
    let Some(mut shop) = Shop::open(test) else { return };
    let Some(registry) = Registry::start(test) else { return };
    for version in 1..=3 {
        registry.push(&shop.host, &format!("{WEB}:{version}"), &format!("team/web:{version}"));
    }
    let image = format!("{}/team/web", registry.address);
    let mut web = shop.web("1");
    web["image"] = json!(image);
    let login = |token: &str| json!({ "username": USER, "token": token });

    // The service's own.
    shop.register(&[web], json!({ "registryAuth": login(TOKEN) }));
    let first = shop.deploy_well(None);
    assert_eq!(shop.page().unwrap(), "v1 hello");
    let images = text(&first["images"][0]);
    assert!(images.starts_with(&format!("{image}:1@sha256:")), "{images}");
    assert_eq!(first["warnings"], json!([]));
    let before = shop.containers();

    // A wrong one, and none at all: nothing that runs is touched.
    for auth in [login("wrong"), Value::Null] {
        shop.update(json!({ "registryAuth": auth }));
        let failed = shop.deploy(Some("2"));
        assert_eq!(failed["status"], "FAILED", "{failed:#}");
        let message = text(&failed["message"]);
        assert!(message.contains("team/web") && message.contains(&registry.address), "{message}");
        assert!(!message.contains("wrong") && !message.contains(TOKEN), "{message}");
        assert_eq!(shop.containers(), before);
        assert_eq!(shop.page().unwrap(), "v1 hello");
    }

    // The organization's, which is tried before it is stored.
    let save = "mutation($input: SaveRegistryInput!) { saveRegistry(input: $input) { registry { host } } }";
    let input = |token: &str| json!({ "input": { "host": registry.address, "username": USER, "token": token } });
    assert_eq!(code(&shop.server.ask(save, input("wrong"))), "BAD_USER_INPUT");
    let saved = shop.server.data(save, input(TOKEN));
    assert_eq!(saved["saveRegistry"]["registry"]["host"], registry.address);
    shop.deploy_well(Some("2"));
    assert_eq!(shop.page().unwrap(), "v2 hello");

    // A tag that the registry does not have is refused by the preview already, and by the deployment.
    let failed = shop.deploy(Some("missing"));
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert!(text(&failed["message"]).contains("missing"), "{failed:#}");
    // Going back needs no registry: the engine holds the image.
    drop(registry);
    let back = shop.roll_back(None);
    assert_eq!(back["status"], "SUCCEEDED", "{back:#}");
    assert_eq!(shop.page().unwrap(), "v1 hello");
    shop.close();
}
