//! `/v1/responses`: the answer, and the least set of events a client needs.

use super::generation::{Events, Finish, Generation, event, quoted};

pub(super) fn response(generation: &Generation<'_>) -> String {
    let status = match generation.finish {
        Finish::Stop => "completed",
        Finish::Length => "incomplete",
        Finish::Abort => "cancelled",
    };
    body(
        generation,
        status,
        &format!("[{}]", item(generation, status, &part(&generation.text()))),
        &usage(generation),
    )
}

pub(super) fn response_events(generation: &Generation<'_>) -> Events {
    let message = format!("msg_{:016x}", generation.id);
    let place = format!(r#""item_id":"{message}","output_index":0,"content_index":0"#);
    let mut events = Numbered(0);
    let opening = opening(generation, &place, &mut events);
    let tokens = (0..generation.tokens)
        .map(|index| {
            let delta = quoted(&generation.token(index));
            let delta = format!(r#"{place},"delta":{delta},"logprobs":[]"#);
            events.next("response.output_text.delta", &delta)
        })
        .collect();
    Events {
        opening,
        tokens,
        closing: closing(generation, &place, &mut events),
        end: None,
    }
}

/// Events, each with its number: how many there are so far.
struct Numbered(usize);

impl Numbered {
    fn next(&mut self, kind: &str, rest: &str) -> String {
        let number = self.0;
        self.0 += 1;
        let data = format!(r#"{{"type":"{kind}","sequence_number":{number},{rest}}}"#);
        event(kind, &data)
    }
}

fn opening(generation: &Generation<'_>, place: &str, events: &mut Numbered) -> Vec<String> {
    let started = body(generation, "in_progress", "[]", "null");
    let started = format!(r#""response":{started}"#);
    let item = item(generation, "in_progress", "");
    let item = format!(r#""output_index":0,"item":{item}"#);
    let part = format!(r#"{place},"part":{}"#, part(""));
    vec![
        events.next("response.created", &started),
        events.next("response.in_progress", &started),
        events.next("response.output_item.added", &item),
        events.next("response.content_part.added", &part),
    ]
}

fn closing(generation: &Generation<'_>, place: &str, events: &mut Numbered) -> Vec<String> {
    let text = generation.text();
    let done = format!(r#"{place},"text":{},"logprobs":[]"#, quoted(&text));
    let item = item(generation, "completed", &part(&text));
    let item = format!(r#""output_index":0,"item":{item}"#);
    let part = format!(r#"{place},"part":{}"#, part(&text));
    let last = if generation.finish == Finish::Length {
        "response.incomplete"
    } else {
        "response.completed"
    };
    vec![
        events.next("response.output_text.done", &done),
        events.next("response.content_part.done", &part),
        events.next("response.output_item.done", &item),
        events.next(last, &format!(r#""response":{}"#, response(generation))),
    ]
}

fn body(generation: &Generation<'_>, status: &str, output: &str, usage: &str) -> String {
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
        id = generation.id,
        created = generation.created,
        status = status,
        details = details,
        model = quoted(generation.model),
        output = output,
        usage = usage,
    )
}

fn item(generation: &Generation<'_>, status: &str, content: &str) -> String {
    format!(
        r#"{{"id":"msg_{:016x}","type":"message","role":"assistant","status":"{status}","content":[{content}]}}"#,
        generation.id
    )
}

fn part(text: &str) -> String {
    format!(
        r#"{{"type":"output_text","text":{},"annotations":[],"logprobs":null}}"#,
        quoted(text)
    )
}

fn usage(generation: &Generation<'_>) -> String {
    format!(
        concat!(
            r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":0}},"#,
            r#""output_tokens":{},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}"#,
        ),
        generation.prompt_tokens,
        generation.tokens,
        generation.total_tokens(),
    )
}
