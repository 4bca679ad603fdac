//! The machine of the storage rig: no network, no firmware to speak of, and as many disks as the
//! cases want.

use super::cases::{Bus, Case};
use super::{INIT, Rig, make_runnable, text, write};
use crate::process::{Process, tail};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long one boot with its stage may take.
const BOOT_LIMIT: Duration = Duration::from_secs(60 * 60);
/// LUKS wants half of a GiB to open a volume.
const MEMORY_MIB: u32 = 2560;

/// The serial number of a disk of a case: short enough for every bus.
pub(super) fn serial(case: &Case, number: usize) -> String {
    let name: String = case.name.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    format!("{name}{}", number + 1)
}

/// A machine that is switched on for one stage at a time.
pub(super) struct StorageMachine {
    words: Vec<String>,
    dir: PathBuf,
}

impl StorageMachine {
    /// Makes empty disks and the initramfs.
    pub(super) fn build(rig: &Rig, cases: &[&'static Case], state: &Path) -> Result<Self> {
        let initrd = rig.dir.join("initrd.img");
        make_initrd(&rig.installer.join("initrd.img"), &rig.dir, &initrd)?;
        let (kernel, tools) = (rig.installer.join("vmlinuz"), rig.installer.join("tools.squashfs"));
        let mut line = format!(
            "qemu-system-x86_64 -nodefaults -display none -no-reboot -machine q35 -accel {} -smp 2 \
             -m {MEMORY_MIB} -kernel {} -initrd {} -device virtio-rng-pci \
             -drive if=none,id=tools,format=raw,readonly=on,file={} \
             -device virtio-blk-pci,drive=tools \
             -drive if=none,id=state,format=raw,file={} -device virtio-blk-pci,drive=state \
             -device virtio-scsi-pci,id=scsi",
            rig.acceleration,
            text(&kernel)?,
            text(&initrd)?,
            text(&tools)?,
            text(state)?
        );
        let disks = rig.dir.join("disks");
        fs::create_dir_all(&disks)?;
        let mut number = 0;
        for case in cases {
            for (nth, disk) in case.disks.iter().enumerate() {
                let serial = serial(case, nth);
                let file = disks.join(&serial);
                fs::File::create(&file)?.set_len(u64::from(disk.size_mib) << 20)?;
                let device = match disk.bus {
                    Bus::Scsi => {
                        format!("scsi-hd,bus=scsi.0,scsi-id={},lun={}", number / 8, number % 8)
                    }
                    Bus::Virtio => "virtio-blk-pci".to_owned(),
                    Bus::Nvme => "nvme".to_owned(),
                    Bus::Sata => format!("ide-hd,bus=ide.{nth}"),
                };
                let file = text(&file)?;
                line.push_str(&format!(
                    " -drive if=none,id=d{number},format=raw,discard=unmap,cache=unsafe,file={file} \
                     -device {device},drive=d{number},serial={serial}"
                ));
                number += 1;
            }
        }
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parameters = "console=ttyS0 rdinit=/rig quiet panic=-1";
        words.extend(["-append".to_owned(), parameters.to_owned()]);
        Ok(Self { words, dir: rig.dir.clone() })
    }

    /// Runs one stage: from power-on until the machine switches itself off.
    pub(super) fn boot(&self, stage: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
        let serial = self.dir.join(format!("{stage}.serial"));
        let mut words = self.words.clone();
        words.extend(["-serial".to_owned(), format!("file:{}", text(&serial)?)]);
        let mut qemu = Process::start(&words, &self.dir.join("qemu.log"))?;
        let deadline = Instant::now() + BOOT_LIMIT;
        let mut told = 0;
        while qemu.must_run().is_ok() {
            let log = fs::read(&serial).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().filter_map(|l| l.strip_prefix("rig: ")).collect();
            for line in lines.iter().skip(told) {
                say(line.trim_end());
            }
            told = lines.len();
            if Instant::now() > deadline {
                qemu.kill()?;
                bail!("stage {stage} did not end:\n{}", tail(&serial, 20));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let log = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
        ensure!(
            log.contains("rig: ") && !log.contains("Kernel panic"),
            "stage {stage} broke down:\n{}\n{}",
            tail(&serial, 20),
            tail(&self.dir.join("qemu.log"), 5)
        );
        Ok(())
    }
}

/// The installer's initramfs with one more archive behind it, which has the rig's own init.
fn make_initrd(installers: &Path, dir: &Path, to: &Path) -> Result<()> {
    let tree = dir.join("initramfs");
    write(&tree.join("rig"), INIT)?;
    make_runnable(&tree.join("rig"))?;
    let names = fs::File::open({
        let list = dir.join("initramfs.list");
        write(&list, "rig\n")?;
        list
    })?;
    let archive = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(&tree)
        .stdin(names)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cpio")?;
    ensure!(archive.status.success(), "cpio: {}", archive.status);
    let mut bytes = fs::read(installers).with_context(|| installers.display().to_string())?;
    // Archives begin on multiples of 4 bytes.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(&archive.stdout);
    Ok(fs::write(to, bytes)?)
}
