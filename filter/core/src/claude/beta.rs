//! Betas of Anthropic's API: the header `anthropic-beta`, and the fields that need it. Both go on, or neither.
//!
//! Sources: the types of the official client (anthropic 2.13), what Claude Code 2.1 sends, and the names that Google and AWS
//! document. Betas that are not in the table do not go on: they run tools at the provider, refer to what is in the operator's
//! account, or change the price of a request.

use super::invalid_request::InvalidRequest;
use meridian_policy::egress_policy::ClaudeHost;
use serde_json::{Map, Value};

/// A beta that callers may use.
struct Beta {
    /// The name in the caller's header.
    name: &'static str,
    /// The names at Anthropic, Vertex AI and Amazon Bedrock. `None`: the host does not have it.
    names: [Option<&'static str>; 3],
    /// The fields that it brings.
    fields: &'static [Field],
}

/// A field that a beta brings.
struct Field {
    /// Its place in the body. `*` stands for every element of a list.
    path: &'static [&'static str],
    /// The hosts that take it without the beta, in the order of [`Beta::names`].
    general: [bool; 3],
    without: Without,
}

/// What happens to a field that the host would not take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    /// It is left out: the answer is as good, or nearly.
    Drop,
    /// The caller gets 400: the answer would be another one.
    Refuse,
}

const fn everywhere(name: &'static str) -> [Option<&'static str>; 3] {
    [Some(name); 3]
}

const fn at_anthropic(name: &'static str) -> [Option<&'static str>; 3] {
    [Some(name), None, None]
}

/// A field that is left out where the host would not take it.
const fn hint(path: &'static [&'static str], general: [bool; 3]) -> Field {
    Field {
        path,
        general,
        without: Without::Drop,
    }
}

/// Taken with the beta alone.
const NOWHERE: [bool; 3] = [false; 3];
/// Taken by Anthropic without the beta.
const ANTHROPIC: [bool; 3] = [true, false, false];
/// Taken by all hosts without the beta.
const EVERYWHERE: [bool; 3] = [true; 3];

/// Vertex's and Bedrock's name for a part of `advanced-tool-use`.
const TOOL_SEARCH: &str = "tool-search-tool-2025-10-19";

