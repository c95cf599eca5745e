//! The first turn of a task by a pool, as vLLM and Kimi would answer it: thinking, and a tool call with an id of their own.

use super::client::Agent;
use crate::fakes::Replay;
use crate::world::MODEL;
use serde_json::{Value, json};

const THOUGHT: &str = "The file has five steps.";

/// What the first step runs.
const COMMAND: &str = "echo step 0 | tee -a steps.txt";

/// The answer to an agent's first request with tools.
pub fn first_turn(agent: Agent) -> Replay {
    let events = match agent {
        Agent::Codex => responses(),
        Agent::ClaudeCode => messages(),
        Agent::OpenCode => chat(&json!({ "tool_calls": [call("bash")] }), "tool_calls"),
        Agent::Aider => chat(
            &json!({ "content": "steps.txt\n```\nstep 0\n```\n" }),
            "stop",
        ),
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    Replay {
        pieces: vec![head.into(), events.into_bytes()],
        stalls: false,
    }
}

fn call_id(tool: &str) -> String {
    format!("functions.{tool}:0")
}

fn named(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n")
}

fn responses() -> String {
    let reasoning = json!({
        "type": "reasoning", "id": "rs_1", "summary": [], "status": "completed", "encrypted_content": null,
        "content": [{ "type": "reasoning_text", "text": THOUGHT }],
    });
    let arguments = json!({ "cmd": COMMAND }).to_string();
    let call = json!({
        "type": "function_call", "id": "fc_1", "call_id": call_id("exec_command"), "name": "exec_command",
        "arguments": arguments, "status": "completed",
    });
    let response = |status: &str, output: Value| {
        json!({
            "id": "resp_1", "object": "response", "created_at": 1_795_000_000, "model": MODEL, "status": status, "output": output,
            "usage": { "input_tokens": 7, "output_tokens": 9, "total_tokens": 16 },
        })
    };
    let events = [
        json!({ "type": "response.created", "response": response("in_progress", json!([])) }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": reasoning }),
        json!({ "type": "response.reasoning_text.delta", "output_index": 0, "item_id": "rs_1", "content_index": 0, "delta": THOUGHT }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": reasoning }),
        json!({ "type": "response.output_item.added", "output_index": 1, "item": call }),
        json!({ "type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_1", "delta": arguments }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": call }),
        json!({ "type": "response.completed", "response": response("completed", json!([reasoning, call])) }),
    ];
    events.iter().map(named).collect()
}

fn messages() -> String {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "stop_reason": null,
        "usage": { "input_tokens": 7, "output_tokens": 0 },
    });
    let delta = |index: u32, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: u32| json!({ "type": "content_block_stop", "index": index });
    let thinking = json!({ "type": "thinking", "thinking": "" });
    let call = json!({ "type": "tool_use", "id": call_id("Bash"), "name": "Bash", "input": {} });
    let input = json!({ "command": COMMAND, "description": "the first step" }).to_string();
    // As vLLM does: a UUID.
    let signature = "5f0c6b0f9d0b4a0f8a3e0c9d7b1e2f34";
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": thinking }),
        delta(0, json!({ "type": "thinking_delta", "thinking": THOUGHT })),
        delta(
            0,
            json!({ "type": "signature_delta", "signature": signature }),
        ),
        stop(0),
        json!({ "type": "content_block_start", "index": 1, "content_block": call }),
        delta(
            1,
            json!({ "type": "input_json_delta", "partial_json": input }),
        ),
        stop(1),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ];
    events.iter().map(named).collect()
}

fn call(tool: &str) -> Value {
    let arguments = json!({ "command": COMMAND, "description": "the first step" }).to_string();
    let function = json!({ "name": tool, "arguments": arguments });
    json!({ "index": 0, "id": call_id(tool), "type": "function", "function": function })
}

fn chat(answer: &Value, finish_reason: &str) -> String {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_000_000, "model": MODEL,
            "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: &Value, finish: Option<&str>| {
        chunk(
            json!([{ "index": 0, "delta": delta, "finish_reason": finish }]),
            Value::Null,
        )
    };
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16 });
    [
        choice(&json!({ "role": "assistant", "content": "" }), None),
        choice(&json!({ "reasoning_content": THOUGHT }), None),
        choice(answer, None),
        choice(&json!({}), Some(finish_reason)),
        chunk(json!([]), usage),
        "data: [DONE]\n\n".into(),
    ]
    .concat()
}
