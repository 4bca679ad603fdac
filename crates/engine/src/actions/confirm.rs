//! Compares the disks with those that the plan was made for: the last look before the first write.

use super::{Done, boot_loader, kernel};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::facts::Disk;
use hostwright_model::fault::FaultKind;

const LOOK_AGAIN: &str =
    "nothing was written; look at the plan for the disks that are there now and start again";

/// Any difference stops the run.
pub(super) fn confirm_disks(work: &mut Work<'_>, disks: &[Disk]) -> Result<Done, ActionError> {
    let now = work.host.facts()?;
    let known = |disk: &Disk| now.disks.iter().find(|found| found.name == disk.name);
    let mut differences: Vec<String> =
        disks.iter().filter_map(|disk| difference(disk, known(disk), true)).collect();
    let devices: Vec<String> = disks.iter().map(Disk::path).collect();
    differences.extend(work.inputs.facts.storage.changes(&now.storage, &devices));
    refuse(differences, LOOK_AGAIN)?;
    if let Some(layout) = &work.plan.layout {
        kernel::demand_support(work, layout)?;
    }
    boot_loader::demand_parts(work)?;
    Ok(Done::already_true())
}

/// The same for a resumed run, which has written to the disks: only who they are must be the same.
pub(super) fn confirm_same_disks(work: &mut Work<'_>, disks: &[Disk]) -> Result<(), ActionError> {
    refuse(other_disks(work, disks)?, LOOK_AGAIN)
}

/// The same before saved metadata is put back: names of disks may have changed since it was saved.
pub(super) fn confirm_saved_disks(work: &mut Work<'_>, disks: &[Disk]) -> Result<(), ActionError> {
    let cure = "nothing was put back; connect the disks as they were when the run began";
    refuse(other_disks(work, disks)?, cure)
}

/// Refuses disks that have changed their names since: what the operator meant by a name is not what
/// it means now.
pub(crate) fn refuse_moved_disks(before: &[Disk], now: &[Disk]) -> Result<(), ActionError> {
    let identity = |disk: &Disk| (disk.serial.clone(), disk.wwn.clone(), disk.model.clone());
    let is_known = |disk: &&Disk| disk.serial.is_some() || disk.wwn.is_some();
    let moved = before.iter().filter(is_known).filter_map(|old| {
        let mut same = now.iter().filter(|new| identity(new) == identity(old));
        let found = same.next().filter(|new| new.name != old.name && same.next().is_none())?;
        Some(format!("{} is called {} now", old.name, found.name))
    });
    refuse(moved.collect(), LOOK_AGAIN)
}

/// What differs in who the disks are.
fn other_disks(work: &mut Work<'_>, disks: &[Disk]) -> Result<Vec<String>, ActionError> {
    let found = work.host.facts()?.disks;
    let known = |disk: &Disk| found.iter().find(|found| found.name == disk.name);
    Ok(disks.iter().filter_map(|disk| difference(disk, known(disk), false)).collect())
}

fn refuse(differences: Vec<String>, cure: &str) -> Result<(), ActionError> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(ActionError::new(
        FaultKind::Hardware,
        "disks-changed",
        format!("the disks are not those that were planned for: {}", differences.join("; ")),
        cure,
    ))
}

/// What differs between a disk as planned and as found.
fn difference(planned: &Disk, found: Option<&Disk>, content: bool) -> Option<String> {
    let name = &planned.name;
    let Some(found) = found else {
        return Some(format!("{name} is not there"));
    };
    let text = |value: &Option<String>| value.as_deref().unwrap_or("none").to_owned();
    let mut compared = vec![
        ("size", planned.size_bytes.to_string(), found.size_bytes.to_string()),
        ("sector size", planned.sector_bytes.to_string(), found.sector_bytes.to_string()),
        ("serial number", text(&planned.serial), text(&found.serial)),
        ("model", text(&planned.model), text(&found.model)),
        ("WWN", text(&planned.wwn), text(&found.wwn)),
    ];
    if content {
        let (old, new) = (planned.signatures.join(" "), found.signatures.join(" "));
        compared.push(("content", old, new));
    }
    let different = compared.into_iter().filter(|(_, planned, found)| planned != found);
    let words: Vec<String> = different
        .map(|(what, planned, found)| format!("{what} of {name} was '{planned}', is '{found}'"))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        Disk {
            links: Vec::new(),
            name: "vda".to_owned(),
            size_bytes: 1 << 34,
            sector_bytes: 512,
            model: None,
            serial: Some("S1".to_owned()),
            wwn: None,
            rotational: false,
            removable: false,
            signatures: vec![],
        }
    }

    #[test]
    fn another_disk_and_other_content_are_told_apart() {
        assert_eq!(difference(&disk(), Some(&disk()), true), None);
        let swapped = Disk { serial: Some("S2".to_owned()), ..disk() };
        let words = difference(&disk(), Some(&swapped), false).unwrap();
        assert_eq!(words, "serial number of vda was 'S1', is 'S2'");
        let written = Disk { signatures: vec!["dos".to_owned()], ..disk() };
        assert_eq!(difference(&disk(), Some(&written), false), None);
        let words = difference(&disk(), Some(&written), true).unwrap();
        assert_eq!(words, "content of vda was '', is 'dos'");
        assert_eq!(difference(&disk(), None, true).unwrap(), "vda is not there");
    }

    #[test]
    fn only_a_disk_with_another_name_has_moved() {
        let named = |name: &str, serial: Option<&str>| Disk {
            name: name.to_owned(),
            serial: serial.map(str::to_owned),
            ..disk()
        };
        let before = [named("sda", Some("1")), named("sdb", Some("2"))];
        let refused = |now: &[Disk]| refuse_moved_disks(&before, now).is_err();
        assert!(!refused(&before));
        assert!(refused(&[named("sda", Some("2")), named("sdb", Some("1"))]));
        assert!(!refused(&[named("sda", Some("1"))]), "a hook may let go of a disk");
        assert!(!refused(&[named("sda", Some("3")), named("sdb", Some("2"))]), "or make one anew");
        let nameless = [named("sda", None), named("sdb", None)];
        assert!(refuse_moved_disks(&nameless, &nameless).is_ok());
    }
}
