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
        };
        std::fs::create_dir_all(&certificates.dir)?;
        let authority = authority("meridian demo")?;
        std::fs::write(certificates.ca(), authority.pem())?;
        for region in REGIONS {
            let spiffe = format!("spiffe://meridian/region/{region}");
            let ip = SanType::IpAddress(block.public(region).ip());
            certificates.issue(region, vec![uri(&spiffe)?, ip], &authority)?;
        }
        let ip = SanType::IpAddress(block.control_plane().ip());
        let spiffe = uri("spiffe://meridian/control-plane")?;
        certificates.issue(CONTROL_PLANE, vec![spiffe, ip], &authority)?;
        let spiffe = uri("spiffe://meridian/source/west")?;
        certificates.issue(PUSHER, vec![spiffe], &authority)?;
        certificates.issue(
            STRANGER,
            vec![uri("spiffe://meridian/region/nowhere")?],
            &authority,
        )?;
        let other = self::authority("someone else")?;
        certificates.issue(
            FORGED,
            vec![uri("spiffe://meridian/region/us-east-1")?],
            &other,
        )?;
        Ok(certificates)
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

fn uri(text: &str) -> Result<SanType> {
    Ok(SanType::URI(Ia5String::try_from(text)?))
}
