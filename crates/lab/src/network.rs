//! The lab's network: a bridge in a namespace, a tap for each machine, the boot server's address.

use crate::namespace::Namespace;
use anyhow::{Result, bail};
use hostwright_model::ids::MacAddr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// Address of the boot server. The network has no route out.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The subnet, for the boot server's configuration.
pub const SUBNET: &str = "10.77.0.0/24";
/// The bridge's name, for the boot server's configuration.
pub const BRIDGE: &str = "lab0";

/// A network of its own.
#[derive(Clone)]
pub struct Network {
    inside: Arc<Namespace>,
}

impl Network {
    /// Makes the bridge and gives it the server's address.
    pub fn new() -> Result<Self> {
        let network = Self { inside: Arc::new(Namespace::new()?) };
        network.ip("link set lo up")?;
        network.ip(&format!("link add {BRIDGE} type bridge forward_delay 0 stp_state 0"))?;
        network.ip(&format!("address add {SERVER}/24 dev {BRIDGE}"))?;
        network.ip(&format!("link set {BRIDGE} up"))?;
        Ok(network)
    }

    /// The namespace, to start processes in.
    pub fn inside(&self) -> &Namespace {
        &self.inside
    }

    /// Plugs in a machine's cable and returns the name of its tap interface.
    pub fn plug_in(&self, mac: MacAddr) -> Result<String> {
        let [.., last] = mac.0;
        let tap = format!("tap{last:02x}");
        self.ip(&format!("tuntap add {tap} mode tap"))?;
        self.ip(&format!("link set {tap} master {BRIDGE} up"))?;
        Ok(tap)
    }

    /// Makes a port of the inside reachable from the user's browser; returns the address outside.
    pub fn publish(&self, inside: SocketAddr) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let network = self.clone();
        let connect = move || network.inside.run(move || TcpStream::connect(inside));
        thread::spawn(move || relay(&listener, &connect));
        Ok(address)
    }

    /// Makes a port of the outside reachable at `inside`.
    pub fn lead_in(&self, inside: SocketAddr, outside: SocketAddr) -> Result<()> {
        let listener = self.inside.run(move || TcpListener::bind(inside))??;
        thread::spawn(move || relay(&listener, &|| Ok(TcpStream::connect(outside))));
        Ok(())
    }

    fn ip(&self, words: &str) -> Result<()> {
        let args: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let output = self.inside.run(move || Command::new("ip").args(args).output())??;
        if output.status.success() {
            return Ok(());
        }
        bail!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim())
    }
}

type Connect<'a> = &'a (dyn Fn() -> Result<io::Result<TcpStream>> + Sync);

/// Copies bytes both ways between each connection to `listener` and a new one of `connect`.
fn relay(listener: &TcpListener, connect: Connect<'_>) {
    for near in listener.incoming().flatten() {
        // A connection that cannot be made is closed at once: its client sees that.
        let Ok(Ok(far)) = connect() else { continue };
        let (Ok(near_read), Ok(far_read)) = (near.try_clone(), far.try_clone()) else { continue };
        thread::spawn(move || pump(near_read, far));
        thread::spawn(move || pump(far_read, near));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, the other side must hear of it.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    /// Answers each connection with one word.
    fn greeter(listener: TcpListener, word: &'static str) {
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                stream.write_all(word.as_bytes()).expect("write");
            }
        });
    }

    fn hear(mut stream: TcpStream) -> String {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("read");
        heard
    }

    #[test]
    fn netns_relays_lead_in_and_out() {
        let network = Network::new().expect("network");
        let inside = SocketAddr::from((SERVER, 8080));
        greeter(
            network.inside().run(move || TcpListener::bind(inside)).expect("job").expect("bind"),
            "in",
        );
        let published = network.publish(inside).expect("publish");
        assert_eq!(hear(TcpStream::connect(published).expect("connect")), "in");

        let outside = TcpListener::bind("127.0.0.1:0").expect("bind");
        let outside_address = outside.local_addr().expect("address");
        greeter(outside, "out");
        let uplink = SocketAddr::from((SERVER, 3143));
        network.lead_in(uplink, outside_address).expect("lead in");
        let stream = network.inside().run(move || TcpStream::connect(uplink)).expect("job");
        assert_eq!(hear(stream.expect("connect")), "out");
    }
}
