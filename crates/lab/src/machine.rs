//! A QEMU machine with real firmware, an empty disk and a cable to the lab's network.

use crate::network::Network;
use crate::process::Process;
use crate::qmp::Qmp;
use crate::terminal::Terminal;
use anyhow::{Context as _, Result};
use hostwright_model::facts::Firmware;
use hostwright_model::ids::MacAddr;
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// UEFI firmware, and its variables as they leave the factory.
pub(crate) const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub(crate) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// BIOS (SeaBIOS with the network card's iPXE ROM) or UEFI (OVMF with its own PXE).
    pub firmware: Firmware,
    /// Address of its network card.
    pub mac: MacAddr,
    /// Size of its disk.
    pub disk_bytes: u64,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// A machine that can be switched on and off. It is switched off when it is dropped.
pub struct Machine {
    hardware: Hardware,
    dir: PathBuf,
    network: Network,
    tap: String,
    acceleration: &'static str,
    running: Option<Process>,
}

impl Machine {
    /// Builds a machine with an empty disk in `dir` and plugs it in.
    pub fn build(
        hardware: Hardware,
        dir: &Path,
        network: &Network,
        acceleration: &'static str,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let disk = File::create(dir.join("disk.img"))?;
        disk.set_len(hardware.disk_bytes)?;
        if hardware.firmware == Firmware::Uefi {
            fs::copy(OVMF_VARS, dir.join("efivars.fd"))
                .with_context(|| format!("cannot copy {OVMF_VARS}; install the package ovmf"))?;
        }
        let tap = network.plug_in(hardware.mac)?;
        let (dir, network) = (dir.to_owned(), network.clone());
        Ok(Self { hardware, dir, network, tap, acceleration, running: None })
    }

    /// Switches it on.
    pub fn power_on(&mut self) -> Result<()> {
        let words = self.qemu_words();
        let log = self.dir.join("qemu.log");
        let started = self.network.inside().run(move || Process::start(&words, &log))?;
        self.running = Some(started?);
        Ok(())
    }

    /// Cuts its power by killing QEMU. What the guest had not yet written to its disk is gone. It is
    /// milder than a real cut in one thing: every write that the guest issued is in the page cache of
    /// this machine and survives, as on a disk whose cache is never lost.
    pub fn cut_power(&mut self) -> Result<()> {
        match self.running.take() {
            Some(mut qemu) => qemu.kill(),
            None => Ok(()),
        }
    }

    /// Fails if QEMU has ended by itself.
    pub fn must_run(&mut self) -> Result<()> {
        self.running.as_mut().context("the machine is switched off")?.must_run()
    }

    /// Keeps what the machine shows on its screen, as `screen.ppm` beside its logs.
    pub fn photograph(&self) -> Result<()> {
        let screen = self.dir.join("screen.ppm");
        let mut qmp = Qmp::connect(&self.dir.join("qmp.sock"))?;
        qmp.execute("screendump", json!({ "filename": screen }))?;
        Ok(())
    }

    /// Sits down at its serial console. What it wrote from power-on is in `serial.log`.
    pub fn sit_down(&self) -> Result<Terminal> {
        Terminal::connect(&self.dir.join("serial.sock"))
    }

    /// Its disk.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.img")
    }

    fn qemu_words(&self) -> Vec<String> {
        let (dir, hardware) = (self.dir.display(), &self.hardware);
        // A BIOS asks the network first, always. UEFI follows its own variables, as real machines
        // do: an empty disk sends it to the network, an installed system puts itself first. There
        // the card has no ROM, so that the firmware's own PXE drives it.
        let (disk_order, net_order) = match hardware.firmware {
            Firmware::Bios => (",bootindex=2", ",bootindex=1"),
            Firmware::Uefi => ("", ",romfile="),
        };
        let mut line = format!(
            "qemu-system-x86_64 -nodefaults -display none -vga std -machine q35 -accel {} -smp 2 \
             -m {} -chardev socket,id=serial,path={dir}/serial.sock,server=on,wait=off,\
             logfile={dir}/serial.log,logappend=on -serial chardev:serial -qmp unix:{dir}/qmp.sock,server=on,wait=off \
             -drive if=none,id=disk,format=raw,discard=unmap,file={dir}/disk.img \
             -device virtio-blk-pci,drive=disk,serial=LAB0001{disk_order} \
             -netdev tap,id=net,ifname={},script=no,downscript=no \
             -device virtio-net-pci,netdev=net,mac={}{net_order} \
             -device virtio-rng-pci",
            self.acceleration, hardware.memory_mib, self.tap, hardware.mac,
        );
        if hardware.firmware == Firmware::Uefi {
            line.push_str(&format!(
                " -drive if=pflash,format=raw,readonly=on,file={OVMF_CODE} \
                 -drive if=pflash,format=raw,file={dir}/efivars.fd"
            ));
        }
        line.split_whitespace().map(str::to_owned).collect()
    }
}

/// How QEMU runs guests: `kvm` where the processor can, else `tcg`; `wanted` overrides.
///
/// `/dev/kvm` alone proves nothing: inside a virtual machine without nested virtualisation it may
/// open and then hang.
pub fn acceleration(wanted: Option<&str>) -> &'static str {
    match wanted {
        Some("kvm") => "kvm",
        Some(_) => "tcg,thread=multi",
        None => {
            let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let can = cpu.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm"));
            if can && Path::new("/dev/kvm").exists() { "kvm" } else { "tcg,thread=multi" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn netns_a_machine_with_an_empty_disk_asks_the_network() {
        let dir = tempfile::TempDir::new().expect("tempdir");
        let network = Network::new().expect("network");
        let mac = "52:54:00:77:00:10".parse().expect("address");
        let hardware =
            Hardware { firmware: Firmware::Bios, mac, disk_bytes: 1 << 30, memory_mib: 256 };
        let inside = (std::net::Ipv4Addr::UNSPECIFIED, 67);
        let dhcp = network.inside().run(move || std::net::UdpSocket::bind(inside));
        let dhcp = dhcp.expect("job").expect("bind");
        dhcp.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");

        let mut machine =
            Machine::build(hardware, dir.path(), &network, acceleration(None)).expect("build");
        machine.power_on().expect("power on");
        let started = Instant::now();
        let mut packet = [0; 1500];
        let (length, _) = dhcp.recv_from(&mut packet).expect("no DHCPDISCOVER arrived");
        assert!(length > 240, "too short for DHCP: {length}");
        // chaddr, RFC 2131 section 2.
        assert_eq!(packet[28..34], mac.0, "after {:?}", started.elapsed());
        machine.photograph().expect("screen");
        assert!(dir.path().join("screen.ppm").exists());
        machine.cut_power().expect("cut");
    }
}
