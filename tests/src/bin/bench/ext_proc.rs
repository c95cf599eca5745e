//! What Envoy's users write where they do not write a filter: a server of their own, which Envoy asks by gRPC about each request
//! (`ext_proc`). This one reads the model and sets a route key, as the leanest pair of plugins does.

use super::proxy::Proxy;
use super::variants::{Variant, bare, cluster, url};
use anyhow::{Context, Result};
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Part;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answer;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody, ProcessingRequest,
    ProcessingResponse,
};
use futures_util::stream::{BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use tonic::{Request, Response, Status, Streaming};

/// The argument with which this program is the server, before its address.
pub const SERVER: &str = "ext-proc-server";

/// An Envoy that asks such a server, which has the same processor.
///
/// # Errors
/// One of them does not start.
pub async fn start(dir: &Path, listen: SocketAddr, upstream: SocketAddr) -> Result<Variant> {
    let server = SocketAddr::new(listen.ip(), listen.port() + 1);
    let mut envoy = bare(
        listen,
        SocketAddr::new(listen.ip(), listen.port() + 2),
        upstream,
    );
    envoy.manager["http_filters"]
        .as_array_mut()
        .context("no filters")?
        .insert(0, filter());
    let mut config = envoy.config();
    let mut asked = cluster("ext_proc", server);
    asked["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    }});
    config["static_resources"]["clusters"]
        .as_array_mut()
        .context("no clusters")?
        .push(asked);
    let own = std::env::current_exe()?;
    let server = Proxy::start_other(&own, &[SERVER, &server.to_string()], server).await?;
    let envoy = Proxy::start(dir, &listen.port().to_string(), &config).await?;
    Ok(Variant {
        name: "Envoy with ext_proc, and its server",
        url: url(listen),
        headers: Vec::new(),
        http2: true,
        slice_divisor: 1,
        processes: vec![envoy, server],
    })
}

fn filter() -> Value {
    json!({ "name": "envoy.filters.http.ext_proc", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": { "envoy_grpc": { "cluster_name": "ext_proc" }, "timeout": "5s" },
        "message_timeout": "5s",
        "processing_mode": {
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "response_header_mode": "SKIP",
        },
    }})
}

/// Serves until it is killed.
///
/// # Errors
/// The address is not free.
pub async fn serve(address: &str) -> Result<()> {
    let server = tonic::transport::Server::builder();
    let service = ExternalProcessorServer::new(Router);
    let mut server = server.tcp_nodelay(true);
    Ok(server.add_service(service).serve(address.parse()?).await?)
}

struct Router;

#[tonic::async_trait]
impl ExternalProcessor for Router {
    type ProcessStream = BoxStream<'static, Result<ProcessingResponse, Status>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let parts = request.into_inner();
        let answers = parts.map(|part| part.map(|part| answer(part.request)));
        Ok(Response::new(answers.boxed()))
    }
}

fn answer(part: Option<Part>) -> ProcessingResponse {
    let response = match part {
        Some(Part::RequestBody(body)) => Some(Answer::RequestBody(BodyResponse {
            response: Some(route(&body)),
        })),
        Some(Part::RequestHeaders(_)) => Some(Answer::RequestHeaders(HeadersResponse::default())),
        _ => None,
    };
    ProcessingResponse {
        response,
        ..Default::default()
    }
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    model: Cow<'b, str>,
}

fn route(body: &HttpBody) -> CommonResponse {
    let model = serde_json::from_slice::<Body<'_>>(&body.body).map(|body| body.model);
    let header = HeaderValue {
        key: "x-route".into(),
        raw_value: model.unwrap_or_default().as_bytes().into(),
        ..Default::default()
    };
    CommonResponse {
        header_mutation: Some(HeaderMutation {
            set_headers: vec![HeaderValueOption {
                header: Some(header),
                append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        clear_route_cache: true,
        ..Default::default()
    }
}
