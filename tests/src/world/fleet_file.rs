//! The fleet file of a world: the example of the README on loopback.

use super::certificates::{CONTROL_PLANE, Certificates};
use super::{Block, PROVIDERS, REGIONS, workspace};
use anyhow::Result;
use meridian_policy::egress_policy::ClaudeHost;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A model that every region has.
pub const MODEL: &str = "llama-3.1-70b";
/// A model that only us-east-1 and eu-west-1 have, with a name as they come.
pub const PARTIAL_MODEL: &str = "mistralai/Mistral-7B:instruct";

/// Where Vertex has it, of a project and location.
pub const VERTEX: &str = "/v1/projects/p1/locations/eu/publishers/anthropic";

/// The Claude that answers.
pub const CLAUDE: &str = "claude-fake-5";

/// The same by an inference profile of Bedrock's.
pub const PROFILE: &str = "eu.anthropic.claude-fake-5-v1:0";

/// The region whose pools may have a second server.
pub const SIBLING_OF: &str = "eu-west-1";

/// The region whose vector database is written to.
pub const PRIMARY: &str = "us-east-1";

/// What worlds differ in.
#[derive(Clone, Debug)]
pub struct Options {
    /// `misdirected` of the zone `eea`.
    pub misdirected: &'static str,
    /// Limits, as in the fleet file. By default nothing that answers is taken for slow, however busy the machine is.
    pub limits: &'static str,
    /// Whether the public listeners speak TLS.
    pub tls: bool,
    /// Whether zones have fallbacks.
    pub fallbacks: bool,
    /// Whether the fallbacks are Claude: Anthropic's own API, and in the EU by this host.
    pub claude: Option<ClaudeHost>,
    /// What the fallbacks have besides, as in the fleet file.
    pub fallback: &'static str,
    /// Whether the pools of eu-west-1 have a second server.
    pub sibling: bool,
    /// Whether the regions have vector databases: the primary in us-east-1.
    pub databases: bool,
    /// Where the gateways have their configurations from.
    pub configured: Configured,
    /// `overflow` and `unhealthy`, as in the fleet file.
    pub policy: &'static str,
    /// The lease.
    pub lease: &'static str,
    /// The addresses to take if they are free: `127.x.y.*`.
    pub block: Option<[u8; 2]>,
}

/// Where gateways have their configurations from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configured {
    /// From the control plane, by incremental xDS over mTLS.
    ByDelta,
    /// From the control plane, by state-of-the-world xDS over mTLS.
    BySotw,
    /// From `meridian export`; there is no control plane.
    ByFile,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            misdirected: "refuse",
            limits: "{ first_token: 5s, unstreamed: 5s, connect: 5s, gap: 20s, answer: 30s, body: 64MiB }",
            tls: false,
            fallbacks: true,
            claude: None,
            fallback: "",
            sibling: false,
            databases: false,
            configured: Configured::ByDelta,
            policy: "",
            lease: "60s",
            block: None,
        }
    }
}

/// How often a pool's metrics are read.
pub const EVERY: &str = "500ms";

pub fn models(region: &str) -> &'static [&'static str] {
    if region == REGIONS[0] {
        &[MODEL]
    } else {
        &[MODEL, PARTIAL_MODEL]
    }
}

/// Our key with a provider.
pub fn api_key(provider: &str) -> String {
    format!("our-key-of-{provider}")
}

pub fn write_keys(dir: &Path) -> Result<()> {
    for provider in PROVIDERS {
        std::fs::write(dir.join(format!("{provider}.key")), api_key(provider))?;
        write_sds(dir, provider, &api_key(provider))?;
    }
    Ok(())
}

/// Puts a provider's key, as a resource of SDS, where the one before it was, as Kubernetes does with a secret: the file is a link
/// into a directory that is a link, and that one is moved.
pub fn write_sds(dir: &Path, provider: &str, key: &str) -> Result<()> {
    let secret = serde_json::json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": provider,
        "generic_secret": { "secret": { "inline_string": key } },
    }]});
    let mounted = dir.join(format!("{provider}.sds"));
    std::fs::create_dir_all(&mounted)?;
    let version = tempfile::Builder::new()
        .disable_cleanup(true)
        .tempdir_in(&mounted)?;
    std::fs::write(version.path().join("key.yaml"), secret.to_string())?;
    let next = mounted.join("..data_tmp");
    symlink(version.path(), &next)?;
    std::fs::rename(next, mounted.join("..data"))?;
    let file = mounted.join("key.yaml");
    if !file.is_symlink() {
        symlink("..data/key.yaml", file)?;
    }
    Ok(())
}

