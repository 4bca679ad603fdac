//! `updatebase`: makes the target fit to run package tools in, and brings it up to date.
//!
//! Hooks of config spaces call it by its path when they replace FAI's task of the same name.

use super::{Session, ToolError, divert};
use hostwright_host::{Command, HostError, MountRequest, Tool, metadata};

pub(super) const USAGE: &str = "";

/// Keeps services from being started in the target (deb-policy, section 9.3.3).
const POLICY: &str = "#!/bin/sh\nexit 101\n";

pub(super) fn run(_args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    session.say("Updating base");
    let installs = matches!(session.env.get("FAI_ACTION"), Some("install" | "dirinstall"));
    if installs && session.target() != "/" {
        mount_kernel_files(session)?;
        divert::add("/usr/sbin/policy-rc.d", POLICY, session)?;
    }
    let mut worst = apt(session, &["update"])?;
    if apt(session, &["check"])? != 0 {
        worst = worst.max(apt(session, &["-f", "install"])?);
    }
    if dpkg(session, &["-C"])? != 0 {
        worst = worst.max(dpkg(session, &["--configure", "-a"])?);
    }
    worst = worst.max(apt(session, &["dist-upgrade"])?);
    let clean = session.in_target(Command::new(Tool::AptGet).arg("clean"));
    Ok(worst.max(session.run(clean)?.status))
}

fn apt(session: &mut Session<'_>, args: &[&str]) -> Result<i32, HostError> {
    let command = Command::new(Tool::AptGet).args(["-y", "-o", "Dpkg::Options::=--force-confnew"]);
    let command = session.in_target(command.args(args.iter().copied()));
    Ok(session.run(command)?.status)
}

fn dpkg(session: &mut Session<'_>, args: &[&str]) -> Result<i32, HostError> {
    let command = session.in_target(Command::new(Tool::Dpkg).args(args.iter().copied()));
    Ok(session.run(command)?.status)
}

/// Mounts proc, sysfs and the devices into the target, each unless something is mounted there.
fn mount_kernel_files(session: &mut Session<'_>) -> Result<(), ToolError> {
    let target = session.target();
    let mounted = session.host.mounts_below(&target)?;
    let mut wanted = vec![
        ("proc", "/proc", Some("proc")),
        ("sysfs", "/sys", Some("sysfs")),
        ("/dev", "/dev", None),
        ("devpts", "/dev/pts", Some("devpts")),
    ];
    let is_efi = metadata::stat("/sys/firmware/efi/efivars")?.is_some();
    if is_efi && session.env.get("FAI_ACTION") == Some("install") {
        wanted.push(("efivarfs", "/sys/firmware/efi/efivars", Some("efivarfs")));
    }
    for (source, at, kind) in wanted {
        let path = format!("{}{at}", target.trim_end_matches('/'));
        if !mounted.contains(&path) {
            let file_system = kind.map(str::to_owned);
            // What is mounted below must not appear below /dev of the running system, too.
            let (source, options) = (source.to_owned(), "private".to_owned());
            session.host.mount(&MountRequest { source, target: path, file_system, options })?;
        }
    }
    Ok(())
}
