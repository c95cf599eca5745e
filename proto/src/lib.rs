//! Protobuf contracts: our own, and the descriptors of Envoy's API, which give any Envoy message a readable JSON form with
//! every `Any` in it resolved, as Envoy itself reads and prints it.

/// What operators say: `meridian/admin/v1/admin.proto`.
pub mod admin {
    #![allow(missing_docs, unused_qualifications, clippy::all)] // Generated; its docs are those of the .proto file.
    tonic::include_proto!("meridian.admin.v1");
}

/// Signals that are pushed to the control plane: `meridian/signals/v1/signals.proto`.
pub mod signals {
    #![allow(missing_docs, unused_qualifications, clippy::all)] // Generated; its docs are those of the .proto file.
    tonic::include_proto!("meridian.signals.v1");
}

/// The part of etcd's API that the control plane uses: `etcd/rpc.proto`.
pub mod etcd {
    #![allow(missing_docs, unused_qualifications, clippy::all)] // Generated; its docs are those of the .proto file.
    tonic::include_proto!("etcdserverpb");
}

mod canonical;

pub use canonical::canonical;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use std::sync::OnceLock;

/// Why a message has no JSON form, or no canonical encoding.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The descriptors that were built in cannot be read.
    #[error("the descriptors of Envoy's API: {0}")]
    Descriptors(&'static prost_reflect::DescriptorError),
    /// The message is not part of Envoy's API.
    #[error("Envoy's API has no message `{0}`")]
    UnknownMessage(String),
    /// Something that is packed in the message is not what it claims to be.
    #[error("a message that is packed in this {0} is malformed")]
    Malformed(String),
    /// The bytes do not match the descriptor.
    #[error(transparent)]
    Decode(#[from] prost::DecodeError),
    /// Some `Any` in it holds a type that Envoy's API does not have.
    #[error(transparent)]
    Serialize(#[from] serde_json::Error),
}

/// The descriptors of Envoy's API.
pub fn envoy_api() -> Result<&'static DescriptorPool, JsonError> {
    static POOL: OnceLock<Result<DescriptorPool, prost_reflect::DescriptorError>> = OnceLock::new();
    let decode = || {
        DescriptorPool::decode(
            include_bytes!(concat!(env!("OUT_DIR"), "/envoy_api.bin")).as_slice(),
        )
    };
    POOL.get_or_init(decode)
        .as_ref()
        .map_err(JsonError::Descriptors)
}

/// A message's JSON form: field names as in the .proto files, unset fields left out, keys sorted.
pub fn to_json<M: Message + Name>(message: &M) -> Result<serde_json::Value, JsonError> {
    let name = M::full_name();
    let descriptor = envoy_api()?
        .get_message_by_name(&name)
        .ok_or(JsonError::UnknownMessage(name))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::TransportSocket;
    use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
    use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
    use envoy_types::pb::google::protobuf::{Any, Duration};
    use envoy_types::util::pack_any;

    fn cluster(transport: Any) -> Cluster {
        Cluster {
            name: "c".into(),
            connect_timeout: Some(Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            transport_socket: Some(TransportSocket {
                name: "tls".into(),
                config_type: Some(ConfigType::TypedConfig(transport)),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn messages_print_as_envoy_reads_them() {
        let tls = UpstreamTlsContext {
            sni: "example.com".into(),
            ..Default::default()
        };
        let expected = serde_json::json!({
            "name": "c",
            "connect_timeout": "1.500s",
            "transport_socket": { "name": "tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "example.com",
            }},
        });
        assert_eq!(to_json(&cluster(pack_any(tls))).unwrap(), expected);
    }

    #[test]
    fn a_type_outside_envoys_api_is_an_error() {
        let foreign = Any {
            type_url: "type.googleapis.com/no.such.Type".into(),
            value: Vec::new(),
        };
        assert!(matches!(
            to_json(&cluster(foreign)),
            Err(JsonError::Serialize(_))
        ));
    }
}
