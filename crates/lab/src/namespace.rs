//! A network namespace that lives as long as one thread: no name, no file, nothing to clean up.
//!
//! Bridges, taps and sockets made by the thread are the namespace's; the kernel removes all of them
//! when the thread and the processes it started are gone, however they end.

use anyhow::{Context as _, Result, anyhow};
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A private network without any interface but what is made in it.
pub struct Namespace {
    jobs: Sender<Job>,
}

impl Namespace {
    /// Makes an empty network.
    pub fn new() -> Result<Self> {
        let (jobs, received) = channel::<Job>();
        let (ready, is_ready) = channel();
        thread::Builder::new().name("lab-network".to_owned()).spawn(move || {
            if ready.send(unshare_network()).is_ok() {
                received.iter().for_each(|job| job());
            }
        })?;
        is_ready.recv()?.context("cannot make a network namespace; the lab must run as root")?;
        Ok(Self { jobs })
    }

    /// Runs `job` inside the network. Processes it starts stay inside; sockets it opens do too.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = channel();
        let job: Job = Box::new(move || {
            // Nobody waits any more only if the asking thread panicked.
            let _ = answer.send(job());
        });
        self.jobs.send(job).map_err(|_| anyhow!("the network's thread has ended"))?;
        answered.recv().context("the network's thread panicked")
    }
}

#[expect(unsafe_code, reason = "rustix marks unshare unsafe for flags that are not used here")]
fn unshare_network() -> rustix::io::Result<()> {
    // SAFETY: CLONE_NEWNET changes which network this thread sees; it shares out no file
    // descriptors or memory, which is what makes other flags unsound.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    #[test]
    fn netns_nothing_of_the_users_network_is_seen() {
        let inside = Namespace::new().expect("namespace");
        let listing = inside.run(|| Command::new("ip").args(["-o", "link"]).output()).expect("job");
        let listing = String::from_utf8(listing.expect("ip").stdout).expect("text");
        assert_eq!(listing.lines().count(), 1, "more than a loopback: {listing}");

        let up = inside.run(|| Command::new("ip").args(["link", "set", "lo", "up"]).status());
        assert!(up.expect("job").expect("ip").success());
        let listener = inside.run(|| TcpListener::bind("127.0.0.1:0")).expect("job").expect("bind");
        let address = listener.local_addr().expect("address");
        assert!(TcpStream::connect(address).is_err(), "the socket is visible outside");
        let connected = inside.run(move || TcpStream::connect(address)).expect("job");
        assert!(connected.is_ok(), "the socket is not reachable inside");
    }
}
