//! The kernels of an installed system, and what they are told to find its root.

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::boot_loader::KernelFiles;
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{StorageLayout, Volume};
use std::cmp::Ordering;

/// What files of kernels are called, and the directory of each.
const KERNELS: [&str; 2] = ["vmlinuz-", "linux-"];
/// What an initramfs is called before and behind the kernel's release.
const INITRAMFS: [(&str, &str); 4] =
    [("initrd.img-", ""), ("initramfs-", ".img"), ("initramfs-", ""), ("initrd-", "")];
/// A kernel that somebody installs for when nothing else starts is not the one to start.
const RESCUE: &str = "-rescue";

/// The kernels of the target, the newest first: the one that the plan names, else all in `/boot`.
pub(in crate::actions) fn of_target(
    work: &mut Work<'_>,
    planned: Option<&KernelFiles>,
) -> Result<Vec<KernelFiles>, ActionError> {
    if let Some(planned) = planned {
        for path in std::iter::once(&planned.kernel).chain(&planned.initrd) {
            if !work.exists(&work.target(path))? {
                return Err(no_kernel(&format!("the target has no {path}, which the plan names")));
            }
        }
        return Ok(vec![planned.clone()]);
    }
    let names = work.host.list(&work.target("boot"))?;
    let found = among(&names);
    if found.is_empty() {
        return Err(no_kernel("the target has no kernel: there is no /boot/vmlinuz-RELEASE"));
    }
    Ok(found)
}

/// The kernels among the names in `/boot`, the newest first.
pub(super) fn among(names: &[String]) -> Vec<KernelFiles> {
    let release_of = |name: &String| {
        let release = KERNELS.iter().find_map(|prefix| name.strip_prefix(prefix))?;
        let is_one = release.starts_with(|c: char| c.is_ascii_digit()) && !name.contains(RESCUE);
        is_one.then(|| (name.clone(), release.to_owned()))
    };
    let mut found: Vec<(String, String)> = names.iter().filter_map(release_of).collect();
    found.sort_by(|(_, one), (_, other)| by_version(other, one));
    let in_boot = |name: &str| format!("/boot/{name}");
    let files = found.into_iter().map(|(name, release)| {
        let mut initrds = INITRAMFS.iter().map(|(before, behind)| {
            let name = format!("{before}{release}{behind}");
            names.contains(&name).then_some(name)
        });
        let initrd = initrds.find_map(|name| name).map(|name| in_boot(&name));
        KernelFiles { kernel: in_boot(&name), release, initrd }
    });
    files.collect()
}

/// Compares releases as people do: numbers by value.
fn by_version(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (runs(one).into_iter(), runs(other).into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match one.cmp(&other) {
                Ordering::Equal => {}
                order => return order,
            },
        }
    }
}

/// Runs of digits with their value, and what is between them.
fn runs(text: &str) -> Vec<(u64, String)> {
    let mut runs: Vec<(u64, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let words =
            rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let number = rest[..digits].parse().unwrap_or(0);
        runs.push((number, rest[digits..digits + words].to_owned()));
        rest = &rest[digits + words..];
    }
    runs
}

/// The fault of a system without what it would start.
pub(super) fn no_kernel(message: &str) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        "no-kernel",
        message,
        "build the image with a kernel package, such as linux-image-amd64",
    )
}

/// The volume on a device, as the plan has it.
pub(super) fn volume_on<'l>(layout: &'l StorageLayout, device: &str) -> Option<&'l Volume> {
    layout.volumes.iter().find(|volume| volume.device == device)
}

