//! Envoy's local replies, in the shape of the caller's API.

use crate::wire::{header, header_if_absent, number, structure, text};
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::comparison_filter::Op;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLogFilter, AndFilter, ComparisonFilter, HeaderFilter, StatusCodeFilter,
};
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{
    HeaderValueOption, RuntimeUInt32, SubstitutionFormatString,
};
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    LocalReplyConfig, ResponseMapper,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use meridian_policy::api::Shape;
use meridian_policy::fleet::Limits;
use meridian_policy::headers;

/// Statuses whose errors may differ from those of their class.
const STATUSES: [u16; 8] = [401, 403, 404, 413, 429, 503, 504, 529];

/// The classes of all other statuses, by the lowest one. The first one that matches applies.
const CLASSES: [u16; 2] = [500, 400];

/// Statuses after which a caller may try again at once.
const TEMPORARY: [u16; 2] = [503, 504];

/// Maps the errors that Envoy generates (no healthy upstream, timeouts, body too large) to the shape of the caller's
/// API, and plain texts of the filter. Responses of the filter with a header of its own stay as they are.
pub fn for_callers(limits: &Limits) -> LocalReplyConfig {
    let mut config = with_header(None);
    let own = [Shape::Anthropic, Shape::OpenAi].map(|shape| too_large(shape, limits));
    config
        .mappers
        .splice(..0, [no_upgrade()].into_iter().chain(own));
    config
}

/// The same on the way to a provider, whose callers the public listener has let in.
pub fn for_providers() -> LocalReplyConfig {
    with_header(None)
}

/// The same for the peer listener, plus a header that makes the caller's gateway retry the next member. Gateways with
/// different fleets, as during a rollout, then fail no request.
pub fn for_peers() -> LocalReplyConfig {
    with_header(Some(header(headers::RETRY, "1")))
}

fn with_header(always: Option<HeaderValueOption>) -> LocalReplyConfig {
    let shapes = [Shape::Anthropic, Shape::OpenAi].into_iter();
    let mappers = shapes.flat_map(|shape| {
        let differs = move |code: &u16| {
            let class = if *code < 500 { 400 } else { 500 };
            let has_code = shape == Shape::OpenAi && Shape::error_code(*code).is_some();
            let is_typed = shape.error_type(*code) != shape.error_type(class);
            is_typed || has_code || TEMPORARY.contains(code)
        };
        let single = STATUSES.into_iter().filter(differs);
        let single = single.map(|code| (Op::Eq, code));
        let always = always.clone();
        single
            .chain(CLASSES.map(|code| (Op::Ge, code)))
            .map(move |(op, code)| mapper(shape, op, code, always.clone()))
    });
    LocalReplyConfig {
        mappers: mappers.collect(),
        ..Default::default()
    }
}

fn mapper(shape: Shape, op: Op, code: u16, always: Option<HeaderValueOption>) -> ResponseMapper {
    let is_temporary = TEMPORARY.contains(&code);
    let retry_after = is_temporary.then(|| header_if_absent("retry-after", headers::RETRY_AFTER));
    ResponseMapper {
        filter: all_of(shape, vec![not_from_the_filter(), status(op, code)]),
        body_format_override: Some(error_body(shape, code, "%LOCAL_REPLY_BODY%")),
        headers_to_add: always.into_iter().chain(retry_after).collect(),
        ..Default::default()
    }
}

/// A body that is larger than Envoy buffers for the filter. Then the request has no zone yet: a 413 of a server is another one.
fn too_large(shape: Shape, limits: &Limits) -> ResponseMapper {
    let conditions = vec![
        without(headers::ZONE),
        not_from_the_filter(),
        status(Op::Eq, 413),
    ];
    let message = format!(
        "The request body is larger than {} bytes, the limit of this gateway: `policy.limits.body` in the fleet file.",
        limits.body
    );
    ResponseMapper {
        filter: all_of(shape, conditions),
        body_format_override: Some(error_body(shape, 413, &message)),
        ..Default::default()
    }
}

/// A caller that asks for a websocket is told to use HTTP. Without it Envoy says 403, after which clients try again for seconds.
/// RFC 9110 wants the protocol to use in `upgrade`. Envoy removes that header from an answer without `connection: upgrade`.
fn no_upgrade() -> ResponseMapper {
    let asks = header_filter(HeaderMatcher {
        name: "upgrade".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        ..Default::default()
    });
    let message = "This gateway speaks no websockets; send the request over HTTP.";
    ResponseMapper {
        filter: all_of(Shape::OpenAi, vec![asks, status(Op::Eq, 403)]),
        status_code: number(426),
        headers_to_add: vec![
            header("upgrade", "HTTP/1.1"),
            header("connection", "upgrade"),
        ],
        body_format_override: Some(error_body(Shape::OpenAi, 426, message)),
        ..Default::default()
    }
}

/// All conditions, for requests of an API of this shape. The mappers of Anthropic's come first.
fn all_of(shape: Shape, mut conditions: Vec<AccessLogFilter>) -> Option<AccessLogFilter> {
    if shape == Shape::Anthropic {
        conditions.push(on_path("/v1/messages"));
    }
    let conditions = FilterSpecifier::AndFilter(AndFilter {
        filters: conditions,
    });
    Some(AccessLogFilter {
        filter_specifier: Some(conditions),
    })
}

fn error_body(shape: Shape, status: u16, message: &str) -> SubstitutionFormatString {
    let message = ("message", text(message));
    let kind = ("type", text(shape.error_type(status)));
    let none = || Value {
        kind: Some(value::Kind::NullValue(0)),
    };
    let fields = match shape {
        Shape::OpenAi => {
            let code = Shape::error_code(status).map_or_else(none, text);
            let error = structure([message, kind, ("param", none()), ("code", code)]);
            structure([("error", object(error))])
        }
        Shape::Anthropic => {
            let error = object(structure([kind, message]));
            structure([("type", text("error")), ("error", error)])
        }
    };
    SubstitutionFormatString {
        format: Some(Format::JsonFormat(fields)),
        ..Default::default()
    }
}

fn object(fields: Struct) -> Value {
    Value {
        kind: Some(value::Kind::StructValue(fields)),
    }
}

fn header_filter(header: HeaderMatcher) -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::HeaderFilter(HeaderFilter {
            header: Some(header),
        })),
    }
}

fn not_from_the_filter() -> AccessLogFilter {
    without(headers::REFUSED)
}

fn without(request_header: &str) -> AccessLogFilter {
    header_filter(HeaderMatcher {
        name: request_header.into(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        invert_match: true,
        ..Default::default()
    })
}

fn on_path(prefix: &str) -> AccessLogFilter {
    header_filter(HeaderMatcher {
        name: ":path".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Prefix(prefix.into())),
            ..Default::default()
        })),
        ..Default::default()
    })
}

fn status(op: Op, code: u16) -> AccessLogFilter {
    // Envoy requires a runtime key; this one is never set.
    let value = RuntimeUInt32 {
        default_value: code.into(),
        runtime_key: "meridian.unset".into(),
    };
    let comparison = ComparisonFilter {
        op: op.into(),
        value: Some(value),
    };
    let filter = StatusCodeFilter {
        comparison: Some(comparison),
    };
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::StatusCodeFilter(filter)),
    }
}
