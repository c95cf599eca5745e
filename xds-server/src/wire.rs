//! Constructors for Envoy's wrapper messages.

use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, DataSource, HeaderValue, HeaderValueOption, SocketAddress, TransportSocket,
    TypedExtensionConfig, transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::{BoolValue, Duration, Struct, UInt32Value, Value, value};
use envoy_types::util::pack_any;
use prost::{Message, Name};
use std::collections::HashMap;
use std::net::SocketAddr;

pub fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub fn yes() -> Option<BoolValue> {
    Some(BoolValue { value: true })
}

pub fn no() -> Option<BoolValue> {
    Some(BoolValue { value: false })
}

pub fn duration(duration: std::time::Duration) -> Option<Duration> {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Some(Duration {
        seconds,
        nanos: duration.subsec_nanos().cast_signed(),
    })
}

pub fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

pub fn millis(millis: i32) -> Option<Duration> {
    Some(Duration {
        seconds: 0,
        nanos: millis * 1_000_000,
    })
}

pub fn extension<M: Message + Name>(name: &str, message: M) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: name.into(),
        typed_config: Some(pack_any(message)),
    }
}

pub fn http_filter<M: Message + Name>(name: &str, message: M) -> HttpFilter {
    let config_type = Some(http_filter::ConfigType::TypedConfig(pack_any(message)));
    HttpFilter {
        name: name.into(),
        config_type,
        ..Default::default()
    }
}

pub fn transport_socket<M: Message + Name>(message: M) -> Option<TransportSocket> {
    let config_type = Some(transport_socket::ConfigType::TypedConfig(pack_any(message)));
    Some(TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type,
    })
}

pub fn socket_address(host: &str, port: u16) -> Option<Address> {
    let socket = SocketAddress {
        address: host.into(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    Some(Address {
        address: Some(AddressKind::SocketAddress(socket)),
    })
}

pub fn address(address: SocketAddr) -> Option<Address> {
    socket_address(&address.ip().to_string(), address.port())
}

pub fn file(path: &str) -> Option<DataSource> {
    Some(DataSource {
        specifier: Some(Specifier::Filename(path.into())),
        ..Default::default()
    })
}

pub fn exactly(text: &str) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(MatchPattern::Exact(text.into())),
        ..Default::default()
    }
}

/// A matcher for the whole text by a regular expression.
pub fn matches(regex: &str) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(MatchPattern::SafeRegex(RegexMatcher {
            regex: regex.into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub fn header_is(name: &str, value: &str) -> HeaderMatcher {
    HeaderMatcher {
        name: name.into(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exactly(value))),
        ..Default::default()
    }
}

/// Adds a header unless the message has one of this name.
pub fn header_if_absent(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        append_action: HeaderAppendAction::AddIfAbsent.into(),
        ..header(name, value)
    }
}

/// Sets a header, replacing one of the same name.
pub fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.into(),
            value: value.into(),
            ..Default::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..Default::default()
    }
}

pub fn text(text: &str) -> Value {
    Value {
        kind: Some(value::Kind::StringValue(text.into())),
    }
}

pub fn structure<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Struct {
    Struct {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect::<HashMap<_, _>>(),
    }
}

/// A network filter, by its message.
pub fn network_filter<M: Message + Name>(name: &str, message: M) -> Filter {
    let filter = extension(name, message);
    Filter {
        name: filter.name,
        config_type: filter.typed_config.map(filter::ConfigType::TypedConfig),
    }
}
