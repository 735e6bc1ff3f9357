//! GraphiQL in a real browser, from the real server program, with nothing else to reach.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::engine;
use crate::support::server::{PASSWORD, Server};

const EDITOR: &str = ".graphiql-query-editor .CodeMirror";
const VARIABLES: &str = ".graphiql-editor-tool .CodeMirror";
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

    // What admins alone may do is not offered.
    browser.wait_for(&offered("Log in")).await;
    assert_eq!(browser.evaluate(&offered("The audit trail")).await, Value::Null);
    for (field, text) in [("#email", "admin@localhost"), ("#password", "wrong password")] {
        browser.click(field).await;
        browser.write(text).await;
    }
    browser.enter().await;
    browser.wait_for("document.querySelector('[role=alert]')?.innerText.includes('wrong')").await;
    browser.click("#password").await;
    browser.write(PASSWORD).await;
    browser.enter().await;
    browser.wait_for("document.querySelector('.viewer')?.innerText.includes('admin@localhost')").await;
    assert_eq!(browser.evaluate("document.cookie + localStorage.length").await, "0", "a script sees the session");
    browser.wait_for(&offered("The audit trail")).await;
    // The session's cookie opens WebSockets too; a token goes before it.
    browser.click("#token").await;
    browser.write(&server.token).await;
    browser.enter().await;
    browser.wait_for(&format!("sessionStorage.getItem('kiops:token') === {:?}", server.token)).await;
    browser.wait_for(&offered("The audit trail")).await;
    // It reads the schema and underlines what is not in it.
    write(&mut browser, "{ nonsense }").await;
    browser.wait_for(&format!("document.querySelector({UNDERLINED:?}) !== null")).await;
    ask(&mut browser, "{ viewer { user { email } } server { version } services { totalCount } }").await;
    let shown = browser.wait_for(&having("data")).await;
    assert_eq!(shown["data"]["viewer"]["user"]["email"], "admin@localhost", "{shown:#}");
    assert_eq!(shown["data"]["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(shown["data"]["services"]["totalCount"], 0);
    browser.wait_for(&format!("document.querySelector({UNDERLINED:?}) === null")).await;

    // An example opens in a tab, with its variables. It can be run once the runtime is filled in.
    browser.evaluate(&format!("{}.scrollIntoView()", example("Register images of Docker Hub"))).await;
    browser.click_on(&example("Register images of Docker Hub")).await;
    let opened = format!(
        "(v => document.querySelector({EDITOR:?}).CodeMirror.getValue().includes('mutation RegisterFromDockerHub') && v.includes('MYSQL') && v)
         (document.querySelector({VARIABLES:?}).CodeMirror.getValue())"
    );
    let variables: Value = serde_json::from_str(browser.wait_for(&opened).await.as_str().unwrap()).unwrap();
    let mut filled = variables.clone();
    filled["input"]["runtimeId"] = runtime.clone();
    filled["input"]["containers"][1]["env"][0]["value"] = json!("hidden");
    browser.click(VARIABLES).await;
    browser.write(&filled.to_string()).await;
    browser.click(RUN).await;
    let shown = browser.wait_for(&having("data?.registerDockerHubService")).await;
    assert_eq!(shown["data"]["registerDockerHubService"]["service"]["name"], "shop", "{shown:#}");
    assert_eq!(server.data("{ services { totalCount } }", json!({}))["services"]["totalCount"], 1);

    ask(&mut browser, "subscription { serviceChanged { kind service { name status } } }").await;
    browser.wait_for("document.querySelector('.graphiql-execute-button[aria-label^=\"Stop\"]') !== null").await;
    // It tells of changes alone, so that the first ones can be over before it listens. Once one shows, the next must.
    let mut early = 0;
    while browser.evaluate(&having("events?.[0]")).await.is_null() {
        early += 1;
        assert!(early < 100, "nothing is told: {:#?}", browser.faults);
        register(&server, &runtime, &format!("early-{early}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    register(&server, &runtime, "live");
    let newest = browser
        .wait_for(&format!("(c => c?.service.name === 'live' && c)({ANSWER}?.events?.[0]?.serviceChanged)"))
        .await;
    assert_eq!(newest["kind"], "ADDED", "{newest:#}");
    assert_eq!(newest["service"]["status"], "REGISTERED", "{newest:#}");
    // However many there are, the page keeps the newest hundred.
    for n in 0..105 {
        register(&server, &runtime, &format!("one-of-many-{n}"));
    }
    let kept = format!("(a => a?.events?.[0]?.serviceChanged.service.name === 'one-of-many-104' && a)({ANSWER})");
    let kept = browser.wait_for(&kept).await;
    assert_eq!(kept["events"].as_array().unwrap().len(), 100, "{}", kept["live"]);
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

/// The button of an example.
fn example(title: &str) -> String {
    format!(
        "[...document.querySelectorAll('.examples li button')].find(b => b.querySelector('span').innerText === {title:?})"
    )
}

/// Whether the panel has an example.
fn offered(title: &str) -> String {
    format!("{} ? true : null", example(title))
}

/// The answer, once it has this part.
fn having(part: &str) -> String {
    format!("(a => a?.{part} && a)({ANSWER})")
}
