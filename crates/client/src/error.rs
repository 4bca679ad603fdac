//! Why a request did not come to its end.

use hostwright_model::api::ApiError;
use hostwright_model::ids::Digest;
use std::path::PathBuf;
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No answer.
    #[error("no answer from {url}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the network said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The connection broke in the middle of an answer.
    #[error("the answer from {url} broke off")]
    BrokenOff {
        /// What was asked.
        url: String,
        /// What the network said.
        #[source]
        source: std::io::Error,
    },
    /// The server answered with an error.
    #[error("{} [{}]; {}", error.message, error.code, error.cure)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server said.
        error: ApiError,
    },
    /// The answer is not what this program understands.
    #[error(
        "the answer from {url} is not understood: {reason}; is it a Hostwright server of the same version?"
    )]
    Garbled {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A downloaded file is not the one that was ordered, time after time.
    #[error("{url} should have BLAKE3 {want} and has {found}; the file on the server is damaged")]
    Corrupt {
        /// What was asked.
        url: String,
        /// What was ordered.
        want: Digest,
        /// What came.
        found: Digest,
    },
    /// A local file cannot be written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

impl ClientError {
    /// True if the same request may well succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::BrokenOff { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(*status, 408 | 429),
            Self::Garbled { .. } | Self::Corrupt { .. } | Self::File { .. } => false,
        }
    }

    /// The server's name of what is wrong, if it was the server that refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }
}
