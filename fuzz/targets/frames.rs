//! The reader of AWS's event stream: any bytes, and any payloads in frames that are right.
#![no_main]

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use libfuzzer_sys::fuzz_target;
use meridian_filter_core::claude::CallerApi;
use meridian_fuzz::{assert_chunks, parts, passed, pieces};
use meridian_policy::egress_policy::ClaudeHost;

/// Lines as the payloads of frames of a kind that their first byte tells.
fn framed(lines: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let (kind, payload) = line.split_first().unwrap_or((&0, line));
        let headers = match kind % 4 {
            0 | 1 => [(":message-type", "event"), (":event-type", "chunk")],
            2 => [
                (":message-type", "exception"),
                (":exception-type", "throttlingException"),
            ],
            _ => [
                (":message-type", "error"),
                (":error-code", "internalServerException"),
            ],
        };
        let mut message = Message::new(payload.to_vec());
        for (name, value) in headers {
            message = message.add_header(Header::new(name, HeaderValue::String(value.into())));
        }
        write_message_to(&message, &mut frames).expect("a short frame can be written");
    }
    frames
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, cuts, rest)) = parts(input) else {
        return;
    };
    let chat = CallerApi::Chat {
        include_usage: choice & 2 == 0,
    };
    let framed = (choice & 1 == 0).then(|| framed(rest));
    let stream = framed.as_deref().unwrap_or(rest);
    let cuts = cuts.map(|cut| {
        if rest.is_empty() {
            0
        } else {
            cut * stream.len() / rest.len()
        }
    });
    for caller in [CallerApi::Messages, chat.clone()] {
        let (whole, usage) = passed(ClaudeHost::Bedrock, caller.clone(), [stream]);
        assert_eq!(
            passed(ClaudeHost::Bedrock, caller.clone(), pieces(cuts, stream)),
            (whole.clone(), usage)
        );
        if caller == chat {
            assert_chunks(&whole);
        }
    }
});
