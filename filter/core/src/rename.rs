//! Replaces the model's name in a request by the provider's.

use meridian_policy::egress_policy::Renames;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The beginning of a body with another name of the model.
#[derive(Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The bytes of the body that it replaces.
    pub replaces: usize,
    pub bytes: Vec<u8>,
}

/// Replaces the model's name in a JSON body. The rest stays as it is. `None`: the name stays, or the body names no model.
pub fn rename(body: &[u8], renames: &Renames) -> Option<Renamed> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let Named { model } = serde_json::from_slice(body).ok()?;
    let name: String = serde_json::from_str(model.get()).ok()?;
    let theirs = renames.of(&name)?;
    // The name is a slice of the body, so their addresses give its offset.
    let begins = model.get().as_ptr() as usize - body.as_ptr() as usize;
    let mut bytes = body.get(..begins)?.to_vec();
    // The characters of a model's name need no escapes.
    bytes.extend_from_slice(format!("\"{theirs}\"").as_bytes());
    Some(Renamed {
        replaces: begins + model.get().len(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_changes() {
        let renames = Renames {
            models: [("m".parse().unwrap(), "org/M-1".parse().unwrap())].into(),
            others: None,
        };
        let renamed = |body: &str, renames: &Renames| {
            let Renamed { replaces, bytes } = rename(body.as_bytes(), renames)?;
            Some(String::from_utf8(bytes).unwrap() + &body[replaces..])
        };
        let body = r#"{ "x" : {"model":"m"}, "model" : "\u006d", "temperature": 1.0 }"#;
        let expect = r#"{ "x" : {"model":"m"}, "model" : "org/M-1", "temperature": 1.0 }"#;
        assert_eq!(renamed(body, &renames).as_deref(), Some(expect));
        for body in [r#"{"model":"n"}"#, r#"{"model":7}"#, "{}", "[]", ""] {
            assert_eq!(renamed(body, &renames), None, "{body}");
        }
        let all = Renames {
            others: Some("one".parse().unwrap()),
            ..renames
        };
        let renamed = renamed(r#"{"model":"n"}"#, &all);
        assert_eq!(renamed.as_deref(), Some(r#"{"model":"one"}"#));
    }
}
