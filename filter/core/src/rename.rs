//! Replaces the model's name in a request by the provider's.

use crate::edit::{Edit, offset};
use meridian_policy::egress_policy::Renames;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Replaces the model's name in a JSON body. `None`: the name stays, or the body names no model.
pub fn rename(body: &[u8], renames: &Renames) -> Option<Edit> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let Named { model } = serde_json::from_slice(body).ok()?;
    let name: String = serde_json::from_str(model.get()).ok()?;
    let theirs = renames.of(&name)?;
    // The characters of a model's name need no escapes.
    Some(Edit::new(
        offset(body, model.get()),
        format!("\"{theirs}\""),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Edited, edit};

    #[test]
    fn only_the_model_changes() {
        let renames = Renames {
            models: [("m".parse().unwrap(), "org/M-1".parse().unwrap())].into(),
            others: None,
        };
        let renamed = |body: &str, renames: &Renames| {
            let edits = vec![rename(body.as_bytes(), renames)?];
            let Edited { replaces, bytes } = edit(body.as_bytes(), edits)?;
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
