//! Runs everything: opens the state, binds the sockets, serves until told to stop.

use crate::app::{App, installer_file};
use crate::boot::{BootDesk, INITRD, KERNEL, keep_notes};
use crate::config::{Config, boot_address};
use crate::keys::OPERATOR_TOKEN_FILE;
use crate::state::StateError;
use crate::{api, files, monitor, package_proxy, page, store_files};
use axum::Router;
use hostwright_netboot::decide::SharedLeases;
use hostwright_netboot::dhcp::{DhcpError, DhcpServer};
use hostwright_netboot::first_stage::{FirstStage, FirstStageError};
use hostwright_netboot::http::{self, HttpBoot};
use hostwright_netboot::script::{ScriptError, Scripts};
use hostwright_netboot::tftp::{TftpError, TftpServer};
use hostwright_netboot::{BootFile, Booter, Files};
use std::future::Future;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Port of TFTP; firmware knows no other.
const TFTP_PORT: u16 = 69;
/// Requests under way may take this long to end after the word to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// API, page and boot files.
    pub http: SocketAddr,
    /// The package proxy, if there is one.
    pub package_proxy: Option<SocketAddr>,
    /// FAI's monitor, if it is served.
    pub monitor: Option<SocketAddr>,
    /// The file with the operators' token.
    pub operator_token: PathBuf,
}

