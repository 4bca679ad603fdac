//! The machine's certificate: from files, as Dominator's installer has them, or from the server.
//! Without one there is no shell, whatever the reason.

use hostwright_client::tls::{FreshKey, Identity, TlsError};
use hostwright_client::{AgentClient, ClientError};
use hostwright_model::api::CertificateRequest;
use std::path::{Path, PathBuf};

/// Where certificates are looked for in files. Whoever has a client's certificate of this authority
/// gets a shell, so it must be an authority for this purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The authority that vouches for who may come.
    pub authority: PathBuf,
    /// Directories with `cert.pem` and `key.pem` of this machine; the first that is there counts.
    pub dirs: Vec<PathBuf>,
}

impl Default for CertificateFiles {
    /// Dominator's, by the agent's name and by that of its own installer.
    fn default() -> Self {
        Self {
            authority: "/etc/ssl/CA.pem".into(),
            dirs: ["/etc/ssl/hostwright-agent", "/etc/ssl/installer"].map(PathBuf::from).into(),
        }
    }
}

/// The identity in files; `None` if there are none. Files that are there and cannot be used are an
/// error, and nothing else is tried: somebody meant them to count.
pub(super) fn from_files(files: &CertificateFiles) -> Option<Result<Identity, TlsError>> {
    let certificate = |dir: &PathBuf| dir.join("cert.pem");
    let dir = files.dirs.iter().find(|dir| certificate(dir).exists())?;
    let there = |path: &Path| path.exists();
    if !there(&files.authority) && !there(&dir.join("key.pem")) {
        return None;
    }
    Some(Identity::read(&files.authority, &certificate(dir), &dir.join("key.pem")))
}

/// Why there is no certificate from the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An identity that is good for the run. The key is made here and stays here.
pub(super) fn from_server(client: &AgentClient) -> Result<Identity, CredentialError> {
    let key = FreshKey::generate()?;
    let request = CertificateRequest { csr: key.request()? };
    let issued = client.certificate(&request)?;
    Ok(key.with(issued.certificate, issued.authority))
}