const BETAS: &[Beta] = &[
    Beta {
        name: "claude-code-20250219",
        names: at_anthropic("claude-code-20250219"),
        fields: &[],
    },
    Beta {
        name: "interleaved-thinking-2025-05-14",
        names: [
            Some("interleaved-thinking-2025-05-14"),
            Some("interleaved-thinking-2025-05-14"),
            None,
        ],
        fields: &[],
    },
    Beta {
        name: "context-management-2025-06-27",
        names: everywhere("context-management-2025-06-27"),
        fields: &[hint(&["context_management"], NOWHERE)],
    },
    Beta {
        name: "compact-2026-01-12",
        names: everywhere("compact-2026-01-12"),
        fields: &[hint(&["context_management"], NOWHERE)],
    },
    Beta {
        name: "compact-2026-09-04",
        names: [Some("compact-2026-09-04"), Some("compact-2026-09-04"), None],
        fields: &[hint(&["compaction"], NOWHERE)],
    },
    Beta {
        name: "effort-2025-11-24",
        names: [Some("effort-2025-11-24"), None, Some("effort-2025-11-24")],
        fields: &[hint(&["output_config", "effort"], EVERYWHERE)],
    },
    Beta {
        name: "task-budgets-2026-03-13",
        names: at_anthropic("task-budgets-2026-03-13"),
        fields: &[hint(&["output_config", "task_budget"], NOWHERE)],
    },
    Beta {
        name: "structured-outputs-2025-11-13",
        names: at_anthropic("structured-outputs-2025-11-13"),
        fields: &[Field {
            path: &["output_format"],
            general: NOWHERE,
            without: Without::Refuse,
        }],
    },
    Beta {
        name: "advanced-tool-use-2025-11-20",
        names: [
            Some("advanced-tool-use-2025-11-20"),
            Some(TOOL_SEARCH),
            Some(TOOL_SEARCH),
        ],
        fields: &[hint(&["tools", "*", "defer_loading"], ANTHROPIC)],
    },
    Beta {
        name: TOOL_SEARCH,
        names: [None, Some(TOOL_SEARCH), Some(TOOL_SEARCH)],
        fields: &[hint(&["tools", "*", "defer_loading"], ANTHROPIC)],
    },
    Beta {
        name: "advanced-tool-use-2025-11-20",
        names: at_anthropic("advanced-tool-use-2025-11-20"),
        fields: &[
            hint(&["tools", "*", "input_examples"], ANTHROPIC),
            hint(&["tools", "*", "allowed_callers"], ANTHROPIC),
        ],
    },
    Beta {
        name: "fine-grained-tool-streaming-2025-05-14",
        names: [
            Some("fine-grained-tool-streaming-2025-05-14"),
            None,
            Some("fine-grained-tool-streaming-2025-05-14"),
        ],
        fields: &[hint(&["tools", "*", "eager_input_streaming"], ANTHROPIC)],
    },
    Beta {
        name: "mid-conversation-tool-changes-2026-07-01",
        names: [
            Some("mid-conversation-tool-changes-2026-07-01"),
            None,
            Some("mid-conversation-tool-changes-2026-07-01"),
        ],
        fields: &[],
    },
    Beta {
        name: "mid-conversation-output-config-2026-07-01",
        names: [
            Some("mid-conversation-output-config-2026-07-01"),
            None,
            Some("mid-conversation-output-config-2026-07-01"),
        ],
        fields: &[hint(&["messages", "*", "output_config"], NOWHERE)],
    },
    Beta {
        name: "mid-conversation-system-clear-at-2026-08-21",
        names: at_anthropic("mid-conversation-system-clear-at-2026-08-21"),
        fields: &[hint(&["messages", "*", "clear_at"], NOWHERE)],
    },
    Beta {
        name: "thinking-binding-controls-2026-08-01",
        names: everywhere("thinking-binding-controls-2026-08-01"),
        fields: &[hint(&["thinking", "block_binding"], NOWHERE)],
    },
    Beta {
        name: "thinking-display-updates-2026-08-18",
        names: everywhere("thinking-display-updates-2026-08-18"),
        fields: &[],
    },
    Beta {
        name: "thinking-token-count-2026-05-13",
        names: at_anthropic("thinking-token-count-2026-05-13"),
        fields: &[],
    },
    Beta {
        name: "prompt-caching-scope-2026-01-05",
        names: at_anthropic("prompt-caching-scope-2026-01-05"),
        fields: &[
            hint(&["system", "*", "cache_control", "scope"], NOWHERE),
            hint(&["tools", "*", "cache_control", "scope"], NOWHERE),
            hint(
                &["messages", "*", "content", "*", "cache_control", "scope"],
                NOWHERE,
            ),
        ],
    },
    Beta {
        name: "computer-use-2025-01-24",
        names: everywhere("computer-use-2025-01-24"),
        fields: &[],
    },
    Beta {
        name: "computer-use-2025-11-24",
        names: everywhere("computer-use-2025-11-24"),
        fields: &[],
    },
    // It is about a message that another server made.
    Beta {
        name: "cache-diagnosis-2026-04-07",
        names: [None; 3],
        fields: &[hint(&["diagnostics"], NOWHERE)],
    },
    // It goes on with what another server keeps.
    Beta {
        name: "message-threads-2026-08-12",
        names: [None; 3],
        fields: &[Field {
            path: &["thread"],
            general: NOWHERE,
            without: Without::Refuse,
        }],
    },
];

/// Leaves out of a body what its betas bring and the host would not take. `sent`: the caller's header, names joined by commas.
/// Returns the betas that go on, by the host's names.
///
/// # Errors
/// A field of a beta that does not go on would change the answer.
pub fn allow(
    host: ClaudeHost,
    sent: &str,
    body: &mut Map<String, Value>,
) -> Result<Vec<&'static str>, InvalidRequest> {
    let at = match host {
        ClaudeHost::Anthropic => 0,
        ClaudeHost::Vertex => 1,
        ClaudeHost::Bedrock => 2,
    };
    let sent: Vec<&str> = sent.split(',').map(str::trim).collect();
    let goes_on = |beta: &Beta| beta.names[at].filter(|_| sent.contains(&beta.name));
    let mut names: Vec<&str> = BETAS.iter().filter_map(goes_on).collect();
    names.sort_unstable();
    names.dedup();
    let brought = BETAS.iter().filter(|beta| goes_on(beta).is_some());
    let brought: Vec<_> = brought
        .flat_map(|beta| beta.fields)
        .map(|field| field.path)
        .collect();
    for beta in BETAS {
        for field in beta.fields {
            if field.general[at] || brought.contains(&field.path) {
                continue;
            }
            let is_there = remove(body, field.path);
            if is_there && field.without == Without::Refuse {
                let message = format!(
                    "needs the beta `{}`, which this fallback does not have, or which the header `anthropic-beta` does not name",
                    beta.name
                );
                return Err(InvalidRequest::new(field.path.join("."), message));
            }
        }
    }
    Ok(names)
}

