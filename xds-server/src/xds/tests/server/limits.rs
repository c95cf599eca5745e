//! What clients may take: places, time, and memory.

use super::world::{Ads, PATIENCE, REGION, Server, node, refusal};
use crate::xds::tests::client::resources;
use crate::xds::{EncodedResource, ResourceType};
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::transport::Endpoint;

#[tokio::test]
async fn a_stream_that_says_nothing_is_ended() {
    let server = Server::limited(|limits| limits.first_request = Duration::from_millis(50)).await;
    server.publish(&[(REGION, "cluster a@1")]);
    let silence = tokio_stream::pending::<DiscoveryRequest>();
    let mut stream = AggregatedDiscoveryServiceClient::new(server.plain().await)
        .stream_aggregated_resources(silence)
        .await
        .unwrap()
        .into_inner();
    let ended = tokio::time::timeout(PATIENCE, stream.message()).await;
    let status = ended.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "no request within 50ms");
    assert_eq!(server.hub.counts().refused, [("silent", 1)].into());
    // Others may take their time once they have said who they are.
    let mut ads = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    let (first, _) = ads.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    ads.answer(&first, None).await;
    server.publish(&[(REGION, "cluster a@2")]);
    assert_eq!(ads.next().await.unwrap().unwrap().1, "a@2");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_until_one_ends() {
    let server = Server::limited(|limits| limits.streams = 1).await;
    server.publish(&[(REGION, "cluster a@1")]);
    let mut first = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    first.next().await.unwrap();
    let code = refusal(server.plain().await, REGION).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(
        server.hub.counts().refused,
        [("too_many_streams", 1)].into()
    );
    drop(first);
    server
        .until("leaving", |hub| hub.clients().is_empty())
        .await;
    let mut second = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    assert_eq!(second.next().await.unwrap().unwrap().1, "a@1");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_until_one_ends() {
    let server = Server::limited(|limits| limits.connections = 1).await;
    server.publish(&[(REGION, "cluster a@1")]);
    let mut first = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    first.next().await.unwrap();
    let mut refused = TcpStream::connect(server.address).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, refused.read(&mut [0; 100])).await;
    assert!(matches!(read.unwrap(), Ok(0) | Err(_)), "it is closed");
    let expected = [("too_many_connections", 1)].into();
    assert_eq!(server.hub.counts().refused, expected);
    drop(first);
    server
        .until("leaving", |hub| hub.clients().is_empty())
        .await;
    let again = async {
        loop {
            // The connection ends a moment after its stream.
            let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
            if let Ok(channel) = endpoint.connect().await
                && let Ok(mut ads) = Ads::open(channel, node(REGION)).await
                && let Ok(Some(answer)) = ads.next().await
            {
                return answer.1;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, again).await.unwrap(), "a@1");
}

/// Passes on everything to the server, and of its answers only the first bytes. It reads no more than that.
async fn deaf_relay(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_server, mut to_server) =
            TcpStream::connect(server).await.unwrap().into_split();
        let (mut from_client, mut to_client) = client.into_split();
        let requests = copy(&mut from_client, &mut to_server);
        let answers = async {
            let mut first = [0; 200];
            let count = from_server.read(&mut first).await.unwrap();
            to_client.write_all(&first[..count]).await.unwrap();
            std::future::pending::<()>().await;
        };
        let _ended = tokio::join!(requests, answers);
    });
    address
}

#[tokio::test]
async fn a_client_that_never_reads_costs_a_push_and_what_is_on_the_wire() {
    const VERSIONS: usize = 30;
    let server = Server::start(None).await;
    let many = |version: usize| {
        let clusters = (0..3_000).map(|n| format!("cluster-with-a-long-name-{n:060}@{version}"));
        resources(&format!(
            "cluster {}",
            clusters.collect::<Vec<_>>().join(" ")
        ))
    };
    let mut alive: Vec<Weak<EncodedResource>> = Vec::new();
    let mut publish = |version: usize| {
        let resources = many(version);
        let (_, last) = resources
            .of(ResourceType::Cluster)
            .last_key_value()
            .unwrap();
        alive.push(std::sync::Arc::downgrade(last));
        server
            .hub
            .publish([(REGION.parse().unwrap(), resources)].into());
        alive
            .iter()
            .filter(|resource| resource.strong_count() > 0)
            .count()
    };
    publish(0);
    // It lets the server send without end, but does not read.
    let relay = deaf_relay(server.address).await;
    let endpoint = Endpoint::from_shared(format!("http://{relay}")).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(1 << 30)
        .initial_connection_window_size(1 << 30);
    let deaf = endpoint.connect().await.unwrap();
    let deaf = tokio::spawn(Ads::open(deaf, node(REGION)));
    let mut quick = Ads::open(server.plain().await, node(REGION)).await.unwrap();
    server.until("both", |hub| hub.clients().len() == 2).await;
    let mut most = 0;
    for version in 1..VERSIONS {
        let (response, _) = quick.next().await.unwrap().unwrap();
        quick.answer(&response, None).await;
        most = most.max(publish(version));
    }
    // What is published, what each of the two was sent last, and what it was to be sent then.
    assert!(most <= 5, "{most} of {VERSIONS} states are kept");
    drop(deaf);
}
