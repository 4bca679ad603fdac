//! What runs on a machine that is being installed: PID 1 of the initramfs, then the session.
//!
//! The crate links no database and no web framework, and holds nothing that a server needs. PID 1
//! does nearly nothing: it mounts, starts the session and the attendant, reaps, and ends the machine.
//! The session installs and may be killed and started again at any moment; the attendant shows what
//! happens and lets people in. Read [`supervisor`] first, then [`session`], then [`attendant`].

pub mod attendant;
pub mod boot_options;
mod configuration;
mod console;
mod fault;
mod images;
mod manners;
mod modprobe;
mod network;
pub mod planner;
mod plugins;
pub mod program;
pub mod record;
mod report;
#[cfg(test)]
mod samples;
pub mod session;
mod setup_storage;
mod space;
mod standalone;
pub mod supervisor;
mod tools_root;
mod verbs;

/// Where everything is that the agent fetches or notes; in RAM.
pub const WORK_DIR: &str = "/run/hostwright";
