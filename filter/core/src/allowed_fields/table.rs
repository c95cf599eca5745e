//! The tables: the fields of each API that a server may be given.
//!
//! Sources: OpenAI's references of chat completions, responses, completions, embeddings and speech, and the types of its client (openai
//! 3.52); Anthropic's reference of messages, and the types of its client (anthropic 2.13); the additional parameters of vLLM and SGLang.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anything: the server neither follows nor runs it.
    Any,
    /// A text, a number or a flag. Lists and objects need rows of their own.
    Scalar,
    /// The content itself: a `data:` URL or base64, no other URL.
    Inline,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, or the type of a listed tool.
    Caller(&'static [&'static str]),
    /// `false`.
    Off,
    /// `false`. It is sent also where the caller leaves it out: the provider keeps the conversation by default.
    Store,
    /// A tool of one of these types, which the caller runs. The empty text stands for a tool without a type.
    Tool(&'static [&'static str]),
    /// The same, in a list from which a search of the web is left out.
    Offer(&'static [&'static str]),
    /// A text, or a tool as above.
    Choice(&'static [&'static str]),
    /// An item of a conversation, of one of these types, or what a listed tool has made.
    Item(&'static [&'static str]),
}

use Rule::{Any, Caller, Choice, Inline, Item, Off, Offer, OneOf, Scalar, Store, Tool};

impl Rule {
    /// Whether a value is looked at before it is walked through.
    pub fn needs_raw(self) -> bool {
        matches!(self, Store | Tool(_) | Offer(_) | Choice(_) | Item(_))
    }
}

/// Rules by place. `[]` stands for every element of a list.
pub type Table = BTreeMap<&'static str, Rule>;

/// The table of the API on a path. `None` for a path without one: no fallback has it.
pub fn table(path: &str) -> Option<&'static Table> {
    static CHAT: LazyLock<Table> = LazyLock::new(|| of(&[COMMON_ROWS, CHAT_ROWS]));
    static COMPLETIONS: LazyLock<Table> = LazyLock::new(|| of(&[COMMON_ROWS, COMPLETIONS_ROWS]));
    static RESPONSES: LazyLock<Table> = LazyLock::new(|| of(&[COMMON_ROWS, RESPONSES_ROWS]));
    static EMBEDDINGS: LazyLock<Table> = LazyLock::new(|| of(&[EMBEDDINGS_ROWS]));
    static SPEECH: LazyLock<Table> = LazyLock::new(|| of(&[SPEECH_ROWS]));
    static MESSAGES: LazyLock<Table> = LazyLock::new(|| of(&[MESSAGES_ROWS]));
    match path {
        "/v1/chat/completions" => Some(&CHAT),
        "/v1/completions" => Some(&COMPLETIONS),
        "/v1/responses" => Some(&RESPONSES),
        "/v1/embeddings" => Some(&EMBEDDINGS),
        "/v1/audio/speech" => Some(&SPEECH),
        "/v1/messages" | "/v1/messages/count_tokens" => Some(&MESSAGES),
        _ => None,
    }
}

type Rows = &'static [(&'static str, Rule)];

fn of(rows: &[Rows]) -> Table {
    rows.iter().copied().flatten().copied().collect()
}

/// How long a provider keeps what it has read of a prompt, at least.
const SHORT: Rule = OneOf(&["30m"]);

