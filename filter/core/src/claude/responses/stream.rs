//! Translates a streamed response into the events of the Responses API.

use super::super::chat::{Delta, Event};
use super::super::completion::Block;
use super::super::error::Error;
use super::super::usage::Usage;
use super::Echo;
use super::answer::{Head, Item, State, custom_input, summary_part, text_part};
use serde_json::{Value, json};
use std::rc::Rc;

/// Translates Claude's events as they arrive. It keeps the output: the last event repeats it.
#[derive(Debug)]
pub struct Responses {
    echo: Rc<Echo>,
    /// Seconds since the Unix epoch.
    created: u64,
    head: Head,
    /// The number of the next event.
    sequence_number: u64,
    /// The item that is growing.
    item: Option<Item>,
    /// The items that are complete.
    output: Vec<Value>,
    stop_reason: String,
    /// The stream has ended: further events are dropped.
    is_over: bool,
}

impl Responses {
    /// Starts a response. `created`: seconds since the Unix epoch.
    pub fn new(created: u64, echo: Rc<Echo>) -> Self {
        Self {
            echo,
            created,
            head: Head::default(),
            sequence_number: 0,
            item: None,
            output: Vec::new(),
            stop_reason: String::new(),
            is_over: false,
        }
    }

    /// Reads the next event, and appends the events for the caller. `event`: `None` if it is invalid or too large; `usage`: the
    /// usage so far. A failed response ends with `response.failed`. A response that breaks off has no end.
    pub(in super::super) fn read(&mut self, event: Option<Event>, usage: &Usage, out: &mut String) {
        if self.is_over {
            return;
        }
        match event {
            Some(Event::MessageStart { message }) => {
                self.head = Head::new(&message.id, message.model, self.created);
                for kind in ["response.created", "response.in_progress"] {
                    self.response(kind, &State::InProgress, Value::Null, out);
                }
            }
            Some(Event::ContentBlockStart { content_block }) => self.begin(content_block, out),
            Some(Event::ContentBlockDelta { delta }) => self.delta(delta, out),
            Some(Event::ContentBlockStop) => self.finish(out),
            Some(Event::MessageDelta { delta, .. }) => {
                self.stop_reason = delta.stop_reason.unwrap_or_default();
            }
            Some(Event::MessageStop) => self.end(State::of(&self.stop_reason), usage, out),
            Some(Event::Error { error }) => self.fail(&error, usage, out),
            Some(Event::Other) => {}
            None => self.fail(&Error::unreadable(), usage, out),
        }
    }

    fn begin(&mut self, block: Block, out: &mut String) {
        let (item, text) = match block {
            Block::Text { text } => (
                Item::Message {
                    text: String::new(),
                },
                text,
            ),
            Block::Thinking { thinking } => (
                Item::Reasoning {
                    text: String::new(),
                },
                thinking,
            ),
            // The input comes in deltas.
            Block::ToolUse { id, name, input: _ } => {
                let item = Item::Call {
                    call_id: id,
                    tool: self.echo.tools.callers(&name),
                    arguments: String::new(),
                };
                (item, String::new())
            }
            Block::Other => return,
        };
        let added = item.json(&self.item_id(&item), "in_progress");
        self.event(
            "response.output_item.added",
            json!({ "output_index": self.output.len(), "item": added }),
            out,
        );
        if let Item::Message { .. } = item {
            let part = json!({ "content_index": 0, "part": text_part("") });
            self.item_event("response.content_part.added", &item, part, out);
        }
        self.item = Some(item);
        self.grow(&text, out);
    }

    fn delta(&mut self, delta: Delta, out: &mut String) {
        match (&self.item, delta) {
            (Some(Item::Message { .. }), Delta::Text { text })
            | (Some(Item::Reasoning { .. }), Delta::Thinking { thinking: text })
            | (Some(Item::Call { .. }), Delta::InputJson { partial_json: text }) => {
                self.grow(&text, out);
            }
            _ => {}
        }
    }

