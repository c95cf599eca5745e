//! Reads JSON into a tree of bounded size. The tree of `[0,0,...]` takes 16 times as much memory as its text, that of
//! `[{"":0},...]` 80 times.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt::{Formatter, Result as Formatted};

/// Why a text gives no tree.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The tree would be too large.
    #[error("the JSON has too many values")]
    TooLarge,
    /// The text is no JSON.
    #[error("{0}")]
    Invalid(#[from] serde_json::Error),
}

/// Memory of a value, in bytes.
const VALUE: usize = size_of::<Value>();

/// Fields in a node of an object's map, which has room for all of them from the first one on.
const NODE_FIELDS: usize = 11;

/// Memory of a node, in bytes.
const NODE: usize = NODE_FIELDS * (size_of::<String>() + VALUE);

/// Reads a JSON text. `left`: memory that is left for trees besides their strings, which are no longer than the text, in bytes. Once it
/// was too little, none is left.
///
/// # Errors
/// The text is no JSON, or its tree would be too large.
pub fn read(text: &[u8], left: &mut usize) -> Result<Value, Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = Tree(left)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match read {
        Err(_) if *left == 0 => Err(Unreadable::TooLarge),
        read => Ok(read?),
    }
}

/// Reads one value. Holds the memory that is left.
struct Tree<'m>(&'m mut usize);

impl Tree<'_> {
    fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                *self.0 = left;
                Ok(())
            }
            None => {
                *self.0 = 0;
                Err(E::custom("too many values"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Value, D::Error> {
        self.take(VALUE)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> Formatted {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(Tree(&mut *self.0))? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.len().is_multiple_of(NODE_FIELDS) {
                self.take(NODE)?;
            }
            let value = fields.next_value_seed(Tree(&mut *self.0))?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tree_has_a_limit() {
        let read = |text: &[u8], mut left| read(text, &mut left);
        let zeros = |count: usize| format!("[0{}]", ",0".repeat(count - 1));
        assert!(read(zeros(1000).as_bytes(), 1001 * VALUE).is_ok());
        for text in [
            zeros(1001),
            format!("[{}0]", "[],".repeat(1000)),
            format!("[{}0]", "{\"\":0},".repeat(1000)),
            // It is not read on: what is wrong comes later.
            format!("{},", zeros(1001)),
        ] {
            let read = read(text.as_bytes(), 1001 * VALUE);
            assert!(matches!(read, Err(Unreadable::TooLarge)), "{read:?}");
        }
        for text in ["", "[1,", "{\"a\":}", "1 2", "nul"] {
            let read = read(text.as_bytes(), 1001 * VALUE);
            assert!(matches!(read, Err(Unreadable::Invalid(_))), "{read:?}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in r#"[\[\]{}",:a-c0-9.eE\\ntrufls -]{0,40}"#) {
            let expect: Option<Value> = serde_json::from_slice(text.as_bytes()).ok();
            let mut left = 1 << 20;
            prop_assert_eq!(read(text.as_bytes(), &mut left).ok(), expect);
        }
    }
}
