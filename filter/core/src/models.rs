//! The lists of models that the filter answers itself.

use crate::answer::Answer;
use crate::classify::Classified;
use meridian_policy::api::Shape;
use meridian_policy::{ModelName, headers};
use serde_json::{Value, json};

/// `GET /v1/models`: all that the caller can have here.
pub fn list<'m>(
    caller: &Classified,
    models: impl DoubleEndedIterator<Item = &'m ModelName> + Clone,
    shape: Shape,
) -> Answer {
    let data: Vec<_> = models.clone().map(|model| card(model, shape)).collect();
    let list = match shape {
        Shape::OpenAi => json!({ "object": "list", "data": data }),
        Shape::Anthropic => {
            let (first, last) = (models.clone().next(), models.clone().next_back());
            json!({ "data": data, "has_more": false, "first_id": first, "last_id": last })
        }
    };
    answer(caller, &list)
}

/// `GET /v1/models/{id}`.
pub fn one(caller: &Classified, model: &ModelName, shape: Shape) -> Answer {
    answer(caller, &card(model, shape))
}

fn card(model: &ModelName, shape: Shape) -> Value {
    match shape {
        Shape::OpenAi => {
            json!({ "id": model, "object": "model", "created": 0, "owned_by": "meridian" })
        }
        Shape::Anthropic => json!({
            "id": model, "type": "model", "display_name": model, "created_at": "1970-01-01T00:00:00Z"
        }),
    }
}

fn answer(caller: &Classified, body: &Value) -> Answer {
    let decision = format!("answered=models zone={} by={}", caller.zone, caller.by);
    Answer {
        status: 200,
        headers: vec![
            ("content-type", "application/json".into()),
            (headers::DECISION, decision),
        ],
        body: body.to_string(),
    }
}
