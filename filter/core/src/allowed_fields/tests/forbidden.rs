//! Requests with each field and tool that leads to third places.

use super::{CHAT, MESSAGES, RESPONSES, user};
use serde_json::{Value, json};

/// Requests by the field at which they are refused.
pub fn forbidden() -> Vec<(&'static str, Value, &'static str)> {
    let url = "https://example.com/a";
    let tool = |kind: &str| json!({ "tools": [{ "type": "function", "function": { "name": "f" } }, { "type": kind }] });
    let responses = |kind: &str| json!({ "tools": [{ "type": "function", "name": "f" }, { "type": kind, "server_url": "https://x" }] });
    let messages = |kind: &str| json!({ "tools": [{ "name": "f", "input_schema": {} }, { "type": kind, "name": "x" }] });
    let mut rows = vec![
        (
            CHAT,
            json!({ "web_search_options": {} }),
            "web_search_options",
        ),
        (CHAT, json!({ "store": true }), "store"),
        (CHAT, json!({ "metadata": { "a": "b" } }), "metadata"),
        (
            CHAT,
            json!({ "prompt_cache_retention": "24h" }),
            "prompt_cache_retention",
        ),
        (
            RESPONSES,
            json!({ "prompt_cache_options": { "comparison_response_id": "resp_1" } }),
            "prompt_cache_options.comparison_response_id",
        ),
        (
            RESPONSES,
            json!({ "prompt_cache_options": { "ttl": "12h" } }),
            "prompt_cache_options.ttl",
        ),
        (
            RESPONSES,
            json!({ "tools": [{ "type": "function", "allowed_callers": ["programmatic"] }] }),
            "tools[0].allowed_callers[0]",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "type": "function_call", "caller": { "type": "program", "caller_id": "1" } }] }),
            "input[0].caller.type",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_addition", "tool": { "type": "tool_definition", "definition": {} } })) }),
            "messages[0].content[0].tool.definition",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_addition", "tool": { "type": "mcp_toolset_reference" } })) }),
            "messages[0].content[0].tool.type",
        ),
        (CHAT, json!({ "background": true }), "background"),
        (CHAT, json!({ "webhook": url }), "webhook"),
        (CHAT, json!({ "callback_url": url }), "callback_url"),
        (CHAT, json!({ "plugins": [] }), "plugins"),
        (CHAT, json!({ "provider": { "order": ["x"] } }), "provider"),
        (CHAT, json!({ "models": ["other"] }), "models"),
        (
            CHAT,
            json!({ "tools": [{ "function": { "name": "f" } }] }),
            "tools[0].type",
        ),
        (CHAT, json!({ "tools": ["web_search"] }), "tools[0]"),
        (
            CHAT,
            json!({ "tools": [{ "type": "function", "server_url": url }] }),
            "tools[0].server_url",
        ),
        (
            CHAT,
            json!({ "tool_choice": { "type": "mcp" } }),
            "tool_choice.type",
        ),
        (
            CHAT,
            json!({ "tool_choice": { "type": "allowed_tools", "allowed_tools": { "tools": [{ "type": "mcp" }] } } }),
            "tool_choice.allowed_tools.tools[0].type",
        ),
        (
            CHAT,
            json!({ "audio": { "voice": { "id": "v" } } }),
            "audio.voice.id",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "image_url", "image_url": { "url": url } })) }),
            "messages[0].content[0].image_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "image_url", "image_url": url })) }),
            "messages[0].content[0].image_url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "image_url": { "url": "file:///etc/passwd" } })) }),
            "messages[0].content[0].image_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "video_url", "video_url": { "url": url } })) }),
            "messages[0].content[0].video_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "audio_url", "audio_url": { "url": url } })) }),
            "messages[0].content[0].audio_url.url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file_url", "file_url": { "url": url } })) }),
            "messages[0].content[0].file_url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "file_url": { "url": url } })) }),
            "messages[0].content[0].file_url",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file", "file": { "file_id": "f" } })) }),
            "messages[0].content[0].file.file_id",
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file", "file": { "file_data": url } })) }),
            "messages[0].content[0].file.file_data",
        ),
        (
            CHAT,
            json!({ "messages": [{ "role": "assistant", "audio": { "id": "a" } }] }),
            "messages[0].audio",
        ),
        (
            CHAT,
            json!({ "messages": [{ "role": "assistant", "tool_calls": [{ "type": "mcp" }] }] }),
            "messages[0].tool_calls[0].type",
        ),
        (CHAT, json!({ "messages": "hi" }), "messages"),
        (CHAT, json!([]), ""),
        (CHAT, json!("hi"), ""),
        (CHAT, json!(null), ""),
        (RESPONSES, json!({ "store": true }), "store"),
        (RESPONSES, json!({ "background": true }), "background"),
        (RESPONSES, json!({ "metadata": {} }), "metadata"),
        (RESPONSES, json!({ "conversation": "c" }), "conversation"),
        (
            RESPONSES,
            json!({ "previous_response_id": "r" }),
            "previous_response_id",
        ),
        (RESPONSES, json!({ "prompt": { "id": "p" } }), "prompt"),
        (
            RESPONSES,
            json!({ "context_management": [] }),
            "context_management",
        ),
        (
            RESPONSES,
            json!({ "instructions": [{}] }),
            "instructions[0]",
        ),
        (
            RESPONSES,
            json!({ "tool_choice": { "type": "web_search_preview" } }),
            "tool_choice.type",
        ),
        (
            RESPONSES,
            json!({ "tool_choice": { "type": "mcp", "server_label": "x" } }),
            "tool_choice.type",
        ),
        (
            RESPONSES,
            json!({ "tools": [{ "type": "namespace", "name": "n", "tools": [{ "type": "mcp" }] }] }),
            "tools[0].tools[0].type",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_image", "image_url": url }] }] }),
            "input[0].content[0].image_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] }] }),
            "input[0].content[0].file_id",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_file", "file_url": url }] }] }),
            "input[0].content[0].file_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "type": "function_call_output", "output": [{ "type": "input_file", "file_url": url }] }] }),
            "input[0].output[0].file_url",
        ),
        (
            RESPONSES,
            json!({ "input": [{ "type": "computer_call_output", "output": { "type": "computer_screenshot", "image_url": url } }] }),
            "input[0].type",
        ),
        (
            "/v1/completions",
            json!({ "prompt": [{ "image_url": url }] }),
            "prompt[0].image_url",
        ),
        (
            "/v1/embeddings",
            json!({ "input": [{ "image": url }] }),
            "input[0].image",
        ),
        (
            "/v1/audio/speech",
            json!({ "voice": { "id": "v" } }),
            "voice.id",
        ),
        ("/v1/other", json!({}), ""),
        (
            MESSAGES,
            json!({ "mcp_servers": [{ "type": "url", "url": url }] }),
            "mcp_servers",
        ),
        (MESSAGES, json!({ "container": "c" }), "container"),
        (
            MESSAGES,
            json!({ "fallbacks": [{ "model": "m" }] }),
            "fallbacks",
        ),
        (
            MESSAGES,
            json!({ "tools": [{ "name": "f" }, { "type": "custom", "name": "g", "url": url }] }),
            "tools[1].url",
        ),
        (
            MESSAGES,
            json!({ "metadata": { "other": "u" } }),
            "metadata.other",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "type": "url", "url": url } })) }),
            "messages[0].content[0].source.url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "url": url } })) }),
            "messages[0].content[0].source.url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "image", "source": { "type": "file", "file_id": "f" } })) }),
            "messages[0].content[0].source.file_id",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_result", "content": [{ "type": "image", "source": { "url": url, "type": "url" } }] })) }),
            "messages[0].content[0].content[0].source.url",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "container_upload", "file_id": "f" })) }),
            "messages[0].content[0].type",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "server_tool_use" })) }),
            "messages[0].content[0].type",
        ),
        (
            MESSAGES,
            json!({ "messages": user(json!({ "type": "tool_use", "caller": { "type": "code_execution_20250825" } })) }),
            "messages[0].content[0].caller.type",
        ),
    ];
    let kinds = [
        "mcp",
        "file_search",
        "code_interpreter",
        "computer_use",
        "image_generation",
    ];
    rows.extend(kinds.map(|kind| (CHAT, tool(kind), "tools[1].type")));
    let kinds = [
        "mcp",
        "file_search",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "image_generation",
        "local_shell",
        "shell",
        "apply_patch",
        "tool_search",
    ];
    rows.extend(kinds.map(|kind| (RESPONSES, responses(kind), "tools[1].type")));
    let kinds = [
        "web_search_20250305",
        "web_search_20260209",
        "web_fetch_20250910",
        "code_execution_20250825",
        "mcp_toolset",
        "tool_search_tool_regex_20251119",
    ];
    rows.extend(kinds.map(|kind| (MESSAGES, messages(kind), "tools[1].type")));
    rows
}
