//! The certificates of a world: one authority, one certificate per gateway that names its region, one for callers,
//! and some that no gateway may accept.

use super::{Block, REGIONS};
use anyhow::Result;
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::path::{Path, PathBuf};

/// Where the certificates lie.
pub struct Certificates {
    dir: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// The control plane's certificate.
pub const CONTROL_PLANE: &str = "control-plane";
/// Of what pushes signals.
pub const PUSHER: &str = "pusher";
/// A certificate of the gateways' authority whose SAN names no region of the fleet.
pub const STRANGER: &str = "stranger";
/// A certificate with a right SAN from another authority.
pub const FORGED: &str = "forged";

impl Certificates {
    /// Makes them all.
    pub fn make(dir: &Path, block: &Block) -> Result<Self> {
        let certificates = Self {
            dir: dir.join("tls"),
            authority: authority("meridian demo")?,
        };
        let own = &certificates.authority;
        std::fs::create_dir_all(&certificates.dir)?;
        std::fs::write(certificates.ca(), own.pem())?;
        for name in REGIONS {
            let ip = SanType::IpAddress(block.public(name).ip());
            certificates.issue(name, vec![region(name)?, ip], own)?;
        }
        let ip = SanType::IpAddress(block.control_plane().ip());
        let spiffe = uri("spiffe://meridian/control-plane")?;
        certificates.issue(CONTROL_PLANE, vec![spiffe, ip], own)?;
        let spiffe = uri("spiffe://meridian/source/west")?;
        certificates.issue(PUSHER, vec![spiffe], own)?;
        certificates.issue(STRANGER, vec![region("nowhere")?], own)?;
        let other = authority("someone else")?;
        certificates.issue(FORGED, vec![region("us-east-1")?], &other)?;
        Ok(certificates)
    }

    /// Makes one more, for the gateways of all these regions.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn make_for_regions(&self, name: &str, regions: &[String]) -> Result<()> {
        let sans = regions.iter().map(|name| region(name));
        self.issue(name, sans.collect::<Result<_>>()?, &self.authority)
    }

    fn issue(
        &self,
        name: &str,
        sans: Vec<SanType>,
        issuer: &CertifiedIssuer<'_, KeyPair>,
    ) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = sans;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        std::fs::write(self.certificate(name), certificate.pem())?;
        std::fs::write(self.key(name), key.serialize_pem())?;
        Ok(())
    }

    /// The gateways' authority.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    /// Its key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// The name of a region's gateway.
fn region(name: &str) -> Result<SanType> {
    uri(&format!("spiffe://meridian/region/{name}"))
}

fn uri(text: &str) -> Result<SanType> {
    Ok(SanType::URI(Ia5String::try_from(text)?))
}
