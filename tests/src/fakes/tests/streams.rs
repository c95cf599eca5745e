use super::*;

#[tokio::test]
async fn a_chat_stream_is_role_tokens_usage_and_done() {
    let fake = pool().await;
    let options =
        json!({"stream": true, "max_tokens": 2, "stream_options": {"include_usage": true}});
    let answered = chat(&fake, options).await;
    assert_eq!(
        answered.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(answered.headers["transfer-encoding"], "chunked");
    let events = answered.events();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    assert_eq!(chunks.len(), 4);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "west token0");
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "length");
    assert_eq!(
        chunks[3]["usage"],
        json!({"prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2})
    );
    assert_eq!(chunks[3]["system_fingerprint"], "fake-west");
    assert_eq!(fake.generated(), 2);
}

#[tokio::test]
async fn a_stream_without_usage_has_no_usage() {
    let fake = pool().await;
    let answered = chat(&fake, json!({"stream": true, "max_tokens": 2})).await;
    assert_eq!(answered.events().len(), 4);
    assert!(!answered.text().contains("usage"));
    assert!(answered.text().contains("fake-west"));
}

#[tokio::test]
async fn the_other_apis_stream_in_their_own_words() {
    let fake = pool().await;
    for (path, body, delta, last) in [
        ("/v1/completions", json!({"prompt": "a"}), "text", "[DONE]"),
        (
            "/v1/responses",
            json!({"input": "a"}),
            "response.output_text.delta",
            "response.completed",
        ),
        (
            "/v1/messages",
            json!({"messages": []}),
            "content_block_delta",
            "message_stop",
        ),
    ] {
        let answered = post(
            fake.addr(),
            path,
            &with(body, json!({"model": "tiny", "stream": true})),
        )
        .await;
        let events = answered.events();
        for event in events.iter().filter(|event| **event != "[DONE]") {
            serde_json::from_str::<Value>(event).unwrap();
        }
        let tokens = events
            .iter()
            .filter(|event| event.contains(&format!("\"{delta}\"")) && event.contains("token"));
        assert_eq!(
            tokens.filter(|event| event.contains(" token")).count(),
            8,
            "{path}: {}",
            answered.text()
        );
        assert!(
            events.last().unwrap().contains(last),
            "{path}: {}",
            answered.text()
        );
    }
}

#[tokio::test]
async fn each_event_is_a_chunk_of_its_own() {
    let fake = pool().await;
    let mut stream = raw_chat(&fake, json!({"stream": true, "max_tokens": 3})).await;
    let mut text = String::new();
    read_tokens(&mut stream, &mut text, 3).await;
    let chunks = text.split("\r\n").filter(|line| line.starts_with("data: "));
    assert!(
        chunks
            .clone()
            .all(|chunk| chunk.matches("data: ").count() == 1),
        "{text}"
    );
}

#[tokio::test]
async fn a_gated_stream_waits_for_each_token() {
    let fake = pool().await;
    fake.update(|behaviour| behaviour.gated = true);
    let mut stream = raw_chat(&fake, json!({"stream": true})).await;
    let mut text = String::new();
    for count in 1..=3 {
        read_tokens(&mut stream, &mut text, count).await;
        assert_eq!(fake.generated(), count);
        assert!(!text.contains(&format!("token{count}")), "{text}");
        fake.release(1);
    }
    fake.update(|behaviour| behaviour.gated = false);
    read_tokens(&mut stream, &mut text, 8).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work() {
    let fake = pool().await;
    fake.update(|behaviour| behaviour.gated = true);
    let mut stream = raw_chat(&fake, json!({"stream": true})).await;
    read_tokens(&mut stream, &mut String::new(), 1).await;
    assert_eq!(fake.running(), 1);
    let page = get(fake.addr(), "/metrics").await;
    assert!(
        page.text()
            .contains(r#"vllm:num_requests_running{engine="0",model_name="tiny"} 1.0"#)
    );
    drop(stream);
    eventually("the work ends", || fake.running() == 0).await;
    assert_eq!(fake.requests()[0].answered, "gone");
}

#[tokio::test]
async fn time_passes_as_it_was_told() {
    let fake = pool().await;
    fake.update(|behaviour| {
        (
            behaviour.first_token_ms,
            behaviour.token_ms,
            behaviour.tokens,
        ) = (40, 20, 3)
    });
    for stream in [false, true] {
        let since = std::time::Instant::now();
        chat(&fake, json!({"stream": stream})).await;
        assert!(
            since.elapsed() >= Duration::from_millis(80),
            "stream {stream}: {:?}",
            since.elapsed()
        );
    }
}
