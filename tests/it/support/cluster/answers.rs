//! From a request to its answer.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{Response, header};
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::knobs::Login;
use super::request::{Asked, Call, query_of, rule_name};
use super::rules::{self, Strictness};
use super::schema::NEWEST;
use super::store::{Store, text};
use super::{attach, exec, json, logs, watch, write};

/// What a request is answered with.
enum Reply {
    Json(u16, Value),
    /// One that is more than an answer.
    Other(Response<Body>),
    Lines(std::pin::Pin<Box<dyn Stream<Item = Bytes> + Send>>, &'static str),
}

/// Answers a request and writes down what it was.
pub async fn answer(
    store: Arc<Mutex<Store>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    request: axum::http::Request<hyper::body::Incoming>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let latency = store.lock().unwrap().knobs.latency;
    tokio::time::sleep(latency).await;
    let header = |name: header::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let query = query_of(parts.uri.query().unwrap_or_default());
    let path = parts.uri.path().to_owned();
    let login = who(&store, &header(header::AUTHORIZATION));
    let mut note = Asked {
        verb: parts.method.as_str().to_lowercase(),
        resource: path.clone(),
        namespace: String::new(),
        name: String::new(),
        user: login.as_ref().map(|login| login.user.clone()).unwrap_or_default(),
        status: 0,
    };
    let reply = match login {
        None if path == "/healthz" || path == "/readyz" || path == "/livez" => Ok(Reply::Json(200, json!("ok"))),
        None => Err(Refusal::new(401, "Unauthorized", "Unauthorized")),
        Some(login) => match Call::place(&path) {
            None => apart(&store, &login, (parts.method.as_str(), &path), &body),
            Some((kind, namespace, name, subresource)) => {
                let watching = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
                match verb(parts.method.as_str(), !name.is_empty(), watching) {
                    None => Err(Refusal::new(
                        405,
                        "MethodNotAllowed",
                        "the server does not allow this method on the requested resource",
                    )),
                    Some(verb) => {
                        let content_type = header(header::CONTENT_TYPE);
                        let call = Call {
                            kind,
                            namespace,
                            name,
                            subresource,
                            verb,
                            query,
                            content_type: content_type.split(';').next().unwrap_or_default().trim().to_owned(),
                            accept: header(header::ACCEPT),
                            agent: header(header::USER_AGENT),
                            body,
                        };
                        note.verb = verb.to_owned();
                        note.resource = call.resource();
                        note.namespace.clone_from(&call.namespace);
                        note.name.clone_from(&call.name);
                        let stumbles = store.lock().unwrap().knobs.is_stumble(&note.verb, &note.resource);
                        match permitted(&login, &call) {
                            Ok(()) if stumbles => {
                                // Of 503 kube's client asks again by itself.
                                Err(Refusal::new(502, "InternalError", "Bad Gateway"))
                            }
                            Ok(()) if call.subresource == "attach" => {
                                attach::attach(&store, &call, (upgrade, &parts.headers)).map(Reply::Other)
                            }
                            Ok(()) if call.subresource == "exec" => {
                                let query = parts.uri.query().unwrap_or_default();
                                exec::exec(&store, &call, (upgrade, &parts.headers), query).map(Reply::Other)
                            }
                            Ok(()) => objects(&store, call),
                            Err(refusal) => Err(refusal),
                        }
                    }
                }
            }
        },
    };
    let response = match reply {
        Ok(Reply::Json(status, value)) => response(status, &value),
        Ok(Reply::Other(response)) => response,
        Ok(Reply::Lines(lines, kind)) => {
            let lines = lines.map(Ok::<_, std::convert::Infallible>);
            Response::builder().header(header::CONTENT_TYPE, kind).body(Body::from_stream(lines)).unwrap()
        }
        Err(refusal) => response(refusal.code, &refusal.to_json()),
    };
    note.status = response.status().as_u16();
    asked.lock().unwrap().push(note);
    response
}

fn response(status: u16, value: &Value) -> Response<Body> {
    let builder = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    builder.body(Body::from(value.to_string())).unwrap()
}

fn who(store: &Arc<Mutex<Store>>, authorization: &str) -> Option<Login> {
    let token = authorization.strip_prefix("Bearer ")?;
    store.lock().unwrap().knobs.logins.get(token).cloned()
}

fn verb(method: &str, named: bool, watching: bool) -> Option<&'static str> {
    Some(match (method, named) {
        ("GET", true) => "get",
        ("GET", false) if watching => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    })
}

fn permitted(login: &Login, call: &Call) -> Result<(), Refusal> {
    if login.may(call.verb, (&rule_name(call.kind.group, &call.resource()), &call.namespace)) {
        return Ok(());
    }
    let object =
        if call.name.is_empty() { call.kind.resource() } else { format!("{} {:?}", call.kind.resource(), call.name) };
    let place = match call.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let why = format!(
        "{object} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {place}",
        login.user,
        call.verb,
        call.resource(),
        call.kind.group
    );
    Err(Refusal::new(403, "Forbidden", why))
}

