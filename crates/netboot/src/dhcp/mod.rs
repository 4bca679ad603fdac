//! DHCPv4: messages, configuration, and the sockets.

pub mod config;
pub mod wire;

pub use config::{DhcpConfig, DhcpConfigError, Network, Pool, Subnet, Unknown};
