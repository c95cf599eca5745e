//! Where `--state` says that the store is.

use anyhow::{Result, bail};
use clap::Args;
use meridian_xds_server::etcd::{Address, TlsFiles};
use meridian_xds_server::serve::State;
use meridian_xds_server::serve::store::{Embedded, moved_to};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files for TLS with etcd.
#[derive(Args)]
pub struct EtcdFiles {
    /// The CA of etcd's certificates, a PEM file. With it etcd is spoken to by TLS.
    #[arg(long, value_name = "FILE")]
    etcd_cafile: Option<PathBuf>,
    /// A client certificate for etcd, a PEM file.
    #[arg(
        long,
        value_name = "FILE",
        requires = "etcd_cafile",
        requires = "etcd_keyfile"
    )]
    etcd_certfile: Option<PathBuf>,
    /// The key of the client certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
}

impl EtcdFiles {
    /// What `--state` names.
    ///
    /// # Errors
    /// It is no address of etcd, or a directory with files for etcd.
    pub fn state(self, state: &str) -> Result<State> {
        if state.starts_with(Address::SCHEME) {
            return Ok(State::Etcd(self.address(state)?));
        }
        if self.etcd_cafile.is_some() {
            bail!(
                "--etcd-cafile: `--state {state}` is a directory; write e.g. --state etcd://10.0.0.1:2379"
            );
        }
        Ok(State::Directory(state.into()))
    }

    /// An address of etcd, with these files.
    ///
    /// # Errors
    /// It is none.
    pub fn address(self, text: &str) -> Result<Address> {
        let address: Address = text.parse()?;
        let identity = self.etcd_certfile.zip(self.etcd_keyfile);
        Ok(Address {
            tls: self.etcd_cafile.map(|ca| TlsFiles { ca, identity }),
            ..address
        })
    }
}

/// Copies an embedded store to etcd.
///
/// # Errors
/// There is none, it is in use, or etcd has a store already.
pub async fn copy_state(from: &Path, to: &Address, out: &mut impl Write) -> Result<()> {
    if !Embedded::is_in(from) {
        bail!("--from: there is no store in {}", from.display());
    }
    let records = moved_to(&Embedded::open(Some(from))?, to).await?;
    writeln!(
        out,
        "copied {records} records, the intents in force and the plan"
    )?;
    Ok(())
}