/// What the kernel is told to find its root: `root=` and what belongs to it.
pub(in crate::actions) fn root_arguments(
    work: &mut Work<'_>,
    device: &str,
) -> Result<Vec<String>, ActionError> {
    let layout = work.plan.layout.clone().unwrap_or_default();
    let mut words = Vec::new();
    let group_of = |device: &str| {
        layout.volume_groups.iter().find_map(|group| {
            let mut volumes = group.logical_volumes.iter();
            volumes
                .find(|volume| volume.device == device)
                .map(|v| (group.name.clone(), v.name.clone()))
        })
    };
    match group_of(device) {
        // Debian's initramfs starts the group that this name says.
        Some((group, volume)) => words.push(format!(
            "root=/dev/mapper/{}-{}",
            group.replace('-', "--"),
            volume.replace('-', "--")
        )),
        None => words.push(format!("root=UUID={}", uuid_of(work, device)?)),
    }
    if let Some(btrfs) = volume_on(&layout, device).and_then(|volume| volume.btrfs.as_ref()) {
        words.push(format!("rootflags=subvol={}", btrfs.subvolume));
    }
    if is_dracut(work)? {
        words.extend(dracut_arguments(work, &layout, device, group_of(device))?);
    }
    Ok(words)
}

/// dracut(8) opens nothing that it is not told of.
fn dracut_arguments(
    work: &mut Work<'_>,
    layout: &StorageLayout,
    device: &str,
    group: Option<(String, String)>,
) -> Result<Vec<String>, ActionError> {
    let mut words = Vec::new();
    let mut below = vec![device.to_owned()];
    if let Some((group, volume)) = group {
        words.push(format!("rd.lvm.lv={group}/{volume}"));
        let found = layout.volume_groups.iter().find(|found| found.name == group);
        below = found.map(|found| found.physical_volumes.clone()).unwrap_or_default();
    }
    for encrypted in layout.encrypted.iter().filter(|e| below.contains(&e.mapped_device)) {
        let uuid = uuid_of(work, &encrypted.device)?;
        words.push(format!("rd.luks.name={uuid}={}", encrypted.name));
        if crate::actions::encrypt::is_sealed(&encrypted.key) {
            words.push(format!("rd.luks.options={uuid}=tpm2-device=auto"));
        }
    }
    Ok(words)
}

/// True if the target makes its initramfs with dracut(8).
pub(super) fn is_dracut(work: &mut Work<'_>) -> Result<bool, ActionError> {
    let has_tools = work.exists(&work.target("usr/sbin/update-initramfs"))?;
    Ok(!has_tools && work.exists(&work.target("usr/lib/dracut"))?)
}

/// The UUID by which a loader or kernel finds a device.
pub(super) fn uuid_of(work: &mut Work<'_>, device: &str) -> Result<String, ActionError> {
    let uuid = work.host.device_ids(device)?.uuid;
    uuid.ok_or_else(|| {
        ActionError::new(
            FaultKind::Environment,
            "no-identifier",
            format!("{device} has no UUID by which the installed system could find it"),
            "look with 'blkid --probe' at the device; give it a file system that has a UUID",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_newest_kernel_comes_first_with_its_initramfs() {
        let found = among(&names(&[
            "config-6.1.0-9-amd64",
            "initrd.img-6.1.0-18-amd64",
            "initrd.img-6.1.0-9-amd64",
            "vmlinuz-6.1.0-18-amd64",
            "vmlinuz-6.1.0-9-amd64",
            "vmlinuz-0-rescue-0123",
            "vmlinuz.old",
        ]));
        let releases: Vec<&str> = found.iter().map(|kernel| kernel.release.as_str()).collect();
        assert_eq!(releases, ["6.1.0-18-amd64", "6.1.0-9-amd64"]);
        assert_eq!(found[0].initrd.as_deref(), Some("/boot/initrd.img-6.1.0-18-amd64"));
    }

    #[test]
    fn names_of_other_distributions_are_known() {
        let found = among(&names(&["vmlinuz-5.14.0-1.el9", "initramfs-5.14.0-1.el9.img"]));
        assert_eq!(found[0].initrd.as_deref(), Some("/boot/initramfs-5.14.0-1.el9.img"));
        assert_eq!(among(&names(&["vmlinuz-6.6.1"]))[0].initrd, None);
        assert!(among(&names(&["grub", "memtest86+.bin"])).is_empty());
    }

    #[test]
    fn releases_compare_by_their_numbers() {
        for (older, newer) in [("6.1.0-9", "6.1.0-18"), ("6.1.99", "6.10.0"), ("6.1", "6.1.1")] {
            assert_eq!(by_version(older, newer), Ordering::Less, "{older} {newer}");
        }
    }
}
