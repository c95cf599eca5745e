//! The gateways of the regions beside home: one Envoy in the place of all of them, which answers health checks.

use super::fleets::{Size, name};
use super::proxy;
use super::variants::manager;
use anyhow::Result;
use meridian_tests::world::certificates::Certificates;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};

/// Its configuration. `block`: the bytes behind 127 with which all addresses begin. `fleets`: the port of each fleet's public listeners,
/// and its size.
///
/// # Errors
/// No certificate can be made for it.
pub fn config(
    [x, y]: [u8; 2],
    certificates: &Certificates,
    fleets: &[(u16, Size)],
) -> Result<Value> {
    let largest = fleets.iter().map(|(_, size)| size.regions).max();
    let regions: Vec<String> = (1..largest.unwrap_or_default()).map(name).collect();
    certificates.make_for_regions("neighbours", &regions)?;
    let mut listeners = Vec::new();
    for (port, size) in fleets {
        for region in 1..size.regions {
            let ip = Ipv4Addr::new(127, x, y, u8::try_from(region + 1)?);
            let address = SocketAddr::new(ip.into(), port + 1);
            listeners.push(listener(address, certificates));
        }
    }
    let admin = SocketAddr::new(Ipv4Addr::new(127, x, y, 1).into(), 8650);
    Ok(json!({
        "admin": { "address": proxy::address(admin) },
        "static_resources": { "listeners": listeners },
    }))
}

fn listener(address: SocketAddr, certificates: &Certificates) -> Value {
    let extensions = "type.googleapis.com/envoy.extensions";
    let manager = manager(("direct_response", json!({ "status": 200 })));
    let tls = json!({
        "@type": format!("{extensions}.transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [{
                "certificate_chain": { "filename": certificates.certificate("neighbours") },
                "private_key": { "filename": certificates.key("neighbours") },
            }],
        },
    });
    json!({
        "name": address.to_string(),
        "address": proxy::address(address),
        "filter_chains": [{
            "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": tls },
            "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }],
        }],
    })
}
