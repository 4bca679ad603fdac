//! What every scenario needs and nobody wants to make twice: the config space, the installer and the
//! images. All are made by the product's own verbs, and kept in the lab's directory.

use crate::disk_image::LAB_CLASS;
use crate::process::{bound, tail};
use anyhow::{Context as _, Result, bail};
use hostwright_model::facts::Firmware;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// FAI's example space, where Debian's package fai-doc puts it.
const SIMPLE: &str = "/usr/share/doc/fai-doc/examples/simple";
/// Host name of the machine; the space's class scripts know it.
pub const HOST: &str = "demohost";

/// What a system needs to boot from anything that the storage cases make.
const BASE_PACKAGES: &str = "\
PACKAGES install-norec
linux-image-cloud-amd64 initramfs-tools systemd-sysv udev kmod zstd
grub-pc mdadm lvm2 cryptsetup-initramfs fdisk
";

/// What firmware has to load over the network must be small: it is slow, and fails on large files.
const BOOT_BYTES_MAX: u64 = 45_000_000;

fn check_boot_size(installer: &Path) -> Result<()> {
    let mut size_bytes = 0;
    for name in ["vmlinuz", "initrd.img"] {
        let path = installer.join(name);
        let found = fs::metadata(&path);
        size_bytes += found.with_context(|| format!("cannot read {}", path.display()))?.len();
    }
    if size_bytes > BOOT_BYTES_MAX {
        bail!("kernel and initramfs have {size_bytes} bytes; {BOOT_BYTES_MAX} are allowed");
    }
    Ok(())
}

/// The line by which the example space chooses release and mirror.
fn example_mirror() -> Result<String> {
    let path = Path::new(SIMPLE).join("class/FAIBASE.var");
    let vars = fs::read_to_string(&path);
    let vars = vars.with_context(|| format!("cannot read {}", path.display()))?;
    let line = vars.lines().find(|line| line.starts_with("FAI_DEBOOTSTRAP="));
    let line = line.with_context(|| format!("{} names no mirror", path.display()))?;
    Ok(format!("{line}\n"))
}

/// Where the product is and where the lab keeps its things.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The `hostwright` program.
    pub program: PathBuf,
    /// The static agent.
    pub agent: PathBuf,
    /// The lab's directory; made if it is not there.
    pub dir: PathBuf,
    /// True to show what the verbs print, false to keep it in `LOG`.
    pub show: bool,
}

impl Parts {
    /// The config space, unpacked and unchanged.
    pub fn space(&self) -> Result<PathBuf> {
        let space = self.dir.join("space");
        if space.exists() {
            fs::remove_dir_all(&space)?;
        }
        fs::create_dir_all(&self.dir)?;
        if !Path::new(SIMPLE).exists() {
            bail!("{SIMPLE} is missing; install Debian's package fai-doc");
        }
        let copied = Command::new("cp").arg("-a").arg(SIMPLE).arg(&space).status()?;
        if !copied.success() {
            bail!("cannot copy {SIMPLE} to {}", space.display());
        }
        Ok(space)
    }

    /// Kernel, initramfs and tools image. Quick if nothing changed.
    pub fn installer(&self) -> Result<PathBuf> {
        let out = self.dir.join("installer");
        let (agent, out_text) = (self.agent.display(), out.display());
        self.verb("installer", &format!("installer build --agent {agent} --out {out_text}"))?;
        check_boot_size(&out)?;
        Ok(out)
    }

