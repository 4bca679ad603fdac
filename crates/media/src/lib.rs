//! Makes things that boot: the initramfs, the tools image, the installer that holds both, and the
//! containers of disk images.
//!
//! It reads what others made as well: [`import`] turns archives, OCI images and disk images into
//! images of the store.
//!
//! It never installs anything, and every byte it writes follows from its inputs: the same packages,
//! the same agent and the same lists give the same files. Read [`InstallerOptions`] and
//! [`installer::build`] first, then [`cpio::Archive`].

mod archive;
pub mod cpio;
pub mod disk_image;
mod error;
pub mod import;
pub mod initramfs;
pub mod installer;
mod kernel;
pub mod selection;
mod stamp;
mod tools;

pub use archive::Mirror;
pub use error::MediaError;
pub use installer::InstallerOptions;
pub use kernel::Kernel;
