//! The DHCP server: receives on one interface, asks the pure core, sends what it says.

use super::DhcpConfig;
use super::config::{DhcpConfigError, Network};
use super::wire::Request;
use crate::booter::Booter;
use crate::clock::now_ms;
use crate::decide::{BootFileNames, Decision, LeaseState, SharedLeases, View, answer};
use crate::event::BootEvent;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

const SERVER_PORT: u16 = 67;
/// No DHCP message is longer: it would not fit an Ethernet frame.
const MAX_MESSAGE_BYTES: usize = 1500;

/// Why the DHCP server cannot start.
#[derive(Debug, Error)]
pub enum DhcpError {
    /// The configuration makes no sense.
    #[error("the DHCP configuration makes no sense")]
    Config(#[from] DhcpConfigError),
    /// A socket cannot be had.
    #[error("cannot listen for DHCP on {address} port 67, interface {interface}")]
    Bind {
        /// The interface.
        interface: String,
        /// The address.
        address: Ipv4Addr,
        /// What the kernel said: the interface or address is missing, another server runs, …
        #[source]
        source: io::Error,
    },
}

/// A DHCP server that listens.
pub struct DhcpServer {
    network: Network,
    boot_files: BootFileNames,
    booter: Arc<dyn Booter>,
    leases: SharedLeases,
    /// Hears broadcasts.
    broadcast: UdpSocket,
    /// Hears unicast, and sends: so replies come from the address that is announced.
    unicast: UdpSocket,
}

impl DhcpServer {
    /// Checks the configuration and listens. Needs a tokio runtime, and CAP_NET_BIND_SERVICE and
    /// CAP_NET_RAW.
    pub fn bind(
        config: DhcpConfig,
        boot_files: BootFileNames,
        booter: Arc<dyn Booter>,
        leases: SharedLeases,
    ) -> Result<Self, DhcpError> {
        let network = Network::new(config)?;
        let bind = |address| {
            socket(&network.interface, address).map_err(|source| DhcpError::Bind {
                interface: network.interface.clone(),
                address,
                source,
            })
        };
        let broadcast = bind(Ipv4Addr::UNSPECIFIED)?;
        let unicast = bind(network.server_address)?;
        Ok(Self { boot_files, booter, leases, broadcast, unicast, network })
    }

    /// Answers until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut heard = [0; MAX_MESSAGE_BYTES];
        let mut told = [0; MAX_MESSAGE_BYTES];
        loop {
            let (received, buffer) = tokio::select! {
                () = shutdown.cancelled() => return,
                received = self.broadcast.recv_from(&mut heard) => (received, &heard),
                received = self.unicast.recv_from(&mut told) => (received, &told),
            };
            match received {
                Ok((length, from)) => self.receive(&buffer[..length], from).await,
                Err(error) => {
                    // The interface went away or memory is short: both may pass.
                    tracing::warn!(%error, "cannot receive DHCP messages");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn receive(&self, datagram: &[u8], from: SocketAddr) {
        let request = match Request::decode(datagram) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%from, %error, "not a DHCP request");
                return;
            }
        };
        let now_ms = now_ms();
        let decision = self.decide(&request, now_ms);
        if let Some(lease) = decision.lease.filter(|lease| lease.state != LeaseState::Offered) {
            self.booter.lease_changed(&lease);
        }
        for step in decision.steps {
            tracing::info!(mac = %request.mac, "DHCP: {step}");
            let address = decision.reply.as_ref().map(|(_, reply)| reply.yiaddr);
            let address = address.filter(|address| !address.is_unspecified());
            self.booter.saw(BootEvent { at_ms: now_ms, mac: Some(request.mac), address, step });
        }
        if let Some((to, reply)) = decision.reply {
            self.send(to, &reply.encode()).await;
        }
    }

    /// Records the lease under the same lock under which it was chosen.
    fn decide(&self, request: &Request, now_ms: i64) -> Decision {
        let mut leases = self.leases.lock();
        let view = View {
            network: &self.network,
            boot_files: &self.boot_files,
            machines: &*self.booter,
            leases: &leases,
            now_ms,
        };
        let decision = answer(request, &view);
        if let Some(lease) = &decision.lease {
            leases.record(lease.clone());
        }
        decision
    }

    async fn send(&self, to: SocketAddrV4, datagram: &[u8]) {
        if let Err(error) = self.unicast.send_to(datagram, SocketAddr::V4(to)).await {
            tracing::warn!(%to, %error, "cannot send a DHCP reply");
        }
    }
}

fn socket(interface: &str, address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((address, SERVER_PORT)).into())?;
    UdpSocket::from_std(socket.into())
}
