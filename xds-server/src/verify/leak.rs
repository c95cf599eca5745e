//! Leaks, and the allow-list that finds most of them: a message is rebuilt from the fields that the verifier
//! understands, and every field that the copy lacks is a leak.

use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use std::collections::BTreeSet;
use std::fmt;

/// One way in which a configuration could break residency, or cannot be shown to keep it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Where, e.g. `listeners.public.routes["eea/m/home"] -> cluster chain/eea/m -> endpoint 10.0.1.10:8000`.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Copies these fields of a message into a new one.
macro_rules! only {
    ($message:ident, $original:expr, [$($field:ident),* $(,)?]) => {
        {
            // Some messages have no other fields in this version of the API.
            #[allow(clippy::needless_update)]
            let supported = $message {
                $($field: $original.$field.clone(),)*
                ..Default::default()
            };
            supported
        }
    };
}
pub(super) use only;

/// The leaks found so far, in the order of the walk, without duplicates.
#[derive(Default)]
pub struct Leaks {
    found: Vec<Leak>,
    seen: BTreeSet<Leak>,
}

impl Leaks {
    /// Reports a leak.
    pub fn add(&mut self, at: &str, message: impl Into<String>) {
        let leak = Leak {
            at: at.into(),
            message: message.into(),
        };
        if self.seen.insert(leak.clone()) {
            self.found.push(leak);
        }
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// The leaks, in the order of the walk.
    pub fn into_vec(self) -> Vec<Leak> {
        self.found
    }

    /// Reports a construct that the verifier does not support.
    pub fn unsupported(&mut self, at: &str, what: impl AsRef<str>) {
        let what = what.as_ref();
        self.add(at, format!("{what} is not supported by the verifier"));
    }

    /// Reports every field of `original` that `understood`, a copy of its supported fields, lacks.
    pub fn check_fields<M: Message + Name + PartialEq>(
        &mut self,
        at: &str,
        original: &M,
        understood: &M,
    ) {
        if original == understood {
            return;
        }
        let name = M::NAME;
        let fields = lost_fields(original, understood);
        if fields.is_empty() {
            self.unsupported(at, format!("some field of this {name}"));
        }
        for field in fields {
            self.unsupported(at, format!("`{field}` of this {name}"));
        }
    }

    /// Decodes an `Any` of type `M`. Another type, or bytes that `M` has no field for, is a leak.
    pub fn unpack<M: Message + Name + Default>(&mut self, at: &str, any: &Any) -> Option<M> {
        if any.type_url != M::type_url() {
            self.unsupported(at, format!("`{}`", any.type_url));
            return None;
        }
        let message = M::decode(any.value.as_slice());
        // Decoding drops fields of a newer API: compare lengths to find them.
        let Some(message) = message
            .ok()
            .filter(|message| message.encoded_len() == any.value.len())
        else {
            self.unsupported(at, format!("the encoding of this {}", M::NAME));
            return None;
        };
        Some(message)
    }

    /// Decodes an `Any` that must be present.
    pub fn unpack_required<M: Message + Name + Default>(
        &mut self,
        at: &str,
        any: Option<&Any>,
    ) -> Option<M> {
        let Some(any) = any else {
            self.unsupported(at, format!("a missing {}", M::NAME));
            return None;
        };
        self.unpack(at, any)
    }
}

/// Checks something that must be right for one of several candidates. If it is for none, reports what is wrong for the first one.
pub fn one_of<C>(
    candidates: impl IntoIterator<Item = C>,
    leaks: &mut Leaks,
    mut check: impl FnMut(&C, &mut Leaks),
) {
    let mut of_first = None;
    for candidate in candidates {
        let mut found = Leaks::default();
        check(&candidate, &mut found);
        if found.found.is_empty() {
            return;
        }
        of_first.get_or_insert(found);
    }
    for leak in of_first.map(Leaks::into_vec).unwrap_or_default() {
        leaks.add(&leak.at, leak.message);
    }
}

/// Names of the fields that `original` has and `understood` lacks; empty if a message has no JSON form.
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
