//! `mount2dir`: mounts what an fstab names below a directory.

use super::session::{usage, words};
use super::{Session, ToolError};
use hostwright_host::{Command, MountRequest, Tool};

pub(super) const USAGE: &str = "TARGET FSTAB [FSCK [OPTIONS]]";

/// File systems that are not on a disk of this machine.
const SKIPPED: [&str; 9] =
    ["nfs", "nfs4", "ceph", "swap", "proc", "usbfs", "sysfs", "tmpfs", "devpts"];
/// Status without the fstab.
const NO_FSTAB: i32 = 2;
/// Status when something cannot be mounted.
const NOT_MOUNTED: i32 = 4;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let (target, fstab, check, options) = match args {
        [target, fstab] => (target, fstab, false, ""),
        [target, fstab, check] => (target, fstab, check == "1", ""),
        [target, fstab, check, options, ..] => (target, fstab, check == "1", options.as_str()),
        _ => return Err(usage("a directory and an fstab are needed")),
    };
    let path = session.absolute(fstab);
    let text = session.host.read(&path)?;
    let missing = || ToolError::refused(NO_FSTAB, format!("there is no fstab {fstab}"));
    let text = String::from_utf8_lossy(&text.ok_or_else(missing)?).into_owned();
    for entry in entries(&text) {
        let source = device(&entry.source, session)?;
        if check {
            let words = ["-n", "-t", &entry.kind, &source];
            session.run(Command::new(Tool::Fsck).args(words))?;
        }
        let mut all_options = format!("{},noatime", entry.options);
        if !options.is_empty() {
            all_options = format!("{all_options},{options}");
        }
        let at = format!("{}{}", session.absolute(target).trim_end_matches('/'), entry.at);
        if session.env.is_on("verbose") || session.env.is_on("debug") {
            session.say(&format!("Mounting {} to {at}", entry.source));
        }
        let request = MountRequest {
            source,
            target: at.clone(),
            file_system: Some(entry.kind),
            options: all_options,
        };
        if let Err(error) = session.host.mount(&request) {
            let cause = ToolError::from(error).full_message();
            return Err(ToolError::refused(NOT_MOUNTED, cause));
        }
    }
    Ok(0)
}

/// A line of an fstab.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    source: String,
    at: String,
    kind: String,
    options: String,
}

/// The lines about file systems on disks, in order.
pub(crate) fn entries(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let fields = words(line);
        let [source, at, kind, options, ..] = &fields[..] else { return None };
        let is_disk = ["/dev/", "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="]
            .iter()
            .any(|start| source.starts_with(start));
        let wanted = (is_disk || source.contains(':'))
            && !source.starts_with('#')
            && at != "none"
            && !options.contains("noauto")
            && !SKIPPED.contains(&kind.as_str());
        let [source, at, kind, options] = [source, at, kind, options].map(String::clone);
        wanted.then_some(Entry { source, at, kind, options })
    };
    text.lines().filter_map(entry).collect()
}

/// The device node of `UUID=…` and its like.
fn device(source: &str, session: &mut Session<'_>) -> Result<String, ToolError> {
    if !source.contains('=') || source.starts_with('/') {
        return Ok(source.to_owned());
    }
    let words = ["-c", "/dev/null", "-o", "device", "-l", "-t", source];
    let output = session.run_for_output(Command::new(Tool::Blkid).args(words))?;
    let found = output.stdout.lines().next().map(str::to_owned);
    found.ok_or_else(|| ToolError::refused(NOT_MOUNTED, format!("no device has {source}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_file_systems_on_disks_are_mounted() {
        let text = "# comment\n\n/dev/sda1 / ext4 errors=remount-ro 0 1\nproc /proc proc defaults\n\
             UUID=1-2 /boot/efi vfat defaults 0 0\n/dev/sda2 none swap sw 0 0\n\
             /dev/sr0 /media iso9660 ro,noauto 0 0\nserver:/home /home nfs defaults 0 0\n\
             tmpfs /tmp tmpfs size=50% 0 0\n#/dev/sdb1 /x ext4 defaults\n";
        let at: Vec<String> = entries(text).into_iter().map(|entry| entry.at).collect();
        assert_eq!(at, ["/", "/boot/efi"]);
    }
}