/// What is not about objects that are kept.
fn apart(
    store: &Arc<Mutex<Store>>,
    login: &Login,
    (method, path): (&str, &str),
    body: &[u8],
) -> Result<Reply, Refusal> {
    match (method, path) {
        ("GET", "/version") => Ok(Reply::Json(
            200,
            json!({
                "major": "1", "minor": "37", "gitVersion": store.lock().unwrap().knobs.version, "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "2026-08-01T00:00:00Z", "goVersion": "go1.25", "compiler": "gc", "platform": "linux/amd64",
            }),
        )),
        ("GET", "/healthz" | "/readyz" | "/livez") => Ok(Reply::Json(200, json!("ok"))),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            let mut review = review(body, ("authorization", "SelfSubjectAccessReview"))?;
            let wanted = &review["spec"]["resourceAttributes"];
            let resource = match wanted["subresource"].as_str() {
                Some(sub) if !sub.is_empty() => format!("{}/{sub}", text(&wanted["resource"])),
                _ => text(&wanted["resource"]),
            };
            let rule = rule_name(&text(&wanted["group"]), &resource);
            let allowed = login.may(&text(&wanted["verb"]), (&rule, &text(&wanted["namespace"])));
            review["status"] = json!({ "allowed": allowed });
            Ok(Reply::Json(201, review))
        }
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews") => {
            let mut review = review(body, ("authentication", "SelfSubjectReview"))?;
            review["status"] = json!({ "userInfo": { "username": login.user, "groups": ["system:authenticated"] } });
            Ok(Reply::Json(201, review))
        }
        _ => {
            // What listens here hears of what it does not know, so that a test can see it.
            store.lock().unwrap().nudge();
            Err(Refusal::no_such_path())
        }
    }
}

fn review(body: &[u8], (group, kind): (&str, &str)) -> Result<Value, Refusal> {
    let (review, duplicates) = json::read(body).map_err(Refusal::bad_request)?;
    let faults = NEWEST.check(&format!("io.k8s.api.{group}.v1.{kind}"), &review);
    if review["kind"] != kind || !faults.unknown.is_empty() || !faults.wrong.is_empty() || !duplicates.is_empty() {
        return Err(Refusal::bad_request(format!("the body is no {kind}: {faults:?}")));
    }
    Ok(review)
}

fn objects(store: &Arc<Mutex<Store>>, call: Call) -> Result<Reply, Refusal> {
    match (call.verb, call.subresource.as_str()) {
        ("get", "log") if call.kind.kind == "Pod" => {
            return Ok(Reply::Lines(Box::pin(logs::log(store, call)?), "text/plain"));
        }
        ("watch", "") => return Ok(Reply::Lines(Box::pin(watch::watch(store, call)?), "application/json")),
        _ => {}
    }
    let mut store = store.lock().unwrap();
    let (status, object) = match (call.verb, call.subresource.as_str()) {
        ("get", "" | "status") => (200, watch::seen(&call, &write::there(&store, &call)?)),
        ("list", "") => (200, watch::list(&store, &call)?),
        ("create", "") => write::create(&mut store, &call)?,
        ("update", "") => write::replace(&mut store, &call)?,
        ("patch", "") => write::patch(&mut store, &call)?,
        ("delete", "") => write::delete(&mut store, &call)?,
        ("deletecollection", "") => {
            let found = watch::found(&store, &call)?;
            write::delete_all(&mut store, &found, &call)?
        }
        ("update" | "patch", "status") if call.kind.status => status_of(&mut store, &call)?,
        ("get" | "update" | "patch", "scale") if call.kind.group == "apps" => scale(&mut store, &call)?,
        _ => return Err(Refusal::no_such_path()),
    };
    Ok(Reply::Json(status, object))
}

/// The status alone, as another controller writes it.
fn status_of(store: &mut Store, call: &Call) -> write::Written {
    let mut object = write::there(store, call)?;
    let (given, duplicates) = json::read(&call.body).map_err(Refusal::bad_request)?;
    let mut fresh = object.clone();
    fresh["status"] = super::merge::merge_patch(&object["status"], &given["status"]);
    rules::decode(call.kind, &mut fresh, &duplicates, Strictness::Strict)?;
    object["status"] = fresh["status"].clone();
    Ok((200, store.write(call.kind, object)))
}

/// How many there are to be.
fn scale(store: &mut Store, call: &Call) -> write::Written {
    let mut object = write::there(store, call)?;
    if call.verb != "get" {
        let (given, _) = json::read(&call.body).map_err(Refusal::bad_request)?;
        let Some(replicas) = given["spec"]["replicas"].as_i64() else {
            return Err(Refusal::bad_request("spec.replicas: a number is needed"));
        };
        let before = object.clone();
        object["spec"]["replicas"] = replicas.into();
        rules::validate(call.kind, &object)?;
        let manager = call.query.get("fieldManager").cloned().unwrap_or_else(|| call.agent.clone());
        let managers = super::merge::updated(call.kind, Some(&before), &object, &manager);
        object["metadata"]["managedFields"] =
            super::fields::to_json(&managers, &call.kind.api_version(), &super::store::now());
        object = store.write(call.kind, object);
    }
    let meta = &object["metadata"];
    let scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": { "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"], "resourceVersion": meta["resourceVersion"] },
        "spec": { "replicas": object["spec"]["replicas"] },
        "status": { "replicas": object["status"]["replicas"].as_i64().unwrap_or(0) },
    });
    Ok((200, scale))
}
