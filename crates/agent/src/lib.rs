//! What runs on a machine that is being installed: PID 1 of the initramfs, then the session.
//!
//! The crate links no database and no web framework, and holds nothing that a server needs. PID 1
//! does nearly nothing: it mounts, starts the session, reaps, and ends the machine. The session does
//! everything else and may be killed and started again at any moment. Read [`supervisor`] first,
//! then [`session`].

pub mod boot_options;
mod console;
mod fault;
mod images;
mod modprobe;
mod network;
pub mod planner;
pub mod program;
mod report;
pub mod session;
mod setup_storage;
mod space;
mod standalone;
pub mod supervisor;
mod tools_root;

/// Where everything is that the agent fetches or notes; in RAM.
pub const WORK_DIR: &str = "/run/hostwright";
