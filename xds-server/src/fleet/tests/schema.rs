//! The JSON Schema matches what the parser accepts.

use super::EXAMPLE;
use crate::fleet::schema;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every schema of an object with fixed fields.
fn objects(schema: &Value) -> Vec<&Value> {
    let inner: Vec<&Value> = match schema {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let own = schema.get("properties").is_some_and(Value::is_object);
    let inner = inner.into_iter().flat_map(objects);
    own.then_some(schema).into_iter().chain(inner).collect()
}

fn property_names(schema: &Value) -> BTreeSet<String> {
    objects(schema)
        .into_iter()
        .filter_map(|object| object["properties"].as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect()
}

/// Keys of the mappings that are not names that the operator chose.
fn field_names(value: &Value, chosen: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if !chosen {
                    found.insert(key.clone());
                }
                let names = ["zones", "regions", "fallbacks", "pools", "models"];
                field_names(value, !chosen && names.contains(&key.as_str()), found);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| field_names(item, false, found)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_example_is_in_the_schema() {
    let example: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    let mut fields = BTreeSet::new();
    field_names(&example, false, &mut fields);
    let schema = schema();
    let known = property_names(&schema);
    let unknown: Vec<_> = fields.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(fields.len() > 25, "the walk finds the fields: {fields:?}");
}

#[test]
fn no_object_takes_unknown_fields() {
    let schema = schema();
    let objects = objects(&schema);
    assert_eq!(objects.len(), 35, "one for each struct of the file");
    for object in objects {
        assert_eq!(object["additionalProperties"], false, "{object:#}");
    }
}

#[test]
fn every_field_is_described() {
    let schema = schema();
    assert_eq!(
        schema["$schema"], "https://json-schema.org/draft/2020-12/schema",
        "editors find the dialect"
    );
    for object in objects(&schema) {
        for (name, property) in object["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name}: {property:#}");
        }
    }
}

#[test]
fn required_fields_are_those_that_the_reader_misses() {
    let schema = schema();
    for object in objects(&schema) {
        let properties = object["properties"].as_object().unwrap();
        let required = object.get("required").and_then(Value::as_array);
        for field in required.into_iter().flatten() {
            assert!(
                properties.contains_key(field.as_str().unwrap()),
                "{object:#}"
            );
        }
    }
    assert_eq!(schema["required"], serde_json::json!(["zones", "regions"]));
}
