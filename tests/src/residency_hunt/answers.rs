//! Answers of inference servers, by the path of the request.

use serde_json::{Value, json};

/// 200 for a health check.
pub fn ok() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n".into()
}

/// 503.
pub fn unavailable() -> String {
    let error =
        json!({ "error": { "message": "no room", "type": "error", "param": null, "code": 503 } });
    whole("503 Service Unavailable", &error)
}

/// A right answer.
pub fn answer(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let streamed = request.contains("\"stream\":true");
    match (path.trim_start_matches("/v1"), streamed) {
        ("/messages", true) => stream(&message_events()),
        ("/messages", false) => whole(
            "200 OK",
            &message(&json!([{ "type": "text", "text": "ok" }])),
        ),
        ("/embeddings", _) => whole("200 OK", &embedding()),
        ("/completions", true) => stream(&[data(&completion()), "data: [DONE]\n\n".into()]),
        ("/completions", false) => whole("200 OK", &completion()),
        (_, true) => stream(&chat_events()),
        (_, false) => whole("200 OK", &chat("chat.completion", "message", Some("stop"))),
    }
}

fn whole(status: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn stream(events: &[String]) -> String {
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    for event in events {
        text += &format!("{:x}\r\n{event}\r\n", event.len());
    }
    text + "0\r\n\r\n"
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn chat(object: &str, part: &str, finish: Option<&str>) -> Value {
    let content = json!({ "role": "assistant", "content": "ok" });
    let choice = json!({ "index": 0, part: content, "finish_reason": finish });
    json!({ "id": "c", "object": object, "created": 1, "model": "m", "choices": [choice] })
}

fn chat_events() -> Vec<String> {
    let end = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    let end = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [end] });
    vec![
        data(&chat("chat.completion.chunk", "delta", None)),
        data(&end),
        "data: [DONE]\n\n".into(),
    ]
}

fn completion() -> Value {
    let choice = json!({ "index": 0, "text": "ok", "finish_reason": "stop" });
    json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice] })
}

fn embedding() -> Value {
    let vector = json!({ "object": "embedding", "index": 0, "embedding": [0.5] });
    json!({ "object": "list", "data": [vector], "model": "m", "usage": { "prompt_tokens": 1, "total_tokens": 1 } })
}

fn message(content: &Value) -> Value {
    json!({
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    })
}

fn message_events() -> Vec<String> {
    let events = [
        json!({ "type": "message_start", "message": message(&json!([])) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "ok" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ];
    let event = |event: &Value| {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        format!("event: {kind}\n{}", data(event))
    };
    events.iter().map(event).collect()
}
