//! A server on a socket, certificates, and a client.

use crate::xds::server::{Limits, serve_within};
use crate::xds::tests::client::{read, resources};
use crate::xds::{Certificates, Clients, Hub, ResourceType, ServeError, Tls, Trust};
use envoy_types::pb::envoy::config::core::v3::{Locality, Node};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::rpc::Status as Detail;
use meridian_policy::RegionName;
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};

pub const REGION: &str = "us-west-2";
pub const OTHER: &str = "eu-west-1";
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The files of a server whose certificate is of one authority, and that accepts clients of these.
pub fn tls(own: &Authority, clients: &[&Authority]) -> Tls {
    let (certificate, key) = issue(own, vec![dns("control.example")]);
    let clients: String = clients.iter().map(|authority| authority.pem()).collect();
    Tls {
        certificate: certificate.into_bytes(),
        key: key.into_bytes(),
        ca: clients.into_bytes(),
        clients: Clients::Certified,
    }
}

/// Certificate and key, as PEM.
pub fn issue(authority: &Authority, names: Vec<SanType>) -> (String, String) {
    issue_until(authority, names, 4096)
}

/// The same, until the end of a year.
pub fn issue_until(authority: &Authority, names: Vec<SanType>, year: i32) -> (String, String) {
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    params.subject_alt_names = names;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

pub fn dns(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).unwrap())
}

pub struct Server {
    pub address: SocketAddr,
    pub hub: Arc<Hub>,
    pub authority: Option<Authority>,
    pub certificates: Option<Arc<Certificates>>,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub async fn start(authority: Option<Authority>) -> Self {
        Self::start_within(Limits::default(), authority).await
    }

    /// Without TLS, with other limits than usual.
    pub async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::start_within(limits, None).await
    }

    async fn start_within(limits: Limits, authority: Option<Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hub = Arc::new(Hub::default());
        let regions = [REGION, OTHER].map(RegionName::from_static).into();
        let trust = Arc::new(Trust::new("meridian", regions));
        let certificates = authority
            .as_ref()
            .map(|authority| Arc::new(Certificates::new(&tls(authority, &[authority])).unwrap()));
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let serving = serve_within(
            limits,
            listener,
            certificates.clone(),
            Arc::clone(&hub),
            trust,
            Routes::default(),
            shutdown,
        );
        Self {
            address,
            hub,
            authority,
            certificates,
            stop,
            task: tokio::spawn(serving),
        }
    }

    pub fn publish(&self, regions: &[(&str, &str)]) {
        let regions = regions.iter();
        let regions =
            regions.map(|(region, text)| (region.parse::<RegionName>().unwrap(), resources(text)));
        self.hub.publish(regions.collect::<BTreeMap<_, _>>());
    }

    pub async fn plain(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Presents this certificate and key.
    pub async fn secure(&self, identity: Option<(String, String)>) -> Result<Channel, String> {
        self.trusting(self.authority.as_ref().unwrap(), identity)
            .await
    }

    /// The same, and holds the server to this authority.
    pub async fn trusting(
        &self,
        authority: &Authority,
        identity: Option<(String, String)>,
    ) -> Result<Channel, String> {
        let ca = Certificate::from_pem(authority.pem());
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(ca)
            .domain_name("control.example");
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        let endpoint = endpoint.tls_config(tls).unwrap();
        endpoint
            .connect()
            .await
            .map_err(|error| format!("{error:?}"))
    }

    /// Waits until the condition holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Hub) -> bool) {
        let wait = async {
            while !holds(&self.hub) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.hub.clients());
    }
}

pub fn node(region: &str) -> Option<Node> {
    Some(Node {
        id: "gateway-1".to_owned(),
        user_agent_name: "test".to_owned(),
        locality: Some(Locality {
            region: region.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    })
}

pub struct Ads {
    pub requests: mpsc::Sender<DiscoveryRequest>,
    pub responses: Streaming<DiscoveryResponse>,
}

impl Ads {
    /// Subscribes to all clusters.
    pub async fn open(channel: Channel, node: Option<Node>) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(8);
        let first = DiscoveryRequest {
            node,
            type_url: ResourceType::Cluster.type_url().to_owned(),
            ..Default::default()
        };
        requests.send(first).await.unwrap();
        let responses = AggregatedDiscoveryServiceClient::new(channel)
            .stream_aggregated_resources(ReceiverStream::new(receiver))
            .await?;
        Ok(Self {
            requests,
            responses: responses.into_inner(),
        })
    }

    pub async fn next(&mut self) -> Result<Option<(DiscoveryResponse, String)>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.responses.message());
        let message = message.await.expect("an answer in time")?;
        Ok(message.map(|response| {
            let bodies: Vec<String> = response.resources.iter().map(read).collect();
            (response, bodies.join(" "))
        }))
    }

    pub async fn answer(&self, response: &DiscoveryResponse, error: Option<&str>) {
        let request = DiscoveryRequest {
            type_url: response.type_url.clone(),
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: error.map(|message| Detail {
                message: message.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }
}

/// The status code of a stream that claims to be in `region`.
pub async fn refusal(channel: Channel, region: &str) -> Code {
    let status = match Ads::open(channel, node(region)).await {
        Ok(mut ads) => ads.next().await.map(|answer| answer.map(|(_, text)| text)),
        Err(status) => Err(status),
    };
    status.unwrap_err().code()
}
