//! The plugin root `egress`: on the way out to a provider, in a VM of its own. Only headers of an allow-list go on, and
//! a quarrel about our credential stays here. Envoy adds the credential behind it.

use meridian_policy::egress::{self, Stopped};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

/// One request on its way out.
#[derive(Default)]
pub struct Request {
    /// Answered here: what follows is that answer.
    stopped: bool,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = self.get_http_request_headers_bytes();
        for (name, _) in headers.iter().filter(|(name, _)| !egress::goes_on(name)) {
            self.set_http_request_header(name, None);
        }
        let path = headers.iter().find(|(name, _)| name == ":path");
        let path = path
            .map(|(_, path)| String::from_utf8_lossy(path))
            .unwrap_or_default();
        match egress::admit(&path) {
            Ok(()) => Action::Continue,
            Err(stopped) => self.stop(stopped),
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.stopped {
            return Action::Continue;
        }
        let status = self
            .get_http_response_header_bytes(":status")
            .unwrap_or_default();
        match egress::judge(&status) {
            Ok(()) => Action::Continue,
            Err(stopped) => self.stop(stopped),
        }
    }
}

impl Request {
    /// Plain text: the listener's local replies put it into the shape of the API that was spoken.
    fn stop(&mut self, stopped: Stopped) -> Action {
        self.stopped = true;
        self.send_http_response(
            u32::from(stopped.status()),
            vec![],
            Some(stopped.message().as_bytes()),
        );
        Action::Pause
    }
}