/// Parameters of sampling and scheduling, of OpenAI's APIs and of the servers that are compatible with them.
const COMMON_ROWS: Rows = &[
    ("add_generation_prompt", Any),
    ("add_special_tokens", Any),
    ("allowed_token_ids", Any),
    ("bad_words", Any),
    ("best_of", Any),
    ("cache_salt", Any),
    ("chat_template_kwargs", Any),
    ("client_metadata", Any),
    ("continue_final_message", Any),
    ("detokenize", Any),
    ("echo", Any),
    ("frequency_penalty", Any),
    ("ignore_eos", Any),
    ("include_reasoning", Any),
    ("include_stop_str_in_output", Any),
    ("length_penalty", Any),
    ("logit_bias", Any),
    ("logprobs", Any),
    ("max_completion_tokens", Any),
    ("max_tokens", Any),
    ("min_p", Any),
    ("min_tokens", Any),
    ("model", Scalar),
    ("n", Any),
    ("parallel_tool_calls", Any),
    ("presence_penalty", Any),
    ("priority", Any),
    ("prompt_cache_key", Scalar),
    ("prompt_cache_options.mode", Scalar),
    ("prompt_cache_options.prewarm", Scalar),
    ("prompt_cache_options.ttl", SHORT),
    ("prompt_cache_retention", OneOf(&["in-memory", "in_memory"])),
    ("prompt_logprobs", Any),
    ("reasoning_effort", Any),
    ("repetition_penalty", Any),
    ("request_id", Scalar),
    ("response_format", Any),
    ("return_token_ids", Any),
    ("return_tokens_as_token_ids", Any),
    ("safety_identifier", Scalar),
    ("seed", Any),
    ("service_tier", Scalar),
    ("skip_special_tokens", Any),
    ("spaces_between_special_tokens", Any),
    ("stop", Any),
    ("stop_token_ids", Any),
    ("stream", Scalar),
    ("stream_options", Any),
    ("structured_outputs", Any),
    ("suffix", Any),
    ("temperature", Any),
    ("thinking", Any),
    ("thinking_token_budget", Any),
    ("top_k", Any),
    ("top_logprobs", Any),
    ("top_p", Any),
    ("truncate_prompt_tokens", Any),
    ("use_beam_search", Any),
    ("user", Scalar),
    ("verbosity", Any),
];

/// Chat Completions. Not listed: `web_search_options`, `metadata`, ids of files and of audio that the provider keeps.
const CHAT_ROWS: Rows = &[
    ("audio.format", Scalar),
    ("audio.voice", Scalar),
    ("function_call", Any),
    ("functions", Any),
    ("messages[].annotations", Any),
    ("messages[].content", Scalar),
    ("messages[].content[]", Scalar),
    ("messages[].content[].audio_url", Inline),
    ("messages[].content[].audio_url.url", Inline),
    ("messages[].content[].cache_control", Any),
    ("messages[].content[].file.file_data", Inline),
    ("messages[].content[].file.filename", Scalar),
    ("messages[].content[].image_url", Inline),
    ("messages[].content[].image_url.detail", Scalar),
    ("messages[].content[].image_url.url", Inline),
    ("messages[].content[].input_audio.data", Inline),
    ("messages[].content[].input_audio.format", Scalar),
    ("messages[].content[].prompt_cache_breakpoint.mode", Scalar),
    ("messages[].content[].prompt_cache_breakpoint.ttl", SHORT),
    ("messages[].content[].refusal", Scalar),
    ("messages[].content[].text", Scalar),
    ("messages[].content[].thinking", Any),
    (
        "messages[].content[].type",
        OneOf(&[
            "audio_url",
            "file",
            "image_url",
            "input_audio",
            "refusal",
            "text",
            "thinking",
            "video_url",
        ]),
    ),
    ("messages[].content[].video_url", Inline),
    ("messages[].content[].video_url.url", Inline),
    ("messages[].function_call.arguments", Scalar),
    ("messages[].function_call.name", Scalar),
    ("messages[].name", Scalar),
    ("messages[].prefix", Scalar),
    ("messages[].reasoning", Scalar),
    ("messages[].reasoning_content", Scalar),
    ("messages[].reasoning_details", Any),
    ("messages[].refusal", Scalar),
    ("messages[].role", Scalar),
    ("messages[].tool_call_id", Scalar),
    ("messages[].tool_calls[].custom.input", Scalar),
    ("messages[].tool_calls[].custom.name", Scalar),
    ("messages[].tool_calls[].function.arguments", Any),
    ("messages[].tool_calls[].function.name", Scalar),
    ("messages[].tool_calls[].id", Scalar),
    ("messages[].tool_calls[].index", Scalar),
    (
        "messages[].tool_calls[].type",
        OneOf(&["custom", "function"]),
    ),
    ("modalities", Any),
    ("prediction", Any),
    ("store", Store),
    (
        "tool_choice",
        Choice(&["allowed_tools", "custom", "function"]),
    ),
    ("tool_choice.allowed_tools.mode", Scalar),
    (
        "tool_choice.allowed_tools.tools[]",
        Tool(&["custom", "function"]),
    ),
    ("tool_choice.allowed_tools.tools[].custom", Any),
    ("tool_choice.allowed_tools.tools[].function", Any),
    ("tool_choice.allowed_tools.tools[].type", Scalar),
    ("tool_choice.custom.name", Scalar),
    ("tool_choice.function.name", Scalar),
    ("tool_choice.type", Scalar),
    ("tools[]", Offer(&["custom", "function"])),
    ("tools[].cache_control", Any),
    ("tools[].custom", Any),
    ("tools[].function", Any),
    ("tools[].type", Scalar),
];

