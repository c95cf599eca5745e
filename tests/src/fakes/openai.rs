//! Chat completions, completions and the list of models.

use super::generation::{Events, Generation, data, quoted};

const DONE: &str = "data: [DONE]\n\n";

pub(super) fn chat(generation: &Generation<'_>) -> String {
    format!(
        concat!(
            r#"{{"id":"chatcmpl-{id:016x}","object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"#,
            r#""message":{{"role":"assistant","content":{text},"refusal":null,"annotations":null,"audio":null,"#,
            r#""function_call":null,"reasoning":null}},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"#,
            r#""token_ids":null,"routed_experts":null}}],"service_tier":null,"system_fingerprint":{fingerprint},"#,
            r#""usage":{usage},"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,"#,
            r#""kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}}"#,
        ),
        id = generation.id,
        created = generation.created,
        model = quoted(generation.model),
        text = quoted(&generation.text()),
        finish = generation.finish.openai(),
        fingerprint = generation.fingerprint(),
        usage = usage(generation),
    )
}

pub(super) fn chat_events(generation: &Generation<'_>) -> Events {
    let role = r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}"#;
    let opening = chunk(
        generation,
        "chatcmpl",
        "chat.completion.chunk",
        role,
        r#","prompt_token_ids":null,"prompt_text":null"#,
    );
    let tokens = (0..generation.tokens).map(|index| {
        let delta = format!(
            r#""delta":{{"content":{}}}"#,
            quoted(&generation.token(index))
        );
        token(
            generation,
            "chatcmpl",
            "chat.completion.chunk",
            &delta,
            index,
        )
    });
    Events {
        opening: vec![opening],
        tokens: tokens.collect(),
        closing: closing(generation, "chatcmpl", "chat.completion.chunk"),
        end: Some(DONE.to_owned()),
    }
}

pub(super) fn completion(generation: &Generation<'_>) -> String {
    format!(
        concat!(
            r#"{{"id":"cmpl-{id:016x}","object":"text_completion","created":{created},"model":{model},"choices":[{{"index":0,"#,
            r#""text":{text},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null,"#,
            r#""prompt_logprobs":null,"prompt_token_ids":null,"routed_experts":null}}],"service_tier":null,"#,
            r#""system_fingerprint":{fingerprint},"usage":{usage},"#,
            r#""kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}}"#,
        ),
        id = generation.id,
        created = generation.created,
        model = quoted(generation.model),
        text = quoted(&generation.text()),
        finish = generation.finish.openai(),
        fingerprint = generation.fingerprint(),
        usage = usage(generation),
    )
}

pub(super) fn completion_events(generation: &Generation<'_>) -> Events {
    let tokens = (0..generation.tokens).map(|index| {
        let text = format!(r#""text":{}"#, quoted(&generation.token(index)));
        token(generation, "cmpl", "text_completion", &text, index)
    });
    Events {
        opening: Vec::new(),
        tokens: tokens.collect(),
        closing: closing(generation, "cmpl", "text_completion"),
        end: Some(DONE.to_owned()),
    }
}

/// The chunk of one token. The last one tells why the answer ended and, unless a usage chunk follows, who answered.
fn token(
    generation: &Generation<'_>,
    prefix: &str,
    object: &str,
    text: &str,
    index: usize,
) -> String {
    let last = generation.is_last(index);
    let finish = if last {
        format!(r#""{}","stop_reason":null"#, generation.finish.openai())
    } else {
        "null".to_owned()
    };
    let choice = format!(
        r#"{{"index":0,{text},"logprobs":null,"finish_reason":{finish},"token_ids":null}}"#
    );
    let rest = if last && !generation.include_usage {
        format!(r#","system_fingerprint":{}"#, generation.fingerprint())
    } else {
        String::new()
    };
    chunk(generation, prefix, object, &choice, &rest)
}

fn closing(generation: &Generation<'_>, prefix: &str, object: &str) -> Vec<String> {
    let mut closing = Vec::new();
    if generation.include_usage {
        let rest = format!(
            r#","usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{}}},"system_fingerprint":{}"#,
            generation.prompt_tokens,
            generation.total_tokens(),
            generation.tokens,
            generation.fingerprint(),
        );
        closing.push(chunk(generation, prefix, object, "", &rest));
    }
    closing.push(DONE.to_owned());
    closing
}

fn chunk(
    generation: &Generation<'_>,
    prefix: &str,
    object: &str,
    choice: &str,
    rest: &str,
) -> String {
    data(&format!(
        r#"{{"id":"{prefix}-{:016x}","object":"{object}","created":{},"model":{},"choices":[{choice}]{rest}}}"#,
        generation.id,
        generation.created,
        quoted(generation.model),
    ))
}

fn usage(generation: &Generation<'_>) -> String {
    format!(
        r#"{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{},"prompt_tokens_details":null,"completion_tokens_details":null}}"#,
        generation.prompt_tokens,
        generation.total_tokens(),
        generation.tokens,
    )
}

/// One entry of `/v1/models`; `created` in Unix seconds.
pub(super) fn model(id: &str, created: u64, owner: &str) -> String {
    format!(
        concat!(
            r#"{{"id":{id},"object":"model","created":{created},"owned_by":"{owner}","root":{id},"parent":null,"max_model_len":32768,"#,
            r#""permission":[{{"id":"modelperm-{created:016x}","object":"model_permission","created":{created},"#,
            r#""allow_create_engine":false,"allow_sampling":true,"allow_logprobs":true,"allow_search_indices":false,"#,
            r#""allow_view":true,"allow_fine_tuning":false,"organization":"*","group":null,"is_blocking":false}}]}}"#,
        ),
        id = quoted(id),
        created = created,
        owner = owner,
    )
}
