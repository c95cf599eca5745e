//! The hooks of a plugin.

use crate::host::{Action, Host};
use crate::worker::Worker;

/// A plugin of one stream. Each hook gets the host as the stream sees it, and the worker's state.
pub trait Plugin {
    /// The request's headers are there. `ends`: there is no body.
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action;
    /// More of the request's body is there: `size` bytes with what is buffered. `ends`: it is the last of it.
    fn on_request_body(
        &mut self,
        _host: &dyn Host,
        _worker: &mut Worker,
        _size: usize,
        _ends: bool,
    ) -> Action {
        Action::Continue
    }
    /// The request ends with trailers.
    fn on_request_trailers(&mut self, _host: &dyn Host, _worker: &mut Worker) -> Action {
        Action::Continue
    }
    /// The response's headers are there. `ends`: there is no body.
    fn on_response_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action;
    /// More of the response's body is there: `size` bytes with what is buffered. `ends`: it is the last of it.
    fn on_response_body(
        &mut self,
        _host: &dyn Host,
        _worker: &mut Worker,
        _size: usize,
        _ends: bool,
    ) -> Action {
        Action::Continue
    }
    /// The response ends with trailers.
    fn on_response_trailers(&mut self, _host: &dyn Host, _worker: &mut Worker) -> Action {
        Action::Continue
    }
    /// The stream is over.
    fn on_done(&mut self, _host: &dyn Host, _worker: &mut Worker) {}
    /// The stream's access log is about to be written.
    fn on_log(&mut self, _host: &dyn Host, _worker: &mut Worker) {}
}
