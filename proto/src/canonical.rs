//! Encodings that are the same on every machine and at every time. The order of a map's entries in an encoding is any, and prost's is
//! another one at each run.

use crate::{JsonError, envoy_api};
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// The type of messages that hold any other one.
const ANY: &str = "google.protobuf.Any";

/// The fields of an `Any`.
const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;

/// Where a message may have a map, by its descriptor.
#[derive(Debug, Default)]
struct Shape {
    is_any: bool,
    /// Fields that are messages: the index of the field's shape, and whether the field is a map.
    messages: BTreeMap<u32, (usize, bool)>,
    /// There is no map in it, at any depth: every encoding is the same.
    is_fixed: bool,
}

/// The shapes of all messages of Envoy's API.
#[derive(Debug)]
struct Shapes {
    all: Vec<Shape>,
    by_name: HashMap<String, usize>,
}

/// The encoding of a message, with the entries of each map in order, also in messages that are packed in it.
///
/// # Errors
///
/// If Envoy's API has no such message, or something packed in it is not what it claims to be.
pub fn canonical<M: Message + Name>(message: &M) -> Result<Vec<u8>, JsonError> {
    let shapes = shapes()?;
    let name = M::full_name();
    let Some(shape) = shapes.by_name.get(&name) else {
        return Err(JsonError::UnknownMessage(name));
    };
    let encoded = message.encode_to_vec();
    let mut out = Vec::with_capacity(encoded.len());
    let written = shapes.write(*shape, &encoded, &mut out);
    written.ok_or(JsonError::Malformed(name)).map(|()| out)
}

fn shapes() -> Result<&'static Shapes, JsonError> {
    static SHAPES: OnceLock<Shapes> = OnceLock::new();
    let pool = envoy_api()?;
    Ok(SHAPES.get_or_init(|| Shapes::of(pool)))
}

impl Shapes {
    fn of(pool: &DescriptorPool) -> Self {
        let messages: Vec<MessageDescriptor> = pool.all_messages().collect();
        let names = messages.iter().enumerate();
        let by_name: HashMap<String, usize> = names
            .map(|(index, message)| (message.full_name().to_owned(), index))
            .collect();
        let shape = |message: &MessageDescriptor| {
            let fields = message.fields().filter_map(|field| match field.kind() {
                Kind::Message(of) => {
                    let index = *by_name.get(of.full_name())?;
                    Some((field.number(), (index, field.is_map())))
                }
                _ => None,
            });
            Shape {
                is_any: message.full_name() == ANY,
                messages: fields.collect(),
                is_fixed: true,
            }
        };
        let mut all: Vec<Shape> = messages.iter().map(shape).collect();
        // A message has a map if one of its messages has one: until nothing changes.
        loop {
            let moves = |shape: &Shape| {
                let mut messages = shape.messages.values();
                shape.is_any || messages.any(|(of, is_map)| *is_map || !all[*of].is_fixed)
            };
            let found: Vec<usize> = (0..all.len())
                .filter(|index| all[*index].is_fixed && moves(&all[*index]))
                .collect();
            if found.is_empty() {
                break;
            }
            for index in found {
                all[index].is_fixed = false;
            }
        }
        Self { all, by_name }
    }

    fn write(&self, shape: usize, mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let shape = &self.all[shape];
        if shape.is_fixed {
            out.extend_from_slice(bytes);
            return Some(());
        }
        if shape.is_any {
            return self.write_any(bytes, out);
        }
        // The entries of a map follow each other.
        let mut map: Option<(u32, Vec<Vec<u8>>)> = None;
        while bytes.has_remaining() {
            let start = bytes;
            let (number, wire) = decode_key(&mut bytes).ok()?;
            let message = shape.messages.get(&number);
            if map.as_ref().is_some_and(|(of, _)| *of != number) {
                flush(map.take(), out);
            }
            match message {
                Some((of, is_map)) if wire == WireType::LengthDelimited => {
                    let mut inner = Vec::new();
                    self.write(*of, delimited(&mut bytes)?, &mut inner)?;
                    if *is_map {
                        let (_, entries) = map.get_or_insert_with(|| (number, Vec::new()));
                        entries.push(inner);
                    } else {
                        write_field(number, &inner, out);
                    }
                }
                _ => {
                    skip(wire, &mut bytes)?;
                    out.extend_from_slice(&start[..start.len() - bytes.len()]);
                }
            }
        }
        flush(map, out);
        Some(())
    }

