use std::io::ErrorKind;

use super::*;
use crate::fakes::Fail;

fn fail(fake: &Fake, fail: Fail) {
    fake.update(|behaviour| behaviour.fail = fail);
}

fn kind(end: std::io::Result<()>) -> Option<ErrorKind> {
    end.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_status_comes_in_the_servers_error_shape() {
    let fake = pool().await;
    fake.update(|behaviour| (behaviour.fail, behaviour.retry_after) = (Fail::Status(503), Some(7)));
    let refused = chat(&fake, json!({})).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (503, &json!(503))
    );
    assert_eq!(refused.headers["retry-after"], "7");
    assert_eq!(fake.requests()[0].answered, "503");
    assert_eq!(get(fake.addr(), "/health").await.status, 200);
    assert_eq!(get(fake.addr(), "/v1/models").await.status, 200);
    let message = post(fake.addr(), "/v1/messages", &question()).await;
    assert_eq!(message.json()["type"], "error");
    let page = get(fake.addr(), "/metrics").await;
    assert!(page.text().contains(r#"reason="max_num_queued_reqs"} 2.0"#));

    let hosted = provider().await;
    fail(&hosted, Fail::Status(429));
    assert_eq!(
        chat(&hosted, json!({})).await.json()["error"]["code"],
        "rate_limit_exceeded"
    );
}

#[tokio::test]
async fn a_reset_comes_before_any_byte_and_after_the_record() {
    let fake = pool().await;
    fail(&fake, Fail::Reset);
    let mut stream = raw_chat(&fake, json!({})).await;
    let (text, end) = read_out(&mut stream).await;
    assert_eq!(
        (text.as_str(), kind(end)),
        ("", Some(ErrorKind::ConnectionReset))
    );
    assert_eq!(fake.requests()[0].answered, "reset");
    assert_eq!(fake.requests()[0].body, question().to_string());
}

#[tokio::test]
async fn a_hang_is_read_and_never_answered() {
    let fake = pool().await;
    fail(&fake, Fail::Hang);
    let stream = raw_chat(&fake, json!({})).await;
    eventually("the request arrives", || fake.running() == 1).await;
    assert_eq!(fake.requests()[0].answered, "hang");
    assert_eq!(
        stream.try_read(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(get(fake.addr(), "/health").await.status, 200);
    drop(stream);
    eventually("the hanging request ends", || fake.running() == 0).await;
}

#[tokio::test]
async fn a_cut_stream_ends_after_its_tokens_with_a_reset() {
    let fake = pool().await;
    fail(&fake, Fail::Cut(3));
    let mut stream = raw_chat(&fake, json!({"stream": true})).await;
    let (text, end) = read_out(&mut stream).await;
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("token2") && !text.contains("token3"),
        "{text}"
    );
    assert_eq!(kind(end), Some(ErrorKind::ConnectionReset));
    assert_eq!(
        (fake.generated(), fake.requests()[0].answered.as_str()),
        (3, "cut")
    );
    eventually("the work ends", || fake.running() == 0).await;
}

#[tokio::test]
async fn a_cut_answer_ends_after_half_of_what_was_announced() {
    let fake = pool().await;
    fail(&fake, Fail::Cut(0));
    let mut stream = raw_chat(&fake, json!({})).await;
    let (text, end) = read_out(&mut stream).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap() / 2);
    assert_eq!(kind(end), Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn an_error_event_hides_inside_a_200() {
    let fake = pool().await;
    fail(&fake, Fail::ErrorEvent(1));
    let answered = chat(&fake, json!({"stream": true})).await;
    let events = answered.events();
    assert_eq!((answered.status, events.len()), (200, 4));
    assert!(
        events[1].contains("token0") && events[2].contains(r#""code":503"#),
        "{events:?}"
    );
    assert_eq!(events[3], "[DONE]");
    assert_eq!(fake.requests()[0].answered, "error_event");
    assert_eq!(chat(&fake, json!({})).await.status, 503);
}

#[tokio::test]
async fn an_abort_is_a_200_without_text() {
    let fake = pool().await;
    fail(&fake, Fail::Abort);
    let json = chat(&fake, json!({})).await.json();
    assert_eq!(json["choices"][0]["finish_reason"], "abort");
    assert_eq!(json["choices"][0]["message"]["content"], "");
    assert_eq!(chat(&fake, json!({"stream": true})).await.events().len(), 2);
}

#[tokio::test]
async fn health_fails_and_hangs_on_its_own() {
    let fake = pool().await;
    fake.update(|behaviour| behaviour.fail_health = Some(503));
    assert_eq!(get(fake.addr(), "/health").await.status, 503);
    assert_eq!(chat(&fake, json!({})).await.status, 200);
    fake.update(|behaviour| behaviour.hang_health = true);
    let mut client = connect(fake.addr()).await;
    let asked = client.send_request(request("GET", "/health", ""));
    let answered = tokio::time::timeout(Duration::from_millis(100), asked).await;
    assert!(answered.is_err());
    assert_eq!(fake.probes(), 2);
}

#[tokio::test]
async fn a_killed_fake_refuses_and_resets_and_comes_back_on_its_port() {
    let fake = pool().await;
    fake.update(|behaviour| behaviour.gated = true);
    let mut idle = TcpStream::connect(fake.addr()).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: fake\r\n\r\n")
        .await
        .unwrap();
    let mut streaming = raw_chat(&fake, json!({"stream": true})).await;
    read_tokens(&mut streaming, &mut String::new(), 1).await;
    eventually("the idle connection was used", || fake.probes() == 1).await;

    fake.kill().await.unwrap();
    fake.kill().await.unwrap();
    assert_eq!(fake.running(), 0);
    assert_eq!(
        TcpStream::connect(fake.addr()).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    for stream in [&mut idle, &mut streaming] {
        assert_eq!(
            kind(read_out(stream).await.1),
            Some(ErrorKind::ConnectionReset)
        );
    }

    let addr = fake.addr();
    fake.revive().await.unwrap();
    assert_eq!(fake.addr(), addr);
    assert_eq!(chat(&fake, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_dropped_fake_gives_its_ports_back() {
    let fake = pool().await;
    let (addr, control) = (fake.addr(), fake.control_addr());
    let mut client = connect(control).await;
    whole(client.send_request(request("GET", "/", "")).await.unwrap()).await;
    drop(fake);
    eventually("both ports are free", || {
        [addr, control]
            .iter()
            .all(|addr| std::net::TcpListener::bind(addr).is_ok())
    })
    .await;
}
