//! The paths of requests, played on a host in memory, hook by hook.

use super::egressing::{ANSWER, BODY, CHAT as ASK, JSON, claude};
use super::envoy::{Calls, Envoy, Stream};
use super::guarding::{EVENTS, guard};
use crate::host::{Fact, Side};
use crate::plugins::{Configured, Plugin};
use crate::worker::Worker;
use meridian_fixtures::fleets::{LLAMA, WEST, example};
use meridian_planner::plan::Plan;
use meridian_planner::plugins::filter_policy;
use meridian_policy::FilterPolicy;
use serde_json::json;
use std::rc::Rc;

/// A gateway at home: router and guard of one worker.
pub(super) struct Gateway {
    envoy: Rc<Envoy>,
    worker: Worker,
    router: Configured,
    guard: Configured,
    /// The content of a chat's one message.
    pub(super) content: String,
}

impl Gateway {
    pub(super) fn start(policy: &FilterPolicy) -> Self {
        let (envoy, mut worker) = (Envoy::start(), Worker::default());
        let policy = serde_json::to_vec(policy).unwrap();
        let any = Stream::new(&envoy, 0);
        let router = Configured::new(&any, &mut worker, b"router", &policy).unwrap();
        let guard = guard(&envoy);
        worker.tick(&any);
        // Ordinary requests from here on, of which the control plane is not told.
        while worker.reports.mark().is_some() {}
        Self {
            envoy,
            worker,
            router,
            guard,
            content: "Hi".to_owned(),
        }
    }

    /// A chat, whose answer comes from a member in these pieces. The calls of the router, and those of the guard by hook.
    pub(super) fn chat(
        &mut self,
        id: u32,
        to: &str,
        is_streamed: bool,
        pieces: &[&str],
    ) -> (Calls, Vec<Calls>) {
        let Self {
            envoy,
            worker,
            router,
            guard,
            content,
        } = self;
        let (caller, attempt) = (Stream::new(envoy, id), Stream::new(envoy, id + 1));
        caller.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
        attempt.fact_is(Fact::UpstreamEndpoint, &format!("{to} 10.0.0.1:8000"));
        let (mut router, mut guard) = (router.stream(id), guard.stream(id + 1));
        let body = format!(
            r#"{{"model":"{LLAMA}","stream":{is_streamed},"messages":[{{"role":"user","content":"{content}"}}]}}"#
        );
        let length = body.len().to_string();
        let head = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("cf-ipcountry", "US"),
            ("x-request-id", "request-1"),
            ("content-length", length.as_str()),
        ];
        caller.request(router.as_mut(), worker, &head, false);
        caller.piece(router.as_mut(), worker, Side::Request, &body, true);
        let routed = caller.headers_now(Side::Request);
        let routed: Vec<(&str, &str)> = routed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut by_hook = Vec::new();
        attempt.request(guard.as_mut(), worker, &routed, false);
        by_hook.push(attempt.take_calls());
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let length = length.to_string();
        let json = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
        ];
        let head = if is_streamed { EVENTS } else { &json };
        attempt.response(guard.as_mut(), worker, head, false);
        by_hook.push(attempt.take_calls());
        for (at, piece) in pieces.iter().enumerate() {
            let ends = at + 1 == pieces.len();
            attempt.piece(guard.as_mut(), worker, Side::Response, piece, ends);
            by_hook.push(attempt.take_calls());
        }
        guard.on_done(&attempt, worker);
        by_hook.push(attempt.take_calls());
        caller.response(router.as_mut(), worker, head, false);
        for (at, piece) in pieces.iter().enumerate() {
            let ends = at + 1 == pieces.len();
            caller.piece(router.as_mut(), worker, Side::Response, piece, ends);
        }
        router.on_done(&caller, worker);
        router.on_log(&caller, worker);
        (caller.take_calls(), by_hook)
    }
    /// A request for a model that does not exist.
    pub(super) fn refuse(&mut self, id: u32) -> Calls {
        let Self {
            envoy,
            worker,
            router,
            ..
        } = self;
        let stream = Stream::new(envoy, id);
        stream.fact_is(Fact::SourceAddress, "10.0.0.1:40000");
        let mut router = router.stream(id);
        let head = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("cf-ipcountry", "US"),
        ];
        let router = router.as_mut();
        stream.request(router, worker, &head, false);
        stream.piece(router, worker, Side::Request, r#"{"model":"none"}"#, true);
        stream.take_calls()
    }
}

