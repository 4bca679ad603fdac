//! What the boot services ask: who a machine is, and what it boots.

use crate::app::App;
use crate::fleet::Member;
use hostwright_model::api::{NextBoot, Run, UnknownMachine};
use hostwright_model::ids::MacAddr;
use hostwright_model::installer::BootParameters;
use hostwright_netboot::{
    BootEvent, BootRequest, BootSpec, Booter, InstallBoot, KnownMachine, Lease, Machines,
};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Names of the boot files below `/boot/files/`.
pub(crate) const KERNEL: &str = "vmlinuz";
pub(crate) const INITRD: &str = "initrd.img";

/// What the boot services have seen and the database shall keep.
#[derive(Debug)]
pub(crate) enum Note {
    /// The machine of this run, as it was then, has loaded its boot script.
    Boots(Run),
    /// A lease changed.
    Lease(Lease),
    /// An unknown machine asked.
    Unknown(UnknownMachine),
}

/// Answers from memory; what is to be kept goes to the writer of notes.
pub(crate) struct BootDesk {
    app: Arc<App>,
    notes: mpsc::UnboundedSender<Note>,
}

impl BootDesk {
    /// A desk, and the notes it takes.
    pub(crate) fn new(app: Arc<App>) -> (Self, mpsc::UnboundedReceiver<Note>) {
        let (notes, taken) = mpsc::unbounded_channel();
        (Self { app, notes }, taken)
    }

    fn note(&self, note: Note) {
        // The receiver lives as long as the server; at its end nothing is lost that matters.
        let _ = self.notes.send(note);
    }

    /// The install, if the machine may have it: its token goes to no other address than its own.
    fn install(&self, member: &Member, request: &BootRequest) -> BootSpec {
        let name = &member.machine.spec.name;
        let Some(run) = member.open_run() else { return BootSpec::LocalDisk };
        if !self.is_at_home(member, request) {
            let message = format!(
                "{name} is armed, but this request does not come from its address.\n\
                 It is not given its order; see the log of the boot server."
            );
            tracing::warn!(machine = %name, ?request, "a boot script was asked for from elsewhere");
            return BootSpec::Hold { message };
        }
        let parameters = BootParameters {
            server: self.app.base_url().to_owned(),
            token: self.app.keys.run_token(&run.id),
        };
        let extra = &self.app.config.kernel_cmdline;
        BootSpec::Install(InstallBoot {
            title: format!("Hostwright installs {name} (run {})", run.id),
            kernel: KERNEL.to_owned(),
            initrds: vec![INITRD.to_owned()],
            cmdline: format!("{extra} {}", parameters.to_cmdline()).trim().to_owned(),
        })
    }

    /// True if the request comes from the address that the machine was given, as far as anybody
    /// can tell: without DHCP of our own that is its fixed address, if it has one.
    fn is_at_home(&self, member: &Member, request: &BootRequest) -> bool {
        let given = match self.app.config.dhcp {
            Some(_) => request.leased,
            None => member.machine.spec.address,
        };
        match (given, request.client) {
            (Some(given), client) => client == Some(IpAddr::V4(given)),
            (None, _) => self.app.config.dhcp.is_none(),
        }
    }
}

impl Machines for BootDesk {
    fn machine(&self, mac: MacAddr) -> Option<KnownMachine> {
        let spec = self.app.fleet.by_mac(mac)?.machine.spec;
        Some(KnownMachine { name: spec.name, address: spec.address })
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        self.app.fleet.by_address(address).is_some()
    }
}

impl Booter for BootDesk {
    fn boot_spec(&self, request: &BootRequest) -> BootSpec {
        // A machine nobody described may be anything: it is never kept from its own disk.
        let Some(member) = self.app.fleet.by_mac(request.mac) else { return BootSpec::LocalDisk };
        if member.machine.next_boot == NextBoot::Disk {
            return BootSpec::LocalDisk;
        }
        let spec = self.install(&member, request);
        if let BootSpec::Install(_) = spec {
            let now_ms = self.app.now_ms();
            if let Some(run) = self.app.fleet.boots(&member.machine.spec.name, now_ms) {
                tracing::info!(machine = %run.machine, run = %run.id, "boots the installer");
                self.note(Note::Boots(run));
            }
        }
        spec
    }

    fn lease_changed(&self, lease: &Lease) {
        self.note(Note::Lease(lease.clone()));
    }

    fn saw(&self, event: BootEvent) {
        tracing::debug!(mac = ?event.mac, address = ?event.address, "{}", event.step);
        if let Some(mac) = event.mac
            && let Some(unknown) = self.app.fleet.saw(mac, event)
        {
            self.note(Note::Unknown(unknown));
        }
    }
}

/// Writes notes to the database until the boot services are gone.
pub(crate) async fn keep_notes(app: Arc<App>, mut notes: mpsc::UnboundedReceiver<Note>) {
    while let Some(note) = notes.recv().await {
        let mut writer = app.state.writer().await;
        let kept = match &note {
            Note::Boots(run) => writer.run_boots(run).await,
            Note::Lease(lease) => writer.keep_lease(lease).await,
            Note::Unknown(unknown) => writer.keep_unknown(unknown).await,
        };
        if let Err(error) = kept {
            tracing::error!(%error, ?note, "cannot keep what was seen");
        }
    }
}
