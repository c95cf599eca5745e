//! Random bodies of requests: what the paths want, and much else.

use super::random::one_of;
use crate::world::{MODEL, PARTIAL_MODEL};
use rand::{Rng, RngExt};
use serde_json::{Value, json};

/// A body.
pub fn body(random: &mut impl Rng, path: &str, streamed: bool) -> Vec<u8> {
    let mut body = wanted(random, path, streamed);
    vary(random, &mut body);
    let text = body.to_string();
    broken(random, text)
}

/// A body in pieces.
pub fn pieces(random: &mut impl Rng, body: Vec<u8>) -> Vec<Vec<u8>> {
    let count = match random.random_range(0..20) {
        0..12 => 1,
        12..17 => 2,
        17..19 => 3,
        _ => 9,
    };
    split(random, &body, count)
}

/// Bytes in so many pieces, some of which may be empty.
pub fn split(random: &mut impl Rng, bytes: &[u8], count: usize) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = (1..count)
        .map(|_| random.random_range(0..=bytes.len()))
        .collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|cut| bytes[cut[0]..cut[1]].to_vec())
        .collect()
}

fn words(random: &mut impl Rng) -> String {
    let count = match random.random_range(0..100) {
        0..70 => random.random_range(0..30),
        70..90 => random.random_range(30..2000),
        90..96 => random.random_range(2000..12_000),
        96..99 => random.random_range(12_000..50_000),
        _ => 150_000,
    };
    let all = [
        "tell ",
        "me ",
        "\u{e4}",
        "\"",
        "\\ ",
        "\n",
        "about ",
        "\u{1f600} ",
        "x",
    ];
    let mut words = String::new();
    while words.len() < count * 6 {
        words += all[random.random_range(0..all.len())];
    }
    words
}

fn content(random: &mut impl Rng) -> Value {
    let text = words(random);
    match random.random_range(0..10) {
        0 => json!([{ "type": "text", "text": text }, { "type": "text", "text": "and" }]),
        1 => {
            json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }, { "type": "text", "text": text }])
        }
        2 => Value::Null,
        _ => json!(text),
    }
}

fn messages(random: &mut impl Rng) -> Value {
    let mut all = Vec::new();
    if random.random_ratio(1, 3) {
        all.push(json!({ "role": "system", "content": "be brief" }));
    }
    for turn in 0..random.random_range(1..4) {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        all.push(json!({ "role": role, "content": content(random) }));
    }
    if random.random_ratio(1, 10) {
        let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
        all.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] }));
        all.push(json!({ "role": "tool", "tool_call_id": "c1", "content": "1" }));
    }
    json!(all)
}

/// What a path wants.
fn wanted(random: &mut impl Rng, path: &str, streamed: bool) -> Value {
    let path = path.split('?').next().unwrap_or_default();
    let mut body = match path {
        "/v1/completions" => json!({ "prompt": words(random), "max_tokens": 5 }),
        "/v1/embeddings" => json!({ "input": [words(random), "b"] }),
        "/v1/responses" => json!({ "input": words(random), "store": false }),
        "/v1/rerank" => json!({ "query": "q", "documents": ["a", words(random)] }),
        "/v1/score" => json!({ "text_1": "a", "text_2": words(random) }),
        "/v1/audio/speech" => json!({ "input": words(random), "voice": "a" }),
        "/v1/messages" | "/v1/messages/count_tokens" => {
            json!({ "messages": messages(random), "max_tokens": 50 })
        }
        _ => json!({ "messages": messages(random) }),
    };
    let models = [
        json!(MODEL),
        json!(MODEL),
        json!(MODEL),
        json!(MODEL),
        json!(PARTIAL_MODEL),
        json!(PARTIAL_MODEL),
        json!("nothing"),
        json!("Llama-3.1-70B"),
        json!(""),
        json!(7),
    ];
    let models = &models[..if random.random_ratio(1, 10) { 10 } else { 6 }];
    body["model"] = one_of(random, models);
    if streamed {
        body["stream"] = json!(true);
    } else if random.random_ratio(1, 4) {
        body["stream"] = one_of(
            random,
            &[json!(false), json!(false), Value::Null, json!("true")],
        );
    }
    body
}

/// Adds fields that mean something to somebody.
fn vary(random: &mut impl Rng, body: &mut Value) {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let fields = [
        ("temperature", json!(0.5)),
        ("max_tokens", json!(100)),
        ("max_completion_tokens", json!(100)),
        ("n", json!(2)),
        ("n", json!(1)),
        ("stop", json!(["a", "b"])),
        ("user", json!("user-7")),
        ("prompt_cache_key", json!("cache-3")),
        ("stream_options", json!({ "include_usage": true })),
        ("response_format", json!({ "type": "json_object" })),
        ("tools", json!([tool])),
        ("tool_choice", json!("auto")),
        ("logprobs", json!(true)),
        ("seed", json!(1)),
        ("previous_response_id", json!("resp_1")),
        ("system", json!("be brief")),
        (
            "thinking",
            json!({ "type": "enabled", "budget_tokens": 1024 }),
        ),
        ("metadata", json!({ "user_id": "u" })),
        ("web_search_options", json!({})),
        (
            "mcp_servers",
            json!([{ "type": "url", "url": "https://example.com" }]),
        ),
        ("service_tier", json!("flex")),
        ("unknown_field", json!({ "deep": [[[1]]] })),
    ];
    while random.random_ratio(2, 5) {
        let (name, value) = one_of(random, &fields);
        body[name] = value;
    }
}

/// Mostly the same; else something that no server understands, or understands in several ways.
fn broken(random: &mut impl Rng, text: String) -> Vec<u8> {
    let half = text.len() / 2;
    match random.random_range(0..200) {
        0 => Vec::new(),
        1 => text.into_bytes()[..half].to_vec(),
        2 => b"not JSON at all".to_vec(),
        3 => format!("{{\"model\":\"other\",{}", &text[1..]).into_bytes(),
        4 => format!("{text}{text}").into_bytes(),
        5 => format!(" \n{text}\r\n\t ").into_bytes(),
        6 => format!("\u{feff}{text}").into_bytes(),
        7 => [
            &text.as_bytes()[..half],
            &[0xff, 0xfe, 0x80],
            &text.as_bytes()[half..],
        ]
        .concat(),
        8 => format!("[{text}]").into_bytes(),
        9 => b"null".to_vec(),
        10 => format!("{}{}", "[".repeat(4000), "]".repeat(4000)).into_bytes(),
        11 => text
            .replacen("\"model\"", "\"mod\\u0065l\"", 1)
            .into_bytes(),
        12 => vec![0; 1 + half % 3000],
        13 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => text.into_bytes(),
    }
}
