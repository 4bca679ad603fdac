//! FAI's class-aware tools as one multi-call program: what scripts of config spaces call.
//!
//! The binary calls [`main`] when it was started under one of [`NAMES`]. The tools keep FAI's
//! options, output and exit status; where they differ on purpose, `docs/reference/fai-tools.md`
//! says why, and `tests/tools` shows it beside FAI's. None of them reads the process's environment or prints by itself: both come
//! with the [`Session`].

mod accounts;
mod ainsl;
mod boot_info;
mod check_status;
mod classes;
pub(crate) mod debconf;
pub(crate) mod deps;
mod device2grub;
mod disk_info;
mod divert;
pub(crate) mod fcopy;
mod fetch_basefile;
mod ftar;
pub(crate) mod ifclass;
mod install_packages;
mod link;
mod mkramdisk;
pub(crate) mod mount2dir;
pub(crate) mod options;
mod package_names;
pub(crate) mod perl_regex;
mod savelog;
mod scripts;
mod sed;
mod session;
mod statoverride;
mod updatebase;

pub use install_packages::{
    PackageLists, PackagePreload, PackageRequest, PackageSelection, PackageText,
};
pub use session::{Env, Session};

use hostwright_host::HostError;
use std::error::Error as _;
use thiserror::Error;

/// Why a tool gave up.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file or program.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The tool refuses, with the exit status that FAI documents for it.
    #[error("{message}")]
    Refused {
        /// What it refuses and why.
        message: String,
        /// Exit status.
        status: i32,
    },
}

impl ToolError {
    /// A refusal with its exit status.
    fn refused(status: i32, message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), status }
    }

    /// A message with every cause behind it, on one line.
    fn full_message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }

    /// The exit status: of a failed system call its error number, as Perl programs end with.
    fn status(&self, usage_status: i32) -> i32 {
        match self {
            Self::Usage(_) => usage_status,
            Self::Refused { status, .. } => *status,
            Self::Host(HostError::Io { source, .. }) => source.raw_os_error().unwrap_or(1),
            Self::Host(_) => 1,
        }
    }
}

/// Arguments in, exit status out.
type Run = fn(&[String], &mut Session<'_>) -> Result<i32, ToolError>;

/// One program.
struct Tool {
    name: &'static str,
    /// One line about its arguments.
    usage: &'static str,
    /// Exit status after a wrong command line.
    usage_status: i32,
    run: Run,
}

const fn tool(name: &'static str, usage: &'static str, usage_status: i32, run: Run) -> Tool {
    Tool { name, usage, usage_status, run }
}

/// Every program. Where FAI ends with 0 after an unknown option, these end with 2: a mistyped
/// option must not look like a job done.
const TOOLS: [Tool; 23] = [
    tool("ainsl", ainsl::USAGE, 3, ainsl::run),
    tool("check_status", check_status::USAGE, 2, check_status::run),
    tool("create_resolv_conf", boot_info::RESOLV_USAGE, 2, boot_info::resolv_conf),
    tool("device2grub", device2grub::USAGE, 2, device2grub::run),
    tool("fai-class", classes::USAGE, 1, classes::run),
    tool("fai-debconf", debconf::USAGE, 1, debconf::run),
    tool("fai-deps", deps::USAGE, 1, deps::run),
    tool("fai-disk-info", disk_info::USAGE, 2, disk_info::run),
    tool("fai-divert", divert::USAGE, 2, divert::run),
    tool("fai-do-scripts", scripts::USAGE, 1, scripts::run),
    tool("fai-link", link::USAGE, 2, link::run),
    tool("fai-savelog", savelog::USAGE, 2, savelog::run),
    tool("fai-sed", sed::USAGE, 3, sed::run),
    tool("fai-statoverride", statoverride::USAGE, 2, statoverride::run),
    tool("fcopy", fcopy::USAGE, 2, fcopy::run),
    tool("fetch-basefile", fetch_basefile::USAGE, 2, fetch_basefile::run),
    tool("ftar", ftar::USAGE, 2, ftar::run),
    tool("get-boot-info", boot_info::INFO_USAGE, 2, boot_info::info),
    tool("ifclass", ifclass::USAGE, 2, ifclass::run),
    tool("install_packages", install_packages::USAGE, 2, install_packages::run),
    tool("mkramdisk", mkramdisk::USAGE, 2, mkramdisk::run),
    tool("mount2dir", mount2dir::USAGE, 1, mount2dir::run),
    tool("updatebase", updatebase::USAGE, 2, updatebase::run),
];

/// Names that [`main`] answers to.
pub const NAMES: [&str; TOOLS.len()] = {
    let mut names = [""; TOOLS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = TOOLS[i].name;
        i += 1;
    }
    names
};

/// Names of two more that scripts call, which whoever calls [`main`] has to do itself: they need the
/// planner, or restart the machine.
pub const PROGRAMS: [&str; 2] = ["faireboot", "setup-storage"];

/// Runs the tool `name`, which must be one of [`NAMES`], and gives its exit status.
pub fn main(name: &str, args: &[String], session: &mut Session<'_>) -> i32 {
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        session.warn(&format!("hostwright: there is no tool {name}"));
        return 127;
    };
    if args.first().is_some_and(|arg| arg == "-h") {
        session.say(&format!("Usage: {name} {}", tool.usage));
        return 0;
    }
    match (tool.run)(args, session) {
        Ok(status) => status,
        Err(error) => {
            session.warn(&format!("{name}: {}", error.full_message()));
            if matches!(error, ToolError::Usage(_)) {
                session.warn(&format!("Usage: {name} {}", tool.usage));
            }
            error.status(tool.usage_status)
        }
    }
}
