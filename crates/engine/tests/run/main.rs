//! Runs whole plans: on the real machine into a directory and onto a loop device, and on the
//! simulated one with a power cut at every operation.

#![allow(clippy::disallowed_methods, reason = "tests make and read files, and start losetup")]
#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not by their crate")]

mod bench;
mod crash;
mod directory;
mod loop_disk;
mod overrides;
mod package_managers;
mod quirks;
mod written;
