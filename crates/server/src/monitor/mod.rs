//! FAI's monitor: machines that FAI installs, or old scripts that call `sendmon`, tell it their tasks.
//!
//! TCP, one line a connection, without authentication:
//!
//! ```text
//! NAME check                      a run begins: what was known of NAME is forgotten
//! NAME TASKBEGIN task             NAME TASKEND task error         NAME TASKSKIP task
//! NAME TASKERROR task error       NAME HOOK hook                  noted in the log only
//! VARIABLE name                   a question, answered by `OK value` or `UNKNOWN name`
//! ```
//!
//! Nothing that a machine says here changes what it boots: anybody can say anything. FAI's own
//! monitor can be told to (`-b`); here a machine is disarmed by its agent, which proves who it is.

mod board;
mod listen;
mod message;

pub(crate) use board::Board;
pub(crate) use listen::listen;

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// True if a line is one of the protocol.
pub(crate) fn is_message(line: &str) -> bool {
    message::Message::parse(line).is_some()
}

/// What is configured of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What machines may ask for, such as FAI_CONFIG_SRC for fai.discover.
    pub variables: BTreeMap<String, String>,
}
