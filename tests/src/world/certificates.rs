//! The certificates of a world: one authority, one certificate per gateway that names its region, one for callers,
//! and some that no gateway may accept.

use super::{Block, REGIONS};
use anyhow::{Context, Result};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the certificates lie.
pub struct Certificates {
    dir: PathBuf,
    authority: Authority,
    /// The authority before, while it is rolled over.
    retired: Option<Authority>,
    /// What the certificates of the control plane and the gateways say.
    names: BTreeMap<&'static str, Vec<SanType>>,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The control plane's certificate.
pub const CONTROL_PLANE: &str = "control-plane";
/// Of what pushes signals.
pub const PUSHER: &str = "pusher";
/// A certificate of the gateways' authority whose SAN names no region of the fleet.
pub const STRANGER: &str = "stranger";
/// A certificate with a right SAN from another authority.
pub const FORGED: &str = "forged";

/// The year in which certificates end that are not replaced yet.
pub const FIRST_END: i32 = 4096;

impl Certificates {
    /// Makes them all.
    pub fn make(dir: &Path, block: &Block) -> Result<Self> {
        let mut names = BTreeMap::new();
        for name in REGIONS {
            let ip = SanType::IpAddress(block.public(name).ip());
            names.insert(name, vec![region(name)?, ip]);
        }
        let ip = SanType::IpAddress(block.control_plane().ip());
        let spiffe = uri("spiffe://meridian/control-plane")?;
        names.insert(CONTROL_PLANE, vec![spiffe, ip]);
        let certificates = Self {
            dir: dir.join("tls"),
            authority: authority("meridian demo", FIRST_END)?,
            retired: None,
            names,
        };
        let own = &certificates.authority;
        std::fs::create_dir_all(&certificates.dir)?;
        std::fs::create_dir_all(certificates.next())?;
        std::fs::write(certificates.ca(), own.pem())?;
        for (name, sans) in &certificates.names {
            certificates.issue(name, sans.clone(), own)?;
        }
        let spiffe = uri("spiffe://meridian/source/west")?;
        certificates.issue(PUSHER, vec![spiffe], own)?;
        certificates.issue(STRANGER, vec![region("nowhere")?], own)?;
        let other = authority("someone else", FIRST_END)?;
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

    /// Makes a new authority whose end is the start of this year, and adds it to the bundle.
    ///
    /// # Errors
    /// The bundle cannot be written.
    pub fn add_authority(&mut self, ends: i32) -> Result<()> {
        let new = authority("meridian demo, renewed", ends)?;
        let old = std::mem::replace(&mut self.authority, new);
        let bundle = old.pem() + &self.authority.pem();
        self.retired = Some(old);
        self.put(&self.ca(), &bundle)
    }

    /// Takes the authority before from the bundle.
    ///
    /// # Errors
    /// The bundle cannot be written.
    pub fn drop_old_authority(&mut self) -> Result<()> {
        self.retired = None;
        self.put(&self.ca(), &self.authority.pem())
    }

    /// Replaces the certificate and key of the control plane or a gateway by those that end at the start of a year. Each file is
    /// moved over the one before.
    ///
    /// # Errors
    /// They cannot be written, or have never been.
    pub fn renew(&self, name: &str, ends: i32) -> Result<()> {
        let names = self.names.get(name).context("no such certificate")?;
        let (certificate, key) = pair(name, names.clone(), &self.authority, ends)?;
        self.put(&self.key(name), &key)?;
        self.put(&self.certificate(name), &certificate)
    }

    fn issue(
        &self,
        name: &str,
        sans: Vec<SanType>,
        issuer: &CertifiedIssuer<'_, KeyPair>,
    ) -> Result<()> {
        let (certificate, key) = pair(name, sans, issuer, FIRST_END)?;
        std::fs::write(self.certificate(name), certificate)?;
        std::fs::write(self.key(name), key)?;
        Ok(())
    }

    /// Moves a file into its place. A gateway does not see one that is written there.
    fn put(&self, path: &Path, text: &str) -> Result<()> {
        let next = self.next().join("file");
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(next, path)?)
    }

    /// Where files are made.
    fn next(&self) -> PathBuf {
        self.dir.join("next")
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

/// The start of a year, in seconds since the Unix epoch.
pub fn start_of(year: i32) -> i64 {
    rcgen::date_time_ymd(year, 1, 1).unix_timestamp()
}

/// A certificate and its key, as PEM.
fn pair(
    name: &str,
    sans: Vec<SanType>,
    issuer: &CertifiedIssuer<'_, KeyPair>,
    ends: i32,
) -> Result<(String, String)> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = sans;
    params.not_after = rcgen::date_time_ymd(ends, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn authority(name: &str, ends: i32) -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(ends, 1, 1);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// The name of a region's gateway.
fn region(name: &str) -> Result<SanType> {
    uri(&format!("spiffe://meridian/region/{name}"))
}

fn uri(text: &str) -> Result<SanType> {
    Ok(SanType::URI(Ia5String::try_from(text)?))
}