/// The gateway at the other end of a request that left its home.
pub(super) struct Peer {
    envoy: Rc<Envoy>,
    worker: Worker,
    pool: Configured,
}

impl Peer {
    pub(super) fn start() -> Self {
        let (envoy, worker) = (Envoy::start(), Worker::default());
        let pool = envoy.plugin("pool", "");
        Self {
            envoy,
            worker,
            pool,
        }
    }

    /// The calls for a request, by hook.
    pub(super) fn chat(&mut self, id: u32) -> [Calls; 3] {
        let worker = &mut self.worker;
        let (stream, mut plugin) = (Stream::new(&self.envoy, id), self.pool.stream(id));
        let plugin = plugin.as_mut();
        let head = [
            ("x-request-id", "request-1"),
            ("content-length", "70"),
            ("x-meridian-model", LLAMA),
            ("x-meridian-slot", "7"),
        ];
        stream.request(plugin, worker, &head, false);
        let request = stream.take_calls();
        stream.fact_is(Fact::UpstreamEndpoint, &format!("{WEST} 10.0.0.1:8000"));
        stream.response(plugin, worker, &[(":status", "200")], false);
        let response = stream.take_calls();
        plugin.on_done(&stream, worker);
        [request, response, stream.take_calls()]
    }
}

/// The way out to Claude.
pub(super) struct Fallback {
    envoy: Rc<Envoy>,
    worker: Worker,
    egress: Configured,
}

impl Fallback {
    pub(super) fn start() -> Self {
        let (envoy, worker) = (Envoy::start(), Worker::default());
        let egress = claude(&envoy, &json!({}));
        Self {
            envoy,
            worker,
            egress,
        }
    }

    /// A chat that is translated, with its answer in one piece.
    pub(super) fn chat(&mut self, id: u32) -> Calls {
        self.ask(id, "/v1/chat/completions", BODY, (JSON, &[ANSWER]))
    }

    /// A request to an API, whose answer is a stream of these pieces.
    pub(super) fn stream(&mut self, id: u32, path: &str, pieces: &[&str]) -> Calls {
        let body = r#"{"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
        self.ask(id, path, body, (EVENTS, pieces))
    }

    fn ask(
        &mut self,
        id: u32,
        path: &str,
        body: &str,
        (answer, pieces): (&[(&str, &str)], &[&str]),
    ) -> Calls {
        let worker = &mut self.worker;
        let (stream, mut plugin) = (Stream::new(&self.envoy, id), self.egress.stream(id));
        let plugin: &mut dyn Plugin = plugin.as_mut();
        let id = format!("request-{id}");
        let head = ASK.iter().map(|(name, value)| match *name {
            ":path" => (*name, path),
            "x-request-id" => (*name, id.as_str()),
            _ => (*name, *value),
        });
        let head: Vec<(&str, &str)> = head.collect();
        stream.request(plugin, worker, &head, false);
        stream.piece(plugin, worker, Side::Request, body, true);
        assert_eq!(*stream.reply.borrow(), None);
        stream.response(plugin, worker, answer, false);
        for (at, piece) in pieces.iter().enumerate() {
            let ends = at + 1 == pieces.len();
            stream.piece(plugin, worker, Side::Response, piece, ends);
        }
        plugin.on_done(&stream, worker);
        stream.take_calls()
    }
}

/// The policy of a gateway that serves its callers at home.
pub(super) fn policy() -> FilterPolicy {
    filter_policy(
        &example().into(),
        &Plan::default(),
        &WEST.parse().unwrap(),
        None,
    )
}

/// An answer in one piece.
pub(super) const WHOLE: &str = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;
