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
/// The first PCI slot for disks of cases; those before are for what the rig needs itself.
const FIRST_SLOT: usize = 0x10;
/// What the kernel is told.
const PARAMETERS: &str = "console=ttyS0 rdinit=/rig quiet panic=-1";
/// LUKS wants half of a GiB to open a volume.
const MEMORY_MIB: u32 = 2560;

/// The serial number of a disk of a case: short enough for every bus.
pub(super) fn serial(case: &Case, number: usize) -> String {
    let name: String = case.name.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    format!("{name}{}", number + 1)
}

/// A machine that is switched on for one stage at a time.
pub(super) struct StorageMachine {
    /// QEMU with everything but a kernel.
    words: Vec<String>,
    /// The kernel, and what it starts.
    kernel: Vec<String>,
    dir: PathBuf,
}

impl StorageMachine {
    /// Makes empty disks and the initramfs.
    pub(super) fn build(rig: &Rig, cases: &[&'static Case], state: &Path) -> Result<Self> {
        let tools = rig.installer.join("tools.squashfs");
        let mut line = format!(
            "qemu-system-x86_64 -nodefaults -display none -no-reboot -machine q35 -accel {} -smp 2 \
             -m {MEMORY_MIB} -device virtio-rng-pci \
             -drive if=none,id=tools,format=raw,readonly=on,file={} \
             -device virtio-blk-pci,drive=tools \
             -drive if=none,id=state,format=raw,file={} -device virtio-blk-pci,drive=state \
             -device virtio-scsi-pci,id=scsi",
            rig.acceleration,
            text(&tools)?,
            text(state)?
        );
        let disks = rig.dir.join("disks");
        fs::create_dir_all(&disks)?;
        let all = cases.iter().flat_map(|case| (0..case.disks.len()).map(move |nth| (case, nth)));
        for (number, (case, nth)) in all.enumerate() {
            let file = disks.join(serial(case, nth));
            let size_bytes = u64::from(case.disks[nth].size_mib) << 20;
            fs::File::create(&file)?.set_len(size_bytes)?;
            line.push_str(&disk_words(case, nth, number, text(&file)?));
        }
        Ok(Self {
            words: line.split_whitespace().map(str::to_owned).collect(),
            kernel: kernel_words(rig)?,
            dir: rig.dir.clone(),
        })
    }

    /// Lets the firmware boot the first disk of a case: the installed system looks at itself.
    pub(super) fn boot_from_disk(&self, case: &Case, say: &mut dyn FnMut(&str)) -> Result<()> {
        let mut words = self.words.clone();
        let first = format!("serial={}", serial(case, 0));
        let device = words.iter_mut().find(|word| word.ends_with(&first));
        device.context("the machine has no disk to boot from")?.push_str(",bootindex=1");
        self.run(words, case.name, say)
    }

    /// Boots the tools image for one stage.
    pub(super) fn boot(&self, stage: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
        self.run([self.words.clone(), self.kernel.clone()].concat(), stage, say)
    }

    /// From power-on until the machine switches itself off.
    fn run(&self, mut words: Vec<String>, stage: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
        let serial = self.dir.join(format!("{stage}.serial"));
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

/// The words that attach a disk of a case, the `number`th of the machine.
fn disk_words(case: &Case, nth: usize, number: usize, file: &str) -> String {
    let device = match case.disks[nth].bus {
        Bus::Scsi => format!("scsi-hd,bus=scsi.0,scsi-id={},lun={}", number / 8, number % 8),
        // Eight to a slot: the bus has not enough slots for all.
        Bus::Virtio => {
            let (slot, function) = (FIRST_SLOT + number / 8, number % 8);
            format!("virtio-blk-pci,multifunction=on,addr={slot:#x}.{function:#x}")
        }
        Bus::Nvme => "nvme".to_owned(),
        Bus::Sata => format!("ide-hd,bus=ide.{nth}"),
    };
    let serial = serial(case, nth);
    format!(
        " -drive if=none,id=d{number},format=raw,discard=unmap,cache=unsafe,file={file} \
         -device {device},drive=d{number},serial={serial}"
    )
}

/// The installer's kernel with the rig's own way into the tools image.
fn kernel_words(rig: &Rig) -> Result<Vec<String>> {
    let initrd = rig.dir.join("initrd.img");
    make_initrd(&rig.installer.join("initrd.img"), &rig.dir, &initrd)?;
    let kernel = rig.installer.join("vmlinuz");
    let words = ["-kernel", text(&kernel)?, "-initrd", text(&initrd)?, "-append", PARAMETERS];
    Ok(words.map(str::to_owned).to_vec())
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
