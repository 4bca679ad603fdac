//! RAID arrays of md(4): made anew, or assembled from what is kept.

use super::nodes::{self, holders, slaves};
use super::{Done, takedown};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{RaidArray, RaidLevel};

/// Makes an array, or brings one up that is kept.
pub(super) fn set_up(work: &mut Work<'_>, array: &RaidArray) -> Result<Done, ActionError> {
    if array.fate.needs_existing() {
        return assemble(work, array);
    }
    let members = members(array);
    for member in &members {
        release(work, array, member)?;
    }
    refuse_foreign(work, array)?;
    for member in &members {
        nodes::wipe(work, member)?;
    }
    work.tool(create(array, &work.inputs.hostname))?;
    nodes::wait_for(work, &[&array.device])?;
    hold_sync(work, array)?;
    Ok(Done::changed())
}

/// The call that makes it, members in the order of the disk_config, spares last as mdadm(8) wants
/// them.
fn create(array: &RaidArray, hostname: &str) -> Command {
    let (spares, places): (Vec<_>, Vec<_>) = array.members.iter().partition(|member| member.spare);
    let spares: Vec<&String> = spares.iter().filter_map(|spare| spare.device.as_ref()).collect();
    let mut command = Command::new(Tool::Mdadm)
        .args(["--create", &array.device, "--run", "--force"])
        .arg(format!("--level={}", array.level.name()))
        .arg(format!("--raid-devices={}", places.len()));
    if !spares.is_empty() {
        command = command.arg(format!("--spare-devices={}", spares.len()));
    }
    // Without its own name in it an array is somebody else's to the installed system.
    if !array.create_options.iter().any(|option| option.starts_with("--homehost")) {
        command = command.arg(format!("--homehost={hostname}"));
    }
    command
        .args(&array.create_options)
        .args(places.iter().map(|place| place.device.as_deref().unwrap_or("missing")))
        .args(spares)
}

/// Brings an array up from its members, unless it runs: one that is kept, or after a reboot.
pub(super) fn assemble(work: &mut Work<'_>, array: &RaidArray) -> Result<Done, ActionError> {
    let members = members(array);
    nodes::wait_for(work, &members)?;
    if runs(work, array)? {
        return Ok(Done::already_true());
    }
    for member in &members {
        release(work, array, member)?;
    }
    refuse_foreign(work, array)?;
    let mut command = Command::new(Tool::Mdadm).args(["--assemble", &array.device]);
    if members.len() < array.members.len() {
        command = command.arg("--run");
    }
    if let Some(uuid) = &array.uuid {
        command = command.arg(format!("--uuid={uuid}"));
    }
    work.tool(command.args(members.iter().copied()))?;
    nodes::wait_for(work, &[&array.device])?;
    hold_sync(work, array)?;
    Ok(Done::changed())
}

/// Stops an array at the end of a run. One that is in use by now goes on with the synchronisation
/// that was held back.
pub(super) fn let_go(work: &mut Work<'_>, array: &RaidArray) -> Result<(), ActionError> {
    if !work.exists(&array.device)? {
        return Ok(());
    }
    let stopped = work.try_tool(stop(&array.device))?.status == 0;
    if !stopped && array.level != RaidLevel::Raid0 {
        work.try_tool(Command::new(Tool::Mdadm).args(["--action=idle", &array.device]))?;
    }
    Ok(())
}

