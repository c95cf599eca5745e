//! A gateway's way to the control plane, which can be cut.

use super::World;
use anyhow::{Context, Result};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Forwards a gateway's connections to the control plane. Dropping it cuts the gateway off.
pub struct Relay(JoinHandle<()>);

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World {
    /// Restarts a gateway so that it reaches the control plane through a relay.
    ///
    /// # Errors
    /// The gateway does not start.
    pub async fn through_relay(&mut self, region: &str) -> Result<Relay> {
        let control_plane = self.block().control_plane();
        let listener = TcpListener::bind((control_plane.ip(), 0)).await?;
        let path = self.dir().join(format!("{region}.yaml"));
        let mut config = serde_json::from_slice(&std::fs::read(&path)?)?;
        redirect(&mut config, control_plane, listener.local_addr()?);
        std::fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        let relay = Relay(tokio::spawn(forward(listener, control_plane)));
        self.restart_gateway(region).await?;
        self.until_healthy().await.context("behind the relay")?;
        Ok(relay)
    }
}

async fn forward(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(to).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// Replaces an address wherever it stands in Envoy's configuration.
fn redirect(config: &mut Value, from: SocketAddr, to: SocketAddr) {
    match config {
        Value::Object(fields) => {
            let is_it = fields.get("address") == Some(&from.ip().to_string().into())
                && fields.get("port_value") == Some(&from.port().into());
            if is_it {
                fields.insert("port_value".into(), to.port().into());
            }
            fields
                .values_mut()
                .for_each(|value| redirect(value, from, to));
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| redirect(value, from, to)),
        _ => {}
    }
}
