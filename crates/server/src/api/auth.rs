//! Who is asking: tokens in `Authorization: Bearer`, or in the page's cookie.

use crate::app::{AgentCall, App};
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, COOKIE as COOKIE_HEADER};
use axum::http::request::Parts;
use hostwright_model::api::Run;
use std::sync::Arc;

/// Name of the cookie in which a browser keeps the operators' token.
pub(crate) const COOKIE: &str = "hostwright_token";

/// Somebody who may change things.
pub(crate) struct Operator;

/// Somebody who may look.
pub(crate) struct Reader;

/// The agent of an open run.
pub(crate) struct AgentRun(pub(crate) Run);

/// The agent of a run that was not taken back.
pub(crate) struct ReportingRun(pub(crate) Run);

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        // Not the cookie: a page of somebody else's must not be able to change anything.
        match bearer(parts).filter(|token| app.keys.is_operator(token)) {
            Some(_) => Ok(Self),
            None => Err(Problem::no_token()),
        }
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let known = |token: &&str| app.keys.is_operator(token);
        let open = app.config.open_page;
        if open
            || bearer(parts).filter(known).is_some()
            || cookie_token(parts).filter(known).is_some()
        {
            return Ok(Self);
        }
        Err(Problem::no_token())
    }
}

impl FromRequestParts<Arc<App>> for AgentRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = bearer(parts).ok_or_else(Problem::no_token)?;
        Ok(Self(app.run_of_token(token, AgentCall::Open).await?))
    }
}

impl FromRequestParts<Arc<App>> for ReportingRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = bearer(parts).ok_or_else(Problem::no_token)?;
        Ok(Self(app.run_of_token(token, AgentCall::Reporting).await?))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    parts.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The token in the page's cookie.
pub(crate) fn cookie_token(parts: &Parts) -> Option<&str> {
    let cookies = parts.headers.get_all(COOKIE_HEADER).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = cookies.flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}
