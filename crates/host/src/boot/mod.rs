//! What only the program that the kernel starts first does: mounting the pseudo file systems,
//! loading modules, bringing links up, changing the root, reaping, rebooting.
//!
//! These are system calls and not [`crate::Host`] operations because there is nothing to simulate:
//! they happen before there is a run and after it. Everything here assumes a system that lives in
//! RAM and was booted for one purpose; nothing here is ever called on a server.

pub mod clock;
pub mod entropy;
mod glob;
pub mod links;
pub mod load;
pub mod modules;
pub mod next_boot;
pub mod process;
pub mod root;
pub mod terminal;

use crate::HostError;

/// Turns what the kernel said about `path` into an error that names both.
fn failed(
    operation: &'static str,
    path: impl Into<String>,
) -> impl FnOnce(rustix::io::Errno) -> HostError {
    let path = path.into();
    move |errno| HostError::Io { operation, path, source: errno.into() }
}

/// The same for an error of the standard library.
fn failed_io(
    operation: &'static str,
    path: impl Into<String>,
) -> impl FnOnce(std::io::Error) -> HostError {
    let path = path.into();
    move |source| HostError::Io { operation, path, source }
}
