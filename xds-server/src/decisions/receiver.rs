//! Receives what gateways report, as OpenTelemetry's `LogsService`.

use super::kept::Kept;
use super::read::Attributes;
use crate::clock::Clock;
use arc_swap::ArcSwap;
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;
use meridian_policy::RegionName;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Largest message, in bytes. A gateway sends what it has once that is 16 KiB.
const LARGEST_MESSAGE: usize = 1 << 20;

/// Longest time for which a request may have lasted. The clock of a gateway that says more is wrong.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The service. `I` returns the region that a connection proves. With `Ok(None)` the one in the report counts.
pub struct Receiver<I> {
    identify: I,
    topology: Arc<ArcSwap<Topology>>,
    kept: Arc<Kept>,
    clock: Clock,
}

impl<I> Receiver<I>
where
    I: Fn(&Request<ExportLogsServiceRequest>) -> Result<Option<RegionName>, Status>
        + Send
        + Sync
        + 'static,
{
    /// A service that keeps the reports of the regions' gateways.
    pub fn new(
        identify: I,
        topology: Arc<ArcSwap<Topology>>,
        kept: Arc<Kept>,
        clock: Clock,
    ) -> Self {
        Self {
            identify,
            topology,
            kept,
            clock,
        }
    }

    /// The gRPC service.
    pub fn into_service(self) -> LogsServiceServer<Self> {
        LogsServiceServer::new(self).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The gateway of a report.
    ///
    /// # Errors
    /// It is none of the fleet's, or another one than the connection proves.
    fn gateway(
        &self,
        proven: Option<&RegionName>,
        attributes: &Attributes<'_>,
    ) -> Result<RegionName, Status> {
        let named = attributes.get("gateway").unwrap_or_default();
        if let Some(proven) = proven
            && proven.as_str() != named
        {
            let status = format!("the certificate is of {proven}, the report of `{named}`");
            return Err(Status::permission_denied(status));
        }
        let topology = self.topology.load();
        let region = topology.regions.get_key_value(named);
        region.map(|(name, _)| name.clone()).ok_or_else(|| {
            Status::permission_denied(format!("the fleet file has no region `{named}`"))
        })
    }
}

/// When a request came: as the gateway says, unless its clock is wrong.
fn came(record: &LogRecord, now: Millis) -> Millis {
    let said = Millis(record.time_unix_nano / 1_000_000);
    if said > now || now.since(said) > LONGEST {
        now
    } else {
        said
    }
}

#[tonic::async_trait]
impl<I> LogsService for Receiver<I>
where
    I: Fn(&Request<ExportLogsServiceRequest>) -> Result<Option<RegionName>, Status>
        + Send
        + Sync
        + 'static,
{
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let proven = (self.identify)(&request)?;
        let now = (self.clock)();
        let request = request.into_inner();
        let scopes = request.resource_logs.iter().flat_map(|of| &of.scope_logs);
        let logs = scopes.flat_map(|scope| &scope.log_records);
        let records = logs.map(|log| {
            let attributes = Attributes::of(log);
            let gateway = self.gateway(proven.as_ref(), &attributes)?;
            Ok(attributes.record(gateway, came(log, now)))
        });
        let records: Result<Vec<_>, Status> = records.collect();
        self.kept.add(records?, now);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
