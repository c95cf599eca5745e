//! Fakes of inference servers and providers, and a fleet of real Envoys on loopback, for Meridian's tests and its demo.

pub mod agents;
pub mod demo;
pub mod differential;
pub mod fakes;
pub mod hunt;
pub mod kill_hunt;
pub mod replica_hunt;
pub mod residency_hunt;
pub mod scenarios;
pub mod world;
