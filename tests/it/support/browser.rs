//! A real browser without a window, driven over the DevTools protocol.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::skip;

/// What the program is called, by distribution.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// How long a page may take to come to what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The bit of the control key in a key event.
const CONTROL: u8 = 2;

/// One tab of a browser of its own.
pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    calls: u64,
    /// What went wrong in the page: exceptions, console errors and warnings, refused or failed loads.
    pub faults: Vec<Value>,
    /// Every address that was asked for, WebSockets too.
    pub asked: Vec<String>,
    child: Child,
    _profile: TempDir,
}

impl Browser {
    /// An empty tab; none after saying that the test is skipped.
    ///
    /// # Panics
    /// When there is no browser and `KIOPS_TEST_REQUIRE` lists `browser`.
    pub async fn start(test: &str) -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let Some(child) = NAMES.iter().find_map(|name| run(name, &profile)) else {
            skip(test, "browser");
            return None;
        };
        let socket = connect(&profile).await;
        let (faults, asked) = (Vec::new(), Vec::new());
        let mut browser = Self { socket, session: None, calls: 0, faults, asked, child, _profile: profile };
        let tab = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// Opens an address in the tab.
    pub async fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(opened.get("errorText").is_none(), "{opened}");
    }

    /// What an expression is worth in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let options = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut evaluated = self.call("Runtime.evaluate", options).await;
        assert!(evaluated.get("exceptionDetails").is_none(), "{expression}: {evaluated:#}");
        evaluated["result"]["value"].take()
    }

    /// Asks until the expression is worth something.
    ///
    /// # Panics
    /// When it is not in half a minute.
    pub async fn wait_for(&mut self, expression: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.evaluate(expression).await;
            if !matches!(found, Value::Null | Value::Bool(false)) && found != "" {
                return found;
            }
            if Instant::now() > deadline {
                let text = self.evaluate("document.body.innerText").await;
                panic!("waited for {expression} in\n{text}\n{:#?}", self.faults);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks into the middle of an element, once it is there.
    pub async fn click(&mut self, selector: &str) {
        self.click_on(&format!("document.querySelector({selector:?})")).await;
    }

    /// The same with the element that an expression is worth. It must be in sight.
    pub async fn click_on(&mut self, element: &str) {
        let place = format!(
            "(() => {{ const e = ({element})?.getBoundingClientRect();
               return e && e.width ? [e.x + e.width / 2, e.y + e.height / 2] : null }})()"
        );
        let place = self.wait_for(&place).await;
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Replaces what is in the field that has the focus.
    pub async fn write(&mut self, text: &str) {
        self.key("a", 65, CONTROL).await;
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses Enter.
    pub async fn enter(&mut self) {
        self.key("Enter", 13, 0).await;
    }

    async fn key(&mut self, key: &str, code: u8, modifiers: u8) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let mut event = json!({
                "type": kind, "key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers, "text": text,
            });
            if modifiers == CONTROL && kind == "keyDown" {
                event["commands"] = json!(["selectAll"]);
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Calls a method of the protocol and notes what happened meanwhile.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let heard = timeout(PATIENCE, self.socket.next()).await.unwrap_or_else(|_| panic!("no answer to {method}"));
            let Message::Text(text) = heard.unwrap().unwrap() else { continue };
            let mut heard: Value = serde_json::from_str(&text).unwrap();
            if heard["id"] == id {
                assert!(heard.get("error").is_none(), "{method}: {heard:#}");
                return heard["result"].take();
            }
            self.note(&heard);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let bad = |level: &Value| ["error", "warning", "assert"].iter().any(|bad| level == bad);
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => self.asked.extend(params["request"]["url"].as_str().map(str::to_owned)),
            "Network.webSocketCreated" => self.asked.extend(params["url"].as_str().map(str::to_owned)),
            // What a page that is left was still loading is canceled.
            "Network.loadingFailed" if params["canceled"] == true => {}
            "Runtime.exceptionThrown" | "Network.loadingFailed" => self.faults.push(event.clone()),
            "Runtime.consoleAPICalled" if bad(&params["type"]) => self.faults.push(event.clone()),
            "Log.entryAdded" if bad(&params["entry"]["level"]) => self.faults.push(event.clone()),
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself. Its own children end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(name: &str, profile: &TempDir) -> Option<Child> {
    let log = std::fs::File::create(profile.path().join("log")).unwrap();
    Command::new(name)
        .args(["--headless=new", "--remote-debugging-port=0", "--window-size=1400,900", "--disable-gpu"])
        // As root there is no other way, and the page is ours; a container's /dev/shm is small.
        .args(["--no-sandbox", "--disable-dev-shm-usage"])
        // Of itself it talks to its maker, and no name but this machine's means anything.
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"])
        .args(["--disable-extensions", "--no-default-browser-check", "--no-proxy-server"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .arg("about:blank")
        .env("HOME", profile.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .ok()
}

/// The browser writes where it listens into its profile: the port, then the path.
async fn connect(profile: &TempDir) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = std::fs::read_to_string(profile.path().join("profile/DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = said.split_once('\n')
            && let Ok((socket, _)) = connect_async(format!("ws://127.0.0.1:{port}{}", path.trim())).await
        {
            return socket;
        }
        let log = || std::fs::read_to_string(profile.path().join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "the browser does not start: {}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
