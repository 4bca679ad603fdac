//! DHCPv4: messages, configuration, and the sockets.

pub mod config;
mod serve;
pub mod wire;

pub use config::{DhcpConfig, DhcpConfigError, Network, Pool, Subnet, Unknown};
pub use serve::{DhcpError, DhcpServer};
