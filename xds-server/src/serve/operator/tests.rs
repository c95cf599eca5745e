//! The requests of operators, over real HTTP: what is wrong is named, and changes nothing.

use super::json::Api;
use super::*;
use crate::serve::api::routes;
use crate::serve::explain::Explainer;
use crate::serve::http::Pages;
use crate::serve::page::Page;
use crate::serve::plans::Plans;
use crate::serve::store::{Change, Entry};
use arc_swap::ArcSwap;
use axum::extract::ConnectInfo;
use meridian_planner::intent::Intent;
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;
use reqwest::Client;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A server whose commands are done by a store alone, from callers at `from`.
async fn serve(from: Option<SocketAddr>) -> (String, Store) {
    let store = Store::open(None).unwrap();
    let (commands, mut inbox) = mpsc::channel::<Command>(1);
    let pages = Pages {
        report: Arc::default(),
        hub: Arc::default(),
        certificates: None,
        api: None,
        clock: || Millis(1),
    };
    let operator = Operator::new(commands, store.clone());
    let fleet = crate::fleet::parse(include_str!("../../../../envoy/fleet.yaml")).unwrap();
    let explainer = Explainer {
        hub: Arc::default(),
        report: Arc::default(),
        topology: Arc::new(ArcSwap::from_pointee(Topology::new(fleet))),
        store: store.clone(),
    };
    let plans = Plans {
        report: Arc::default(),
        topology: Arc::clone(&explainer.topology),
        store: store.clone(),
    };
    let api = Api {
        operator,
        pages,
        explainer,
        decisions: Arc::default(),
        plans,
    };
    let (_, stopped) = watch::channel(false);
    let topology = Arc::clone(&api.plans.topology);
    let page = Page::of(&api, topology, stopped);
    let routes = routes(api, &page, Access::Loopback);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        match from {
            Some(from) => {
                let routes = routes.layer(axum::Extension(ConnectInfo(from)));
                axum::serve(listener, routes).await
            }
            None => {
                let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, routes).await
            }
        }
    });
    let kept = store.clone();
    tokio::spawn(async move {
        while let Some(command) = inbox.recv().await {
            let _ = command.reply.send(done(&kept, command.wanted).await);
        }
    });
    (url, store)
}

async fn done(store: &Store, wanted: Wanted) -> Result<Record, Refusal> {
    let entry = match wanted {
        Wanted::Create(new) => Entry {
            change: Change::Created,
            by: new.by.clone(),
            from: new.from,
            why: new.why.clone(),
            at: Millis(1),
            before: None,
            after: Some(Intent {
                action: new.action,
                by: new.by,
                why: new.why,
                created: Millis(1),
                expires: Millis(1 + new.lasts_ms),
                forced: Vec::new(),
            }),
        },
        Wanted::Undo { number, .. } => return Err(Refusal::NoSuchIntent(number)),
    };
    store
        .change(entry, None)
        .await
        .map_err(|error| Refusal::Store(error.to_string()))
}

fn drain() -> Value {
    json!({ "action": { "kind": "drain", "region": "us-west-2" }, "by": "ana", "why": "drivers", "for": "90m" })
}

async fn post(url: &str, path: &str, body: String) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = Client::new().post(format!("{url}/{path}"));
    let request = request.header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn an_intent_is_created_and_listed_with_its_record() {
    let (url, store) = serve(None).await;
    let (status, record) = post(&url, "intents", drain().to_string()).await;
    assert_eq!(
        (status, &record["number"], &record["from"]),
        (201, &json!(1), &json!("127.0.0.1"))
    );
    assert_eq!(record["after"]["expires"], 1 + 90 * 60 * 1000);
    let get = async |path: &str| -> Value {
        let answer = Client::new().get(format!("{url}/{path}")).send().await;
        answer.unwrap().json().await.unwrap()
    };
    assert_eq!(
        get("intents").await["1"]["action"],
        json!({ "kind": "drain", "region": "us-west-2" })
    );
    let audit = get("audit").await;
    assert_eq!(
        (&audit["records"][0], &audit["broken_at"]),
        (&record, &Value::Null)
    );
    assert_eq!(get("audit?after=1").await["records"], json!([]));
    assert_eq!(store.intents().await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let (url, store) = serve(None).await;
    let with = |field: &str, value: Value| {
        let mut body = drain();
        body[field] = value;
        body.to_string()
    };
    let without = |field: &str| {
        let mut body = drain();
        body.as_object_mut().unwrap().remove(field);
        body.to_string()
    };
    for (body, status, says) in [
        ("{".to_owned(), 400, "EOF"),
        (with("forse", json!(true)), 422, "forse"),
        (
            with(
                "action",
                json!({ "kind": "drain", "region": "us-west-2", "soft": true }),
            ),
            422,
            "soft",
        ),
        (
            with("action", json!({ "kind": "drain", "region": "US west" })),
            422,
            "US west",
        ),
        (with("action", json!({ "kind": "explode" })), 422, "explode"),
        (
            with("action", json!({ "kind": "freeze", "region": "us-west-2" })),
            422,
            "region",
        ),
        (without("why"), 422, "why"),
        (without("by"), 422, "by"),
        (
            with("why", json!("  ")),
            422,
            "why: write 1 to 1000 characters",
        ),
        (
            with("by", json!("a\nb")),
            422,
            "by: write 1 to 1000 characters",
        ),
        (
            with("why", json!("x".repeat(1001))),
            422,
            "why: write 1 to 1000 characters",
        ),
        (with("for", json!("0s")), 422, "for: write a time"),
        (with("for", json!("31days")), 422, "for: write a time"),
        (with("for", json!("soon")), 422, "soon"),
    ] {
        let (got, answer) = post(&url, "intents", body.clone()).await;
        let text = answer["errors"].to_string();
        assert!(got == status && text.contains(says), "{body}: {got} {text}");
    }
    let undo = json!({ "by": "ana", "why": "over" }).to_string();
    let (status, answer) = post(&url, "intents/7/undo", undo).await;
    assert_eq!(status, 404);
    assert!(
        answer["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("there is no intent 7")
    );
    assert!(store.audit(0, 10).await.unwrap().is_empty());
}

/// A browser on this machine sends what a page of any site wants, if that site's name has this machine's address.
#[tokio::test]
async fn the_status_port_answers_to_addresses_and_localhost_only() {
    let (url, store) = serve(None).await;
    for (host, expected) in [
        ("localhost:18001", 201),
        ("[::1]:18001", 201),
        ("site.example:18001", 403),
        ("127.0.0.1.site.example", 403),
        ("", 403),
    ] {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = Client::new().post(format!("{url}/intents"));
        let request = request.header("host", host).json(&drain());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{host}");
    }
    assert_eq!(store.audit(0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_status_port_serves_this_machine_only() {
    let (url, store) = serve(Some(([10, 0, 0, 7], 4242).into())).await;
    let (status, answer) = post(&url, "intents", drain().to_string()).await;
    assert_eq!(status, 403);
    assert!(
        answer["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("10.0.0.7 is another machine")
    );
    for path in ["intents", "audit", "status", "openapi.json", "nothing"] {
        let answer = Client::new().get(format!("{url}/{path}")).send().await;
        assert_eq!(answer.unwrap().status(), 403, "{path}");
    }
    assert!(store.audit(0, 10).await.unwrap().is_empty());
}
