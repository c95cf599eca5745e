//! The sources of all regions: pages as vLLM has them, with noise on every figure.

use super::fleet::model_name;
use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The pages.
#[derive(Clone)]
pub struct Source(Arc<State>);

struct State {
    models: usize,
    pages: Vec<Mutex<PageState>>,
    read: watch::Sender<()>,
}

#[derive(Default)]
struct PageState {
    /// A model whose pool is overloaded.
    hot: Option<usize>,
    /// When that was read first.
    seen: Option<Instant>,
    answers: u64,
}

impl Source {
    /// Serves the pages `/0`, `/1` and so on, one for each region.
    pub async fn serve(address: SocketAddr, regions: usize, models: usize) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let pages = (0..regions).map(|_| Mutex::default()).collect();
        let read = watch::Sender::new(());
        let source = Self(Arc::new(State {
            models,
            pages,
            read,
        }));
        let serving = source.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let source = serving.clone();
                let service = service_fn(move |request| {
                    let response = source.answer(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(source)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let region = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse::<usize>();
        let page = region.ok().and_then(|region| self.0.pages.get(region));
        let mut response = Response::default();
        match page {
            Some(page) => *response.body_mut() = Full::from(self.text(page)),
            None => *response.status_mut() = hyper::StatusCode::NOT_FOUND,
        }
        response
    }

    fn text(&self, page: &Mutex<PageState>) -> String {
        let mut page = lock(page);
        if page.hot.is_some() && page.seen.is_none() {
            page.seen = Some(Instant::now());
            self.0.read.send_replace(());
        }
        page.answers += 100;
        let mut random = rand::rng();
        let mut all = [const { String::new() }; 4];
        for model in 0..self.0.models {
            let hot = page.hot == Some(model);
            let noise: f64 = random.random_range(-1.0..1.0);
            let (running, waiting, cache) = if hot {
                (250.0, 60.0, 0.97 + noise * 0.01)
            } else {
                (90.0 + noise * 15.0, 0.0, 0.35 + noise * 0.06)
            };
            let name = model_name(model);
            let label = format!("engine=\"0\",model_name=\"{name}\"");
            let values = [running.round(), waiting, cache];
            for (text, (metric, value)) in all.iter_mut().zip(GAUGES.into_iter().zip(values)) {
                let _ = writeln!(text, "{metric}{{{label}}} {value:?}");
            }
            let labels = "handler=\"/v1/chat/completions\",method=\"POST\",status=\"2xx\"";
            let answers = page.answers;
            all[3] = format!("http_requests_total{{{labels}}} {answers}.0\n");
        }
        let mut text = String::new();
        let types = ["gauge", "gauge", "gauge", "counter"];
        let names = GAUGES.into_iter().chain(["http_requests_total"]);
        for ((name, kind), samples) in names.zip(types).zip(all) {
            let _ = write!(
                text,
                "# HELP {name} A figure.\n# TYPE {name} {kind}\n{samples}"
            );
        }
        text
    }

    /// Overloads one pool, and waits until its page has been read. Returns when that was.
    pub async fn heat(&self, region: usize, model: usize) -> Instant {
        let mut read = self.0.read.subscribe();
        let page = &self.0.pages[region];
        {
            let mut page = lock(page);
            page.hot = Some(model);
            page.seen = None;
        }
        loop {
            if let Some(seen) = lock(page).seen {
                return seen;
            }
            let _gone = read.changed().await;
        }
    }

    /// Ends the overload of a region.
    pub fn cool(&self, region: usize) {
        lock(&self.0.pages[region]).hot = None;
    }
}

const GAUGES: [&str; 3] = [
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
];

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