/// Why a server did not start, or ended.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The state cannot be used.
    #[error("cannot use the state in {}", path.display())]
    State {
        /// The state directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StateError,
    },
    /// The image store cannot be used.
    #[error("cannot use the image store")]
    Store(#[source] hostwright_store::StoreError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}; is it an address of this machine, and free?")]
    Bind {
        /// For what.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The installer cannot be used.
    #[error("{0}")]
    Installer(String),
    /// The package proxy's cache cannot be used.
    #[error("cannot use the package cache {}", path.display())]
    PackageCache {
        /// Its directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Boot scripts cannot be made.
    #[error("cannot make boot scripts")]
    Scripts(#[from] ScriptError),
    /// What TFTP serves cannot be made.
    #[error("cannot serve the first stage")]
    FirstStage(#[from] FirstStageError),
    /// DHCP cannot be served.
    #[error("cannot serve DHCP")]
    Dhcp(#[from] DhcpError),
    /// TFTP cannot be served.
    #[error("cannot serve TFTP")]
    Tftp(#[from] TftpError),
    /// HTTP ended.
    #[error("the HTTP server ended")]
    Http(#[source] std::io::Error),
}

/// Serves until `shutdown` comes true. `ready` is told once every socket is bound.
pub async fn serve(
    config: Config,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    let server = Server::start(config).await?;
    tracing::info!(http = %server.bound.http, "ready");
    ready(&server.bound);
    shutdown.await;
    tracing::info!("stopping");
    server.stop().await
}

/// A server whose sockets are bound and served.
struct Server {
    app: Arc<App>,
    bound: Bound,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), ServeError>>,
}

impl Server {
    async fn start(config: Config) -> Result<Self, ServeError> {
        let listener = bind("HTTP", config.listen).await?;
        let http = listener.local_addr().map_err(ServeError::Http)?;
        let path = config.state_dir.clone();
        let operator_token = path.join(OPERATOR_TOKEN_FILE);
        let remote_store = store_files::open(&config).map_err(ServeError::Store)?;
        let opened = App::open(config, remote_store).await;
        let app = Arc::new(opened.map_err(|source| ServeError::State { path, source })?);
        let (stop, mut tasks) = (app.stop.clone(), JoinSet::new());
        let package_proxy = start_package_proxy(&app, &mut tasks).await?;
        let monitor = start_monitor(&app, &mut tasks).await?;
        let proxy_url = package_proxy.map(|address| format!("http://{address}"));
        app.set_addresses(format!("http://{http}"), proxy_url);
        if app.config.installer_dir.is_some() {
            let found = app.find_installer();
            found.map_err(|problem| ServeError::Installer(problem.error.message))?;
        }
        if let Err(problem) = app.sweep_files().await {
            tracing::warn!(error = problem.error.message, "cannot remove old archives");
        }
        let boot = start_boot_services(&app, &mut tasks).await?;
        let router = router(&app).merge(boot);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let ending = stop.clone();
        tasks.spawn(async move {
            let serving = axum::serve(listener, service);
            serving.with_graceful_shutdown(ending.cancelled_owned()).await.map_err(ServeError::Http)
        });
        let bound = Bound { http, package_proxy, monitor, operator_token };
        Ok(Self { app, bound, stop, tasks })
    }

    /// Ends what is under way, within [`GRACE`].
    async fn stop(mut self) -> Result<(), ServeError> {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                // A task that panicked has said so.
                if let Ok(result) = ended {
                    result?;
                }
            }
            Ok(())
        };
        let ended = tokio::time::timeout(GRACE, all).await.unwrap_or(Ok(()));
        self.tasks.shutdown().await;
        self.app.state.close().await;
        ended
    }
}

fn router(app: &Arc<App>) -> Router {
    api::router(app).merge(files::router(app)).merge(page::router(app))
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Bind { what, address, source })
}

async fn start_package_proxy(
    app: &Arc<App>,
    tasks: &mut JoinSet<Result<(), ServeError>>,
) -> Result<Option<SocketAddr>, ServeError> {
    let Some(config) = app.config.package_proxy.clone() else { return Ok(None) };
    let (path, address) = (config.cache_dir.clone(), config.listen);
    let listener = bind("the package proxy", address).await?;
    let proxy = package_proxy::open(config);
    let proxy = proxy.map_err(|source| ServeError::PackageCache { path, source })?;
    let bound = listener.local_addr();
    let stop = app.stop.clone();
    tasks.spawn(async move {
        package_proxy::serve(listener, Arc::new(proxy), stop).await;
        Ok(())
    });
    let what = "the package proxy";
    bound.map(Some).map_err(|source| ServeError::Bind { what, address, source })
}

async fn start_monitor(
    app: &Arc<App>,
    tasks: &mut JoinSet<Result<(), ServeError>>,
) -> Result<Option<SocketAddr>, ServeError> {
    let Some(config) = app.config.monitor.clone() else { return Ok(None) };
    let (what, address) = ("FAI's monitor", config.listen);
    let listener = bind(what, address).await?;
    let bound = listener.local_addr();
    let listening = monitor::listen(listener, config, Arc::clone(app));
    tasks.spawn(async move {
        listening.await;
        Ok(())
    });
    bound.map(Some).map_err(|source| ServeError::Bind { what, address, source })
}

/// DHCP and TFTP as configured, and the routes of HTTP boot.
async fn start_boot_services(
    app: &Arc<App>,
    tasks: &mut JoinSet<Result<(), ServeError>>,
) -> Result<Router, ServeError> {
    let scripts = Arc::new(Scripts::new(app.base_url())?);
    let (desk, notes) = BootDesk::new(Arc::clone(app));
    let booter: Arc<dyn Booter> = Arc::new(desk);
    let keeper = keep_notes(Arc::clone(app), notes);
    tasks.spawn(async move {
        keeper.await;
        Ok(())
    });
    let kept = app.state.leases().await;
    let path = app.config.state_dir.clone();
    let kept = kept.map_err(|source| ServeError::State { path, source })?;
    let leases = SharedLeases::restore(kept);
    if let Some(address) = boot_address(app.config.listen).filter(|_| app.config.tftp) {
        let stage = FirstStage::new(&app.config.loaders, address, &scripts)?;
        let names = stage.names().clone();
        let address = SocketAddrV4::new(address, TFTP_PORT);
        let tftp = TftpServer::bind(address, Arc::new(stage), Arc::clone(&booter), leases.clone());
        let (tftp, stop) = (tftp.await?, app.stop.clone());
        tasks.spawn(async move {
            tftp.run(stop).await;
            Ok(())
        });
        if let Some(network) = &app.config.dhcp {
            let (booter, leases) = (Arc::clone(&booter), leases.clone());
            let dhcp = DhcpServer::bind((**network).clone(), names, booter, leases)?;
            let stop = app.stop.clone();
            tasks.spawn(async move {
                dhcp.run(stop).await;
                Ok(())
            });
        }
    }
    let files = Arc::new(InstallerFiles(Arc::clone(app)));
    Ok(http::router(HttpBoot { booter, leases, files, scripts }))
}

/// Kernel and initramfs of the installer, as it is now.
struct InstallerFiles(Arc<App>);

impl Files for InstallerFiles {
    fn open(&self, name: &str) -> Option<BootFile> {
        let (dir, installer) = (self.0.config.installer_dir.as_ref()?, self.0.installer()?);
        let file = match name {
            KERNEL => installer.kernel,
            INITRD => installer.initrd,
            _ => return None,
        };
        Some(BootFile::Path(installer_file(dir, &file.file)))
    }
}