const COMPLETIONS_ROWS: Rows = &[
    ("prompt", Scalar),
    ("prompt[]", Scalar),
    ("prompt[][]", Scalar),
    ("store", Off),
];

/// What calls a tool: the model itself.
const DIRECT: &[&str] = &["direct"];

/// Responses. Not listed: `background`, `conversation`, `previous_response_id` and `prompt`, which the provider keeps; ids and URLs of
/// files; items and tools of the provider's own.
const RESPONSES_ROWS: Rows = &[
    ("background", Off),
    ("include", Any),
    ("image.context_compression", Scalar),
    ("input", Scalar),
    (
        "input[]",
        Item(&[
            "custom_tool_call",
            "custom_tool_call_output",
            "function_call",
            "function_call_output",
            "message",
            "reasoning",
        ]),
    ),
    ("input[].arguments", Any),
    ("input[].async", Scalar),
    ("input[].call_id", Scalar),
    ("input[].caller.caller_id", Scalar),
    ("input[].caller.type", Caller(DIRECT)),
    ("input[].content", Scalar),
    ("input[].content[].annotations", Any),
    ("input[].content[].detail", Scalar),
    ("input[].content[].file_data", Inline),
    ("input[].content[].file_url", Inline),
    ("input[].content[].filename", Scalar),
    ("input[].content[].image_url", Inline),
    ("input[].content[].input_audio.data", Inline),
    ("input[].content[].input_audio.format", Scalar),
    ("input[].content[].logprobs", Any),
    ("input[].content[].prompt_cache_breakpoint.mode", Scalar),
    ("input[].content[].prompt_cache_breakpoint.ttl", SHORT),
    ("input[].content[].refusal", Scalar),
    ("input[].content[].text", Scalar),
    (
        "input[].content[].type",
        OneOf(&[
            "input_audio",
            "input_file",
            "input_image",
            "input_text",
            "output_text",
            "reasoning_text",
            "refusal",
            "summary_text",
            "text",
        ]),
    ),
    ("input[].encrypted_content", Scalar),
    ("input[].id", Scalar),
    ("input[].input", Scalar),
    ("input[].name", Scalar),
    ("input[].namespace", Scalar),
    ("input[].output", Scalar),
    ("input[].output[].detail", Scalar),
    ("input[].output[].file_data", Inline),
    ("input[].output[].file_url", Inline),
    ("input[].output[].filename", Scalar),
    ("input[].output[].image_url", Inline),
    ("input[].output[].prompt_cache_breakpoint.mode", Scalar),
    ("input[].output[].prompt_cache_breakpoint.ttl", SHORT),
    ("input[].output[].text", Scalar),
    (
        "input[].output[].type",
        OneOf(&[
            "input_file",
            "input_image",
            "input_text",
            "output_text",
            "text",
        ]),
    ),
    ("input[].phase", Scalar),
    ("input[].role", Scalar),
    ("input[].status", Scalar),
    ("input[].summary", Any),
    ("input[].type", Scalar),
    ("instructions", Scalar),
    ("max_output_tokens", Any),
    ("max_tool_calls", Any),
    ("reasoning", Any),
    ("store", Store),
    ("text", Any),
    (
        "tool_choice",
        Choice(&["allowed_tools", "custom", "function"]),
    ),
    ("tool_choice.mode", Scalar),
    ("tool_choice.name", Scalar),
    ("tool_choice.tools[]", Tool(&["custom", "function"])),
    ("tool_choice.tools[].name", Scalar),
    ("tool_choice.tools[].type", Scalar),
    ("tool_choice.type", Scalar),
    ("tools[]", Offer(&["custom", "function", "namespace"])),
    ("tools[].allowed_callers[]", Caller(DIRECT)),
    ("tools[].async", Scalar),
    ("tools[].defer_loading", Scalar),
    ("tools[].description", Scalar),
    ("tools[].format", Any),
    ("tools[].name", Scalar),
    ("tools[].output_schema", Any),
    ("tools[].parameters", Any),
    ("tools[].strict", Scalar),
    ("tools[].tools[]", Tool(&["custom", "function"])),
    ("tools[].tools[].allowed_callers[]", Caller(DIRECT)),
    ("tools[].tools[].async", Scalar),
    ("tools[].tools[].defer_loading", Scalar),
    ("tools[].tools[].description", Scalar),
    ("tools[].tools[].format", Any),
    ("tools[].tools[].name", Scalar),
    ("tools[].tools[].output_schema", Any),
    ("tools[].tools[].parameters", Any),
    ("tools[].tools[].strict", Scalar),
    ("tools[].tools[].type", Scalar),
    ("tools[].type", Scalar),
    ("truncation", Scalar),
];

