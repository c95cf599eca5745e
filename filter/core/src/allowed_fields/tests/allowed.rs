//! Requests with each field and tool that the caller runs and sends itself.

use super::{CHAT, MESSAGES, RESPONSES, user};
use serde_json::{Value, json};

/// Requests that a fallback may be given.
pub fn allowed() -> Vec<(&'static str, Value)> {
    let data = "data:image/png;base64,AAAA";
    vec![
        (
            CHAT,
            json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }),
        ),
        (
            CHAT,
            json!({ "messages": [{ "role": "developer", "content": "hi", "name": "a" }] }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "text", "text": "https://example.com" })) }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "image_url", "image_url": { "url": data, "detail": "low" } })) }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } })) }),
        ),
        (
            CHAT,
            json!({ "messages": user(json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AA", "filename": "a" } })) }),
        ),
        (
            CHAT,
            json!({ "messages": [
            { "role": "assistant", "content": null, "refusal": null, "audio": null, "tool_calls": [
                { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } },
                { "id": "2", "type": "custom", "custom": { "name": "f", "input": "x" } },
            ] },
            { "role": "tool", "tool_call_id": "1", "content": "done" },
        ] }),
        ),
        (
            CHAT,
            json!({ "tools": [
            { "type": "function", "function": { "name": "f", "parameters": { "type": "object", "url": "https://x" } } },
            { "type": "custom", "custom": { "name": "g" } },
        ], "tool_choice": { "type": "function", "function": { "name": "f" } } }),
        ),
        (
            CHAT,
            json!({ "functions": [{ "name": "f" }], "function_call": "auto" }),
        ),
        (
            CHAT,
            json!({ "tool_choice": "required", "parallel_tool_calls": true, "response_format": { "type": "json_schema", "json_schema": {} } }),
        ),
        (
            CHAT,
            json!({ "store": false, "temperature": 1, "top_p": 1, "n": 1, "stop": ["a"], "seed": 1, "logprobs": true, "top_logprobs": 2 }),
        ),
        (
            CHAT,
            json!({ "max_tokens": 1, "max_completion_tokens": 1, "stream": true, "stream_options": { "include_usage": true } }),
        ),
        (
            CHAT,
            json!({ "web_search_options": null, "metadata": null, "user": "u", "reasoning_effort": "low", "verbosity": "low" }),
        ),
        (
            RESPONSES,
            json!({ "model": "m", "input": "hi", "instructions": "be brief", "store": false, "background": false }),
        ),
        (
            RESPONSES,
            json!({ "input": [
            { "role": "user", "content": "hi" },
            { "type": "message", "role": "user", "content": [
                { "type": "input_text", "text": "hi" },
                { "type": "input_image", "image_url": data, "detail": "auto" },
                { "type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a" },
            ] },
            { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA" },
            { "type": "function_call", "call_id": "1", "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "1", "output": [{ "type": "input_image", "image_url": data }] },
            { "type": "custom_tool_call", "call_id": "2", "name": "g", "input": "x" },
            { "type": "custom_tool_call_output", "call_id": "2", "output": "y" },
        ] }),
        ),
        (
            RESPONSES,
            json!({ "tools": [
            { "type": "function", "name": "f", "parameters": {}, "strict": true },
            { "type": "custom", "name": "g", "format": { "type": "grammar" } },
            { "type": "namespace", "name": "n", "tools": [{ "type": "function", "name": "h", "parameters": {} }] },
        ], "tool_choice": { "type": "function", "name": "f" }, "include": ["reasoning.encrypted_content"] }),
        ),
        (
            RESPONSES,
            json!({ "reasoning": { "effort": "low" }, "text": { "format": {} }, "truncation": "auto", "max_output_tokens": 9 }),
        ),
        (
            "/v1/completions",
            json!({ "model": "m", "prompt": ["a", [1, 2]], "suffix": "x", "best_of": 1, "echo": false }),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": ["a"], "dimensions": 3, "encoding_format": "base64", "user": "u" }),
        ),
        (
            "/v1/audio/speech",
            json!({ "model": "m", "input": "a", "voice": "alloy", "instructions": "x", "speed": 1.5, "response_format": "mp3" }),
        ),
        (
            MESSAGES,
            json!({ "model": "m", "max_tokens": 1, "system": [{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral" } }] }),
        ),
        (
            MESSAGES,
            json!({ "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "hi", "citations": null },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "document", "title": "t", "source": { "type": "text", "media_type": "text/plain", "data": "see https://x" } },
                { "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "a" }] }, "citations": { "enabled": true } },
                { "type": "tool_result", "tool_use_id": "1", "is_error": false, "content": [
                    { "type": "text", "text": "a" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                ] },
                { "type": "search_result", "source": "https://example.com", "title": "t", "content": [{ "type": "text", "text": "a" }] },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "t", "signature": "s" },
                { "type": "redacted_thinking", "data": "AA" },
                { "type": "tool_use", "id": "1", "name": "f", "input": { "url": "https://x" }, "caller": { "type": "direct" } },
            ] },
        ] }),
        ),
        (
            MESSAGES,
            json!({ "tools": [
            { "name": "f", "description": "d", "input_schema": {}, "cache_control": {}, "strict": true },
            { "type": "custom", "name": "g", "input_schema": {} },
        ], "tool_choice": { "type": "tool", "name": "f", "disable_parallel_tool_use": true }, "mcp_servers": null }),
        ),
        (
            MESSAGES,
            json!({ "metadata": { "user_id": "u" }, "stop_sequences": ["a"], "stream": true, "temperature": 1, "top_k": 1, "top_p": 1 }),
        ),
        (
            MESSAGES,
            json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "low" }, "context_management": { "edits": [] } }),
        ),
        (
            CHAT,
            json!({ "prompt_cache_options": { "mode": "explicit", "ttl": "30m" }, "messages": user(
                json!({ "type": "text", "text": "a", "prompt_cache_breakpoint": { "mode": "explicit", "ttl": "30m" } }),
            ) }),
        ),
        (
            RESPONSES,
            json!({ "prompt_cache_options": { "mode": "explicit", "ttl": "30m", "prewarm": true }, "input": [
                { "role": "user", "content": [{ "type": "input_text", "text": "a", "prompt_cache_breakpoint": { "mode": "explicit" } }] },
                { "type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "async": true, "caller": { "type": "direct" } },
                { "type": "function_call_output", "call_id": "1", "caller": { "type": "direct" }, "output": [
                    { "type": "input_text", "text": "a", "prompt_cache_breakpoint": { "mode": "explicit" } },
                ] },
            ], "tools": [
                { "type": "function", "name": "f", "output_schema": {}, "allowed_callers": ["direct"], "async": true },
                { "type": "namespace", "name": "n", "tools": [
                    { "type": "function", "name": "g", "output_schema": {}, "allowed_callers": ["direct"], "async": false },
                ] },
            ] }),
        ),
        (
            MESSAGES,
            json!({ "messages": [
                { "role": "assistant", "content": [
                    { "type": "tool_use", "id": "1", "name": "click", "toolset_name": "browser", "input": {} },
                ] },
                { "role": "user", "content": [
                    { "type": "image", "source": { "type": "base64", "data": "AAAA" }, "transformations": { "oversized_image": "error" } },
                    { "type": "tool_result", "tool_use_id": "1", "content": [
                        { "type": "image", "source": { "type": "base64", "data": "AAAA" }, "transformations": { "oversized_image": "error" } },
                        { "type": "browser_state", "tabs": [{ "tab_id": "1", "url": "https://x" }], "state_changes": [] },
                    ] },
                ] },
            ], "tools": [
                { "type": "bash_20250124", "name": "bash" },
                { "type": "text_editor_20250124", "name": "str_replace_editor" },
                { "type": "text_editor_20250429", "name": "str_replace_based_edit_tool" },
                { "type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9 },
                { "type": "memory_20250818", "name": "memory" },
                { "type": "computer_20250124", "name": "computer", "display_height_px": 9, "display_width_px": 9, "display_number": 1 },
                { "type": "computer_20251124", "name": "computer", "display_height_px": 9, "display_width_px": 9, "enable_zoom": true },
                { "type": "computer_toolset_20260801", "configs": { "zoom": { "enabled": false } } },
                { "type": "browser_toolset_20260801", "configs": { "find": { "enabled": false } } },
            ] }),
        ),
        (
            "/v1/messages/count_tokens",
            json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }),
        ),
    ]
}
