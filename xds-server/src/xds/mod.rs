//! The xDS protocol: sends each connected gateway the [`Resources`] of its region, make before break.
//!
//! ```text
//! BTreeMap<RegionName, Arc<Resources>> --Hub::publish--> Hub --wakes--> server: one task per gRPC stream
//!                                                                          | requests, new Resources
//!                                                                          v
//!                               Stream (no IO, clock or async): sotw / delta -> Subscription per type -> answers
//! ```
//!
//! Callers publish [`Resources`] with [`Hub::publish`], and read the state with [`Hub::clients`] and [`Hub::counts`].
//! [`serve`] runs the gRPC server. Other services can be added to it; they authenticate callers with [`Trust::peer`].

mod delta;
mod encoded;
mod hub;
mod identity;
mod interest;
mod reference;
mod resource_type;
mod resources;
mod response;
mod server;
mod sotw;
mod status;
mod stream;
mod subscription;
mod version;

pub use encoded::{EncodedResource, Resource};
pub use hub::Hub;
pub use identity::{Peer, Refused, Trust};
pub use resource_type::{PerType, ResourceType};
pub use resources::{ByName, Resources};
pub use server::{
    Certificates, Clients, Expiry, RefusedHandshake, RefusedHandshakes, ServeError, Tls, TlsError,
    serve, serve_api,
};
pub use status::{Client, ClientStatus, Counts, Nack, TypeStatus, Wire};

#[cfg(test)]
mod tests;
