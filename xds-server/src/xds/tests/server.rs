//! The gRPC server over real sockets: authentication, and the content of streams.

mod certificates;
mod limits;
mod pushes;
mod world;

use crate::xds::{Hub, ResourceType, ServeError, Trust, serve};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use rcgen::SanType;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::service::Routes;
use world::{Ads, OTHER, PATIENCE, REGION, Server, authority, dns, issue, node, refusal, uri};

#[tokio::test]
async fn a_gateway_with_its_certificate_gets_its_regions_resources() {
    let server = Server::start(Some(authority())).await;
    server.publish(&[(REGION, "cluster mine@1"), (OTHER, "cluster theirs@1")]);
    let name = format!("spiffe://meridian/region/{REGION}");
    let names = vec![
        uri(&name),
        dns("gateway.example"),
        uri("spiffe://elsewhere/x"),
    ];
    let identity = issue(server.authority.as_ref().unwrap(), names);
    for node in [node(REGION), node(""), None] {
        let channel = server.secure(Some(identity.clone())).await.unwrap();
        let mut ads = Ads::open(channel, node).await.unwrap();
        assert_eq!(ads.next().await.unwrap().unwrap().1, "mine@1");
    }
}

#[tokio::test]
async fn a_node_of_another_region_is_refused() {
    let server = Server::start(Some(authority())).await;
    server.publish(&[(REGION, "cluster mine@1"), (OTHER, "cluster theirs@1")]);
    let names = vec![uri(&format!("spiffe://meridian/region/{REGION}"))];
    let identity = issue(server.authority.as_ref().unwrap(), names);
    let channel = server.secure(Some(identity)).await.unwrap();
    assert_eq!(refusal(channel, OTHER).await, Code::PermissionDenied);
    assert_eq!(server.hub.counts().refused, [("other_region", 1)].into());
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_there_is_no_connection() {
    let server = Server::start(Some(authority())).await;
    let names = || vec![uri(&format!("spiffe://meridian/region/{REGION}"))];
    let forged = issue(&authority(), names());
    for identity in [None, Some(forged)] {
        // In TLS 1.3 the client sees the failure with its first request.
        if let Ok(channel) = server.secure(identity).await {
            let error = Ads::open(channel, node(REGION))
                .await
                .err()
                .map(|status| status.code());
            assert!(
                matches!(error, Some(Code::Unknown | Code::Unavailable)),
                "{error:?}"
            );
        }
    }
    assert_eq!(server.hub.clients().len(), 0);
}

#[tokio::test]
async fn odd_certificates_are_refused() {
    let server = Server::start(Some(authority())).await;
    let right = format!("spiffe://meridian/region/{REGION}");
    let odd: Vec<Vec<SanType>> = vec![
        vec![dns("gateway.example")],
        vec![uri("spiffe://meridian/region/nowhere")],
        vec![uri(&format!("spiffe://elsewhere/region/{REGION}"))],
        vec![
            uri(&right),
            uri(&format!("spiffe://meridian/region/{OTHER}")),
        ],
        vec![uri(&right), uri(&right)],
        vec![uri(&format!("{right}\0"))],
        vec![uri(&format!("{right}\0.example"))],
        vec![uri(&right), dns("gateway\0.example")],
        vec![uri(&format!("{right}/"))],
        vec![uri(&format!("{right}?x"))],
        vec![uri(&right.replace("us-", "us%2d"))],
        vec![uri(&right.replace("spiffe", "SPIFFE"))],
        vec![uri(&right.replace("meridian", "Meridian"))],
        vec![uri(&right.replace("/region/", "/region//"))],
        vec![uri(&right.replace("/region/", "/zone/"))],
        vec![uri("spiffe://meridian/region/")],
        vec![uri(&format!("https://meridian/region/{REGION}"))],
    ];
    let count = odd.len();
    for names in odd {
        let shown = format!("{names:?}");
        let identity = issue(server.authority.as_ref().unwrap(), names);
        let channel = server.secure(Some(identity)).await.unwrap();
        assert_eq!(
            refusal(channel, REGION).await,
            Code::PermissionDenied,
            "{shown}"
        );
    }
    let refused: u64 = server.hub.counts().refused.values().sum();
    assert_eq!(refused, u64::try_from(count).unwrap());
}

#[tokio::test]
async fn without_tls_the_node_says_its_region() {
    let server = Server::start(None).await;
    server.publish(&[(REGION, "cluster mine@1")]);
    let mut ads = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    assert_eq!(ads.next().await.unwrap().unwrap().1, "mine@1");
    assert_eq!(
        refusal(server.plain().await, "nowhere").await,
        Code::PermissionDenied
    );
    assert_eq!(
        refusal(server.plain().await, "").await,
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn without_tls_the_network_is_not_listened_to() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let trust = Arc::new(Trust::new("meridian", [].into()));
    let serving = serve(
        listener,
        None,
        Arc::default(),
        trust,
        Routes::default(),
        async {},
    );
    assert!(matches!(serving.await, Err(ServeError::NotLoopback(_))));
}

#[tokio::test]
async fn a_client_is_seen_from_waiting_to_leaving() {
    let server = Server::start(None).await;
    let mut ads = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    server
        .until("waiting", |hub| {
            hub.clients().iter().any(|client| client.waiting)
        })
        .await;
    server.publish(&[(OTHER, "cluster theirs@1")]);
    server.publish(&[(REGION, "cluster a@1")]);
    let (first, text) = ads.next().await.unwrap().unwrap();
    assert_eq!(text, "a@1");
    ads.answer(&first, None).await;
    server
        .until("an ACK", |hub| {
            hub.counts().acks[ResourceType::Cluster] == 1
        })
        .await;
    server.publish(&[(REGION, "cluster a@2")]);
    let (second, text) = ads.next().await.unwrap().unwrap();
    assert_eq!(text, "a@2");
    ads.answer(&second, Some("no such thing")).await;
    server
        .until("a NACK", |hub| {
            hub.counts().nacks[ResourceType::Cluster] == 1
        })
        .await;
    let [status] = &server.hub.clients()[..] else {
        panic!("one client")
    };
    assert_eq!(
        (
            status.client.node.as_str(),
            status.client.user_agent.as_str()
        ),
        ("gateway-1", "test")
    );
    assert_eq!(
        (status.client.region.as_str(), status.waiting),
        (REGION, false)
    );
    let clusters = status.types[ResourceType::Cluster].as_ref().unwrap();
    assert_eq!(clusters.acked.as_ref(), Some(&first.version_info));
    let nack = clusters.nack.as_ref().unwrap();
    assert_eq!(
        (&nack.version, nack.message.as_str()),
        (&second.version_info, "no such thing")
    );
    assert_eq!(server.hub.counts().pushes[ResourceType::Cluster], 2);
    drop(ads);
    server
        .until("leaving", |hub| hub.clients().is_empty())
        .await;
}

#[tokio::test]
async fn it_has_settled_when_everyone_has_accepted_what_is_published() {
    let server = Server::start(None).await;
    server.publish(&[(REGION, "cluster a@1"), (OTHER, "cluster b@1")]);
    assert!(server.hub.settled(), "nobody is there");
    let mut one = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    let mut two = Ads::open(server.plain().await, node(OTHER)).await.unwrap();
    for ads in [&mut one, &mut two] {
        let (response, _) = ads.next().await.unwrap().unwrap();
        assert!(!server.hub.settled());
        ads.answer(&response, None).await;
    }
    server.until("both ACKs", Hub::settled).await;

    // At once, before the streams have noticed.
    server.publish(&[(REGION, "cluster a@2"), (OTHER, "cluster b@1")]);
    assert!(!server.hub.settled());
    let (response, _) = one.next().await.unwrap().unwrap();
    one.answer(&response, Some("no such thing")).await;
    server
        .until("a NACK", |hub| {
            hub.counts().nacks[ResourceType::Cluster] == 1
        })
        .await;
    assert!(!server.hub.settled(), "who refuses has not accepted");

    // A removed region and a disconnected client delay nobody.
    server.publish(&[(REGION, "cluster a@3")]);
    let (response, _) = one.next().await.unwrap().unwrap();
    assert!(!server.hub.settled());
    one.answer(&response, None).await;
    server.until("an ACK", Hub::settled).await;
    server.publish(&[(REGION, "cluster a@4")]);
    one.next().await.unwrap().unwrap();
    assert!(!server.hub.settled());
    drop(one);
    server.until("leaving", Hub::settled).await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_at_once() {
    let server = Server::start(None).await;
    server.publish(&[(REGION, "cluster a@1")]);
    let mut ads = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    ads.next().await.unwrap();
    server.stop.send(()).unwrap();
    let ended = async {
        assert!(
            ads.next().await.unwrap().is_none(),
            "an end without an error"
        );
        server.task.await.unwrap().unwrap();
    };
    let ended = tokio::time::timeout(Duration::from_secs(3), ended).await;
    ended.expect("before what is left is left behind");
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_latest_and_delays_nobody() {
    let server = Server::start(None).await;
    let many = |version: u32| {
        let clusters = (0..3_000).map(|n| format!("cluster-with-a-long-name-{n:060}@{version}"));
        format!("cluster {}", clusters.collect::<Vec<_>>().join(" "))
    };
    server.publish(&[(REGION, &many(0))]);
    let mut slow = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    let mut quick = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    for version in 1..20 {
        let (response, _) = quick.next().await.unwrap().unwrap();
        quick.answer(&response, None).await;
        server.publish(&[(REGION, &many(version))]);
    }
    let (first, text) = slow.next().await.unwrap().unwrap();
    assert!(text.ends_with("@0"));
    slow.answer(&first, None).await;
    let (_, text) = slow.next().await.unwrap().unwrap();
    assert!(text.ends_with("@19"), "not what is long past");
}

#[tokio::test]
async fn delta_streams_are_served_too() {
    let server = Server::start(None).await;
    server.publish(&[(REGION, "cluster a@1")]);
    let first = DeltaDiscoveryRequest {
        node: node(REGION),
        type_url: ResourceType::Cluster.type_url().to_owned(),
        ..Default::default()
    };
    let unknown = DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/no.such.Type".to_owned(),
        ..Default::default()
    };
    let requests = tokio_stream::iter([first, unknown]);
    let mut responses = AggregatedDiscoveryServiceClient::new(server.plain().await)
        .delta_aggregated_resources(tokio_stream::StreamExt::chain(
            requests,
            tokio_stream::pending(),
        ))
        .await
        .unwrap()
        .into_inner();
    let response = tokio::time::timeout(PATIENCE, responses.message())
        .await
        .unwrap();
    assert_eq!(response.unwrap().unwrap().resources[0].name, "a");
}
