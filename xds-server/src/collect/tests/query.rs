//! Query results over real sockets. The scenarios use a real Prometheus.

use super::sources::{Manner, Server, look, typed};
use super::{noon, pools, signal, whys};
use crate::collect::{RefusalReason, ScrapeError, Scraped, WatchedSource};
use meridian_planner::signal::{Answers, Figures, Reading};
use meridian_policy::source::{Figure, Preset, SignalFormat};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);

fn watched(server: &Server, queries: &[(Figure, &str)]) -> WatchedSource {
    let mut signal = signal(Preset::Vllm);
    signal.url = format!("http://{}/", server.address);
    let queries = queries.iter();
    signal.format = SignalFormat::Queries {
        queries: queries
            .map(|(figure, query)| (*figure, (*query).to_owned()))
            .collect(),
        model_label: "model_name".into(),
        tenant: Some("team-a".into()),
    };
    WatchedSource {
        region: "us-west-2".parse().unwrap(),
        source: "signals[0]".into(),
        signal,
        pools: pools(&["llama", "mistral"]),
        ttl: TTL,
    }
}

/// A server with these results, chosen by a text in the request.
async fn server(results: &[(&str, &str)]) -> Server {
    let results = results.iter().map(|(query, data)| {
        let body = format!("{{\"status\":\"success\",\"data\":{data}}}");
        ((*query).to_owned(), answer(200, &body))
    });
    Server::start(Manner::Knows(results.collect())).await
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A time some seconds before noon, as the API encodes it.
fn ago(seconds: f64) -> f64 {
    noon().0 as f64 / 1000.0 - seconds
}

fn series(labels: &str, value: &str) -> String {
    format!(
        "{{\"metric\":{{{labels}}},\"value\":[{},\"{value}\"]}}",
        ago(0.0)
    )
}

fn vector(series: &[String]) -> String {
    format!(
        "{{\"resultType\":\"vector\",\"result\":[{}]}}",
        series.join(",")
    )
}

async fn understood(server: &Server, queries: &[(Figure, &str)]) -> Scraped {
    look(watched(server, queries)).await.outcome.unwrap()
}

/// Runs one query for running requests, with this result and these sample times.
async fn of(value: &str, time: f64) -> Scraped {
    let labels = "\"model_name\":\"llama\"";
    let server = server(&[
        ("timestamp", &vector(&[series(labels, &time.to_string())])),
        ("mine", &vector(&[series(labels, value)])),
    ])
    .await;
    understood(&server, &[(Figure::Running, "mine")]).await
}

const LLAMA_A: &str = "\"__name__\":\"x\",\"model_name\":\"llama\",\"pod\":\"a\"";
const LLAMA_A_NAMELESS: &str = "\"model_name\":\"llama\",\"pod\":\"a\"";

#[tokio::test]
async fn vectors_and_scalars_become_figures_of_the_engines_that_they_name() {
    let mistral = "\"model_name\":\"mistral\",\"pod\":\"b\"";
    let times = [
        series(LLAMA_A_NAMELESS, &ago(2.0).to_string()),
        series(mistral, &ago(1.0).to_string()),
    ];
    let now = ago(0.0);
    let server = server(&[
        ("timestamp", &vector(&times)),
        (
            "cache",
            &vector(&[series(LLAMA_A, "0.5"), series(mistral, "0.25")]),
        ),
        ("batch", &vector(&[series(LLAMA_A_NAMELESS, "3")])),
        ("all", &vector(&[series(LLAMA_A, "100")])),
        ("bad", &vector(&[series(LLAMA_A, "4")])),
        (
            "behind",
            &format!("{{\"resultType\":\"scalar\",\"result\":[{now},\"7.5\"]}}"),
        ),
    ])
    .await;
    let queries = [
        (Figure::KvCache, "cache"),
        (Figure::Running, "batch"),
        (Figure::Answers, "all"),
        (Figure::Failures, "bad"),
        (Figure::ReplicationLag, "behind"),
    ];
    let scraped = understood(&server, &queries).await;
    assert_eq!(scraped.refused, []);
    let observation = scraped.observation.unwrap();
    // An observation is as old as its oldest sample.
    assert_eq!(noon().since(observation.at), Duration::from_secs(2));
    let figures: Vec<(&str, Figures)> = observation
        .readings
        .iter()
        .filter_map(|reading| match reading {
            Reading::Server { model, figures, .. } => Some((model.as_str(), figures.clone())),
            _ => None,
        })
        .collect();
    let llama = Figures {
        running: Some(3.0),
        kv_cache: Some(0.5),
        answers: Some(Answers {
            all: 100.0,
            failed: 4.0,
        }),
        ..Figures::default()
    };
    let mistral = Figures {
        kv_cache: Some(0.25),
        ..Figures::default()
    };
    assert_eq!(figures, [("llama", llama), ("mistral", mistral)]);
    let lag = Reading::ReplicationLag { seconds: 7.5 };
    assert!(observation.readings.contains(&lag));
}

#[tokio::test]
async fn a_sample_is_as_old_as_it_is_and_past_the_ttl_it_is_none() {
    let fresh = of("3", ago(9.0)).await;
    let at = fresh.observation.unwrap().at;
    assert_eq!(noon().since(at), Duration::from_secs(9));
    // Sample times in the future count as now.
    let ahead = of("3", ago(-3600.0)).await.observation.unwrap();
    assert_eq!(ahead.at, noon());
    let stale = of("3", ago(10.5)).await;
    assert_eq!(stale.observation, None);
    assert_eq!(whys(&stale.refused), [("running", RefusalReason::Stale, 1)]);
}

/// A sample's age is by the clock of its server, whatever the control plane's clock says.
#[tokio::test]
async fn a_server_with_another_clock_has_fresh_samples() {
    for ahead in [-3600.0, -20.0, 20.0, 3600.0] {
        let labels = "\"model_name\":\"llama\"";
        let by_its_clock = |seconds: f64| ago(seconds - ahead);
        let found = format!(
            "{{\"metric\":{{{labels}}},\"value\":[{},\"3\"]}}",
            by_its_clock(0.0)
        );
        let sampled = series(labels, &by_its_clock(4.0).to_string());
        let server = server(&[
            ("timestamp", &vector(&[sampled])),
            ("mine", &vector(&[found])),
        ])
        .await;
        let scraped = understood(&server, &[(Figure::Running, "mine")]).await;
        assert_eq!(whys(&scraped.refused), [], "{ahead} s ahead");
        let at = scraped.observation.unwrap().at;
        assert_eq!(noon().since(at), Duration::from_secs(4), "{ahead} s ahead");
    }
}

#[tokio::test]
async fn lies_are_refused() {
    for (value, why) in [
        ("NaN", RefusalReason::NotANumber),
        ("-1", RefusalReason::Negative),
        ("+Inf", RefusalReason::Infinite),
        ("1e9", RefusalReason::TooLarge),
    ] {
        let lied = of(value, ago(1.0)).await;
        assert_eq!(lied.observation, None, "{value}");
        assert_eq!(whys(&lied.refused), [("running", why, 1)]);
    }
    for time in [f64::NAN, -1.0, 1e300] {
        let lied = of("3", time).await;
        assert_eq!(lied.observation, None, "{time}");
        assert_eq!(lied.refused.len(), 1, "{time}");
    }
    for (labels, why) in [
        ("\"model_name\":\"gpt\"", RefusalReason::UnknownName),
        ("\"pod\":\"a\"", RefusalReason::MissingLabel),
    ] {
        let times = vector(&[series(labels, &ago(1.0).to_string())]);
        let found = vector(&[series(labels, "3")]);
        let server = server(&[("timestamp", &times), ("mine", &found)]).await;
        let refused = understood(&server, &[(Figure::Running, "mine")]).await;
        assert_eq!(whys(&refused.refused), [("running", why, 1)]);
    }
    // A series for which the server returns no time.
    let [one, other] = ["\"model_name\":\"llama\"", "\"model_name\":\"mistral\""];
    let times = vector(&[series(one, &ago(1.0).to_string())]);
    let server = server(&[
        ("timestamp", &times),
        ("mine", &vector(&[series(other, "3")])),
    ])
    .await;
    let refused = understood(&server, &[(Figure::Running, "mine")]).await;
    assert_eq!(
        whys(&refused.refused),
        [("running", RefusalReason::Contradicts, 1)]
    );
}

#[tokio::test]
async fn nothing_found_is_nothing_said() {
    let server = server(&[("mine", &vector(&[]))]).await;
    let scraped = understood(&server, &[(Figure::Running, "mine")]).await;
    assert_eq!(scraped.observation, None);
    assert_eq!(
        whys(&scraped.refused),
        [("answer", RefusalReason::Nothing, 1)]
    );
}

async fn error_of(manner: Manner) -> ScrapeError {
    let server = Server::start(manner).await;
    let queries = [(Figure::Running, "mine")];
    look(watched(&server, &queries)).await.outcome.unwrap_err()
}

#[tokio::test]
async fn a_query_that_fails_says_which_and_why() {
    let bad = "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:5: parse error: unclosed left parenthesis\"}";
    let text = error_of(Manner::Says(answer(400, bad))).await.to_string();
    assert!(
        text.contains("`queries.running`") && text.contains("unclosed left parenthesis"),
        "{text}"
    );
    for (data, says) in [
        (
            "{\"resultType\":\"matrix\",\"result\":[]}",
            "a range vector",
        ),
        (
            "{\"resultType\":\"string\",\"result\":[1,\"x\"]}",
            "a string",
        ),
        (
            "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,\"three\"]}]}",
            "not a number",
        ),
        (
            "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"histogram\":[1,{}]}]}",
            "missing field `value`",
        ),
        ("{}", "not an answer of `/api/v1/query`"),
    ] {
        let body = format!("{{\"status\":\"success\",\"data\":{data}}}");
        let error = error_of(Manner::Says(answer(200, &body))).await;
        assert_eq!(error.label(), "query", "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let html = error_of(typed("text/html", b"<p>log in</p>")).await;
    assert_eq!(html.label(), "query");
    let gone = error_of(Manner::Says(answer(502, "<p>bad gateway</p>"))).await;
    assert_eq!(gone, ScrapeError::Status(502));
}

#[tokio::test]
async fn floods_and_drips_are_cut() {
    let flood = error_of(Manner::Repeats {
        head: "HTTP/1.1 200 OK\r\n\r\n",
        piece: vec![b' '; 64 << 10],
        pause: Duration::ZERO,
    });
    assert_eq!(flood.await, ScrapeError::TooLarge(1 << 20));
    let drip = error_of(Manner::Repeats {
        head: "HTTP/1.1 200 OK\r\n\r\n",
        piece: b" ".to_vec(),
        pause: Duration::from_millis(20),
    });
    assert_eq!(drip.await.label(), "timeout");
}

#[tokio::test]
async fn a_request_says_what_it_should() {
    let server = server(&[("mine", &vector(&[]))]).await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "sesame\n").unwrap();
    let mut watched = watched(&server, &[(Figure::Running, "mine{a=\"b\"} + 1")]);
    watched.signal.token = Some(token.display().to_string());
    look(watched).await.outcome.unwrap();
    let asked = server.asked();
    for part in [
        "POST /api/v1/query HTTP/1.1",
        "x-scope-orgid: team-a",
        "authorization: Bearer sesame",
        "query=mine%7Ba%3D%22b%22%7D+%2B+1",
        "lookback_delta=10",
        "timeout=2",
    ] {
        assert!(asked.contains(part), "no `{part}` in {asked}");
    }
}
