//! The allow-list: a message is rebuilt from the fields that the verifier understands, and whatever is lost by that
//! is a leak.

use super::Leak;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use std::collections::BTreeSet;

/// A message with these fields of the original, and no others.
macro_rules! only {
    ($message:ident, $original:expr, [$($field:ident),* $(,)?]) => {
        {
            // Some messages have no other fields, today.
            #[allow(clippy::needless_update)]
            let known = $message {
                $($field: $original.$field.clone(),)*
                ..Default::default()
            };
            known
        }
    };
}
pub(super) use only;

/// What was found so far, in the order in which it was found.
#[derive(Default)]
pub struct Leaks {
    found: Vec<Leak>,
    seen: BTreeSet<Leak>,
}

impl Leaks {
    pub fn add(&mut self, at: &str, message: impl Into<String>) {
        let leak = Leak {
            at: at.into(),
            message: message.into(),
        };
        if self.seen.insert(leak.clone()) {
            self.found.push(leak);
        }
    }

    pub fn into_vec(self) -> Vec<Leak> {
        self.found
    }

    /// Something that the verifier cannot follow.
    pub fn unknown(&mut self, at: &str, what: impl AsRef<str>) {
        let what = what.as_ref();
        self.add(
            at,
            format!("{what} is not something the verifier can follow"),
        );
    }

    /// Nothing but what is understood may be set.
    pub fn known<M: Message + Name + PartialEq>(&mut self, at: &str, original: &M, understood: &M) {
        if original == understood {
            return;
        }
        let name = M::NAME;
        let fields = lost_fields(original, understood);
        if fields.is_empty() {
            self.unknown(at, format!("some field of this {name}"));
        }
        for field in fields {
            self.unknown(at, format!("`{field}` of this {name}"));
        }
    }

    /// The message in an `Any`, if it is of the type `M` and holds nothing that `M` has no field for.
    pub fn open<M: Message + Name + Default>(&mut self, at: &str, any: &Any) -> Option<M> {
        if any.type_url != M::type_url() {
            self.unknown(at, format!("`{}`", any.type_url));
            return None;
        }
        let message = M::decode(any.value.as_slice());
        // Decoding drops fields that a newer Envoy has: a message that has lost bytes was not understood.
        let Some(message) = message
            .ok()
            .filter(|message| message.encoded_len() == any.value.len())
        else {
            self.unknown(at, format!("the encoding of this {}", M::NAME));
            return None;
        };
        Some(message)
    }

    /// The same for an `Any` that must be there.
    pub fn open_some<M: Message + Name + Default>(
        &mut self,
        at: &str,
        any: Option<&Any>,
    ) -> Option<M> {
        let Some(any) = any else {
            self.unknown(at, format!("a missing {}", M::NAME));
            return None;
        };
        self.open(at, any)
    }
}

/// Fields of the original that the rebuilt message lacks, as far as they have a JSON form.
fn lost_fields<M: Message + Name>(original: &M, understood: &M) -> Vec<String> {
    let (Ok(original), Ok(understood)) = (
        meridian_proto::to_json(original),
        meridian_proto::to_json(understood),
    ) else {
        return Vec::new();
    };
    let fields = original.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| understood.get(name.as_str()) != Some(*value))
        .map(|(name, _)| name.clone())
        .collect()
}