pub fn text(block: &Block, certificates: &Certificates, dir: &Path, options: &Options) -> String {
    let Options {
        misdirected,
        limits,
        tls,
        fallbacks,
        claude,
        fallback,
        sibling,
        databases,
        policy,
        lease,
        ..
    } = options;
    let dir = dir.display();
    let filter = workspace().join("target/filter/meridian_filter.wasm");
    let filter = filter.display();
    let (eea, global) = if *fallbacks {
        ("[claude-eu]", "[claude]")
    } else {
        ("[]", "[]")
    };
    let anthropic = format!("provider: anthropic, model: {CLAUDE}");
    let compatible = "provider: openai-compatible".to_owned();
    let (global_provider, eu_provider) = match claude {
        Some(ClaudeHost::Bedrock) => {
            let place = "location: eu-central-1, destinations: [eu-central-1, eu-west-3]";
            let model = format!("model: \"{PROFILE}\"");
            (anthropic, format!("provider: bedrock, {place}, {model}"))
        }
        Some(_) => {
            let place = "project: p1, location: eu";
            let vertex = format!("provider: vertex, {place}, model: {CLAUDE}");
            (anthropic, vertex)
        }
        None => (compatible.clone(), compatible),
    };
    let eu_key = match claude {
        Some(_) => format!("sds: {dir}/claude-eu.sds/key.yaml"),
        None => format!("file: {dir}/claude-eu.key"),
    };
    // Bedrock has no version in its paths.
    let eu_path = if *claude == Some(ClaudeHost::Bedrock) {
        ""
    } else {
        "/v1"
    };
    let mut text = format!(
        "\
zones:
  eea: {{ countries: [preset:eea], pinned: true, regions: [eu-west-1], fallbacks: {eea}, misdirected: {misdirected} }}
  global: {{ countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: {global} }}
unknown_zone: eea
classify:
  - {{ header: x-tenant-zone, gives: zone, trust: {{ cidr: [127.0.0.1/32] }} }}
  - {{ header: cf-ipcountry, gives: country, trust: {{ cidr: [127.0.0.1/32] }} }}
policy:
  limits: {limits}
  {policy}
control_plane:
  address: {control_plane}
  status: \"{status}\"
  lease: {lease}
  tls: {{ ca: {ca}, certificate: {certificate}, key: {key} }}
gateways:
  trust_domain: meridian
  filter: {filter}
fallbacks:
  claude: {{ {global_provider}, url: \"http://{claude}/v1\", jurisdiction: [global], api_key: {{ file: {dir}/claude.key }} {fallback} }}
  claude-eu: {{ {eu_provider}, url: \"http://{claude_eu}{eu_path}\", jurisdiction: [eea], api_key: {{ {eu_key} }} {fallback} }}
regions:
",
        control_plane = block.control_plane().ip(),
        status = block.status(),
        ca = certificates.ca().display(),
        certificate = certificates.certificate(CONTROL_PLANE).display(),
        key = certificates.key(CONTROL_PLANE).display(),
        claude = block.provider("claude"),
        claude_eu = block.provider("claude-eu"),
    );
    for region in REGIONS {
        let nearest: Vec<&str> = REGIONS
            .into_iter()
            .filter(|other| *other != region)
            .collect();
        let (public, peer) = (block.public(region), block.peer(region));
        let (certificate, key) = (certificates.certificate(region), certificates.key(region));
        let (certificate, key) = (certificate.display(), key.display());
        let scheme = if *tls { "https" } else { "http" };
        let public_tls = if *tls {
            format!(", tls: {{ certificate: {certificate}, key: {key} }}")
        } else {
            String::new()
        };
        text += &format!(
            "  {region}:
    public: {{ listen: \"{public}\", url: \"{scheme}://{public}\"{public_tls} }}
    gateway: {{ address: \"{address}\", port: {port}, listen: \"{peer}\", tls: {{ ca: {ca}, certificate: {certificate}, key: {key} }} }}
    admin: \"{admin}\"
    nearest: [{nearest}]
    signals:
      - {{ prometheus: \"http://{pool}/metrics\", preset: vllm, model: {MODEL}, max_running: 256, every: {EVERY} }}
      - {{ prometheus: \"http://{pool}/metrics\", preset: dcgm, every: {EVERY} }}
      - {{ prometheus: \"http://{pool}/metrics\", preset: postgres, every: {EVERY} }}
    pools:
",
            address = peer.ip(),
            port = peer.port(),
            ca = certificates.ca().display(),
            admin = block.admin(region),
            pool = block.pool(region),
            nearest = nearest.join(", "),
        );
        if *databases {
            let role = if region == PRIMARY {
                "primary"
            } else {
                "replica"
            };
            let (database, milvus) = (block.database(region), block.milvus(region));
            text = text.replacen(
                &format!("  {region}:\n"),
                &format!("  {region}:\n    vector_db: {{ endpoint: \"{database}\", role: {role}, listen: \"{milvus}\" }}\n"),
                1,
            );
        }
        let mut endpoints = format!("\"{}\"", block.pool(region));
        if *sibling && region == SIBLING_OF {
            endpoints += &format!(", \"{}\"", block.sibling());
        }
        for model in models(region) {
            text += &format!("      \"{model}\": {{ endpoints: [{endpoints}] }}\n");
        }
    }
    text
}
