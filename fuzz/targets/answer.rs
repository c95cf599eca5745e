//! Claude's answers on their way to a chat, whole and streamed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_filter_core::claude::{CallerApi, ResponseContext};
use meridian_fuzz::{assert_chunks, parts, passed, pieces};
use meridian_policy::egress_policy::ClaudeHost;

fuzz_target!(|input: &[u8]| {
    let Some((choice, cuts, body)) = parts(input) else {
        return;
    };
    let caller = CallerApi::Chat {
        include_usage: choice & 1 == 0,
    };
    let (whole, usage) = passed(ClaudeHost::Anthropic, caller.clone(), [body]);
    assert_chunks(&whole);
    assert_eq!(
        passed(ClaudeHost::Anthropic, caller.clone(), pieces(cuts, body)),
        (whole, usage.clone())
    );
    // What a caller gets as it is tells the same.
    let (as_it_is, native) = passed(
        ClaudeHost::Anthropic,
        CallerApi::Messages,
        pieces(cuts, body),
    );
    assert_eq!(as_it_is, body);
    assert_eq!(native, usage);
    let statuses = [200, 400, 404, 429, 500, 503, 529];
    let status = statuses[usize::from(choice) % statuses.len()];
    for host in [ClaudeHost::Anthropic, ClaudeHost::Bedrock] {
        let back = ResponseContext {
            host,
            caller: caller.clone(),
            stream: false,
        };
        let answer = back.whole(status, "", body, 0);
        let made = answer.body.expect("a chat's answer is made");
        assert_eq!(
            answer.status == 200,
            made["choices"][0]["message"].is_object()
        );
        assert_eq!(answer.status != 200, made["error"]["message"].is_string());
    }
});
