//! Envoy's local replies, in the shape of the caller's API.

use crate::wire::{header, header_if_absent, structure, text};
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
use meridian_policy::headers;

/// Maps the errors that Envoy generates (no healthy upstream, timeouts, body too large) to the shape of the caller's
/// API. Responses of the filter carry a header and stay as they are.
pub fn for_callers() -> LocalReplyConfig {
    with_header(None)
}

/// The same for the peer listener, plus a header that makes the caller's gateway retry the next member. Gateways with
/// different fleets, as during a rollout, then fail no request.
pub fn for_peers() -> LocalReplyConfig {
    with_header(Some(header(headers::RETRY, "1")))
}

fn with_header(always: Option<HeaderValueOption>) -> LocalReplyConfig {
    let mapper = |shape, unavailable: bool| {
        let mut conditions = vec![not_from_the_filter(), status(Op::Ge, 400)];
        if shape == Shape::Anthropic {
            conditions.push(on_path("/v1/messages"));
        }
        if unavailable {
            conditions.push(status(Op::Ge, 503));
        }
        let conditions = FilterSpecifier::AndFilter(AndFilter {
            filters: conditions,
        });
        let retry_after =
            unavailable.then(|| header_if_absent("retry-after", headers::RETRY_AFTER));
        ResponseMapper {
            filter: Some(AccessLogFilter {
                filter_specifier: Some(conditions),
            }),
            body_format_override: Some(error_body(shape)),
            headers_to_add: always.clone().into_iter().chain(retry_after).collect(),
            ..Default::default()
        }
    };
    // The first mapper that matches applies.
    let mappers = vec![
        mapper(Shape::Anthropic, true),
        mapper(Shape::Anthropic, false),
        mapper(Shape::OpenAi, true),
        mapper(Shape::OpenAi, false),
    ];
    LocalReplyConfig {
        mappers,
        ..Default::default()
    }
}

fn error_body(shape: Shape) -> SubstitutionFormatString {
    let message = text("%LOCAL_REPLY_BODY%");
    let fields = match shape {
        Shape::OpenAi => {
            let none = Value {
                kind: Some(value::Kind::NullValue(0)),
            };
            structure([(
                "error",
                object(structure([
                    ("message", message),
                    ("type", text("gateway_error")),
                    ("param", none),
                    ("code", text("%RESPONSE_CODE_DETAILS%")),
                ])),
            )])
        }
        Shape::Anthropic => structure([
            ("type", text("error")),
            (
                "error",
                object(structure([
                    ("type", text("api_error")),
                    ("message", message),
                ])),
            ),
        ]),
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
    header_filter(HeaderMatcher {
        name: headers::REFUSED.into(),
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

fn status(op: Op, code: u32) -> AccessLogFilter {
    // Envoy requires a runtime key; this one is never set.
    let value = RuntimeUInt32 {
        default_value: code,
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
