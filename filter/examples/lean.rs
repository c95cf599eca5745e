//! The least that two plugins do for the same end: one holds the body, reads the model, sets a route key and clears the route; the
//! other one looks at the head of each answer. They decide, judge and count nothing. `scripts/bench` measures them as the floor of what
//! a filter by proxy-wasm costs.
#![allow(missing_docs)] // `proxy_wasm::main!` exports the ABI's entry points.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use serde::Deserialize;
use std::borrow::Cow;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { judges: false }) });
}}

struct Root {
    /// The one that looks at answers.
    judges: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let id = self.get_property(vec!["plugin_root_id"]);
        self.judges = id.is_some_and(|id| id == b"guard");
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(if self.judges {
            Box::new(Guard)
        } else {
            Box::new(Router)
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    model: Cow<'b, str>,
}

struct Router;

impl Context for Router {}

impl HttpContext for Router {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        if !ends {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        if let Ok(body) = serde_json::from_slice::<Body<'_>>(&body) {
            self.set_http_request_header("x-route", Some(&body.model));
            let _ = self.call_foreign_function("clear_route_cache", None);
        }
        Action::Continue
    }
}

struct Guard;

impl Context for Guard {}

impl HttpContext for Guard {
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let status = self.get_http_response_header(":status");
        if status.as_deref() != Some("200") {
            self.set_http_response_header("x-status", status.as_deref());
        }
        Action::Continue
    }
}
