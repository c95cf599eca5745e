//! `docs/fleet.md`: the fields of the fleet file, from its JSON Schema.

use super::markdown::anchor;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What stands before the fields.
const HEAD: &str = include_str!("head.txt");

/// Maps whose keys users choose, and what those keys are.
const NAMED: [(&str, &str); 7] = [
    ("zones", "ZONE"),
    ("regions", "REGION"),
    ("fallbacks", "FALLBACK"),
    ("models", "MODEL"),
    ("pools", "MODEL"),
    ("round_trips", "REGION"),
    ("weights", "REGION"),
];

/// The order of the file's own fields; those of other objects follow the alphabet, required ones first.
const ORDER: [&str; 9] = [
    "zones",
    "unknown_zone",
    "classify",
    "regions",
    "fallbacks",
    "models",
    "policy",
    "gateways",
    "control_plane",
];

/// The page.
pub fn page(schema: &Value) -> String {
    let mut page = Page {
        definitions: schema["$defs"].as_object().unwrap(),
        sections: BTreeMap::new(),
        text: HEAD.to_owned(),
    };
    page.object("", schema);
    page.text
}

struct Page<'s> {
    definitions: &'s Map<String, Value>,
    /// The path at which each definition is explained.
    sections: BTreeMap<&'s str, String>,
    text: String,
}

/// What a field takes.
struct Kind<'s> {
    /// In words.
    words: String,
    /// What it is made of: the name of its definition, and the path of that in the file.
    object: Option<(&'s str, String)>,
}

impl<'s> Page<'s> {
    /// A section for an object, and for each object below it.
    fn object(&mut self, path: &str, schema: &'s Value) {
        let title = if path.is_empty() {
            "The whole file".to_owned()
        } else {
            format!("`{path}`")
        };
        let about = sentence(schema);
        let _ = write!(
            self.text,
            "\n## {title}\n\n{about}\n\n| field | takes | meaning |\n| --- | --- | --- |\n"
        );
        let properties = schema["properties"].as_object().unwrap();
        let mut names: Vec<&String> = properties.keys().collect();
        let required: Vec<&Value> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let is_required = |name: &String| required.iter().any(|required| *required == name);
        names.sort_by_key(|name| {
            let place = ORDER.iter().position(|first| first == name);
            (place.filter(|_| path.is_empty()), !is_required(name), *name)
        });
        let (mut below, mut choices) = (Vec::new(), String::new());
        for name in names {
            let field = &properties[name];
            let kind = self.kind(&joined(path, name), name, field);
            let mut words = kind.words;
            if let Some((definition, at)) = kind.object {
                let at = self.sections.entry(definition).or_insert_with(|| {
                    below.push((definition, at.clone()));
                    at
                });
                words = format!("[{words}](#{})", anchor(at));
            }
            let required = if is_required(name) { ", required" } else { "" };
            let meaning = sentence(field);
            let _ = writeln!(self.text, "| `{name}` | {words}{required} | {meaning} |");
            choices += &self.choices(name, field);
        }
        self.text += &choices;
        for (definition, at) in below {
            self.object(&at, &self.definitions[definition]);
        }
    }

    fn kind(&self, path: &str, name: &str, schema: &'s Value) -> Kind<'s> {
        let plain = |words: &str| Kind {
            words: words.to_owned(),
            object: None,
        };
        if let Some(definition) = reference(schema) {
            let target = &self.definitions[definition];
            let object = target["properties"]
                .is_object()
                .then(|| (definition, path.to_owned()));
            let words = match object {
                Some(_) => "fields".to_owned(),
                None if target["anyOf"].is_array() => "string or list of strings".to_owned(),
                None => "one of the values below".to_owned(),
            };
            return Kind { words, object };
        }
        if let Some(values) = schema
            .get("additionalProperties")
            .filter(|values| values.is_object())
        {
            let chosen = NAMED.iter().find(|(map, _)| *map == name);
            let key = chosen.map_or("NAME", |(_, key)| key);
            let of = self.kind(&joined(path, key), "", values);
            return Kind {
                words: format!("map of {key} to {}", of.words),
                ..of
            };
        }
        match type_of(schema) {
            "array" => {
                let of = self.kind(&format!("{path}[]"), "", &schema["items"]);
                let words = match of.words.as_str() {
                    "string" => "list of strings".to_owned(),
                    words => format!("list, each {words}"),
                };
                Kind { words, ..of }
            }
            "boolean" => plain("true or false"),
            other => plain(other),
        }
    }

    /// The values of a field that takes one of a few.
    fn choices(&self, name: &str, schema: &'s Value) -> String {
        let items = schema.get("items").unwrap_or(schema);
        let variants = reference(items)
            .and_then(|definition| self.definitions[definition]["oneOf"].as_array());
        let Some(variants) = variants else {
            return String::new();
        };
        let each = variants.iter().map(|variant| {
            let value = variant["const"].as_str().unwrap();
            format!("- `{value}`: {}\n", sentence(variant))
        });
        format!("\nValues of `{name}`:\n\n{}", each.collect::<String>())
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The definition that a schema names, if it does.
fn reference(schema: &Value) -> Option<&str> {
    let either = schema["anyOf"].as_array().and_then(|either| either.first());
    let reference = either.unwrap_or(schema)["$ref"].as_str()?;
    reference.strip_prefix("#/$defs/")
}

/// A type beside `null`, which stands for a field that is left out.
fn type_of(schema: &Value) -> &str {
    let types = schema["type"].as_array();
    let first = types
        .and_then(|types| types.first())
        .unwrap_or(&schema["type"]);
    first
        .as_str()
        .unwrap_or_else(|| panic!("a type: {schema:#}"))
}

/// A description on one line of a table.
fn sentence(schema: &Value) -> String {
    let text = schema["description"]
        .as_str()
        .unwrap_or_else(|| panic!("a description: {schema:#}"));
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
