//! Errors of the API: a status, a stable code, what is wrong and what to do.

use crate::state::StateError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hostwright_model::api::ApiError;
use hostwright_model::ids::{MachineName, RunId};

/// An answer with an error status.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) error: ApiError,
}

impl Problem {
    /// A problem with a sentence for what is wrong and one for what to do.
    pub(crate) fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let (message, cure) = (message.into(), cure.into());
        Self { status, error: ApiError { code: code.to_owned(), message, cure } }
    }

    /// What was sent cannot be accepted, whatever the state.
    pub(crate) fn bad(code: &str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, cure)
    }

    /// What was asked for does not fit the state.
    pub(crate) fn conflict(
        code: &str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::CONFLICT, code, message, cure)
    }

    pub(crate) fn no_machine(name: &MachineName) -> Self {
        let message = format!("there is no machine '{name}'");
        let cure = "'hostwright machine list' shows what there is";
        Self::new(StatusCode::NOT_FOUND, "no-such-machine", message, cure)
    }

    pub(crate) fn no_run(id: &RunId) -> Self {
        let message = format!("there is no run '{id}'");
        let cure = "'hostwright run list' shows what there is";
        Self::new(StatusCode::NOT_FOUND, "no-such-run", message, cure)
    }

    pub(crate) fn no_token() -> Self {
        let message = "this needs the operators' token, and the request carries no valid one";
        let cure = "send 'Authorization: Bearer TOKEN' with the content of operator.token in the \
                    server's state directory";
        Self::new(StatusCode::UNAUTHORIZED, "token-needed", message, cure)
    }

    /// Something of ours failed; the log has the details.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        let chain = chain(error);
        tracing::error!(error = chain, "a request failed");
        let cure = "see the server's log; free disk space or repair the state, and try again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", chain, cure)
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.error)).into_response()
    }
}
