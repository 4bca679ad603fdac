//! The real machine.

mod blocks;
mod files;
mod lines;
mod mounts;
mod process;
mod session;
mod tree;

pub use process::PATH;

use crate::fat_stage;
use crate::probe::Probe;
use crate::{
    Command, DeviceIds, Host, HostError, MountRequest, OnLine, Output, ShellReply, ShellRequest,
};
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::Facts;
use hostwright_model::image::{BlockSource, TreeSource};
use session::Session;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a [`RealHost`] is told at its start.
#[derive(Clone, Debug, Default)]
pub struct RealOptions {
    /// Variables for every tool beside the few that it always gets (PATH, LC_ALL, HOME): a proxy,
    /// for example.
    pub extra_env: Vec<(String, String)>,
    /// The only disks that exist for a run, by their kernel names; all disks of the machine if
    /// `None`. Unlike the probes of a machine it may name loop devices.
    pub only_disks: Option<Vec<String>>,
    /// True if what is on `only_disks` from an earlier life counts, as on a disk that is used again;
    /// false for a fresh one.
    pub used_disks: bool,
    /// Where FAT file systems are gathered that the kernel cannot mount ([`crate::fat_stage`]);
    /// they cannot be mounted if `None`.
    pub fat_stage_dir: Option<String>,
}

/// The machine that this process runs on.
#[derive(Default)]
pub struct RealHost {
    options: RealOptions,
    session: Option<Session>,
}

impl RealHost {
    /// Touches nothing yet.
    pub fn new(options: RealOptions) -> Self {
        Self { options, session: None }
    }
}

impl Host for RealHost {
    fn run(&mut self, command: &Command, on_line: OnLine<'_>) -> Result<Output, HostError> {
        process::run(command, &self.options.extra_env, on_line)
    }

    fn shell(
        &mut self,
        request: &ShellRequest,
        on_line: OnLine<'_>,
    ) -> Result<ShellReply, HostError> {
        session::talk(&mut self.session, request, on_line)
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        files::read(path)
    }

    fn read_at(&mut self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
        files::read_at(path, offset, length)
    }

    fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), HostError> {
        files::write_at(path, offset, bytes)
    }

    fn random_bytes(&mut self, count: usize) -> Result<Vec<u8>, HostError> {
        files::random_bytes(count)
    }

    fn write(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        files::write(path, content, mode)
    }

    fn append(&mut self, path: &str, content: &[u8]) -> Result<(), HostError> {
        files::append(path, content)
    }

    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), HostError> {
        files::make_dir(path, mode)
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<(), HostError> {
        files::symlink(path, target)
    }

    fn remove(&mut self, path: &str) -> Result<(), HostError> {
        files::remove(path)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), HostError> {
        files::rename(from, to)
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        files::list(path)
    }

    fn mount(&mut self, request: &MountRequest) -> Result<(), HostError> {
        match (mounts::mount(request), &self.options.fat_stage_dir) {
            (Err(error), Some(dir)) if fat_stage::is_wanted(request, &error) => {
                fat_stage::mount_stage(dir, request)
            }
            (result, _) => result,
        }
    }

    fn unmount(&mut self, path: &str) -> Result<(), HostError> {
        mounts::unmount(path)
    }

    fn mounts_below(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        mounts::mounts_below(path)
    }

    fn lay_tree(
        &mut self,
        root: &str,
        source: &dyn TreeSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        tree::lay(root, source, on_bytes)
    }

    fn lay_blocks(
        &mut self,
        device: &str,
        source: &dyn BlockSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        blocks::lay(device, source, on_bytes)
    }

    fn facts(&mut self) -> Result<Facts, HostError> {
        let probe = Probe::new("/");
        let mut facts = probe.facts(&mut |command| self.run(command, &mut |_, _| {}))?;
        if let Some(names) = &self.options.only_disks {
            facts.disks = probe.disks_named(names);
            if !self.options.used_disks {
                // Arrays and groups of this machine are none of the run's business.
                facts.storage = ExistingStorage::default();
            }
        }
        Ok(facts)
    }

    fn device_ids(&mut self, device: &str) -> Result<DeviceIds, HostError> {
        crate::probe::device_ids(device, &mut |command| self.run(command, &mut |_, _| {}))
    }

    fn now_ms(&mut self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
