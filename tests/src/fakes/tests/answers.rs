use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::fakes::embedding;

#[tokio::test]
async fn a_chat_is_answered_like_vllm_and_names_its_server() {
    let fake = pool().await;
    let answered = chat(&fake, json!({"max_tokens": 3})).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.headers["x-fake-server"], "west");
    assert_eq!(answered.headers["content-type"], "application/json");
    assert!(answered.text().starts_with(r#"{"id":"chatcmpl-"#));
    let json = answered.json();
    assert_eq!(
        json["choices"][0]["message"]["content"],
        "west token0 token1 token2"
    );
    assert_eq!(json["choices"][0]["finish_reason"], "length");
    assert_eq!(
        (&json["model"], &json["system_fingerprint"]),
        (&json!("tiny"), &json!("fake-west"))
    );
    let usage = &json["usage"];
    assert_eq!(
        (
            &usage["prompt_tokens"],
            &usage["completion_tokens"],
            &usage["total_tokens"]
        ),
        (&json!(3), &json!(3), &json!(6))
    );
    assert_eq!(
        chat(&fake, json!({})).await.json()["choices"][0]["finish_reason"],
        "stop"
    );
}

#[tokio::test]
async fn the_other_apis_answer_in_their_own_words() {
    let fake = pool().await;
    let completion = post(
        fake.addr(),
        "/v1/completions",
        &json!({"model": "tiny", "prompt": "a b", "max_tokens": 1}),
    )
    .await;
    assert_eq!(completion.json()["choices"][0]["text"], "west token0");
    let response = post(
        fake.addr(),
        "/v1/responses",
        &json!({"model": "tiny", "input": "a b", "max_output_tokens": 1}),
    )
    .await;
    assert_eq!(
        response.json()["output"][0]["content"][0]["text"],
        "west token0"
    );
    assert_eq!(response.json()["status"], "incomplete");
    let message = post(
        fake.addr(),
        "/v1/messages",
        &with(question(), json!({"max_tokens": 1})),
    )
    .await;
    assert_eq!(message.json()["content"][0]["text"], "west token0");
    assert_eq!(
        message.json()["usage"],
        json!({"input_tokens": 3, "output_tokens": 1})
    );
}

#[tokio::test]
async fn base64_embeddings_decode_to_the_same_floats() {
    let fake = pool().await;
    let ask = json!({"model": "tiny", "input": ["red", "blue"], "dimensions": 5});
    let floats = post(fake.addr(), "/v1/embeddings", &ask).await.json();
    let encoded = post(
        fake.addr(),
        "/v1/embeddings",
        &with(ask, json!({"encoding_format": "base64"})),
    )
    .await
    .json();
    for (index, input) in ["red", "blue"].into_iter().enumerate() {
        let expected = embedding(input, 5);
        let plain: Vec<f32> =
            serde_json::from_value(floats["data"][index]["embedding"].clone()).unwrap();
        let bytes = STANDARD
            .decode(encoded["data"][index]["embedding"].as_str().unwrap())
            .unwrap();
        let decoded: Vec<f32> = bytes
            .chunks(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
            .collect();
        assert_eq!(plain, expected);
        assert_eq!(decoded, expected);
    }
    assert_ne!(embedding("red", 5), embedding("blue", 5));
}

#[tokio::test]
async fn embeddings_take_every_form_of_input() {
    let fake = pool().await;
    for (input, vectors, tokens) in [
        (json!("a b"), 1, 2),
        (json!(["a b", "c"]), 2, 3),
        (json!([1, 2, 3]), 1, 3),
        (json!([[1, 2], [3]]), 2, 3),
    ] {
        let json = post(
            fake.addr(),
            "/v1/embeddings",
            &json!({"model": "tiny", "input": input}),
        )
        .await
        .json();
        assert_eq!(json["data"].as_array().unwrap().len(), vectors, "{input}");
        assert_eq!(json["usage"]["prompt_tokens"], tokens, "{input}");
    }
}

#[tokio::test]
async fn twenty_megabytes_of_embeddings() {
    let fake = pool().await;
    let inputs: Vec<String> = (0..1000).map(|index| format!("text {index}")).collect();
    let answered = post(
        fake.addr(),
        "/v1/embeddings",
        &json!({"model": "tiny", "input": inputs, "dimensions": 1536}),
    )
    .await;
    assert!(answered.body.len() > 15_000_000, "{}", answered.body.len());
    assert_eq!(
        answered.json()["data"][999]["embedding"]
            .as_array()
            .unwrap()
            .len(),
        1536
    );
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_vllm() {
    let fake = pool().await;
    let unknown = chat(&fake, json!({"model": "nope"})).await;
    let expected = json!({"error": {
        "message": "The model `nope` does not exist. Valid aliases: tiny.", "type": "NotFoundError", "param": "model", "code": 404
    }});
    assert_eq!((unknown.status, unknown.json()), (404, expected));
    let missing = post(
        fake.addr(),
        "/v1/chat/completions",
        &json!({"model": "tiny"}),
    )
    .await;
    assert_eq!(
        (missing.status, &missing.json()["error"]["param"]),
        (400, &json!("body.messages"))
    );
    let broken = send(
        fake.addr(),
        request("POST", "/v1/chat/completions", "{\"model\":"),
    )
    .await;
    assert_eq!(
        (broken.status, &broken.json()["error"]["code"]),
        (400, &json!(400))
    );
    let lost = get(fake.addr(), "/v1/nothing").await;
    assert_eq!(
        (lost.status, lost.text()),
        (404, r#"{"detail":"Not Found"}"#)
    );
    let method = get(fake.addr(), "/v1/chat/completions").await;
    assert_eq!(
        (method.status, method.text()),
        (405, r#"{"detail":"Method Not Allowed"}"#)
    );
    assert_eq!(method.headers["allow"], "POST");
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let fake = pool().await;
    assert_eq!(
        get(fake.addr(), "/v1/models").await.json()["data"][0]["id"],
        "tiny"
    );
    assert_eq!(
        get(fake.addr(), "/v1/models/tiny").await.json()["id"],
        "tiny"
    );
    assert_eq!(get(fake.addr(), "/v1/models/nope").await.status, 404);
}

#[tokio::test]
async fn a_provider_wants_its_key_and_serves_any_model() {
    let fake = provider().await;
    let refused = chat(&fake, json!({"model": "any"})).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["type"]),
        (401, &json!("invalid_request_error"))
    );
    for (key, status) in [("Bearer wrong", 401), ("Bearer secret", 200)] {
        let body = with(question(), json!({"model": "any"})).to_string();
        let mut request = request("POST", "/v1/chat/completions", body);
        request
            .headers_mut()
            .insert("authorization", key.parse().unwrap());
        let answered = send(fake.addr(), request).await;
        assert_eq!(answered.status, status, "{key}");
    }
    assert_eq!(
        fake.requests()[2].header("authorization"),
        Some("Bearer secret")
    );
    assert_eq!(get(fake.addr(), "/metrics").await.status, 401);
}

#[tokio::test]
async fn requests_are_recorded_whole_and_probes_only_counted() {
    let fake = pool().await;
    let text = "x".repeat(3 << 20);
    let body = with(question(), json!({"user": text}));
    post(fake.addr(), "/v1/chat/completions?a=b", &body).await;
    get(fake.addr(), "/health").await;
    let recorded = fake.requests();
    assert_eq!(recorded.len(), 1);
    assert_eq!(
        (recorded[0].method.as_str(), recorded[0].path.as_str()),
        ("POST", "/v1/chat/completions?a=b")
    );
    assert_eq!(recorded[0].answered, "200");
    assert_eq!(recorded[0].body, body.to_string());
    assert_eq!(fake.bytes_received(), body.to_string().len() as u64);
    assert_eq!(fake.probes(), 1);
    fake.clear();
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit() {
    let fake = pool().await;
    let mut body = question().to_string();
    body.push_str(&" ".repeat((64 << 20) - body.len()));
    let answered = send(fake.addr(), request("POST", "/v1/chat/completions", body)).await;
    assert_eq!(answered.status, 200);
    assert_eq!(fake.requests()[0].body.len(), 64 << 20);
}

#[tokio::test]
async fn connections_stay_open_between_requests() {
    let fake = pool().await;
    let mut client = connect(fake.addr()).await;
    for _ in 0..3 {
        client.ready().await.unwrap();
        let request = request(
            "POST",
            "/v1/chat/completions",
            with(question(), json!({"stream": true})).to_string(),
        );
        assert_eq!(
            whole(client.send_request(request).await.unwrap())
                .await
                .status,
            200
        );
    }
}
