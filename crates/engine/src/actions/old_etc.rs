//! Keeps `/etc` of the system that is replaced, but for its secrets.
//!
//! Its root is mounted for reading only, and without replaying its journal: at this point nobody
//! knows yet whether the disk will be written to. What cannot be mounted is not kept, and that is
//! said; it is no reason not to install.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, MountRequest, Tool};

/// Packs `etc` below $1 into the file $2, which only root can read. What is left out: names and
/// texts of keys, of passwords and of what is made from them. Links are kept as links.
const PACK: &str = include_str!("old_etc/pack");
/// The archive in the record of the run, and beside the logs in the installed system.
pub(super) const ARCHIVE: &str = "old-etc.tar.gz";

/// Packs `/etc` of the root file system on `device`.
pub(super) fn keep(
    work: &mut Work<'_>,
    device: &str,
    file_system: &str,
) -> Result<Done, ActionError> {
    let archive = in_record(work);
    if work.exists(&archive)? {
        return Ok(Done::already_true());
    }
    let dir = work.settings.scratch_mount();
    work.host.unmount(&dir)?;
    let request = MountRequest {
        source: device.to_owned(),
        target: dir.clone(),
        file_system: Some(file_system.to_owned()),
        options: options(file_system).to_owned(),
    };
    match work.host.mount(&request) {
        Err(HostError::PowerCut) => return Err(HostError::PowerCut.into()),
        Err(error) => {
            work.warn(&format!("/etc of the old system on {device} is not kept: {error}"));
            return Ok(Done::already_true());
        }
        Ok(()) => {}
    }
    let packed = pack(work, &dir, &archive);
    work.host.unmount(&dir)?;
    packed?;
    Ok(Done::changed())
}

fn pack(work: &mut Work<'_>, dir: &str, archive: &str) -> Result<(), ActionError> {
    let draft = format!("{archive}.draft");
    let command = Command::new(Tool::Bash).args(["-c", PACK, "keep-etc", dir, &draft]);
    let packed = work.try_tool(command)?;
    if packed.status != 0 {
        work.warn("/etc of the old system cannot be packed and is not kept");
        work.host.remove(&draft)?;
        return Ok(());
    }
    work.host.rename(&draft, archive)?;
    Ok(())
}

/// Options with which a file system is not written to, not even its journal.
fn options(file_system: &str) -> &'static str {
    match file_system {
        "ext3" | "ext4" => "ro,noload",
        "xfs" => "ro,norecovery",
        "btrfs" => "ro,rescue=nologreplay",
        _ => "ro",
    }
}

/// Where the archive is until the installed system gets it.
pub(super) fn in_record(work: &Work<'_>) -> String {
    format!("{}/{ARCHIVE}", work.settings.record_dir)
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "the script is given to a real shell, with real files"
)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command as Process;

    /// What a packed tree holds.
    fn packed(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("etc/link")).unwrap();
        let archive = dir.path().join("archive");
        let status = Process::new("bash")
            .args(["-c", PACK, "keep-etc"])
            .args([dir.path(), &archive])
            .status()
            .unwrap();
        assert!(status.success());
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
        let list = Process::new("tar").arg("-tzf").arg(&archive).output().unwrap();
        let text = String::from_utf8(list.stdout).unwrap();
        text.lines().filter(|line| !line.ends_with('/')).map(str::to_owned).collect()
    }

    #[test]
    fn secrets_are_left_out_by_name_and_by_what_they_hold() {
        let mut found = packed(&[
            ("etc/fstab", "UUID=1 / ext4\n"),
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("etc/shadow", "root:$6$x$y:1::::::\n"),
            ("etc/gshadow-", "adm:!::\n"),
            ("etc/ssh/ssh_host_ed25519_key", "x\n"),
            ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA\n"),
            ("etc/ssh/sshd_config", "Port 22\n"),
            ("etc/app/server.pem", "-----BEGIN RSA PRIVATE KEY-----\n"),
            ("etc/app/plain.conf", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            ("etc/ssl/certs/ca.pem", "-----BEGIN CERTIFICATE-----\n"),
            ("etc/crypt.key", "x"),
            ("etc/keys/root", "x"),
            ("etc/wpa_supplicant.conf", "psk=\"letmein\"\n"),
            ("etc/app/db.conf", "user=x\npassword = secret\n"),
            ("etc/app/hash.conf", "admin:$6$rounds=5000$salt$hash\n"),
            ("etc/app/star[1] file", "[x] password: no\n"),
            ("etc/netrc", "machine x login y password z\n"),
            ("etc/keyboard", "XKBLAYOUT=us\n"),
        ]);
        found.sort();
        assert_eq!(
            found,
            [
                "etc/fstab",
                "etc/keyboard",
                "etc/link",
                "etc/passwd",
                "etc/ssh/ssh_host_ed25519_key.pub",
                "etc/ssh/sshd_config",
                "etc/ssl/certs/ca.pem",
            ]
        );
    }

    #[test]
    fn no_journal_is_replayed() {
        assert_eq!(options("ext4"), "ro,noload");
        assert_eq!(options("vfat"), "ro");
    }
}
