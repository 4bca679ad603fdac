//! One small file by HTTP or HTTPS from somebody else's server: configuration that a site keeps.
//!
//! Everything has a time limit. HTTPS is checked against the authorities that the caller names, with
//! the one provider of cryptography; there is no way to leave the check out.

use crate::ClientError;
use crate::operator::escaped;
use hostwright_model::api::ApiError;
use rustls::crypto::aws_lc_rs::default_provider;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);

/// The content of `url` with `query` behind it, at most `longest_bytes` long. `authorities` is PEM.
pub fn fetch(
    url: &str,
    query: &[(&str, String)],
    authorities: &str,
    longest_bytes: u64,
) -> Result<Vec<u8>, ClientError> {
    let url = with_query(url, query);
    let unreachable =
        |source| ClientError::Unreachable { url: url.clone(), source: Box::new(source) };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .tls_config(tls(authorities))
        .user_agent(concat!("hostwright/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent: ureq::Agent = config.into();
    let mut response = agent.get(&url).call().map_err(unreachable)?;
    if !response.status().is_success() {
        let status = response.status().as_u16();
        let error = ApiError {
            code: format!("http-{status}"),
            message: format!("{url} answered {}", response.status()),
            cure: "check the address, and what the server serves".to_owned(),
        };
        return Err(ClientError::Refused { status: response.status().as_u16(), error });
    }
    let body = response.body_mut().with_config().limit(longest_bytes).read_to_vec();
    body.map_err(|error| ClientError::BrokenOff { url: url.clone(), source: error.into_io() })
}

fn tls(authorities: &str) -> TlsConfig {
    let certificates = parse_pem(authorities.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .build()
}

/// `url?name=value&…`, percent-encoded.
fn with_query(url: &str, query: &[(&str, String)]) -> String {
    let mut text = url.to_owned();
    for (name, value) in query {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(name);
        text.push('=');
        text.push_str(&escaped(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_escaped() {
        let query = [
            ("mac", "52:54:00:00:00:01".to_owned()),
            ("mac", "52:54:00:00:00:02".to_owned()),
            ("serial_number", "A&B C/ü".to_owned()),
        ];
        let expected = "http://10.0.0.1/c/config.json?mac=52%3A54%3A00%3A00%3A00%3A01&\
                        mac=52%3A54%3A00%3A00%3A00%3A02&serial_number=A%26B%20C%2F%C3%BC";
        assert_eq!(with_query("http://10.0.0.1/c/config.json", &query), expected);
        assert_eq!(with_query("http://a/?x=1", &query[..1]).matches('?').count(), 1);
    }
}
