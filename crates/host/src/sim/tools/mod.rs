//! What external tools do to a simulated machine.
//!
//! A tool, an option or a form of call that is not here is an error and never silently fine: the
//! simulation would otherwise agree with whatever it does not understand.

mod crypt;
mod format;
mod loader;
mod lvm;
mod options;
mod packages;
mod partition;
mod raid;
mod resize;
mod system;

use super::state::State;
use crate::{Command, HostError, Tool};
use options::Options;

/// What a simulated tool answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: i32,
    pub(super) out: Vec<String>,
    pub(super) err: Vec<String>,
}

impl Reply {
    fn ok() -> Self {
        Self::default()
    }

    fn say(line: impl Into<String>) -> Self {
        Self { out: vec![line.into()], ..Self::default() }
    }

    fn fail(status: i32, line: impl Into<String>) -> Self {
        Self { status, out: Vec::new(), err: vec![line.into()] }
    }
}

/// One call of a tool.
pub(super) struct Call<'a> {
    pub(super) command: &'a Command,
    /// The root it runs in, without a `/` at its end: empty for the machine's own.
    pub(super) root: &'a str,
    /// True if the power goes while it works.
    pub(super) torn: bool,
    /// Packages that no archive has.
    pub(super) missing_packages: &'a std::collections::BTreeSet<String>,
}

impl<'a> Call<'a> {
    /// Takes the arguments apart; see [`Options`].
    fn options(
        &self,
        flags: &[&'static str],
        valued: &[&'static str],
    ) -> Result<Options<'a>, HostError> {
        Options::parse(&self.command.args, flags, valued)
            .map_err(|word| self.unknown(format!("option '{word}' is not simulated")))
    }

    fn unknown(&self, reason: impl Into<String>) -> HostError {
        let reason = format!("{}: {}", self.command.to_shell(), reason.into());
        HostError::Probe { what: "what a simulated tool does", reason }
    }

    /// Standard input as text.
    fn input(&self) -> String {
        String::from_utf8_lossy(self.command.stdin.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Runs a tool on the simulated machine.
pub(super) fn run(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    match call.command.tool {
        Tool::Blockdev => partition::blockdev(state, call),
        Tool::Partx => partition::partx(state, call),
        Tool::Sfdisk => partition::sfdisk(state, call),
        Tool::Wipefs => format::wipefs(state, call),
        Tool::Mkfs => format::mkfs(state, call),
        Tool::Mkswap => format::mkswap(state, call),
        Tool::Tune2fs => format::tune2fs(state, call),
        Tool::Swapon => format::swapon(state, call),
        Tool::Swapoff => format::swapoff(state, call),
        Tool::Pvcreate => lvm::pvcreate(state, call),
        Tool::Vgcreate => lvm::vgcreate(state, call),
        Tool::Vgchange => lvm::vgchange(state, call),
        Tool::Vgextend => lvm::vgextend(state, call),
        Tool::Vgreduce => lvm::vgreduce(state, call),
        Tool::Vgcfgbackup => lvm::vgcfgbackup(state, call),
        Tool::Pvremove => lvm::pvremove(state, call),
        Tool::Pvs => lvm::pvs(state, call),
        Tool::Lvcreate => lvm::lvcreate(state, call),
        Tool::Lvremove => lvm::lvremove(state, call),
        Tool::Lvresize => lvm::lvresize(state, call),
        Tool::Lvs => lvm::lvs(state, call),
        Tool::Mdadm => raid::mdadm(state, call),
        Tool::Cryptsetup => crypt::cryptsetup(state, call),
        Tool::Dmsetup => crypt::dmsetup(state, call),
        Tool::Shred => crypt::shred(state, call),
        Tool::E2fsck => resize::e2fsck(state, call),
        Tool::Resize2fs => resize::resize2fs(state, call),
        Tool::Ntfsresize => resize::ntfsresize(state, call),
        Tool::XfsGrowfs => resize::xfs_growfs(state, call),
        Tool::Btrfs => resize::btrfs(state, call),
        Tool::AptGet => packages::apt_get(state, call),
        Tool::Dpkg => packages::dpkg(state, call),
        Tool::Debootstrap => packages::debootstrap(state, call),
        Tool::DebconfCopydb => packages::debconf_copydb(state, call),
        Tool::DebconfSetSelections => packages::debconf_set_selections(state, call),
        Tool::DpkgReconfigure => packages::dpkg_reconfigure(state, call),
        Tool::DpkgDivert => packages::dpkg_divert(state, call),
        Tool::DpkgStatoverride => packages::dpkg_statoverride(state, call),
        Tool::SshKeygen => system::ssh_keygen(state, call),
        Tool::SystemdMachineIdSetup => system::machine_id_setup(state, call),
        Tool::Udevadm => system::udevadm(call),
        Tool::GrubMkimage => loader::grub_mkimage(state, call),
        Tool::GrubMkconfig => loader::grub_mkconfig(state, call),
        Tool::UpdateInitramfs => loader::update_initramfs(state, call),
        Tool::Efibootmgr => loader::efibootmgr(state, call),
        Tool::Kexec => loader::kexec(state, call),
        Tool::Cp => loader::cp(state, call),
        Tool::Bash => loader::bash(state, call),
        Tool::SystemdCryptenroll => crypt::systemd_cryptenroll(state, call),
        // Files of the simulation have no owners.
        Tool::Chgrp => call.options(&["--recursive"], &[]).map(|_| Reply::ok()),
        Tool::Modprobe => Ok(Reply::ok()),
        Tool::Fsck => system::fsck(state, call),
        _ => Err(call.unknown("this tool is not simulated")),
    }
}
