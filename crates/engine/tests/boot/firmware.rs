//! A QEMU machine that starts a disk and is asked what it has become.

use crate::cases::Case;
use hostwright_model::facts::Firmware;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a machine may take.
const LIMIT: Duration = Duration::from_secs(8 * 60);

/// Ends QEMU, however the test ends.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the disk; what the installed system says of itself.
pub fn start(case: &Case, disk: &Path, dir: &Path) -> String {
    let serial = dir.join("serial");
    let mut words = vec![
        "-nodefaults".to_owned(),
        "-display".to_owned(),
        "none".to_owned(),
        "-no-reboot".to_owned(),
        "-machine".to_owned(),
        "q35".to_owned(),
        "-accel".to_owned(),
        "tcg,thread=multi".to_owned(),
        // More than one processor and a busy host: an emulated kernel takes it for a lockup.
        "-smp".to_owned(),
        "1".to_owned(),
        "-m".to_owned(),
        "1024".to_owned(),
        "-serial".to_owned(),
        format!("file:{}", serial.display()),
        "-drive".to_owned(),
        format!("if=virtio,format=raw,cache=unsafe,file={}", disk.display()),
    ];
    if case.firmware() == Firmware::Uefi {
        let variables = dir.join("variables.fd");
        fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables).expect("Debian package ovmf");
        for drive in [
            "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd".to_owned(),
            format!("if=pflash,format=raw,file={}", variables.display()),
        ] {
            words.extend(["-drive".to_owned(), drive]);
        }
    }
    let mut machine = Machine(Command::new("qemu-system-x86_64").args(words).spawn().unwrap());
    let began = Instant::now();
    loop {
        let log = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
        let answer = log.lines().find_map(|line| line.split_once("answer: "));
        if let Some((_, answer)) = answer.filter(|_| log.contains("answer ends")) {
            return answer.trim().to_owned();
        }
        let has_ended = machine.0.try_wait().unwrap().is_some();
        assert!(!has_ended && began.elapsed() < LIMIT, "{} does not answer:\n{log}", case.name);
        std::thread::sleep(Duration::from_millis(500));
    }
}
