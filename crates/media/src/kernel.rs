//! Debian's kernel, taken out of its package: image, modules, and what depmod(8) says about them.

use crate::archive::{self, PackageArchive};
use crate::error::{MediaError, io_error};
use crate::selection::{Selection, select};
use crate::stamp::{Key, Stamps, digest_file};
use hostwright_host::{Command, Host, Tool};
use hostwright_model::ids::Digest;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The package that depends on the newest kernel of a suite.
const NEWEST: &str = "linux-image-amd64";

/// An unpacked kernel package.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// The image.
    pub image: PathBuf,
    /// `lib/modules/RELEASE`, with depmod's files.
    pub modules: PathBuf,
    /// When the package was built, seconds since the epoch: the time of everything made from it.
    pub built_at_s: u32,
    /// Digest of what it was unpacked from.
    pub key: Digest,
}

impl Kernel {
    /// The kernel in a package file, unpacked below `dir` unless that has been done.
    pub(crate) fn unpack(
        host: &mut dyn Host,
        package: &Path,
        dir: &Path,
        stamps: &Stamps,
    ) -> Result<Self, MediaError> {
        const RECIPE: u32 = 1;
        let (digest, _) = digest_file(package)?;
        let key = Key::new("kernel", RECIPE).with(&digest.to_string()).finish();
        if !stamps.is_fresh("kernel", key, dir) {
            stamps.forget("kernel")?;
            if dir.exists() {
                fs::remove_dir_all(dir).map_err(io_error("empty", dir))?;
            }
            archive::unpack(host, package, dir)?;
            let kernel = Self::open(package, dir, key)?;
            kernel.depmod(host, dir)?;
            stamps.remember("kernel", key)?;
        }
        Self::open(package, dir, key)
    }

    fn open(package: &Path, dir: &Path, key: Digest) -> Result<Self, MediaError> {
        let missing = |missing| {
            move || MediaError::NotAKernel { package: package.display().to_string(), missing }
        };
        let mut releases = fs::read_dir(dir.join("lib/modules")).into_iter().flatten().flatten();
        let modules = releases.next().map(|entry| entry.path());
        let modules = modules.ok_or_else(missing("/lib/modules/RELEASE"))?;
        let release = modules.file_name().map(|name| name.to_string_lossy().into_owned());
        let release = release.unwrap_or_default();
        let image = dir.join(format!("boot/vmlinuz-{release}"));
        let status = fs::metadata(&image).map_err(|_| missing("/boot/vmlinuz-RELEASE")())?;
        let built_at_s = u32::try_from(status.mtime()).unwrap_or(0);
        Ok(Self { release, image, modules, built_at_s, key })
    }

    fn depmod(&self, host: &mut dyn Host, dir: &Path) -> Result<(), MediaError> {
        let base = dir.display().to_string();
        let command = Command::new(Tool::Depmod).args(["-b", base.as_str(), &self.release]);
        host.run(&command, &mut |_, _| {})?.success()?;
        Ok(())
    }

    /// The modules of a list, with all they need.
    pub(crate) fn select(&self, list: &[&str]) -> Result<Selection, MediaError> {
        let text = |name: &str| {
            let path = self.modules.join(name);
            fs::read_to_string(&path).map_err(io_error("read", &path))
        };
        let (dep, alias) = (text("modules.dep")?, text("modules.alias")?);
        Ok(select(list, &dep, &alias, &text("modules.softdep")?))
    }
}

/// Downloads the newest kernel package of the archive into `dir`, unless it is there already.
pub(crate) fn download_newest(
    host: &mut dyn Host,
    archive: &PackageArchive,
    dir: &Path,
    stamps: &Stamps,
) -> Result<PathBuf, MediaError> {
    let depends = archive.field(host, NEWEST, "Depends")?;
    let package = depends.split([',', ' ']).find(|word| word.starts_with("linux-image-"));
    let reason = "it depends on no kernel";
    let package =
        package.ok_or_else(|| MediaError::Package { package: NEWEST.to_owned(), reason })?;
    archive.fetch(host, package, dir, stamps)
}
