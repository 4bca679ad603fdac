//! One server, one token: requests with JSON bodies and answers.

use crate::ClientError;
use hostwright_model::api::ApiError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use ureq::http::{Method, Request, Response};
use ureq::{AsSendBody, Body};

/// An answer to a JSON request is awaited this long: planning a space takes a while.
const ANSWER: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
/// A stream that is silent for longer is dead: the server sends a sign of life every 10 seconds.
const SILENCE: Duration = Duration::from_secs(35);
/// Longest JSON answer: 1000 events of long lines.
const LONGEST_JSON_BYTES: u64 = 64 << 20;

/// A server and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Connection {
    /// `server` is `http://ADDRESS:PORT`.
    pub(crate) fn new(server: &str, token: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // The boot server is on the machine's own network, whatever `http_proxy` says.
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("hostwright/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            base: server.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// The full address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// GETs `path` and reads JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(path, self.send(Method::GET, path, &[], ())?)
    }

    /// Sends `body` as JSON and reads JSON.
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(path, self.send_json(method, path, body)?)
    }

    /// Sends a request that says all by its path, and reads JSON.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, ClientError> {
        // An empty body with its length, so that no byte is under way when the answer comes.
        self.json(path, self.send(method, path, &[], Vec::new())?)
    }

    /// Sends DELETE.
    pub(crate) fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, &[], ()).map(drop)
    }

    /// Sends `body` as JSON and wants no answer but success.
    pub(crate) fn tell(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), ClientError> {
        self.send_json(method, path, body).map(drop)
    }

    /// Sends a request without a body; the answer is a success.
    pub(crate) fn open(
        &self,
        path: &str,
        headers: &[(&str, String)],
    ) -> Result<Response<Body>, ClientError> {
        self.send(Method::GET, path, headers, ())
    }

    fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Response<Body>, ClientError> {
        let json = serde_json::to_vec(body).expect("invariant: API bodies have string keys");
        let headers = [("content-type", "application/json".to_owned())];
        self.send(method, path, &headers, json)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: impl AsSendBody,
    ) -> Result<Response<Body>, ClientError> {
        let url = self.url(path);
        let unreachable =
            |e: ureq::Error| ClientError::Unreachable { url: url.clone(), source: Box::new(e) };
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|e| unreachable(e.into()))?;
        let response = self.agent.run(request).map_err(unreachable)?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(&url, response)) }
    }

    fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        mut response: Response<Body>,
    ) -> Result<T, ClientError> {
        let url = self.url(path);
        let body = response.body_mut().with_config().limit(LONGEST_JSON_BYTES).read_to_vec();
        let body = body.map_err(|e| broken_off(&url, e))?;
        serde_json::from_slice(&body)
            .map_err(|e| ClientError::Garbled { url, reason: e.to_string() })
    }
}

fn broken_off(url: &str, error: ureq::Error) -> ClientError {
    ClientError::BrokenOff { url: url.to_owned(), source: error.into_io() }
}

/// What the server said, also where it was not our API that answered.
fn refusal(url: &str, mut response: Response<Body>) -> ClientError {
    let status = response.status().as_u16();
    let text = match response.body_mut().read_to_string() {
        Ok(text) => text,
        Err(error) => return broken_off(url, error),
    };
    let error = serde_json::from_str(&text).unwrap_or_else(|_| ApiError {
        code: format!("http-{status}"),
        message: format!("{url} answered {}", response.status()),
        cure: "check the address of the server".to_owned(),
    });
    ClientError::Refused { status, error }
}