    /// Adds text to the item.
    fn grow(&mut self, more: &str, out: &mut String) {
        if more.is_empty() {
            return;
        }
        let Some(mut item) = self.item.take() else {
            return;
        };
        match &mut item {
            Item::Message { text } => {
                text.push_str(more);
                let delta = json!({ "content_index": 0, "delta": more, "logprobs": [] });
                self.item_event("response.output_text.delta", &item, delta, out);
            }
            Item::Reasoning { text } => {
                let is_first = text.is_empty();
                text.push_str(more);
                if is_first {
                    let part = json!({ "summary_index": 0, "part": summary_part("") });
                    self.item_event("response.reasoning_summary_part.added", &item, part, out);
                }
                let delta = json!({ "summary_index": 0, "delta": more });
                self.item_event("response.reasoning_summary_text.delta", &item, delta, out);
            }
            Item::Call {
                tool, arguments, ..
            } => {
                arguments.push_str(more);
                // The text of a custom tool is known once the arguments are complete.
                if !tool.is_custom {
                    let delta = json!({ "delta": more });
                    let kind = "response.function_call_arguments.delta";
                    self.item_event(kind, &item, delta, out);
                }
            }
        }
        self.item = Some(item);
    }

    /// The item is complete.
    fn finish(&mut self, out: &mut String) {
        let Some(mut item) = self.item.take() else {
            return;
        };
        match &mut item {
            Item::Message { text } => {
                let (done, part) = (
                    json!({ "content_index": 0, "text": text, "logprobs": [] }),
                    json!({ "content_index": 0, "part": text_part(text) }),
                );
                self.item_event("response.output_text.done", &item, done, out);
                self.item_event("response.content_part.done", &item, part, out);
            }
            Item::Reasoning { text } if text.is_empty() => {}
            Item::Reasoning { text } => {
                let (done, part) = (
                    json!({ "summary_index": 0, "text": text }),
                    json!({ "summary_index": 0, "part": summary_part(text) }),
                );
                self.item_event("response.reasoning_summary_text.done", &item, done, out);
                self.item_event("response.reasoning_summary_part.done", &item, part, out);
            }
            Item::Call {
                tool, arguments, ..
            } if tool.is_custom => {
                let input = custom_input(arguments);
                let (delta, done) = (json!({ "delta": input }), json!({ "input": input }));
                self.item_event("response.custom_tool_call_input.delta", &item, delta, out);
                self.item_event("response.custom_tool_call_input.done", &item, done, out);
            }
            Item::Call {
                tool, arguments, ..
            } => {
                // A tool call without arguments has an empty object.
                let is_empty = arguments.is_empty();
                if is_empty {
                    arguments.push_str("{}");
                }
                let done = json!({ "name": tool.name, "arguments": arguments });
                if is_empty {
                    let delta = json!({ "delta": "{}" });
                    self.item_event("response.function_call_arguments.delta", &item, delta, out);
                }
                self.item_event("response.function_call_arguments.done", &item, done, out);
            }
        }
        let done = item.json(&self.item_id(&item), "completed");
        let fields = json!({ "output_index": self.output.len(), "item": done });
        self.event("response.output_item.done", fields, out);
        self.output.push(done);
    }

    fn fail(&mut self, error: &Error, usage: &Usage, out: &mut String) {
        let (code, message) = error.responses();
        self.end(State::Failed(code, message), usage, out);
    }

    fn end(&mut self, state: State, usage: &Usage, out: &mut String) {
        self.is_over = true;
        self.response(state.event(), &state, usage.responses(), out);
    }

    fn item_id(&self, item: &Item) -> String {
        self.head.item_id(item.prefix(), self.output.len())
    }

    /// An event with the response object.
    fn response(&mut self, kind: &str, state: &State, usage: Value, out: &mut String) {
        let response = self.head.response(&self.echo, state, &self.output, usage);
        self.event(kind, json!({ "response": response }), out);
    }

    /// An event about the item that is growing.
    fn item_event(&mut self, kind: &str, item: &Item, mut fields: Value, out: &mut String) {
        fields["item_id"] = json!(self.item_id(item));
        fields["output_index"] = json!(self.output.len());
        self.event(kind, fields, out);
    }

    fn event(&mut self, kind: &str, mut fields: Value, out: &mut String) {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.sequence_number);
        self.sequence_number += 1;
        out.push_str(&format!("event: {kind}\ndata: {fields}\n\n"));
    }
}
