//! LiteLLM's proxy server, which many put before their providers: one worker, in Python. It knows the upstream as a provider of OpenAI's API.

use super::fleets::MODEL;
use super::proxy::Proxy;
use super::variants::{Variant, url};
use anyhow::Result;
use meridian_tests::world::workspace;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

/// Where `scripts/setup` installs it.
pub const DIR: &str = ".tools/litellm";

/// # Errors
/// It does not start.
pub async fn start(dir: &Path, listen: SocketAddr, upstream: SocketAddr) -> Result<Variant> {
    let config = dir.join("litellm.yaml");
    let parameters = json!({
        "model": format!("openai/{MODEL}"), "api_base": format!("http://{upstream}/v1"), "api_key": "a key",
    });
    let text = json!({
        "model_list": [{ "model_name": MODEL, "litellm_params": parameters }],
        // As with the other proxies, callers need no key.
        "general_settings": { "dangerously_permit_weak_or_unset_master_key": true },
    });
    std::fs::write(&config, text.to_string())?;
    let program = workspace().join(DIR).join("bin/litellm");
    let (host, port) = (listen.ip().to_string(), listen.port().to_string());
    let arguments = [
        // Prices of models come with the package, and not from GitHub.
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
        "LITELLM_LOG=ERROR",
        &program.to_string_lossy(),
        "--config",
        &config.to_string_lossy(),
        "--host",
        &host,
        "--port",
        &port,
        "--num_workers",
        "1",
        "--telemetry",
        "False",
    ];
    Ok(Variant {
        name: "LiteLLM's proxy, slices of a 30th of the requests",
        url: url(listen),
        headers: Vec::new(),
        http2: false,
        slice_divisor: 30,
        processes: vec![Proxy::start_other(Path::new("env"), &arguments, listen).await?],
    })
}