/// Embeddings. vLLM takes the messages of a chat as well.
const EMBEDDINGS_ROWS: Rows = &[
    ("dimensions", Scalar),
    ("encoding_format", Scalar),
    ("input", Scalar),
    ("input[]", Scalar),
    ("input[][]", Scalar),
    ("messages[].content", Scalar),
    ("messages[].content[].image_url", Inline),
    ("messages[].content[].image_url.url", Inline),
    ("messages[].content[].text", Scalar),
    ("messages[].content[].type", OneOf(&["image_url", "text"])),
    ("messages[].role", Scalar),
    ("model", Scalar),
    ("truncate_prompt_tokens", Scalar),
    ("user", Scalar),
];

const SPEECH_ROWS: Rows = &[
    ("input", Scalar),
    ("instructions", Scalar),
    ("model", Scalar),
    ("response_format", Scalar),
    ("speed", Scalar),
    ("stream_format", Scalar),
    ("voice", Scalar),
];

/// Types of content of Anthropic's API.
const BLOCKS: &[&str] = &[
    "browser_state",
    "compaction",
    "document",
    "image",
    "redacted_thinking",
    "search_result",
    "text",
    "thinking",
    "tool_addition",
    "tool_reference",
    "tool_removal",
    "tool_result",
    "tool_use",
];

/// Where the content of an image or a document is. A URL has a row of its own.
const SOURCES: Rule = OneOf(&["base64", "content", "text", "url"]);

/// A tool that is added or removed in the middle of a conversation: one of the list `tools`.
const REFERENCES: Rule = OneOf(&["tool_reference"]);

/// Tools of Anthropic's API that the caller runs. The empty text stands for a tool without a type.
const RUN_BY_CALLER: &[&str] = &[
    "",
    "bash_20241022",
    "bash_20250124",
    "browser_toolset_20260801",
    "computer_20241022",
    "computer_20250124",
    "computer_20251124",
    "computer_toolset_20260801",
    "custom",
    "memory_20250818",
    "text_editor_20241022",
    "text_editor_20250124",
    "text_editor_20250429",
    "text_editor_20250728",
];

