//! Who is at the other end: certificates and keys for the remote shell, and TLS 1.3 with both sides
//! proved.
//!
//! aws-lc-rs is the one provider of cryptography. There is no way around the proof: no flag that
//! skips it, and no plain connection to fall back to.

use hostwright_model::shell::PROTOCOL;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A text is not PEM of what it should be.
    #[error("{what} is not understood: {reason}")]
    Pem {
        /// What.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate, key and authority do not fit.
    #[error("the certificates cannot be used: {0}")]
    Unfit(String),
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(String),
}

/// Who one is, and by whom the other end must be vouched for. All PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The authority.
    pub authority: String,
    /// One's own certificate, and those between it and the authority.
    pub certificate: String,
    /// One's own key.
    key: String,
}

/// A key, and the request for its certificate.
pub struct FreshKey {
    key: KeyPair,
}

impl FreshKey {
    /// A new key; it never leaves this program.
    pub fn generate() -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(|error| TlsError::Key(error.to_string()))?;
        Ok(Self { key })
    }

    /// A request for a certificate: PKCS#10, PEM.
    pub fn request(&self) -> Result<String, TlsError> {
        let mut params = CertificateParams::default();
        // The authority writes what it knows over all of this.
        params.distinguished_name.push(DnType::CommonName, "hostwright");
        let made = params.serialize_request(&self.key).and_then(|request| request.pem());
        made.map_err(|error| TlsError::Key(error.to_string()))
    }

    /// With the certificate that it got.
    pub fn with(self, certificate: String, authority: String) -> Identity {
        Identity { authority, certificate, key: self.key.serialize_pem() }
    }
}

impl Identity {
    /// Reads the three files.
    pub fn read(authority: &Path, certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let text = |path: &Path| {
            let failed = |source| TlsError::File { path: path.to_owned(), source };
            std::fs::read_to_string(path).map_err(failed)
        };
        Ok(Self { authority: text(authority)?, certificate: text(certificate)?, key: text(key)? })
    }

    /// For the end that listens: takes clients only with a certificate of the authority that is
    /// meant for clients.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider());
        let verifier = verifier.build().map_err(unfit)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unfit)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain()?, self.private_key()?);
        let mut config = config.map_err(unfit)?;
        config.alpn_protocols = vec![PROTOCOL.into()];
        // Sessions are not resumed: each connection proves both ends again.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// For the end that connects: talks only to what the authority vouches for.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unfit)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain()?, self.private_key()?);
        let mut config = config.map_err(unfit)?;
        config.alpn_protocols = vec![PROTOCOL.into()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority, "the authority's certificate")? {
            roots.add(certificate).map_err(unfit)?;
        }
        Ok(Arc::new(roots))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.certificate, "the certificate")
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| TlsError::Pem { what: "the key".into(), reason: error.to_string() })
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem { what: what.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() { Err(bad("it holds no certificate".to_owned())) } else { Ok(found) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn unfit(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unfit(error.to_string())
}
