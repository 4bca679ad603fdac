//! `hostwright serve`: the boot server.

use crate::faults::Failure;
use crate::render::json;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_server::package_proxy::{self, MirrorMap, PackageProxyConfig};
use hostwright_server::{Config, ConfigError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run the boot server: DHCP, TFTP, HTTP, API, page, package proxy.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  hostwright serve --config /etc/hostwright.toml
  hostwright serve --config /etc/hostwright.toml --check      say what is wrong with it, start nothing")]
pub struct Args {
    /// The configuration; docs/reference/serve.md describes it.
    #[arg(long, default_value = "/etc/hostwright.toml")]
    config: PathBuf,
    /// Only read the configuration.
    #[arg(long)]
    check: bool,
}

/// Does it.
pub fn run(args: &Args, as_json: bool) -> Result<ExitCode, Failure> {
    let mut config = Config::load(&args.config).map_err(|error| match error {
        ConfigError::Mistakes(found) => Failure::Diagnostics(found),
        ConfigError::Read { path, source } => crate::faults::file("read", &path, &source),
    })?;
    if args.check {
        match as_json {
            true => json::print(&serde_json::json!({ "diagnostics": [] })),
            false => println!("{}: no mistakes found", args.config.display()),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(store) = &mut config.store {
        store.settings = crate::stores::s3_settings();
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        crate::faults::file("start threads in", Path::new("/proc/self"), &error)
    })?;
    runtime.block_on(hostwright_server::serve(config, ended_by_user(), |ready| {
        let address = format!("http://{}/", ready.http);
        match as_json {
            true => json::print_line(&serde_json::json!({ "serves": address })),
            false => println!("hostwright serves at {address}"),
        }
    }))?;
    Ok(ExitCode::SUCCESS)
}

async fn ended_by_user() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("invariant: tokio runs");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// A package proxy in the user's own network, for machines of the lab that install packages.
pub fn outside_proxy(cache: &Path) -> Result<package_proxy::Handle, Failure> {
    let config = PackageProxyConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        cache_dir: cache.to_owned(),
        map: MirrorMap::from_apt_sources(),
        upstream: None,
    };
    package_proxy::start(config).map_err(|error| {
        let message = format!("cannot start a package proxy: {error}");
        Fault::new(FaultKind::Environment, "package-proxy", message, "check its directory").into()
    })
}
