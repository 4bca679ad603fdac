//! The boot server: machines, runs and events behind an HTTP API, the live page, the package proxy
//! for what is being installed, and the boot services in one process.
//!
//! The crate never touches a target's disks and never decides how a machine is installed: that is
//! the plan's and the agent's. Read [`Config`] first (one TOML file), then [`serve()`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hostwright_server::{Config, serve};
//! let config = Config::load("/etc/hostwright/serve.toml".as_ref())?;
//! let interrupt = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! serve(config, interrupt, |bound| tracing::info!(?bound)).await?;
//! # Ok(()) }
//! ```

mod api;
mod app;
mod authority;
mod boot;
mod config;
mod files;
mod fleet;
mod keys;
mod monitor;
pub mod package_proxy;
mod page;
mod problem;
mod serve;
mod space;
mod state;
mod store_files;

pub use config::{Config, ConfigError, StoreConfig};
pub use keys::OPERATOR_TOKEN_FILE;
pub use serve::{Bound, ServeError, serve};
pub use state::StateError;

/// The API's description (OpenAPI 3.1), generated from the code that answers.
pub fn openapi() -> String {
    api::document_text()
}

/// True if a line is one of the protocol of FAI's monitor.
pub fn is_monitor_line(line: &str) -> bool {
    monitor::is_message(line)
}
