//! A disk image of `hostwright build -o`, booted as it is.

use crate::machine::{OVMF_CODE, OVMF_VARS};
use crate::process::Process;
use crate::verify::{Answer, forwarded_system};
use anyhow::{Context as _, Result};
use hostwright_model::facts::Firmware;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

/// How long the system may take from power-on to its answer.
const BOOT_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Class of what an image needs to be asked anything, which [`add_class`] adds to a space.
pub(crate) const LAB_CLASS: &str = "LAB";

/// The example's class CLOUD takes ssh's keys away and has rc.local make new ones, beside the start of
/// sshd: here they are made before it. It leaves the kernel without a serial console, which is all
/// that can be read of a failed boot. On a busy machine the ticks of an emulated timer come late, and
/// a kernel that checks them panics.
const LAB_SCRIPT: &str = "#!/bin/sh
set -e
mkdir -p \"$target/etc/systemd/system/ssh.service.d\" \"$target/etc/default/grub.d\"
cat > \"$target/etc/systemd/system/ssh.service.d/keys.conf\" <<END
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
END
echo 'GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0 no_timer_check\"' \\
    > \"$target/etc/default/grub.d/05_lab.cfg\"
";

/// Adds the class to a copy of the example space.
pub fn add_class(space: &Path) -> Result<()> {
    let dir = space.join("scripts").join(LAB_CLASS);
    fs::create_dir_all(&dir)?;
    let script = dir.join("10-answer");
    fs::write(&script, LAB_SCRIPT)?;
    Ok(fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?)
}

/// Boots the image at `disk` on a machine of its own and asks the system what it is. `dir` takes the
/// machine's logs.
pub fn boot(
    disk: &Path,
    firmware: Firmware,
    acceleration: &str,
    space: &Path,
    dir: &Path,
) -> Result<Answer> {
    let port = free_port()?;
    let words = qemu_words(disk, firmware, acceleration, dir, port)?;
    let mut qemu = Process::start(&words, &dir.join("qemu.log"))?;
    let answer = forwarded_system(port, space, BOOT_LIMIT);
    qemu.must_run()?;
    answer.with_context(|| format!("see {}", dir.join("serial.log").display()))
}

/// A port of this machine that nobody uses at this moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn qemu_words(
    disk: &Path,
    firmware: Firmware,
    acceleration: &str,
    dir: &Path,
    port: u16,
) -> Result<Vec<String>> {
    let (disk, at) = (disk.display(), dir.display());
    // QEMU's own network: the machine needs an address, and ssh into it, and nothing else.
    let mut line = format!(
        "qemu-system-x86_64 -nodefaults -display none -vga std -machine q35 -accel {acceleration} \
         -smp 2 -m 1024 -serial file:{at}/serial.log \
         -drive if=none,id=disk,format=raw,snapshot=on,file={disk} \
         -device virtio-blk-pci,drive=disk \
         -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22 \
         -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci",
    );
    if firmware == Firmware::Uefi {
        let vars = dir.join("efivars.fd");
        fs::copy(OVMF_VARS, &vars)
            .with_context(|| format!("cannot copy {OVMF_VARS}; install the package ovmf"))?;
        line.push_str(&format!(
            " -drive if=pflash,format=raw,readonly=on,file={OVMF_CODE} \
             -drive if=pflash,format=raw,file={}",
            vars.display()
        ));
    }
    Ok(line.split_whitespace().map(str::to_owned).collect())
}
