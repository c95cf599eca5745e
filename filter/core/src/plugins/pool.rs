//! The plugin `pool`: picks the server for requests that other gateways send, and refuses those that they mark as too long for the
//! pool. It decides nothing else, and passes on what it does not understand.

use super::guard::UNANSWERED_MS;
use super::plugin::Plugin;
use crate::host::{Action, Host, Side, upstream_endpoint};
use crate::slots::{SlotRequest, hash, is_failure, slot};
use crate::worker::{ServerRequest, Worker};
use meridian_policy::headers;
use meridian_policy::pool_policy::PoolPolicy;
use std::rc::Rc;

/// The answer to a prompt of which the other gateway knows that it is too long for this pool.
const TOO_LONG: &str = r#"{"error":{"message":"the prompt is too long for this pool","type":"invalid_request_error","code":"context_length_exceeded"}}"#;

/// A request of another gateway.
pub struct Request {
    policy: Rc<PoolPolicy>,
    model: String,
    /// Its bytes, as a header has them.
    length: String,
    streamed: bool,
    slot: u16,
    /// It is at a server: at this address.
    at: Option<(ServerRequest, String)>,
    /// When it came, by the worker's clock, in milliseconds.
    began: u64,
}

impl Request {
    /// A request under a policy.
    pub fn new(policy: Rc<PoolPolicy>) -> Self {
        Self {
            policy,
            model: String::new(),
            length: String::new(),
            streamed: false,
            slot: 0,
            at: None,
            began: 0,
        }
    }

    /// It goes to this server now, and no longer to another one.
    fn begin(&mut self, host: &dyn Host, worker: &mut Worker, address: String) {
        if let Some((request, _)) = self.at.take() {
            worker.end_at_server(host, request);
        }
        let request = worker.begin_at_server(host, &self.model, &address, &self.length);
        self.at = Some((request, address));
    }
}

impl Plugin for Request {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, _: bool) -> Action {
        let request = host.headers(Side::Request);
        let header = |name| request.text(name);
        if !header(headers::TOO_LONG).is_empty() {
            host.set_header(Side::Request, headers::REFUSED, Some("1"));
            let json = [("content-type", "application/json")];
            host.reply(400, &json, TOO_LONG.as_bytes());
            return Action::Pause;
        }
        self.began = worker.steady_ms(host);
        let random = hash(header("x-request-id").as_bytes());
        let affinity_slot =
            [headers::AFFINITY_SLOT, headers::SLOT].map(|name| header(name).parse());
        let affinity_slot = affinity_slot.into_iter().flatten().next();
        let length = ["content-length", headers::LENGTH].map(header);
        let length = length.into_iter().find(|length| !length.is_empty());
        self.length = length.unwrap_or_default().into_owned();
        self.model = header(headers::MODEL).into_owned();
        self.streamed = header(headers::STREAM) == "1";
        let ask = SlotRequest {
            balance: self.policy.balance(&self.model),
            affinity_slot: affinity_slot.unwrap_or_else(|| slot(random)),
            random,
            now_ms: self.began,
        };
        self.slot = worker.pick_slot(host, &self.model, ask);
        host.set_header(Side::Request, headers::SLOT, Some(&self.slot.to_string()));
        let address = worker.servers.address(&self.model, self.slot);
        if let Some(address) = address.map(str::to_owned) {
            self.begin(host, worker, address);
        }
        Action::Continue
    }

    fn on_response_headers(&mut self, host: &dyn Host, worker: &mut Worker, _: bool) -> Action {
        let response = host.headers(Side::Response);
        let (_, address) = upstream_endpoint(host);
        if !address.is_empty() {
            // Later attempts must be at another server, whatever their slot.
            if matches!(response.first(headers::ATTEMPT), None | Some("1")) {
                worker.servers.learn(&self.model, self.slot, &address);
            }
            if self.at.as_ref().map(|(_, at)| at) != Some(&address) {
                self.begin(host, worker, address);
            }
        }
        let status = response.text(":status").parse().unwrap_or_default();
        // Servers write the head of a stream before they have anything to say.
        if let Some((request, _)) = &mut self.at
            && (is_failure(status) || !self.streamed)
        {
            worker.server_answered(host, request, status);
        }
        Action::Continue
    }

    fn on_response_body(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        size: usize,
        _: bool,
    ) -> Action {
        if let Some((request, _)) = self.at.as_mut().filter(|_| size > 0 && self.streamed) {
            worker.server_answered(host, request, 200);
            worker.server_first_token(host, request);
        }
        Action::Continue
    }

    /// Envoy does not tell why a request is over without an answer. A caller whose stream has not begun for a while has given up, or
    /// was given up.
    fn on_done(&mut self, host: &dyn Host, worker: &mut Worker) {
        let waited = worker.steady_ms(host).saturating_sub(self.began);
        if let Some((mut request, _)) = self.at.take() {
            if self.streamed && waited >= UNANSWERED_MS {
                worker.server_failed(host, &mut request);
            }
            worker.end_at_server(host, request);
        }
    }
}
