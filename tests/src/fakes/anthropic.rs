//! `/v1/messages`, which vLLM serves too.

use super::generation::{Events, Finish, Generation, event, quoted};

pub(super) fn message(generation: &Generation<'_>) -> String {
    format!(
        concat!(
            r#"{{"id":"msg_{id:016x}","type":"message","role":"assistant","content":[{{"type":"text","text":{text}}}],"#,
            r#""model":{model},"stop_reason":"{stop}","stop_sequence":null,"#,
            r#""usage":{{"input_tokens":{input},"output_tokens":{output}}}}}"#,
        ),
        id = generation.id,
        text = quoted(&generation.text()),
        model = quoted(generation.model),
        stop = stop_reason(generation.finish),
        input = generation.prompt_tokens,
        output = generation.tokens,
    )
}

pub(super) fn message_events(generation: &Generation<'_>) -> Events {
    let start = format!(
        concat!(
            r#"{{"type":"message_start","message":{{"id":"msg_{id:016x}","type":"message","role":"assistant","content":[],"#,
            r#""model":{model},"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{input},"output_tokens":0}}}}}}"#,
        ),
        id = generation.id,
        model = quoted(generation.model),
        input = generation.prompt_tokens,
    );
    let tokens = (0..generation.tokens).map(|index| {
        let text = quoted(&generation.token(index));
        let delta = format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{text}}}}}"#);
        event("content_block_delta", &delta)
    });
    let end = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{{"input_tokens":{},"output_tokens":{}}}}}"#,
        stop_reason(generation.finish),
        generation.prompt_tokens,
        generation.tokens,
    );
    Events {
        opening: vec![
            event("message_start", &start),
            event(
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            ),
        ],
        tokens: tokens.collect(),
        closing: vec![
            event(
                "content_block_stop",
                r#"{"type":"content_block_stop","index":0}"#,
            ),
            event("message_delta", &end),
            event("message_stop", r#"{"type":"message_stop"}"#),
        ],
        end: None,
    }
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Abort => "abort",
    }
}
