//! All refusals: status, headers and body, in the shape of the request's API.

use super::decisions::{
    ANTHROPIC, CHAT, DE, MESSAGES, US, admit, admitted, answered, check, decide, nothing_for_eea,
};
use meridian_fixtures::fleets::{LLAMA, MISTRAL, example};
use meridian_policy::fleet::UnknownZone;
use serde_json::{Value, json};

pub(super) fn openai(message: &str, kind: &str, param: Value, code: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}

pub(super) fn anthropic(message: &str, kind: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}

#[test]
fn unknown_paths() {
    let message = "No inference API has this path.";
    let (_, admission) = admit(&example(), "us-west-2", "POST", "/v1/files", &[US]);
    let body = openai(
        message,
        "invalid_request_error",
        Value::Null,
        "unknown_path",
    );
    check(&answered(admission), 404, &[], "refused=unknown_path", body);
    let (_, admission) = admit(&example(), "us-west-2", "GET", "/", &[US, ANTHROPIC]);
    let body = anthropic(message, "not_found_error");
    check(&answered(admission), 404, &[], "refused=unknown_path", body);
}

#[test]
fn wrong_methods() {
    let decision = "refused=method_not_allowed";
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "post", ""] {
        let (_, admission) = admit(&example(), "us-west-2", method, CHAT, &[US]);
        let message = "This path takes POST requests only.";
        let body = openai(
            message,
            "invalid_request_error",
            Value::Null,
            "method_not_allowed",
        );
        check(
            &answered(admission),
            405,
            &[("allow", "POST")],
            decision,
            body,
        );
    }
    let (_, admission) = admit(&example(), "us-west-2", "GET", MESSAGES, &[US]);
    let body = anthropic(
        "This path takes POST requests only.",
        "invalid_request_error",
    );
    check(
        &answered(admission),
        405,
        &[("allow", "POST")],
        decision,
        body,
    );
    let (_, admission) = admit(
        &example(),
        "us-west-2",
        "DELETE",
        "/v1/models/m",
        &[US, ANTHROPIC],
    );
    let body = anthropic(
        "This path takes GET requests only.",
        "invalid_request_error",
    );
    check(
        &answered(admission),
        405,
        &[("allow", "GET")],
        decision,
        body,
    );
}

#[test]
fn unknown_zones() {
    let mut fleet = example();
    fleet.unknown_zone = UnknownZone::Refuse;
    let message =
        "The caller's residency zone is not known, and this gateway refuses such callers.";
    let (_, admission) = admit(&fleet, "us-west-2", "POST", CHAT, &[]);
    let body = openai(
        message,
        "invalid_request_error",
        Value::Null,
        "unknown_zone",
    );
    check(&answered(admission), 403, &[], "refused=unknown_zone", body);
    let (_, admission) = admit(
        &fleet,
        "us-west-2",
        "POST",
        MESSAGES,
        &[("cf-ipcountry", "XX")],
    );
    let body = anthropic(message, "permission_error");
    check(&answered(admission), 403, &[], "refused=unknown_zone", body);
    let (_, admission) = admit(&fleet, "us-west-2", "GET", "/v1/models", &[]);
    assert_eq!(
        answered(admission).status,
        403,
        "not even the list of models"
    );
}

#[test]
fn encoded_bodies() {
    let message = |encoding: &str| {
        format!("The request body has the content encoding `{encoding}`; send it without one.")
    };
    let decision = "refused=unsupported_encoding";
    for encoding in ["gzip", "identity, gzip", "br"] {
        let header = ("content-encoding", encoding);
        let (_, admission) = admit(&example(), "us-west-2", "POST", CHAT, &[US, header]);
        let body = openai(
            &message(encoding),
            "invalid_request_error",
            Value::Null,
            "unsupported_encoding",
        );
        check(&answered(admission), 415, &[], decision, body);
    }
    let two = [
        US,
        ("content-encoding", "identity"),
        ("content-encoding", "zstd"),
    ];
    let (_, admission) = admit(&example(), "us-west-2", "POST", MESSAGES, &two);
    let body = anthropic(&message("zstd"), "invalid_request_error");
    check(&answered(admission), 415, &[], decision, body);
    for plain in ["identity", "Identity"] {
        let header = ("content-encoding", plain);
        admitted(admit(&example(), "us-west-2", "POST", CHAT, &[US, header]).1);
    }
}

