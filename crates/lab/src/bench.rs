//! A workbench for one scenario: network, server, one machine that is armed, and its papers.

use crate::machine::{Hardware, Machine};
use crate::network::Network;
use crate::parts::{HOST, Parts};
use crate::server::{Offer, Server, UPLINK_PORT};
use anyhow::{Context as _, Error, Result, anyhow};
use hostwright_model::api::{MachineSpec, Run, StoredEvent};
use hostwright_model::facts::Firmware;
use hostwright_model::ids::{MacAddr, MachineName, RunId};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Address of the machine's network card.
pub const MAC: MacAddr = MacAddr([0x52, 0x54, 0x00, 0x77, 0x00, 0x10]);
/// Address that the machine always gets.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
/// Size of its disk.
const DISK_BYTES: u64 = 20 << 30;
/// Its memory: the image is held in it, verified, before the disk is touched.
const MEMORY_MIB: u32 = 3072;

/// How a scenario's machine is to be installed.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Its firmware.
    pub firmware: Firmware,
    /// Name of the image; without one packages are installed on the machine.
    pub image: Option<&'a str>,
    /// Address outside of the lab's network of a package proxy, for machines without an image.
    pub uplink: Option<SocketAddr>,
}

/// Everything one scenario works with. What it leaves in `dir` tells what happened.
pub struct Bench {
    /// The network.
    pub network: Network,
    /// The boot server.
    pub server: Server,
    /// The machine, switched off.
    pub machine: Machine,
    /// The run it was armed for.
    pub run: RunId,
    dir: PathBuf,
}

impl Bench {
    /// Sets everything up in `dir` and arms the machine.
    pub fn set_up(
        parts: &Parts,
        dir: &Path,
        acceleration: &'static str,
        job: Job<'_>,
    ) -> Result<Self> {
        let (space, installer) = (parts.dir.join("space"), parts.dir.join("installer"));
        let network = Network::new()?;
        if let Some(outside) = job.uplink {
            let inside = SocketAddr::from((crate::network::SERVER, UPLINK_PORT));
            network.lead_in(inside, outside)?;
        }
        let uplink = job.uplink.is_some();
        let offer = Offer { parts, space: &space, installer: &installer, uplink };
        let server = Server::start(&network, &dir.join("server"), &offer)?;
        let hardware = Hardware {
            firmware: job.firmware,
            mac: MAC,
            disk_bytes: DISK_BYTES,
            memory_mib: MEMORY_MIB,
        };
        let machine = Machine::build(hardware, &dir.join("machine"), &network, acceleration)?;
        let run = arm(&server, job.image)?.id;
        Ok(Self { network, server, machine, run, dir: dir.to_owned() })
    }

    /// All events of the run.
    pub fn events(&self) -> Result<Vec<StoredEvent>> {
        let mut events: Vec<StoredEvent> = Vec::new();
        loop {
            let (run, since) = (self.run.clone(), events.last().map_or(0, |event| event.id));
            let more = self.server.ask(move |client| client.events(&run, since))?;
            if more.is_empty() {
                return Ok(events);
            }
            events.extend(more);
        }
    }

    /// Keeps what explains a failure beside the logs: events, and the machine's screen. The failure
    /// itself, and what of this could not be had.
    pub fn keep_evidence(&mut self, failure: Error) -> Error {
        // The screen is worth a try only: QEMU may be what failed.
        let _ = self.machine.photograph();
        match self.keep_events() {
            Ok(()) => failure,
            // Behind the failure, which must not be hidden by what is only its consequence.
            Err(why) => anyhow!("{failure:#}; and its events could not be kept: {why:#}"),
        }
    }

    /// Writes all events beside the logs. A server that has ended is started again for that: the
    /// database has them.
    fn keep_events(&mut self) -> Result<()> {
        if self.server.must_run().is_err() {
            self.server.start_again().context("the server does not start again")?;
        }
        let mut file = fs::File::create(self.dir.join("events.jsonl"))?;
        for event in self.events()? {
            writeln!(file, "{}", serde_json::to_string(&event)?)?;
        }
        Ok(())
    }
}

/// Describes the machine to the server and asks for its installation.
fn arm(server: &Server, image: Option<&str>) -> Result<Run> {
    let spec = MachineSpec {
        name: MachineName::from(HOST),
        macs: vec![MAC],
        address: Some(ADDRESS),
        classes: Vec::new(),
        space: "simple".to_owned(),
        image: image.map(str::to_owned),
        vars: BTreeMap::new(),
        manners: hostwright_model::manners::Manners::default(),
    };
    server.ask(move |client| {
        client.add_machine(&spec)?;
        client.install(&spec.name)
    })
}
