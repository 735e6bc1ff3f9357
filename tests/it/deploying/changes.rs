//! What a deployment does when all is well.

use serde_json::json;

use super::{Shop, code, get, text};

#[test]
fn a_new_tag_is_served_and_the_neighbour_stays() {
    let Some(mut shop) = Shop::open("a_new_tag_is_served_and_the_neighbour_stays") else { return };
    let mut db = shop.web("1");
    db["name"] = json!("db");
    db["isInternal"] = json!(true);
    db["port"] = json!(8080);
    db["env"] = json!([{ "name": "PORT", "value": "8080" }, { "name": "TEXT", "value": "data" }]);
    shop.register(&[shop.web("1"), db], json!({}));

    let first = shop.preview(None);
    assert_eq!(first["downtime"], false);
    assert!(text(&first["manifest"]).contains(super::WEB), "{first:#}");
    let deployed = shop.deploy_well(None);
    assert_eq!(deployed["revision"], 1);
    let state = shop.state();
    let endpoints = state["environments"][0]["endpoints"].as_array().unwrap();
    let web = endpoints.iter().find(|e| e["container"] == "web").unwrap();
    assert_eq!(web["url"], format!("http://127.0.0.1:{}", shop.port));
    assert!(endpoints.iter().any(|e| e["container"] == "db" && e["isInternal"] == true), "{state:#}");
    assert_eq!(state["status"], "RUNNING", "{state:#}");
    assert_eq!(shop.page().unwrap(), "v1 hello");
    assert_eq!(get(shop.port, "/cgi-bin/db").unwrap(), "v1 data");
    let before = shop.containers();
    assert_eq!(before.len(), 2);

    let preview = shop.preview(Some("2"));
    let diff = text(&preview["diff"]);
    assert!(diff.contains("web:1") && diff.contains("web:2"), "{diff}");
    let reasons = preview["downtimeReasons"].as_array().unwrap();
    assert!(preview["downtime"] == true && reasons.len() == 1, "{preview:#}");
    assert!(text(&reasons[0]).contains(&format!("web keeps host port {}", shop.port)), "{preview:#}");
    let hash = text(&preview["planHash"]);
    assert_eq!(code(&shop.try_deploy(Some("3"), Some(&hash))), "CONFLICT");
    let answer = shop.try_deploy(Some("2"), Some(&hash));
    let second = shop.ended(&text(&answer["data"]["deployService"]["deployment"]["id"]));
    assert_eq!(second["status"], "SUCCEEDED", "{second:#}");
    assert_eq!(shop.page().unwrap(), "v2 hello");
    let after = shop.containers();
    assert_eq!(after["db"], before["db"]);
    assert_ne!(after["web"], before["web"]);
    assert_eq!(after.len(), 2);
    // What was shown before is no longer what would happen.
    assert_eq!(code(&shop.try_deploy(Some("2"), Some(&hash))), "CONFLICT");
    // The service keeps the tag: deploying it once more changes nothing.
    assert_eq!(shop.preview(None)["diff"], "");
    shop.deploy_well(None);
    assert_eq!(shop.containers(), after);
    shop.close();
}
