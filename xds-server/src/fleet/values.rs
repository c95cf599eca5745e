//! The values of a fleet file as YAML, whatever they mean: finds names without a value.
//!
//! `pools:` with nothing after it is null. Read as "no pools" it would make a file that was cut off there a smaller fleet.

use super::problem::Problem;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A field whose content is never repeated: a key may stand in it by mistake.
const SECRET: &str = "api_key";

/// A value of YAML.
pub enum Values {
    /// Nothing, `~` or `null`.
    Null,
    /// A single value, or a secret.
    Single,
    /// A list.
    List(Vec<Values>),
    /// Values by name.
    Map(Vec<(String, Values)>),
}

impl Values {
    /// A problem for each name or item without a value.
    pub fn missing(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.walk("", &mut problems);
        problems
    }

    fn walk(&self, at: &str, problems: &mut Vec<Problem>) {
        match self {
            Self::Null => {
                let message = "has no value, as in a file that was cut off; write its value, or remove the name";
                problems.push(Problem::new(at, message));
            }
            Self::Single => {}
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.walk(&format!("{at}[{index}]"), problems);
                }
            }
            Self::Map(fields) => {
                for (name, value) in fields {
                    let dot = if at.is_empty() { "" } else { "." };
                    value.walk(&format!("{at}{dot}{name}"), problems);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Values, E> {
        Ok(Values::Null)
    }

    fn visit_none<E>(self) -> Result<Values, E> {
        Ok(Values::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Values, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_str<E>(self, _: &str) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Values, E> {
        Ok(Values::Single)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Values::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Values, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = if name == SECRET {
                fields.next_value::<IgnoredAny>()?;
                Values::Single
            } else {
                fields.next_value()?
            };
            map.push((name, value));
        }
        Ok(Values::Map(map))
    }
}
