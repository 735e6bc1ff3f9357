//! GraphiQL in a real browser, from the real server program, with nothing else to reach.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::engine;
use crate::support::server::Server;

const EDITOR: &str = ".graphiql-query-editor .CodeMirror";
const RUN: &str = ".graphiql-execute-button";
const UNDERLINED: &str = ".CodeMirror-lint-mark-error";
/// The answer's JSON, once there is one.
const ANSWER: &str = "(() => {
    const text = document.querySelector('.graphiql-response .CodeMirror')?.CodeMirror.getValue();
    try { return JSON.parse(text) } catch { return null }
})()";

#[tokio::test(flavor = "multi_thread")]
async fn graphiql_takes_a_token_asks_and_follows() {
    let test = "graphiql_takes_a_token_asks_and_follows";
    // A service needs a place to deploy to before it can be registered.
    let Some(docker) = engine::docker(test) else { return };
    let Some(mut browser) = Browser::start(test).await else { return };
    let server = Server::start();
    let connect = "mutation($host: String!) {
        registerRuntime(input: {name: \"local\", docker: {host: $host}}) { runtime { id } } }";
    let runtime = server.data(connect, json!({ "host": docker }))["registerRuntime"]["runtime"]["id"].take();

    // Nobody is logged in.
    browser.open(&format!("http://{}/graphql", server.address)).await;
    ask(&mut browser, "{ viewer { user { email } } }").await;
    let refused = browser.wait_for(ANSWER).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{refused:#}");

    browser.click("#token").await;
    browser.write(&server.token).await;
    browser.enter().await;
    browser.wait_for(&format!("sessionStorage.getItem('kiops:token') === {:?}", server.token)).await;
    // It reads the schema and underlines what is not in it.
    write(&mut browser, "{ nonsense }").await;
    browser.wait_for(&format!("document.querySelector({UNDERLINED:?}) !== null")).await;
    ask(&mut browser, "{ viewer { user { email } } server { version } services { totalCount } }").await;
    let shown = browser.wait_for(&having("data")).await;
    assert_eq!(shown["data"]["viewer"]["user"]["email"], "admin@localhost", "{shown:#}");
    assert_eq!(shown["data"]["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(shown["data"]["services"]["totalCount"], 0);
    browser.wait_for(&format!("document.querySelector({UNDERLINED:?}) === null")).await;

    ask(&mut browser, "subscription { serviceChanged { kind service { name status } } }").await;
    browser.wait_for("document.querySelector('.graphiql-execute-button[aria-label^=\"Stop\"]') !== null").await;
    // It tells of changes alone, so that the first ones can be over before it listens. Once one shows, the next must.
    let mut early = 0;
    while browser.evaluate(&having("data?.serviceChanged")).await.is_null() {
        early += 1;
        assert!(early < 100, "nothing is told: {:#?}", browser.faults);
        register(&server, &runtime, &format!("early-{early}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    register(&server, &runtime, "live");
    let shown =
        browser.wait_for(&format!("(a => a?.data?.serviceChanged?.service.name === 'live' && a)({ANSWER})")).await;
    assert_eq!(shown["data"]["serviceChanged"]["kind"], "ADDED", "{shown:#}");
    assert_eq!(shown["data"]["serviceChanged"]["service"]["status"], "REGISTERED", "{shown:#}");
    browser.click(RUN).await;
    browser.wait_for("document.querySelector('.graphiql-execute-button[aria-label^=\"Execute\"]') !== null").await;

    assert_eq!(browser.faults, Vec::<Value>::new());
    let own = [format!("http://{}/", server.address), format!("ws://{}/", server.address)];
    for url in &browser.asked {
        let inside = own.iter().any(|own| url.starts_with(own)) || url.starts_with("data:") || url == "about:blank";
        assert!(inside, "{url} was asked for");
    }
    let sockets = browser.asked.iter().filter(|url| url.starts_with("ws://")).count();
    assert!(browser.asked.len() > 5 && sockets > 0, "{:?}", browser.asked);
}

/// Writes a document into the editor and runs it.
async fn ask(browser: &mut Browser, document: &str) {
    write(browser, document).await;
    browser.click(RUN).await;
}

async fn write(browser: &mut Browser, document: &str) {
    browser.click(EDITOR).await;
    browser.write(document).await;
    // GraphiQL reads what was written a moment later than it shows it: only then it knows a subscription as one.
    let read = format!("document.querySelector({EDITOR:?}).CodeMirror.documentAST?.loc.source.body === {document:?}");
    browser.wait_for(&read).await;
}

fn register(server: &Server, runtime: &Value, name: &str) {
    let register = "mutation($i: RegisterDockerHubServiceInput!) {
        registerDockerHubService(input: $i) { service { id } } }";
    let web = json!([{ "name": "web", "image": "nginx", "port": 80 }]);
    server.data(register, json!({ "i": { "name": name, "runtimeId": runtime, "containers": web } }));
}

/// The answer, once it has this part.
fn having(part: &str) -> String {
    format!("(a => a?.{part} && a)({ANSWER})")
}
