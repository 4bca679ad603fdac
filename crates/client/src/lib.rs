//! Talks to a Hostwright server: what the agent on a machine and the verbs of the command line use.
//!
//! The crate is blocking, holds no state beyond a connection and never decides what a failure means
//! for a run: it retries what can get better and hands back what cannot. Read [`AgentClient`]
//! first (one run of one machine), then [`OperatorClient`] (the API as people use it).
//!
//! ```no_run
//! use hostwright_client::OperatorClient;
//! let client = OperatorClient::new("http://10.0.0.1:8080", "the operator's token");
//! for machine in client.machines()? {
//!     println!("{}", machine.spec.name);
//! }
//! # Ok::<(), hostwright_client::ClientError>(())
//! ```

mod agent;
mod backoff;
mod connection;
mod download;
pub mod duplex;
mod error;
pub mod frame;
mod operator;
mod sender;
pub mod shell;
mod stream;
pub mod tftp;
pub mod tls;
pub mod web;

pub use agent::AgentClient;
pub use backoff::Backoff;
pub use error::ClientError;
pub use operator::OperatorClient;
pub use sender::EventSender;
pub use stream::EventStream;

use std::time::Duration;

/// Told why something has to be tried again, and in how long.
pub type OnWait<'a> = &'a mut dyn FnMut(&ClientError, Duration);

/// Told how many bytes of how many are done.
pub type OnBytes<'a> = &'a mut dyn FnMut(u64, u64);
