//! `hostwright installer build`: kernel, initramfs and tools image, described by `installer.json`.
//!
//! ```text
//! OUT/vmlinuz  OUT/initrd.img  OUT/tools.squashfs  OUT/installer.json
//! OUT/.build/  apt's lists, packages, the unpacked kernel, and a key for each part
//! ```

use crate::archive::{self, Mirror, PackageArchive};
use crate::error::{MediaError, io_error};
use crate::kernel::{Kernel, download_newest};
use crate::stamp::{Key, Stamps, digest_file};
use crate::{initramfs, selection, tools};
use hostwright_host::Host;
use hostwright_model::ids::Digest;
use hostwright_model::installer::{INSTALLER_FILE, InstallerFile, InstallerManifest};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What an installer is made from.
#[derive(Clone, Debug)]
pub struct InstallerOptions {
    /// Directory for the files; made if it is not there.
    pub out_dir: PathBuf,
    /// The static agent.
    pub agent_binary: PathBuf,
    /// Where Debian's packages come from; without one, where this machine's own apt gets them.
    pub mirror: Option<Mirror>,
    /// A kernel package; without one the newest of the archive.
    pub kernel_package: Option<PathBuf>,
}

/// Makes an installer, or those parts of one whose ingredients have changed. Needs root, for the
/// owners of the files in the tools image. `progress` is told in words what is being done.
pub fn build(
    host: &mut dyn Host,
    options: &InstallerOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<InstallerManifest, MediaError> {
    let work = options.out_dir.join(".build");
    fs::create_dir_all(&work).map_err(io_error("make", &work))?;
    let work = work.canonicalize().map_err(io_error("find", &work))?;
    progress("looking at the package archive");
    let archive = PackageArchive::open(host, &work.join("apt"), options.mirror.as_ref())?;
    let stamps = Stamps::new(&work);
    let mut builder = Builder { host, options, progress, archive, stamps, work };
    let kernel = builder.kernel()?;
    builder.initrd(&kernel)?;
    builder.tools(&kernel)?;
    let manifest = InstallerManifest {
        kernel_release: kernel.release,
        kernel: describe(&options.out_dir, KERNEL)?,
        initrd: describe(&options.out_dir, INITRD)?,
        tools: describe(&options.out_dir, TOOLS)?,
    };
    let path = options.out_dir.join(INSTALLER_FILE);
    let json = serde_json::to_vec_pretty(&manifest).expect("invariant: plain data serialises");
    fs::write(&path, json).map_err(io_error("write", &path))?;
    Ok(manifest)
}

const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd.img";
const TOOLS: &str = "tools.squashfs";

struct Builder<'a> {
    host: &'a mut dyn Host,
    options: &'a InstallerOptions,
    progress: &'a mut dyn FnMut(&str),
    archive: PackageArchive,
    stamps: Stamps,
    work: PathBuf,
}

impl Builder<'_> {
    fn kernel(&mut self) -> Result<Kernel, MediaError> {
        (self.progress)("fetching the kernel");
        let package = match &self.options.kernel_package {
            Some(package) => package.clone(),
            None => download_newest(self.host, &self.archive, &self.work, &self.stamps)?,
        };
        let dir = self.work.join("kernel");
        let kernel = Kernel::unpack(self.host, &package, &dir, &self.stamps)?;
        let image = self.options.out_dir.join(KERNEL);
        replace(&image, |new| {
            fs::copy(&kernel.image, new).map_err(io_error("write", new)).map(drop)
        })?;
        Ok(kernel)
    }

    fn initrd(&mut self, kernel: &Kernel) -> Result<(), MediaError> {
        let base = self.initrd_base(kernel)?;
        let agent = self.initrd_agent(kernel)?;
        let path = self.options.out_dir.join(INITRD);
        replace(&path, |new| initramfs::concatenate(&[&base, &agent], new))
    }

    fn initrd_base(&mut self, kernel: &Kernel) -> Result<PathBuf, MediaError> {
        const RECIPE: u32 = 3;
        let package = self.archive.fetch(self.host, "busybox-static", &self.work, &self.stamps)?;
        let (busybox, _) = digest_file(&package)?;
        let key = Key::new("initrd-base", RECIPE)
            .with_all(&[kernel.key, busybox].map(|digest| digest.to_string()))
            .with_all(selection::INITRAMFS)
            .with_all(initramfs::FILES)
            .finish();
        self.part("initrd-base", "cpio.zst", key, "packing the initramfs", |builder, path| {
            let dir = builder.work.join("busybox");
            archive::unpack(builder.host, &package, &dir)?;
            let modules = kernel.select(selection::INITRAMFS)?;
            let archive = initramfs::base(kernel, &modules, &dir.join("bin/busybox"));
            initramfs::write(&archive, kernel.built_at_s, path)
        })
    }

    fn initrd_agent(&mut self, kernel: &Kernel) -> Result<PathBuf, MediaError> {
        const RECIPE: u32 = 1;
        let binary = &self.options.agent_binary;
        let (digest, _) = digest_file(binary)?;
        let time = kernel.built_at_s.to_string();
        let key = Key::new("agent", RECIPE).with(&digest.to_string()).with(&time).finish();
        self.part("agent", "cpio.zst", key, "packing the agent", |_, path| {
            initramfs::write(&initramfs::agent(binary), kernel.built_at_s, path)
        })
    }

    fn tools(&mut self, kernel: &Kernel) -> Result<(), MediaError> {
        const RECIPE: u32 = 1;
        let versions = self.archive.resolve(self.host, &tools::wanted())?;
        let key = Key::new("tools", RECIPE)
            .with(&kernel.key.to_string())
            .with_all(selection::TOOLS)
            .with_all(&versions)
            .finish();
        let image = self.part("tools", "squashfs", key, "making the tools image", |b, path| {
            let modules = kernel.select(selection::TOOLS)?;
            let root = b.work.join("tools-root");
            tools::build(b.host, &b.archive, kernel, &modules, &root, path)
        })?;
        let path = self.options.out_dir.join(TOOLS);
        replace(&path, |new| fs::hard_link(&image, new).map_err(io_error("write", new)))
    }

    /// Makes `work/NAME.SUFFIX` by `make` unless it is there for the same key.
    fn part(
        &mut self,
        name: &str,
        suffix: &str,
        key: Digest,
        doing: &str,
        make: impl FnOnce(&mut Self, &Path) -> Result<(), MediaError>,
    ) -> Result<PathBuf, MediaError> {
        let path = self.work.join(format!("{name}.{suffix}"));
        if !self.stamps.is_fresh(name, key, &path) {
            (self.progress)(doing);
            self.stamps.forget(name)?;
            replace(&path, |new| make(self, new))?;
            self.stamps.remember(name, key)?;
        }
        Ok(path)
    }
}

/// Puts a file into place as a whole: a boot server may be sending the old one.
fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    if new.exists() {
        fs::remove_file(&new).map_err(io_error("remove", &new))?;
    }
    write(&new)?;
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    // rename(2) leaves both names where they are links to one file: nothing had changed.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", &new)(error))
        }
        _ => Ok(()),
    }
}

fn describe(dir: &Path, file: &str) -> Result<InstallerFile, MediaError> {
    let (digest, size_bytes) = digest_file(&dir.join(file))?;
    Ok(InstallerFile { file: file.to_owned(), size_bytes, digest })
}
