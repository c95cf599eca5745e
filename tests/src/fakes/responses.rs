//! `/v1/responses`: the answer, and the least set of events a client needs.

use super::generation::{Events, Finish, Generation, event, quoted};

pub(super) fn response(said: &Generation<'_>) -> String {
    let status = match said.finish {
        Finish::Stop => "completed",
        Finish::Length => "incomplete",
        Finish::Abort => "cancelled",
    };
    body(
        said,
        status,
        &format!("[{}]", item(said, status, &part(&said.text()))),
        &usage(said),
    )
}

pub(super) fn response_events(said: &Generation<'_>) -> Events {
    let mut number = 0..;
    let mut numbered = |kind: &str, rest: &str| {
        let number = number.next().unwrap_or_default();
        event(
            kind,
            &format!(r#"{{"type":"{kind}","sequence_number":{number},{rest}}}"#),
        )
    };
    let message = format!("msg_{:016x}", said.id);
    let place = format!(r#""item_id":"{message}","output_index":0,"content_index":0"#);
    let started = format!(r#""response":{}"#, body(said, "in_progress", "[]", "null"));
    let opening = vec![
        numbered("response.created", &started),
        numbered("response.in_progress", &started),
        numbered(
            "response.output_item.added",
            &format!(
                r#""output_index":0,"item":{}"#,
                item(said, "in_progress", "")
            ),
        ),
        numbered(
            "response.content_part.added",
            &format!(r#"{place},"part":{}"#, part("")),
        ),
    ];
    let tokens = (0..said.tokens)
        .map(|index| {
            let delta = quoted(&said.token(index));
            numbered(
                "response.output_text.delta",
                &format!(r#"{place},"delta":{delta},"logprobs":[]"#),
            )
        })
        .collect();
    let text = said.text();
    let last = if said.finish == Finish::Length {
        "response.incomplete"
    } else {
        "response.completed"
    };
    let closing = vec![
        numbered(
            "response.output_text.done",
            &format!(r#"{place},"text":{},"logprobs":[]"#, quoted(&text)),
        ),
        numbered(
            "response.content_part.done",
            &format!(r#"{place},"part":{}"#, part(&text)),
        ),
        numbered(
            "response.output_item.done",
            &format!(
                r#""output_index":0,"item":{}"#,
                item(said, "completed", &part(&text))
            ),
        ),
        numbered(last, &format!(r#""response":{}"#, response(said))),
    ];
    Events {
        opening,
        tokens,
        closing,
        end: None,
    }
}

fn body(said: &Generation<'_>, status: &str, output: &str, usage: &str) -> String {
    let details = if status == "incomplete" {
        r#"{"reason":"max_output_tokens"}"#
    } else {
        "null"
    };
    format!(
        concat!(
            r#"{{"id":"resp_{id:016x}","object":"response","created_at":{created},"status":"{status}","error":null,"#,
            r#""incomplete_details":{details},"instructions":null,"metadata":null,"model":{model},"output":{output},"#,
            r#""parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":{usage}}}"#,
        ),
        id = said.id,
        created = said.created,
        status = status,
        details = details,
        model = quoted(said.model),
        output = output,
        usage = usage,
    )
}

fn item(said: &Generation<'_>, status: &str, content: &str) -> String {
    format!(
        r#"{{"id":"msg_{:016x}","type":"message","role":"assistant","status":"{status}","content":[{content}]}}"#,
        said.id
    )
}

fn part(text: &str) -> String {
    format!(
        r#"{{"type":"output_text","text":{},"annotations":[],"logprobs":null}}"#,
        quoted(text)
    )
}

fn usage(said: &Generation<'_>) -> String {
    format!(
        concat!(
            r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":0}},"#,
            r#""output_tokens":{},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}"#,
        ),
        said.prompt_tokens,
        said.tokens,
        said.total_tokens(),
    )
}