    /// The image store.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Name of the image for one kind of firmware.
    pub fn image_name(firmware: Firmware) -> &'static str {
        match firmware {
            Firmware::Bios => "demohost-bios",
            Firmware::Uefi => "demohost-uefi",
        }
    }

    /// Builds the image of the machine unless `reuse` and there is one.
    pub fn image(&self, space: &Path, firmware: Firmware, reuse: bool) -> Result<&'static str> {
        let name = Self::image_name(firmware);
        if self.store().join("refs").join(name).exists() {
            let store = self.store();
            let line = format!("image show {name} --store {}", store.display());
            match self.verb("image", &line) {
                Ok(()) if reuse => return Ok(name),
                Ok(()) => {}
                // An older program made it, in a format of its own.
                Err(_) => fs::remove_dir_all(store)?,
            }
        }
        let kind = match firmware {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
        };
        let (space, store) = (space.display(), self.store());
        let cache = self.package_cache();
        let (store, cache, work) = (store.display(), cache.display(), self.work_dir());
        let work = work.display();
        self.verb(
            "build",
            &format!(
                "build --space {space} --hostname {HOST} --firmware {kind} --store {store} \
                 --name {name} --package-cache {cache} --work-dir {work}"
            ),
        )?;
        Ok(name)
    }

    /// Builds a disk image of the machine for one kind of firmware.
    pub fn disk_image(&self, space: &Path, firmware: Firmware, disk: &Path) -> Result<()> {
        let (kind, classes) = match firmware {
            Firmware::Bios => ("bios", "GRUB_PC,CLOUD"),
            Firmware::Uefi => ("uefi", "GRUB_EFI,CLOUD,CLOUD_EFI"),
        };
        let (space, cache, disk) = (space.display(), self.package_cache(), disk.display());
        let (cache, work) = (cache.display(), self.work_dir());
        let work = work.display();
        self.verb(
            "build-disk",
            &format!(
                "build --space {space} --hostname {HOST} --firmware {kind} --only-classes \
                 DEBIAN,AMD64,FAIBASE,DHCPC,DEMO,{LAB_CLASS},{classes},LAST --size 3G \
                 -o {disk} --package-cache {cache} --work-dir {work}"
            ),
        )
    }

    /// A Debian that starts from RAID, LVM and LUKS, in a tar archive. Made once.
    pub fn base_system(&self) -> Result<PathBuf> {
        let archive = self.dir.join("base.tar.zst");
        if archive.exists() {
            return Ok(archive);
        }
        let [space, tree, work] =
            ["base-space", "base", "base-work"].map(|name| self.dir.join(name));
        for dir in [&space, &tree, &work] {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
        }
        for (name, text) in
            [("class/BASE.var", example_mirror()?.as_str()), ("package_config/BASE", BASE_PACKAGES)]
        {
            let path = space.join(name);
            fs::create_dir_all(path.with_file_name(""))?;
            fs::write(path, text)?;
        }
        let cache = self.package_cache();
        let line = format!(
            "build --space {} --only-classes BASE --dir {} --work-dir {} --package-cache {}",
            space.display(),
            tree.display(),
            work.display(),
            cache.display()
        );
        self.verb("base", &line)?;
        let draft = self.dir.join("base.draft");
        let mut pack = Command::new("tar");
        pack.args(["--create", "--zstd", "--numeric-owner", "--file"]).arg(&draft);
        let packed = pack.arg("--directory").arg(&tree).arg(".").status()?;
        if !packed.success() {
            bail!("cannot pack {}", tree.display());
        }
        fs::rename(&draft, &archive)?;
        fs::remove_dir_all(&tree)?;
        Ok(archive)
    }

    /// Where builds work: what an interrupted one leaves is the lab's, and the next one removes it.
    fn work_dir(&self) -> PathBuf {
        self.dir.join("build")
    }

    /// Where downloaded packages are kept.
    pub fn package_cache(&self) -> PathBuf {
        self.dir.join("packages")
    }

    /// Runs a verb of the product to its end.
    fn verb(&self, name: &str, line: &str) -> Result<()> {
        let mut words = vec![self.program.display().to_string()];
        words.extend(line.split_whitespace().map(str::to_owned));
        let log = self.dir.join(format!("{name}.log"));
        let mut command = bound(&words);
        command.stdin(Stdio::null());
        if !self.show {
            let out = File::create(&log)?;
            command.stdout(out.try_clone()?).stderr(out);
        }
        let status = command.status().with_context(|| format!("cannot run hostwright {line}"))?;
        match (status.success(), self.show) {
            (true, _) => Ok(()),
            (false, true) => bail!("hostwright {line}: {status}"),
            (false, false) => bail!("hostwright {line}: {status}\n{}", tail(&log, 30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_firmware_loads_may_not_be_large() {
        let dir = tempfile::TempDir::new().expect("tempdir");
        assert!(check_boot_size(dir.path()).is_err(), "there is nothing");
        let file = |name: &str, length| {
            File::create(dir.path().join(name)).expect("create").set_len(length).expect("length");
        };
        file("vmlinuz", 8_000_000);
        file("initrd.img", BOOT_BYTES_MAX - 8_000_000);
        assert!(check_boot_size(dir.path()).is_ok());
        file("initrd.img", BOOT_BYTES_MAX - 8_000_000 + 1);
        let error = check_boot_size(dir.path()).expect_err("too large");
        assert!(error.to_string().contains("45000001"), "{error}");
    }
}
