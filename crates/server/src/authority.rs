//! Certificates for the remote shell: each run has an authority of its own.
//!
//! ```text
//! STATE/server.key ──keyed BLAKE3 of the run's id──► Ed25519 key of the run's authority
//!                                                      ├─► certificate of the run's machine
//!                                                      └─► certificates of operators, a day each
//! ```
//!
//! Nothing is stored: the authority is made again whenever it is needed, as the run's token is. What
//! one run's certificates open, those of another do not. Private keys never come here: both ends
//! make their own and send a request (PKCS#10).

use crate::problem::Problem;
use hostwright_model::api::{Certificate, Run};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

/// Clocks may differ by as much.
const SLACK: Duration = Duration::days(1);
/// A run that takes longer has been forgotten.
const AUTHORITY_LASTS: Duration = Duration::days(3650);
const MACHINE_LASTS: Duration = Duration::days(90);
const OPERATOR_LASTS: Duration = Duration::days(1);
/// An Ed25519 key in PKCS#8 (RFC 8410, section 7) up to its 32 bytes.
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The machine of the run: its end listens.
    Machine,
    /// An operator: theirs connects.
    Operator,
}

/// The authority of one run.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    run: Run,
}

impl Authority {
    /// The authority of `run`, whose secret is `seed`.
    pub(crate) fn of(run: Run, seed: [u8; 32]) -> Result<Self, Problem> {
        Self::make(run, seed).map_err(|error| Problem::internal(&error))
    }

    fn make(run: Run, seed: [u8; 32]) -> Result<Self, rcgen::Error> {
        let key = PrivatePkcs8KeyDer::from([&PKCS8_ED25519[..], &seed].concat());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, format!("Hostwright run {}", run.id));
        // The same bytes whenever it is made.
        params.serial_number = Some(SerialNumber::from(1u64));
        let armed = OffsetDateTime::from_unix_timestamp(run.armed_at_ms / 1000);
        let armed = armed.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (params.not_before, params.not_after) = (armed - SLACK, armed + AUTHORITY_LASTS);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, run })
    }

    /// A certificate for the key of `request`, whatever else the request says.
    pub(crate) fn issue(
        &self,
        holder: Holder,
        request: &str,
        now_ms: i64,
    ) -> Result<Certificate, Problem> {
        let refused = |error: rcgen::Error| {
            let message = format!("the certificate request is not understood: {error}");
            let cure = "send a PKCS#10 request in PEM, signed by the key that it is for";
            Problem::bad("bad-certificate-request", message, cure)
        };
        let request = CertificateSigningRequestParams::from_pem(request).map_err(refused)?;
        let issued = self.certify(holder, request, now_ms);
        let certificate = issued.map_err(|error| Problem::internal(&error))?;
        Ok(Certificate { certificate, authority: self.certificate.clone() })
    }

    fn certify(
        &self,
        holder: Holder,
        mut request: CertificateSigningRequestParams,
        now_ms: i64,
    ) -> Result<String, rcgen::Error> {
        let machine = self.run.machine.as_str();
        let (name, usage, lasts) = match holder {
            Holder::Machine => (machine, ExtendedKeyUsagePurpose::ServerAuth, MACHINE_LASTS),
            Holder::Operator => ("operator", ExtendedKeyUsagePurpose::ClientAuth, OPERATOR_LASTS),
        };
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationalUnitName, self.run.id.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::from_unix_timestamp(now_ms / 1000);
        let now = now.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (params.not_before, params.not_after) = (now - SLACK, now + lasts);
        request.params = params;
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::api::RunState;

    fn run(id: &str) -> Run {
        Run {
            id: id.into(),
            machine: "web1".into(),
            state: RunState::Running,
            armed_at_ms: 1_700_000_000_000,
            booted_at_ms: None,
            started_at_ms: None,
            ended_at_ms: None,
            attempts: 1,
            last_seq: 0,
            resume_asked_at_ms: None,
        }
    }

    #[test]
    fn an_authority_is_the_same_whenever_it_is_made_and_another_for_another_run() {
        let made = |id: &str, seed| Authority::of(run(id), [seed; 32]).unwrap().certificate;
        assert_eq!(made("web1-1", 1), made("web1-1", 1));
        assert_ne!(made("web1-1", 1), made("web1-2", 2));
    }

    #[test]
    fn a_request_cannot_make_itself_more_than_it_is() {
        let authority = Authority::of(run("web1-1"), [1; 32]).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let request = wish.serialize_request(&key).unwrap().pem().unwrap();
        let now_ms = 1_700_000_000_000;
        let issued = authority.issue(Holder::Operator, &request, now_ms).unwrap();
        let text = openssl_text(&issued.certificate);
        assert!(text.contains("DNS:operator") && text.contains("TLS Web Client"), "{text}");
        assert!(!text.contains("bank.example") && !text.contains("CA:TRUE"), "{text}");
        let refused = authority.issue(Holder::Operator, "nonsense", now_ms).unwrap_err();
        assert_eq!(refused.error.code, "bad-certificate-request");
    }

    #[expect(clippy::disallowed_methods, reason = "openssl is the second opinion")]
    fn openssl_text(certificate: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        std::fs::write(&file, certificate).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-text", "-in"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
