//! An engine that is reached over TLS and asks for a client certificate.

use serde_json::{Value, json};

use super::{Shop, code, text};
use crate::support::tls::{Authority, Identity, TlsProxy};

const RUNTIME: &str = "id name kind endpoint status statusMessage version checkedAt declared";

#[test]
fn an_engine_behind_tls_is_registered_deployed_to_and_judged() {
    let Some(mut shop) = Shop::open("an_engine_behind_tls") else { return };
    let (engines, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let (client, stranger) = (clients.sign("kiops"), strangers.sign("kiops"));
    let proxy = TlsProxy::start(&shop.host, &engines, &clients);
    let mut said = Vec::new();

    // Whoever can't show or check a certificate stores nothing.
    for (authority, identity) in [(&strangers, &client), (&engines, &stranger)] {
        let answer = register(&shop, &proxy, "far", (authority, identity));
        assert_eq!(code(&answer), "UPSTREAM_ERROR", "{answer:#}");
        let message = text(&answer["errors"][0]["message"]);
        assert!(message.starts_with("the Docker engine refuses us: "), "{message}");
        said.push(answer);
    }
    let plain = "mutation($host: String!) {
        registerRuntime(input: {name: \"plain\", docker: {host: $host}}) { runtime { id } } }";
    let answer = shop.server.ask(plain, json!({ "host": proxy.host }));
    assert_eq!(code(&answer), "UPSTREAM_ERROR", "{answer:#}");
    let swapped = Identity { cert: client.cert.clone(), key: stranger.key.clone() };
    let answer = register(&shop, &proxy, "far", (&engines, &swapped));
    assert!(answer["errors"].is_array(), "{answer:#}");
    said.push(answer);

    let answer = register(&shop, &proxy, "far", (&engines, &client));
    let runtime = answer["data"]["registerRuntime"]["runtime"].clone();
    assert_eq!(runtime["status"], "READY", "{answer:#}");
    assert_eq!(runtime["endpoint"], proxy.host);
    said.push(answer);

    // All that a deployment takes goes through it, streams of events and logs too.
    shop.runtime = text(&runtime["id"]);
    shop.register(&[shop.web("1")], json!({}));
    shop.deploy_well(None);
    assert_eq!(shop.page().unwrap(), "v1 hello");
    shop.deploy_well(Some("2"));
    assert_eq!(shop.page().unwrap(), "v2 hello");
    assert_eq!(shop.becomes("RUNNING", 10)["environments"][0]["instances"][0]["ready"], true);
    let tail = "query($id: ID!) { service(id: $id) { environments { logTail { text } } } }";
    let tail = shop.server.data(tail, json!({ "id": shop.service }));
    assert!(tail.to_string().contains("listening on"), "{tail:#}");
    shop.docker(&["kill", &shop.containers()["web"]]);
    shop.becomes("DEGRADED", 10);
    shop.deploy_well(Some("1"));

    // It comes to have another certificate, to want another one of us, and to be gone; and is itself again between.
    for (own, lets_in, status) in [
        (&strangers, &clients, "UNAUTHORIZED"),
        (&engines, &clients, "READY"),
        (&engines, &strangers, "UNAUTHORIZED"),
        (&engines, &clients, "READY"),
    ] {
        proxy.change(own, lets_in);
        said.push(check(&shop, &shop.runtime, status));
    }
    let brief = TlsProxy::start(&shop.host, &engines, &clients);
    let answer = register(&shop, &brief, "brief", (&engines, &client));
    let gone = text(&answer["data"]["registerRuntime"]["runtime"]["id"]);
    brief.stop();
    said.push(check(&shop, &gone, "UNREACHABLE"));

    said.push(shop.server.ask(&format!("{{ runtimes {{ nodes {{ {RUNTIME} }} }} }}"), json!({})));
    said.push(shop.server.ask("{ auditEvents(first: 50) { nodes { action detail } } }", json!({})));
    said.push(json!(shop.server.log()));
    for key in [&client.key, &stranger.key] {
        let secret = key.lines().nth(2).unwrap();
        assert!(secret.len() > 40, "{secret}");
        for answer in &said {
            assert!(!answer.to_string().contains(secret), "{answer:#}");
        }
    }
    // The service is taken down through it too.
    shop.close();
}

/// Registers the engine behind a proxy: whom we believe, and as whom we come.
fn register(shop: &Shop, proxy: &TlsProxy, name: &str, (believed, us): (&Authority, &Identity)) -> Value {
    let document =
        format!("mutation($i: RegisterRuntimeInput!) {{ registerRuntime(input: $i) {{ runtime {{ {RUNTIME} }} }} }}");
    let docker = json!({ "host": proxy.host, "tlsCa": believed.pem, "tlsCert": us.cert, "tlsKey": us.key });
    shop.server.ask(&document, json!({ "i": { "name": name, "docker": docker } }))
}

/// Has a runtime looked at, which must find this status, and gives the answer.
fn check(shop: &Shop, runtime: &str, status: &str) -> Value {
    let document = format!("mutation($id: ID!) {{ checkRuntime(input: {{id: $id}}) {{ runtime {{ {RUNTIME} }} }} }}");
    let answer = shop.server.ask(&document, json!({ "id": runtime }));
    let found = &answer["data"]["checkRuntime"]["runtime"];
    assert_eq!(found["status"], status, "{answer:#}");
    assert_eq!(found["statusMessage"].is_null(), status == "READY", "{answer:#}");
    answer
}