#[test]
fn unknown_models() {
    let message = "The model `gpt \"4\"` does not exist for the residency zone `global`. Known models: \
                   llama-3.1-70b, mistralai/Mistral-7B:instruct.";
    let decision = "refused=model_not_found zone=global";
    let body = r#"{"model":"gpt \"4\""}"#;
    let expect = openai(
        message,
        "invalid_request_error",
        json!("model"),
        "model_not_found",
    );
    let answer = decide(&example(), "us-west-2", CHAT, &[US], body).unwrap_err();
    check(&answer, 404, &[], decision, expect.clone());
    let (_, admission) = admit(
        &example(),
        "us-west-2",
        "GET",
        "/v1/models/gpt%20%224%22",
        &[US],
    );
    check(&answered(admission), 404, &[], decision, expect);
    let answer = decide(&example(), "us-west-2", MESSAGES, &[US], body).unwrap_err();
    check(
        &answer,
        404,
        &[],
        decision,
        anthropic(message, "not_found_error"),
    );
    for near in ["LLAMA-3.1-70B", "llama-3.1-70b ", "llama"] {
        let body = format!(r#"{{"model":"{near}"}}"#);
        let answer = decide(&example(), "us-west-2", CHAT, &[US], &body).unwrap_err();
        assert_eq!(answer.status, 404, "{near}");
    }

    let body = format!(r#"{{"model":"{LLAMA}"}}"#);
    let answer = decide(&nothing_for_eea(), "eu-west-1", CHAT, &[DE], &body).unwrap_err();
    let message =
        "The model `llama-3.1-70b` does not exist for the residency zone `eea`, and no other does.";
    let expect = openai(
        message,
        "invalid_request_error",
        json!("model"),
        "model_not_found",
    );
    check(
        &answer,
        404,
        &[],
        "refused=model_not_found zone=eea",
        expect,
    );
}

#[test]
fn invalid_bodies() {
    let decision = "refused=invalid_body";
    let answer = decide(&example(), "us-west-2", CHAT, &[US], "{}").unwrap_err();
    let message = "The request body names no `model`.";
    let body = openai(
        message,
        "invalid_request_error",
        Value::Null,
        "invalid_body",
    );
    check(&answer, 400, &[], decision, body);
    let answer = decide(&example(), "us-west-2", MESSAGES, &[US], "").unwrap_err();
    let message = "The request has no body; a JSON object with a `model` is needed.";
    check(
        &answer,
        400,
        &[],
        decision,
        anthropic(message, "invalid_request_error"),
    );
    let twice = format!(r#"{{"model":"{LLAMA}","mod\u0065l":"{MISTRAL}"}}"#);
    let answer = decide(&example(), "us-west-2", CHAT, &[US], &twice).unwrap_err();
    assert!(
        answer.body.contains("duplicate field `model`"),
        "{}",
        answer.body
    );
}

#[test]
fn no_policy() {
    use crate::refusal::{Reason, Refusal};
    use meridian_policy::api::Shape;
    let refusal = |shape| {
        Refusal {
            reason: Reason::NoPolicy,
            shape,
        }
        .answer()
    };
    let message = "This gateway has not been given a routing policy yet; nothing can be served.";
    let further = [("retry-after", "2")];
    let body = openai(message, "server_error", Value::Null, "no_policy");
    check(
        &refusal(Shape::OpenAi),
        503,
        &further,
        "refused=no_policy",
        body,
    );
    let body = anthropic(message, "overloaded_error");
    check(
        &refusal(Shape::Anthropic),
        503,
        &further,
        "refused=no_policy",
        body,
    );
}

/// Whatever a caller sends, an error repeats no more than its beginning.
#[test]
fn refusals_are_short() {
    let long = "A".repeat(1 << 20);
    let header = |name: &'static str| [US, (name, long.as_str())];
    let heads = [
        (CHAT, header("content-encoding")),
        (CHAT, header("x-meridian-needs")),
        (CHAT, header("x-meridian-tier")),
        (&*format!("/v1/models/{long}"), header("x")),
        (&*format!("/v1/{long}"), header("x")),
    ];
    for (path, headers) in heads {
        let method = if path == CHAT { "POST" } else { "GET" };
        let (_, admission) = admit(&example(), "us-west-2", method, path, &headers);
        let answer = answered(admission);
        let size = answer.body.len();
        assert!(answer.status >= 400 && size < 2000, "{size} bytes");
    }
    for body in [
        format!(r#"{{"model":"{long}"}}"#),
        format!(r#"{{"model":"{LLAMA}","stream":"{long}"}}"#),
        format!(r#"{{"model":"{LLAMA}","user":{long}}}"#),
        format!(r#"{{"model":"{LLAMA}","prompt_cache_key":["{long}"]}}"#),
    ] {
        let answer = decide(&example(), "us-west-2", CHAT, &[US], &body).unwrap_err();
        let size = answer.body.len();
        assert!(answer.status >= 400 && size < 2000, "{size} bytes");
    }
}

#[test]
fn content_at_another_place_is_refused_where_the_zone_says_so() {
    let mut fleet = example();
    let part = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let messages = json!([{ "role": "user", "content": [part] }]);
    let chat = json!({ "model": LLAMA, "messages": messages, "tools": [{ "type": "mcp" }] });
    let image =
        json!({ "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } });
    let messages = json!([{ "role": "user", "content": [image] }]);
    let native = json!({ "model": LLAMA, "messages": messages });
    let ask = |fleet: &_, path: &str, body: &Value| {
        decide(fleet, "us-west-2", path, &[US], &body.to_string()).err()
    };
    assert_eq!(ask(&fleet, CHAT, &chat), None);
    fleet.zones.get_mut("global").unwrap().content.refuse_remote = true;
    let message = |field: &str, form: &str| {
        format!(
            "The field `{field}` names content at another place, which the server would fetch; send the content itself, {form}."
        )
    };
    let field = "messages[0].content[0].image_url.url";
    let kind = "invalid_request_error";
    let body = openai(
        &message(field, "as a `data:` URL"),
        kind,
        json!(field),
        "remote_content",
    );
    let decision = "refused=remote_content";
    let query = format!("{CHAT}?x=1");
    for path in [CHAT, &query] {
        let answer = ask(&fleet, path, &chat).unwrap();
        check(&answer, 400, &[], decision, body.clone());
    }
    let field = "messages[0].content[0].source.url";
    let body = anthropic(&message(field, "with `type: base64`"), kind);
    check(
        &ask(&fleet, MESSAGES, &native).unwrap(),
        400,
        &[],
        decision,
        body,
    );
    let inline = chat
        .to_string()
        .replace("https://example.com/a.png", "data:image/png;base64,AA");
    let inline = serde_json::from_str(&inline).unwrap();
    assert_eq!(ask(&fleet, CHAT, &inline), None);
}
