//! Addresses of a world: 127.x.y.1 and so on, one per region, claimed so that no other world has them.

use super::layout::{PROVIDERS, REGIONS, SIBLING_OF, position};
use anyhow::{Context, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A block of 256 loopback addresses.
pub struct Block {
    first: [u8; 2],
    /// Bound as long as the block is ours.
    _claim: TcpListener,
}

/// Port of every gateway's public listener.
const PUBLIC: u16 = 8080;
const PEER: u16 = 8443;
const ADMIN: u16 = 9901;
const POOL: u16 = 8000;
const CONTROL_PLANE: u16 = 18000;
const CONTROL: u16 = 8001;
const SIBLING: u16 = 8002;
const MILVUS: u16 = 19530;
const MILVUS_PEER: u16 = 8444;
const DATABASE: u16 = 19531;

impl Block {
    /// Takes the first block that is free: from the one that is wished for, else from where this process is likely to
    /// be alone. Never the same twice, as a block's servers end a little after it.
    pub fn claim(wish: Option<[u8; 2]>) -> Result<Self> {
        static CLAIMED: AtomicU32 = AtomicU32::new(0);
        let start = wish.map_or(std::process::id() % 60_000, |[x, y]| {
            u32::from(x) << 8 | u32::from(y)
        });
        for _ in 0..4096 {
            let [.., x, y] = (start + CLAIMED.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
            // 127.0.y.z is left to others.
            let first = [x.max(1), y];
            if let Ok(claim) = TcpListener::bind(SocketAddr::new(ip(first, 255), 9)) {
                return Ok(Self {
                    first,
                    _claim: claim,
                });
            }
        }
        None.context("no block of loopback addresses is free")
    }

    fn region(&self, region: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip(self.first, host(position(&REGIONS, region), 1)), port)
    }

    fn provider_at(&self, provider: &str, port: u16) -> SocketAddr {
        SocketAddr::new(
            ip(self.first, host(position(&PROVIDERS, provider), 11)),
            port,
        )
    }

    /// Where the control plane listens for gateways.
    pub fn control_plane(&self) -> SocketAddr {
        self.replica(0)
    }

    /// Where one of its replicas does.
    pub fn replica(&self, number: usize) -> SocketAddr {
        SocketAddr::new(ip(self.first, host(number, 21)), CONTROL_PLANE)
    }

    /// Where etcd listens for clients, and for other members.
    pub fn etcd(&self) -> [SocketAddr; 2] {
        [2379, 2380].map(|port| SocketAddr::new(ip(self.first, 29), port))
    }

    /// Where a link between a region's gateway and the control plane may listen.
    pub fn link(&self, region: &str) -> SocketAddr {
        SocketAddr::new(
            ip(self.first, host(position(&REGIONS, region), 31)),
            CONTROL_PLANE,
        )
    }

    /// The data port of a server that is no part of every world.
    pub fn spare(&self, number: usize) -> SocketAddr {
        SocketAddr::new(ip(self.first, host(number, 41)), POOL)
    }

    /// Where it shows its status.
    pub fn status(&self) -> SocketAddr {
        self.status_of(0)
    }

    /// Where a replica shows its status.
    pub fn status_of(&self, replica: usize) -> SocketAddr {
        SocketAddr::new(self.replica(replica).ip(), 18001)
    }

    /// A gateway's public listener.
    pub fn public(&self, region: &str) -> SocketAddr {
        self.region(region, PUBLIC)
    }

    /// A gateway's peer listener.
    pub fn peer(&self, region: &str) -> SocketAddr {
        self.region(region, PEER)
    }

    /// A gateway's admin interface.
    pub fn admin(&self, region: &str) -> SocketAddr {
        self.region(region, ADMIN)
    }

    /// A pool's data port.
    pub fn pool(&self, region: &str) -> SocketAddr {
        self.region(region, POOL)
    }

    /// A gateway's listener for retrieval.
    pub fn milvus(&self, region: &str) -> SocketAddr {
        self.region(region, MILVUS)
    }

    /// A gateway's listener for retrieval through peers.
    pub fn milvus_peer(&self, region: &str) -> SocketAddr {
        self.region(region, MILVUS_PEER)
    }

    /// A region's vector database.
    pub fn database(&self, region: &str) -> SocketAddr {
        self.region(region, DATABASE)
    }

    /// The second server of a pool.
    pub fn sibling(&self) -> SocketAddr {
        self.region(SIBLING_OF, SIBLING)
    }

    /// A pool's control port.
    pub fn pool_control(&self, region: &str) -> SocketAddr {
        self.region(region, CONTROL)
    }

    /// A provider's data port.
    pub fn provider(&self, provider: &str) -> SocketAddr {
        self.provider_at(provider, POOL)
    }

    /// A provider's control port.
    pub fn provider_control(&self, provider: &str) -> SocketAddr {
        self.provider_at(provider, CONTROL)
    }
}

fn ip([x, y]: [u8; 2], host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, x, y, host))
}

fn host(position: usize, first: u8) -> u8 {
    u8::try_from(position).map_or(u8::MAX, |position| first + position)
}