/// Removes a field, and says whether it was there.
fn remove(fields: &mut Map<String, Value>, path: &[&str]) -> bool {
    match path {
        [] => false,
        [last] => fields.remove(*last).is_some_and(|value| !value.is_null()),
        [name, "*", rest @ ..] => {
            let elements = fields.get_mut(*name).and_then(Value::as_array_mut);
            let mut is_there = false;
            for element in elements.into_iter().flatten() {
                is_there |= element
                    .as_object_mut()
                    .is_some_and(|element| remove(element, rest));
            }
            is_there
        }
        [name, rest @ ..] => fields
            .get_mut(*name)
            .and_then(Value::as_object_mut)
            .is_some_and(|inner| remove(inner, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowed_fields::{Allowance, check};
    use serde_json::json;

    /// What Claude Code 2.1 sends.
    const CLAUDE_CODE: &str = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,\
                               mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,\
                               advanced-tool-use-2025-11-20, effort-2025-11-24";

    fn body() -> Value {
        json!({
            "context_management": { "edits": [] },
            "output_config": { "effort": "high", "task_budget": { "total": 9 } },
            "thinking": { "type": "adaptive", "block_binding": "x" },
            "tools": [{ "name": "a" }, { "name": "b", "defer_loading": true, "input_examples": [{}] }],
            "system": [{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral", "scope": "global" } }],
            "diagnostics": { "previous_message_id": "msg_1" },
            "messages": [{ "role": "user", "content": "hi" }],
        })
    }

    /// The betas and the body that go on.
    fn allowed(host: ClaudeHost, sent: &str) -> (Vec<&'static str>, Value) {
        let Value::Object(mut body) = body() else {
            panic!("an object")
        };
        let names = allow(host, sent, &mut body).unwrap();
        (names, Value::Object(body))
    }

    #[test]
    fn a_beta_goes_on_with_its_fields_or_neither_does() {
        let all = [
            ClaudeHost::Anthropic,
            ClaudeHost::Vertex,
            ClaudeHost::Bedrock,
        ];
        for host in all {
            let (names, body) = allowed(host, CLAUDE_CODE);
            assert!(names.contains(&"context-management-2025-06-27"), "{host:?}");
            assert!(body["context_management"].is_object(), "{host:?}");
            assert_eq!(body["tools"][1]["defer_loading"], true, "{host:?}");
            let (names, body) = allowed(host, "context-1m-2025-08-07,files-api-2025-04-14,x");
            assert_eq!(names, [""; 0], "{host:?}");
            assert_eq!(body["context_management"], Value::Null, "{host:?}");
            for body in [&body, &allowed(host, CLAUDE_CODE).1] {
                assert_eq!(body["output_config"], json!({ "effort": "high" }));
                assert_eq!(body["thinking"], json!({ "type": "adaptive" }));
                assert_eq!(
                    body["system"][0]["cache_control"],
                    json!({ "type": "ephemeral" })
                );
                assert_eq!(body["diagnostics"], Value::Null);
                assert_eq!(body["messages"][0]["content"], "hi");
            }
        }
    }

    /// The blocks and fields of messages that a beta brings.
    fn brought(name: &str) -> Vec<Value> {
        let tool = json!({ "type": "tool_reference", "name": "f" });
        let addition = json!({ "type": "tool_addition", "tool": tool, "cache_control": null });
        let removal = json!({ "type": "tool_removal", "tool": tool });
        let block = |block: Value| json!({ "role": "user", "content": [block] });
        match name {
            "compact-2026-01-12" | "compact-2026-09-04" => vec![
                block(json!({ "type": "compaction", "content": "summary" })),
                block(json!({
                    "type": "compaction", "content": null, "encrypted_content": "AA", "signature": "AA",
                    "cache_control": { "type": "ephemeral" }, "tool_changes": [addition, removal],
                })),
            ],
            "mid-conversation-tool-changes-2026-07-01" => vec![block(addition), block(removal)],
            "mid-conversation-output-config-2026-07-01" => {
                vec![
                    json!({ "role": "system", "content": "s", "output_config": { "effort": "low" } }),
                ]
            }
            "mid-conversation-system-clear-at-2026-08-21" => {
                vec![json!({ "role": "system", "content": "s", "clear_at": "next_user_message" })]
            }
            "advanced-tool-use-2025-11-20" | TOOL_SEARCH => {
                let result = json!([{ "type": "tool_reference", "tool_name": "f" }]);
                vec![block(
                    json!({ "type": "tool_result", "tool_use_id": "1", "content": result }),
                )]
            }
            "interleaved-thinking-2025-05-14" => {
                vec![block(
                    json!({ "type": "thinking", "thinking": "t", "signature": "AA" }),
                )]
            }
            _ => Vec::new(),
        }
    }

    /// A field at a path. The blocks of a content have a type.
    fn at(path: &[&str]) -> Value {
        match path {
            [] => json!("x"),
            ["content", "*", rest @ ..] => {
                let mut block = at(rest);
                block["type"] = json!("text");
                json!({ "content": [block] })
            }
            ["*", rest @ ..] => json!([at(rest)]),
            [name, rest @ ..] => json!({ *name: at(rest) }),
        }
    }

    #[test]
    fn what_a_beta_that_goes_on_brings_is_listed() {
        let tools = std::collections::BTreeSet::new();
        let allowance = Allowance {
            forbids_store: true,
            listed_only: true,
            tools: &tools,
            remote_content: false,
        };
        for beta in BETAS
            .iter()
            .filter(|beta| beta.names.iter().any(Option::is_some))
        {
            let fields = beta.fields.iter().map(|field| at(field.path));
            let messages = brought(beta.name).into_iter();
            let bodies = fields.chain(messages.map(|message| json!({ "messages": [message] })));
            for body in bodies {
                let checked = check("/v1/messages", body.to_string().as_bytes(), allowance);
                assert!(checked.is_ok(), "{}: {checked:?}: {body}", beta.name);
            }
        }
    }

    #[test]
    fn fields_of_messages_go_with_their_beta() {
        let message = json!({ "role": "system", "content": "s", "output_config": { "effort": "low" }, "clear_at": "never" });
        let sent =
            "mid-conversation-output-config-2026-07-01,mid-conversation-system-clear-at-2026-08-21";
        for (host, sent, goes) in [
            (ClaudeHost::Anthropic, sent, true),
            (ClaudeHost::Anthropic, "", false),
            (ClaudeHost::Vertex, sent, false),
        ] {
            let Value::Object(mut body) = json!({ "messages": [message] }) else {
                panic!("an object")
            };
            allow(host, sent, &mut body).unwrap();
            let message = &body["messages"][0];
            assert_eq!(message["output_config"].is_object(), goes, "{host:?}");
            assert_eq!(message["clear_at"].is_string(), goes, "{host:?}");
        }
    }

    #[test]
    fn hosts_have_names_of_their_own() {
        let (names, body) = allowed(ClaudeHost::Anthropic, CLAUDE_CODE);
        assert!(names.contains(&"advanced-tool-use-2025-11-20") && names.len() == 7);
        assert!(body["tools"][1]["input_examples"].is_array());
        for host in [ClaudeHost::Vertex, ClaudeHost::Bedrock] {
            let (names, body) = allowed(host, CLAUDE_CODE);
            assert!(names.contains(&TOOL_SEARCH), "{names:?}");
            assert!(!names.contains(&"advanced-tool-use-2025-11-20"));
            assert_eq!(body["tools"][1]["input_examples"], Value::Null);
            let (_, body) = allowed(host, "");
            assert_eq!(body["tools"][1], json!({ "name": "b" }));
        }
        let (_, body) = allowed(ClaudeHost::Anthropic, "");
        assert_eq!(body["tools"][1]["defer_loading"], true);
    }

    #[test]
    fn a_field_that_the_answer_depends_on_is_refused() {
        let beta = "structured-outputs-2025-11-13";
        for (host, sent, fields, param) in [
            (
                ClaudeHost::Anthropic,
                beta,
                json!({ "output_format": {} }),
                None,
            ),
            (
                ClaudeHost::Anthropic,
                "",
                json!({ "output_format": {} }),
                Some("output_format"),
            ),
            (
                ClaudeHost::Vertex,
                beta,
                json!({ "output_format": {} }),
                Some("output_format"),
            ),
            (
                ClaudeHost::Anthropic,
                "message-threads-2026-08-12",
                json!({ "thread": {} }),
                Some("thread"),
            ),
            (ClaudeHost::Anthropic, "", json!({ "thread": null }), None),
        ] {
            let Value::Object(mut fields) = fields else {
                panic!("an object")
            };
            let refused = allow(host, sent, &mut fields).err();
            assert_eq!(refused.map(|refused| refused.param).as_deref(), param);
        }
    }
}
