use super::*;
use crate::fakes::{Behaviour, Fail};

async fn control(fake: &Fake, method: &str, path: &str, body: &str) -> Answered {
    send(fake.control_addr(), request(method, path, body.to_owned())).await
}

#[tokio::test]
async fn behaviour_is_read_replaced_and_patched() {
    let fake = pool().await;
    assert_eq!(
        serde_json::from_slice::<Behaviour>(&control(&fake, "GET", "/behaviour", "").await.body)
            .unwrap(),
        Behaviour::default()
    );
    control(&fake, "PUT", "/behaviour", r#"{"tokens":3,"waiting":5}"#).await;
    assert_eq!(
        fake.behaviour(),
        Behaviour {
            tokens: 3,
            waiting: 5,
            ..Behaviour::default()
        }
    );
    let patched = control(&fake, "PATCH", "/behaviour", r#"{"fail":{"status":503}}"#).await;
    assert_eq!(
        (patched.status, &patched.json()["tokens"]),
        (200, &json!(3))
    );
    assert_eq!(
        fake.behaviour(),
        Behaviour {
            fail: Fail::Status(503),
            tokens: 3,
            waiting: 5,
            ..Behaviour::default()
        }
    );
    for (text, expected) in [
        (r#""none""#, Fail::None),
        (r#""reset""#, Fail::Reset),
        (r#""hang""#, Fail::Hang),
        (r#"{"cut":3}"#, Fail::Cut(3)),
        (r#"{"error_event":2}"#, Fail::ErrorEvent(2)),
        (r#""abort""#, Fail::Abort),
    ] {
        control(
            &fake,
            "PATCH",
            "/behaviour",
            &format!(r#"{{"fail":{text}}}"#),
        )
        .await;
        assert_eq!(fake.behaviour().fail, expected, "{text}");
    }
}

#[tokio::test]
async fn a_mistake_is_explained_and_changes_nothing() {
    let fake = pool().await;
    for (method, body, word) in [
        ("PUT", "{", "EOF"),
        ("PATCH", r#"{"tokenz":1}"#, "tokenz"),
        ("PATCH", r#"{"fail":"no"}"#, "hang"),
    ] {
        let refused = control(&fake, method, "/behaviour", body).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    assert_eq!(fake.behaviour(), Behaviour::default());
    assert_eq!(control(&fake, "POST", "/release", "").await.status, 400);
    assert_eq!(control(&fake, "GET", "/nothing", "").await.status, 404);
    assert!(
        control(&fake, "GET", "/", "")
            .await
            .text()
            .contains("/behaviour")
    );
}

#[tokio::test]
async fn requests_are_shown_and_forgotten() {
    let fake = pool().await;
    chat(&fake, json!({})).await;
    let shown = control(&fake, "GET", "/requests", "").await.json();
    assert_eq!(shown[0]["body"], question().to_string());
    assert_eq!(
        (&shown[0]["method"], &shown[0]["answered"]),
        (&json!("POST"), &json!("200"))
    );
    control(&fake, "DELETE", "/requests", "").await;
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_fake_is_killed_and_revived_from_outside() {
    let fake = pool().await;
    assert_eq!(
        control(&fake, "POST", "/kill", "").await.json(),
        json!({"alive": false})
    );
    assert!(TcpStream::connect(fake.addr()).await.is_err());
    assert_eq!(
        control(&fake, "POST", "/revive", "").await.json(),
        json!({"alive": true})
    );
    assert_eq!(chat(&fake, json!({})).await.status, 200);
}

#[tokio::test]
async fn tokens_are_released_from_outside() {
    let fake = pool().await;
    fake.update(|behaviour| behaviour.gated = true);
    let mut stream = raw_chat(&fake, json!({"stream": true})).await;
    let mut text = String::new();
    read_tokens(&mut stream, &mut text, 1).await;
    control(&fake, "POST", "/release?tokens=2", "").await;
    read_tokens(&mut stream, &mut text, 3).await;
    assert_eq!(fake.generated(), 3);
}
