//! Why something that boots could not be made.

use hostwright_host::HostError;
use std::io;
use thiserror::Error;

/// Why a part of the installer could not be made.
#[derive(Debug, Error)]
pub enum MediaError {
    /// A tool failed or is missing.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A file could not be read or written.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The machine's apt sources name no Debian archive.
    #[error(
        "the apt sources of this machine name no archive of Debian whose lists are at hand; run \
         apt-get update, or name a mirror"
    )]
    NoDebianArchive,
    /// The archive lacks a package, or does not say what it should.
    #[error("the package archive has no usable {package}: {reason}")]
    Package {
        /// The package.
        package: String,
        /// What was missed.
        reason: &'static str,
    },
    /// A package does not hold a kernel with its modules.
    #[error("{package} holds no {missing}, so it is not a kernel package of Debian")]
    NotAKernel {
        /// The file.
        package: String,
        /// What was looked for.
        missing: &'static str,
    },
}

/// Gives an I/O error its operation and path.
pub(crate) fn io_error(
    operation: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(io::Error) -> MediaError {
    let path = path.display().to_string();
    move |source| MediaError::Io { operation, path, source }
}
