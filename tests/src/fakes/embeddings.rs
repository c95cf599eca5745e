use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::generation::quoted;

/// Prime, so that vectors of usual widths do not repeat in step. Every value of a vector is one of these many.
const VALUES: usize = 997;

fn value(index: usize) -> f32 {
    (index as f32 + 0.5) / VALUES as f32 - 0.5
}

/// The vector of one input; the same on every server, as it is with one model in several regions.
pub fn embedding(input: &str, dimensions: usize) -> Vec<f32> {
    let start = start(&Value::from(input));
    (0..dimensions)
        .map(|index| value((start + index) % VALUES))
        .collect()
}

fn start(input: &Value) -> usize {
    let mut hasher = DefaultHasher::new();
    input.to_string().hash(&mut hasher);
    (hasher.finish() % VALUES as u64) as usize
}

/// The inputs of a request: one text, texts, one array of token ids, or several such arrays.
pub(super) fn inputs(input: &Value) -> Vec<&Value> {
    match input {
        Value::Array(list) if list.iter().all(Value::is_number) => vec![input],
        Value::Array(list) => list.iter().collect(),
        _ => vec![input],
    }
}

pub(super) struct EmbeddingsRequest<'a> {
    pub(super) inputs: &'a [&'a Value],
    pub(super) dimensions: usize,
    pub(super) base64: bool,
    pub(super) model: &'a str,
    pub(super) prompt_tokens: usize,
}

/// Texts are put together from ready pieces: 20 MB of numbers must not take seconds in a debug build.
pub(super) fn embeddings(request: &EmbeddingsRequest<'_>, id: u64, created: u64) -> String {
    let pieces: Vec<String> = (0..VALUES).map(|index| value(index).to_string()).collect();
    let mut out = format!(
        r#"{{"id":"embd-{id:016x}","object":"list","created":{created},"model":{},"data":["#,
        quoted(request.model)
    );
    for (index, input) in request.inputs.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        out.push_str(&format!(
            r#"{comma}{{"index":{index},"object":"embedding","embedding":"#
        ));
        let positions = (0..request.dimensions).map(|offset| (start(input) + offset) % VALUES);
        let positions = positions.collect::<Vec<_>>();
        if request.base64 {
            let bytes: Vec<u8> = positions
                .iter()
                .flat_map(|&position| value(position).to_le_bytes())
                .collect();
            out.push('"');
            STANDARD.encode_string(bytes, &mut out);
            out.push('"');
        } else {
            out.push('[');
            for (offset, &position) in positions.iter().enumerate() {
                if offset > 0 {
                    out.push(',');
                }
                out.push_str(&pieces[position]);
            }
            out.push(']');
        }
        out.push('}');
    }
    out.push_str(&format!(
        r#"],"usage":{{"prompt_tokens":{0},"total_tokens":{0},"completion_tokens":0,"prompt_tokens_details":null}}}}"#,
        request.prompt_tokens
    ));
    out
}