/// The line for mdadm.conf(5): the array keeps its name wherever it is assembled.
pub(super) fn conf_line(work: &mut Work<'_>, array: &RaidArray) -> Result<String, ActionError> {
    let detail = Command::new(Tool::Mdadm).args(["--detail", "--export", &array.device]);
    let output = work.tool(detail)?;
    let value = |name: &str| {
        let mut lines = output.stdout.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let (Some(uuid), Some(metadata)) = (value("MD_UUID"), value("MD_METADATA")) else {
        return Err(ActionError::new(
            FaultKind::Environment,
            "no-identifier",
            format!("mdadm does not tell the UUID of {}", array.device),
            "look at 'mdadm --detail' of it",
        ));
    };
    Ok(format!("ARRAY {} metadata={metadata} UUID={uuid}\n", array.device))
}

fn members(array: &RaidArray) -> Vec<&str> {
    array.members.iter().filter_map(|member| member.device.as_deref()).collect()
}

/// True if the array runs under its name, on the members that it is to have.
fn runs(work: &mut Work<'_>, array: &RaidArray) -> Result<bool, ActionError> {
    let found = slaves(work, &array.device)?;
    let is_member = |name: &String| {
        members(array).iter().any(|member| nodes::kernel_name(member) == Some(name))
    };
    Ok(!found.is_empty() && found.iter().all(is_member))
}

/// Stops arrays that hold a member: an earlier attempt made them, or the system that looked
/// assembled them under a name of its own. One that is in use cannot be stopped.
fn release(work: &mut Work<'_>, array: &RaidArray, member: &str) -> Result<(), ActionError> {
    for holder in holders(work, member)?.iter().filter(|holder| holder.starts_with("md")) {
        let foreign: Vec<String> = slaves(work, &format!("/dev/{holder}"))?
            .into_iter()
            .filter(|slave| !members(array).iter().any(|m| nodes::kernel_name(m) == Some(slave)))
            .collect();
        if !foreign.is_empty() {
            return Err(in_use(
                array,
                &format!("{member} and {} are in {holder}", foreign.join(", ")),
            ));
        }
        stop_running(work, &format!("/dev/{holder}"))?;
    }
    Ok(())
}

/// Stops an array. Volume groups on it that the system has activated by itself are let go of first;
/// one that is in use stays, and the array with it.
pub(super) fn stop_running(work: &mut Work<'_>, device: &str) -> Result<(), ActionError> {
    if !holders(work, device)?.is_empty() {
        let groups = work.host.facts()?.storage.groups.into_iter();
        for group in groups.filter(|group| group.physical_volumes.iter().any(|it| it == device)) {
            takedown::deactivate(work, &group.uuid)?;
        }
    }
    nodes::insist(work, &stop(device))?;
    Ok(())
}

pub(super) fn stop(device: &str) -> Command {
    Command::new(Tool::Mdadm).args(["--stop", device])
}

/// Another array may have the name.
fn refuse_foreign(work: &mut Work<'_>, array: &RaidArray) -> Result<(), ActionError> {
    let found = slaves(work, &array.device)?;
    if found.is_empty() {
        return Ok(());
    }
    Err(in_use(array, &format!("another array of that name runs on {}", found.join(", "))))
}

fn in_use(array: &RaidArray, reason: &str) -> ActionError {
    ActionError::new(
        FaultKind::Environment,
        "array-in-use",
        format!("{} cannot be set up: {reason}", array.device),
        "stop the other array with 'mdadm --stop', then resume the run",
    )
}

/// The first synchronisation would fight with the installation for the disks. After the next boot
/// it starts by itself.
fn hold_sync(work: &mut Work<'_>, array: &RaidArray) -> Result<(), ActionError> {
    if array.level == RaidLevel::Raid0 {
        return Ok(());
    }
    let held = work.try_tool(Command::new(Tool::Mdadm).args(["--action=frozen", &array.device]))?;
    if held.status != 0 {
        work.say(&format!("{} synchronises while it is installed", array.device));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::storage::{Fate, RaidMember, Why};

    fn member(device: Option<&str>, spare: bool) -> RaidMember {
        RaidMember { device: device.map(str::to_owned), spare }
    }

    #[test]
    fn members_keep_their_order_and_spares_come_last() {
        let array = RaidArray {
            device: "/dev/md1".to_owned(),
            level: RaidLevel::Raid5,
            members: vec![
                member(Some("/dev/sdc1"), false),
                member(Some("/dev/sdb1"), true),
                member(None, false),
                member(Some("/dev/sda1"), false),
            ],
            create_options: vec!["--metadata=1.0".to_owned()],
            size_bytes: 1 << 30,
            fate: Fate::Create,
            uuid: None,
            why: Why::default(),
        };
        assert_eq!(
            create(&array, "mail1").to_shell(),
            "mdadm --create /dev/md1 --run --force --level=raid5 --raid-devices=3 \
             --spare-devices=1 --homehost=mail1 --metadata=1.0 \
             /dev/sdc1 missing /dev/sda1 /dev/sdb1"
        );
    }
}
