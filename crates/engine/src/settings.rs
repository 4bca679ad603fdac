//! Where a run works and what its operator asks for beside the inputs of the plan.

use hostwright_model::facts::Firmware;
use std::collections::BTreeMap;

/// Directories and wishes of one run. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The run's own directory: its journal and links to FAI's tools. It must survive whatever the
    /// run is to survive.
    pub record_dir: String,
    /// The config space (`$FAI`).
    pub space_dir: String,
    /// What is installed (`$FAI_ROOT`).
    pub target_dir: String,
    /// Logs and the files by which scripts talk to FAI (`$LOGDIR`).
    pub log_dir: String,
    /// The running program, which is FAI's tools when it is called by their names.
    pub program: String,
    /// True to put [`SHIMS`](crate::shell::SHIMS) below `/usr/lib/fai`: only in a system that is
    /// ours, such as the one a machine is installed from.
    pub shims: bool,
    /// The caching package proxy, `http://10.0.0.1:3142`.
    pub package_proxy: Option<String>,
    /// Variables of the operator's; they win over those of the space.
    pub vars: BTreeMap<String, String>,
    /// Variables that those of the space win over.
    pub defaults: BTreeMap<String, String>,
    /// FAI's flags: `reboot`, `verbose`, `debug`.
    pub flags: Vec<String>,
    /// True to set FAI's `verbose`.
    pub verbose: bool,
    /// The firmware that programs inside the target see; that of this machine if `None`.
    pub firmware_view: Option<Firmware>,
    /// Where FAT file systems are gathered if the kernel cannot mount them
    /// ([`hostwright_host::fat_stage`]); only for images.
    pub fat_stage_dir: Option<String>,
}

impl Settings {
    /// For looking at the record of a run that somebody else made.
    pub(crate) fn of_record(record_dir: &str) -> Self {
        let record_dir = record_dir.trim_end_matches('/').to_owned();
        Self {
            space_dir: format!("{record_dir}/space"),
            target_dir: format!("{record_dir}/target"),
            log_dir: format!("{record_dir}/log"),
            record_dir,
            program: String::new(),
            shims: false,
            package_proxy: None,
            vars: BTreeMap::new(),
            defaults: BTreeMap::new(),
            flags: Vec::new(),
            verbose: false,
            firmware_view: None,
            fat_stage_dir: None,
        }
    }

    /// Where the journal is.
    pub(crate) fn journal(&self) -> String {
        format!("{}/journal", self.record_dir)
    }

    /// Where shell functions are kept for a resumed run.
    pub(crate) fn functions(&self) -> String {
        format!("{}/functions.sh", self.record_dir)
    }

    /// First directory of scripts' PATH.
    pub(crate) fn tools_dir(&self) -> String {
        format!("{}/bin", self.record_dir)
    }

    /// Where a file system is mounted for a moment while it is made or resized.
    pub(crate) fn scratch_mount(&self) -> String {
        format!("{}/mnt", self.record_dir)
    }

    /// A file of the config space.
    pub(crate) fn in_space(&self, path: &str) -> String {
        format!("{}/{path}", self.space_dir)
    }

    /// A file in FAI's log directory.
    pub(crate) fn in_logs(&self, name: &str) -> String {
        format!("{}/{name}", self.log_dir)
    }

    /// A path of the installed system, as seen from here.
    pub(crate) fn in_target(&self, path: &str) -> String {
        let root = self.target_dir.trim_end_matches('/');
        match path.trim_start_matches('/') {
            "" if root.is_empty() => "/".to_owned(),
            "" => root.to_owned(),
            path => format!("{root}/{path}"),
        }
    }
}