    /// What is packed in an `Any`; as it is, if the type is not one of Envoy's.
    fn write_any(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (mut url, mut value, mut rest) = (&[][..], &[][..], bytes);
        while rest.has_remaining() {
            let (number, wire) = decode_key(&mut rest).ok()?;
            match (number, wire) {
                (TYPE_URL, WireType::LengthDelimited) => url = delimited(&mut rest)?,
                (VALUE, WireType::LengthDelimited) => value = delimited(&mut rest)?,
                _ => skip(wire, &mut rest)?,
            }
        }
        let name = std::str::from_utf8(url)
            .ok()
            .and_then(|url| url.rsplit('/').next());
        let Some(shape) = name.and_then(|name| self.by_name.get(name)) else {
            out.extend_from_slice(bytes);
            return Some(());
        };
        let mut inner = Vec::with_capacity(value.len());
        self.write(*shape, value, &mut inner)?;
        write_field(TYPE_URL, url, out);
        if !inner.is_empty() {
            write_field(VALUE, &inner, out);
        }
        Some(())
    }
}

fn flush(map: Option<(u32, Vec<Vec<u8>>)>, out: &mut Vec<u8>) {
    let Some((number, mut entries)) = map else {
        return;
    };
    entries.sort_unstable();
    for entry in entries {
        write_field(number, &entry, out);
    }
}

fn write_field(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn delimited<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn skip(wire: WireType, bytes: &mut &[u8]) -> Option<()> {
    let length = match wire {
        WireType::Varint => return decode_varint(bytes).ok().map(|_| ()),
        WireType::LengthDelimited => return delimited(bytes).map(|_| ()),
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        // No message of proto3 has groups.
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    *bytes = bytes.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_json;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::Metadata;
    use envoy_types::pb::google::protobuf::{Any, Struct, Value, value::Kind as ValueKind};
    use envoy_types::util::pack_any;

    fn structure(depth: usize) -> Struct {
        let leaf = Value {
            kind: Some(ValueKind::StringValue("x".into())),
        };
        let inner = match depth {
            0 => leaf.clone(),
            _ => Value {
                kind: Some(ValueKind::StructValue(structure(depth - 1))),
            },
        };
        let names = (0..8).map(|index| format!("field-{index}"));
        Struct {
            fields: names
                .map(|name| (name, leaf.clone()))
                .chain([("inner".to_owned(), inner)])
                .collect(),
        }
    }

    /// A cluster with maps, one of them packed in a map of packed messages.
    fn cluster() -> Cluster {
        let packed = Metadata {
            filter_metadata: [
                ("a".to_owned(), structure(2)),
                ("b".to_owned(), structure(0)),
            ]
            .into(),
            typed_filter_metadata: [("c".to_owned(), pack_any(structure(1)))].into(),
        };
        let options = ["x", "y", "z"].map(|name| (name.to_owned(), pack_any(packed.clone())));
        Cluster {
            name: "c".into(),
            metadata: Some(packed.clone()),
            typed_extension_protocol_options: options.into(),
            ..Default::default()
        }
    }

    #[test]
    fn equal_messages_have_one_encoding_and_it_says_the_same() {
        // Each map of the standard library has an order of its own.
        let first = canonical(&cluster()).unwrap();
        let plain: Vec<Vec<u8>> = (0..20).map(|_| cluster().encode_to_vec()).collect();
        assert!(
            plain.iter().any(|other| *other != plain[0]),
            "the test shows nothing"
        );
        for _ in 0..20 {
            assert_eq!(canonical(&cluster()).unwrap(), first);
        }
        let again = Cluster::decode(first.as_slice()).unwrap();
        assert_eq!(first.len(), again.encoded_len());
        assert_eq!(to_json(&again).unwrap(), to_json(&cluster()).unwrap());
    }

    #[test]
    fn the_order_of_lists_stays() {
        let of = |names: [&str; 3]| Cluster {
            metadata: cluster().metadata,
            lrs_report_endpoint_metrics: names.map(str::to_owned).into(),
            ..Default::default()
        };
        let one = canonical(&of(["b", "a", "c"])).unwrap();
        let other = canonical(&of(["a", "b", "c"])).unwrap();
        assert_ne!(one, other);
        let names = Cluster::decode(one.as_slice())
            .unwrap()
            .lrs_report_endpoint_metrics;
        assert_eq!(names, ["b", "a", "c"]);
    }

    #[test]
    fn what_is_packed_wrongly_is_an_error_and_foreign_types_stay() {
        let with = |any: Any| Cluster {
            typed_extension_protocol_options: [("o".to_owned(), any)].into(),
            ..Default::default()
        };
        let mut broken = pack_any(cluster());
        broken.value.truncate(2);
        assert!(matches!(
            canonical(&with(broken)),
            Err(JsonError::Malformed(_))
        ));
        let foreign = with(Any {
            type_url: "type.googleapis.com/no.such.Type".into(),
            value: vec![1, 2, 3],
        });
        assert_eq!(
            Cluster::decode(canonical(&foreign).unwrap().as_slice()).unwrap(),
            foreign
        );
    }
}
