//! The fleet file of a world: the example of the README on loopback.

use super::certificates::{CONTROL_PLANE, Certificates};
use super::layout::SIBLING_OF;
use super::{Block, DRAIN_S, PROVIDERS, REGIONS, workspace};
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

/// The region whose vector database is written to.
pub const PRIMARY: &str = "us-east-1";

/// What worlds differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Whether the gateways run the filter as a dynamic module.
    pub native: bool,
    /// Regions have locations, for the page's map. Distances follow from them.
    pub locations: bool,
    /// The file of the dynamic module, in `target/filter`.
    pub module: &'static str,
    /// `overflow` and `unhealthy`, as in the fleet file.
    pub policy: &'static str,
    /// The lease.
    pub lease: &'static str,
    /// Several control planes on an etcd, so many; 0 for one on its own.
    pub replicas: usize,
    /// How long the gateways drain listeners that an edit replaced, in seconds.
    pub drain_s: u32,
    /// Whether the wall clocks of the control plane and the gateways can be set.
    pub clocks: bool,
    /// Whether the gateways' clocks stand still until they are stepped. Each gateway has one worker then.
    pub stepped: bool,
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
            native: false,
            locations: false,
            module: "libmeridian_filter_native.so",
            configured: Configured::ByDelta,
            policy: "",
            lease: "60s",
            replicas: 0,
            drain_s: DRAIN_S,
            clocks: false,
            stepped: false,
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

/// The fleet file of a world.
pub fn text(block: &Block, certificates: &Certificates, dir: &Path, options: &Options) -> String {
    let world = Place {
        block,
        certificates,
        dir,
    };
    let mut text = world.fleet(options);
    for region in REGIONS {
        text += &world.region(region, options);
    }
    text
}

/// Where a region is.
fn location(region: &str, has_one: bool) -> String {
    let (latitude, longitude) = match region {
        _ if !has_one => return String::new(),
        "us-west-2" => (45.8, -119.7),
        "us-east-1" => (38.9, -77.4),
        _ => (53.3, -6.3),
    };
    format!("    location: {{ latitude: {latitude}, longitude: {longitude} }}\n")
}

/// Where a world's parts are.
struct Place<'w> {
    block: &'w Block,
    certificates: &'w Certificates,
    dir: &'w Path,
}

impl Place<'_> {
    /// All but the regions.
    fn fleet(&self, options: &Options) -> String {
        let Options {
            misdirected,
            limits,
            fallbacks,
            policy,
            lease,
            ..
        } = options;
        let (eea, global) = if *fallbacks {
            ("[claude-eu]", "[claude]")
        } else {
            ("[]", "[]")
        };
        format!(
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
  tls: {tls}
gateways:
  trust_domain: meridian
  filter: {kind}
  wasm: {wasm}
  native: {native}
fallbacks:
{fallback_entries}regions:
",
            control_plane = self.control_planes(options.replicas),
            status = self.block.status(),
            tls = self.mutual_tls(CONTROL_PLANE),
            kind = if options.native { "native" } else { "wasm" },
            wasm = workspace()
                .join("target/filter/meridian_filter.wasm")
                .display(),
            native = workspace()
                .join("target/filter")
                .join(options.module)
                .display(),
            fallback_entries = self.fallbacks(options.claude, options.fallback),
        )
    }

    /// The authority of the gateways, and a certificate of it.
    fn mutual_tls(&self, name: &str) -> String {
        format!(
            "{{ ca: {}, certificate: {}, key: {} }}",
            self.certificates.ca().display(),
            self.certificates.certificate(name).display(),
            self.certificates.key(name).display(),
        )
    }

    /// The fallbacks: Claude, in the EU by a host, or servers compatible with OpenAI's.
    fn fallbacks(&self, claude: Option<ClaudeHost>, more: &str) -> String {
        let dir = self.dir.display();
        let anthropic = format!("provider: anthropic, model: {CLAUDE}");
        let compatible = "provider: openai-compatible".to_owned();
        let (global, eu) = match claude {
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
        let eu_path = if claude == Some(ClaudeHost::Bedrock) {
            ""
        } else {
            "/v1"
        };
        let (global_url, eu_url) = (
            self.block.provider("claude"),
            self.block.provider("claude-eu"),
        );
        format!(
            "  claude: {{ {global}, url: \"http://{global_url}/v1\", jurisdiction: [global], api_key: {{ file: {dir}/claude.key }} {more} }}
  claude-eu: {{ {eu}, url: \"http://{eu_url}{eu_path}\", jurisdiction: [eea], api_key: {{ {eu_key} }} {more} }}
"
        )
    }

    fn region(&self, region: &str, options: &Options) -> String {
        let nearest: Vec<&str> = REGIONS
            .into_iter()
            .filter(|other| *other != region)
            .collect();
        let (peer, pool) = (self.block.peer(region), self.block.pool(region));
        format!(
            "  {region}:
{database}    public: {public}
    gateway: {{ address: \"{address}\", port: {port}, listen: \"{peer}\", tls: {tls} }}
    admin: \"{admin}\"
    nearest: [{nearest}]
{location}    signals:
      - {{ prometheus: \"http://{pool}/metrics\", preset: vllm, model: {MODEL}, max_running: 256, every: {EVERY} }}
      - {{ prometheus: \"http://{pool}/metrics\", preset: dcgm, every: {EVERY} }}
      - {{ prometheus: \"http://{pool}/metrics\", preset: postgres, every: {EVERY} }}
    pools:
{pools}",
            database = self.database(region, options.databases),
            public = self.public(region, options.tls),
            address = peer.ip(),
            port = peer.port(),
            tls = self.mutual_tls(region),
            admin = self.block.admin(region),
            nearest = nearest.join(", "),
            location = location(region, options.locations),
            pools = self.pools(region, options.sibling),
        )
    }

    /// The addresses of the control plane.
    fn control_planes(&self, replicas: usize) -> String {
        if replicas == 0 {
            return self.block.control_plane().ip().to_string();
        }
        let each = (0..replicas).map(|number| self.block.replica(number).ip().to_string());
        let each: Vec<String> = each.collect();
        format!("[{}]", each.join(", "))
    }

    /// The public listener.
    fn public(&self, region: &str, tls: bool) -> String {
        let public = self.block.public(region);
        if !tls {
            return format!("{{ listen: \"{public}\", url: \"http://{public}\" }}");
        }
        let (certificate, key) = (
            self.certificates.certificate(region),
            self.certificates.key(region),
        );
        let (certificate, key) = (certificate.display(), key.display());
        let tls = format!("{{ certificate: {certificate}, key: {key} }}");
        format!("{{ listen: \"{public}\", url: \"https://{public}\", tls: {tls} }}")
    }

    fn database(&self, region: &str, wanted: bool) -> String {
        if !wanted {
            return String::new();
        }
        let role = if region == PRIMARY {
            "primary"
        } else {
            "replica"
        };
        let (database, milvus) = (self.block.database(region), self.block.milvus(region));
        format!(
            "    vector_db: {{ endpoint: \"{database}\", role: {role}, listen: \"{milvus}\" }}\n"
        )
    }

    fn pools(&self, region: &str, sibling: bool) -> String {
        let mut endpoints = format!("\"{}\"", self.block.pool(region));
        if sibling && region == SIBLING_OF {
            endpoints += &format!(", \"{}\"", self.block.sibling());
        }
        let pools = models(region)
            .iter()
            .map(|model| format!("      \"{model}\": {{ endpoints: [{endpoints}] }}\n"));
        pools.collect()
    }
}