/// Messages. Not listed: `mcp_servers`, `container` and `fallbacks`, ids of files, blocks and tools of the provider's own.
const MESSAGES_ROWS: Rows = &[
    ("anthropic_beta", Any),
    ("billing_policy", Any),
    ("cache_control", Any),
    ("compaction", Any),
    ("context_management", Any),
    ("diagnostics", Any),
    ("fallback_credit_token", Any),
    ("inference_geo", Any),
    ("max_tokens", Any),
    ("messages[].clear_at", Scalar),
    ("messages[].content", Scalar),
    ("messages[].content[]", Item(BLOCKS)),
    ("messages[].content[].cache_control", Any),
    ("messages[].content[].caller.tool_id", Scalar),
    ("messages[].content[].caller.type", Caller(DIRECT)),
    ("messages[].content[].citations", Any),
    ("messages[].content[].content", Scalar),
    ("messages[].content[].content[].cache_control", Any),
    ("messages[].content[].content[].citations", Any),
    ("messages[].content[].content[].content[].text", Scalar),
    (
        "messages[].content[].content[].content[].type",
        OneOf(&["text"]),
    ),
    ("messages[].content[].content[].context", Scalar),
    ("messages[].content[].content[].source", Scalar),
    ("messages[].content[].content[].source.content", Scalar),
    (
        "messages[].content[].content[].source.content[].cache_control",
        Any,
    ),
    (
        "messages[].content[].content[].source.content[].source.data",
        Scalar,
    ),
    (
        "messages[].content[].content[].source.content[].source.media_type",
        Scalar,
    ),
    (
        "messages[].content[].content[].source.content[].source.type",
        SOURCES,
    ),
    (
        "messages[].content[].content[].source.content[].source.url",
        Inline,
    ),
    (
        "messages[].content[].content[].source.content[].text",
        Scalar,
    ),
    (
        "messages[].content[].content[].source.content[].type",
        OneOf(BLOCKS),
    ),
    ("messages[].content[].content[].source.data", Scalar),
    ("messages[].content[].content[].source.media_type", Scalar),
    ("messages[].content[].content[].source.type", SOURCES),
    ("messages[].content[].content[].source.url", Inline),
    ("messages[].content[].content[].state_changes", Any),
    ("messages[].content[].content[].tabs", Any),
    ("messages[].content[].content[].text", Scalar),
    ("messages[].content[].content[].title", Scalar),
    ("messages[].content[].content[].tool_name", Scalar),
    ("messages[].content[].content[].transformations", Any),
    ("messages[].content[].content[].type", OneOf(BLOCKS)),
    ("messages[].content[].context", Scalar),
    ("messages[].content[].data", Scalar),
    ("messages[].content[].encrypted_content", Scalar),
    ("messages[].content[].id", Scalar),
    ("messages[].content[].input", Any),
    ("messages[].content[].is_error", Scalar),
    ("messages[].content[].name", Scalar),
    ("messages[].content[].signature", Scalar),
    ("messages[].content[].source", Scalar),
    ("messages[].content[].source.content", Scalar),
    ("messages[].content[].source.content[].cache_control", Any),
    ("messages[].content[].source.content[].source.data", Scalar),
    (
        "messages[].content[].source.content[].source.media_type",
        Scalar,
    ),
    ("messages[].content[].source.content[].source.type", SOURCES),
    ("messages[].content[].source.content[].source.url", Inline),
    ("messages[].content[].source.content[].text", Scalar),
    ("messages[].content[].source.content[].type", OneOf(BLOCKS)),
    ("messages[].content[].source.data", Scalar),
    ("messages[].content[].source.media_type", Scalar),
    ("messages[].content[].source.type", SOURCES),
    ("messages[].content[].source.url", Inline),
    ("messages[].content[].text", Scalar),
    ("messages[].content[].thinking", Scalar),
    ("messages[].content[].title", Scalar),
    ("messages[].content[].tool.name", Scalar),
    ("messages[].content[].tool.type", REFERENCES),
    ("messages[].content[].tool_changes[].cache_control", Any),
    ("messages[].content[].tool_changes[].tool.name", Scalar),
    ("messages[].content[].tool_changes[].tool.type", REFERENCES),
    (
        "messages[].content[].tool_changes[].type",
        OneOf(&["tool_addition", "tool_removal"]),
    ),
    ("messages[].content[].tool_use_id", Scalar),
    ("messages[].content[].toolset_name", Scalar),
    ("messages[].content[].transformations", Any),
    ("messages[].content[].type", Scalar),
    ("messages[].output_config", Any),
    ("messages[].role", Scalar),
    ("metadata.user_id", Scalar),
    ("model", Scalar),
    ("output_config", Any),
    ("output_format", Any),
    ("service_tier", Any),
    ("speed", Any),
    ("stop_sequences", Any),
    ("stream", Scalar),
    ("system", Scalar),
    ("system[].cache_control", Any),
    ("system[].citations", Any),
    ("system[].text", Scalar),
    ("system[].type", OneOf(&["text"])),
    ("temperature", Any),
    ("thinking", Any),
    ("thread", Any),
    ("tool_choice.disable_parallel_tool_use", Scalar),
    ("tool_choice.name", Scalar),
    ("tool_choice.type", Scalar),
    ("tools[]", Tool(RUN_BY_CALLER)),
    ("tools[].allowed_callers", Any),
    ("tools[].cache_control", Any),
    ("tools[].configs", Any),
    ("tools[].defer_loading", Any),
    ("tools[].description", Scalar),
    ("tools[].display_height_px", Scalar),
    ("tools[].display_number", Scalar),
    ("tools[].display_width_px", Scalar),
    ("tools[].eager_input_streaming", Any),
    ("tools[].enable_zoom", Scalar),
    ("tools[].input_examples", Any),
    ("tools[].input_schema", Any),
    ("tools[].max_characters", Scalar),
    ("tools[].name", Scalar),
    ("tools[].strict", Scalar),
    ("tools[].type", Scalar),
    ("top_k", Any),
    ("top_p", Any),
    ("user_profile_id", Any),
    ("workspace_id", Any),
];
