//! Compares the disks with those that the plan was made for: the last look before the first write.

use super::{Done, boot_loader, kernel};
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::facts::Disk;
use hostwright_model::fault::FaultKind;

/// Any difference stops the run.
pub(super) fn confirm_disks(work: &mut Work<'_>, disks: &[Disk]) -> Result<Done, ActionError> {
    let now = work.host.facts()?;
    let known = |disk: &Disk| now.disks.iter().find(|found| found.name == disk.name);
    let mut differences: Vec<String> =
        disks.iter().filter_map(|disk| difference(disk, known(disk), true)).collect();
    let devices: Vec<String> = disks.iter().map(Disk::path).collect();
    differences.extend(work.inputs.facts.storage.changes(&now.storage, &devices));
    refuse(differences)?;
    if let Some(layout) = &work.plan.layout {
        kernel::demand_support(work, layout)?;
    }
    boot_loader::demand_parts(work)?;
    Ok(Done::already_true())
}

/// The same for a resumed run, which has written to the disks: only who they are must be the same.
pub(super) fn confirm_same_disks(work: &mut Work<'_>, disks: &[Disk]) -> Result<(), ActionError> {
    let found = work.host.facts()?.disks;
    let known = |disk: &Disk| found.iter().find(|found| found.name == disk.name);
    refuse(disks.iter().filter_map(|disk| difference(disk, known(disk), false)).collect())
}

fn refuse(differences: Vec<String>) -> Result<(), ActionError> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(ActionError::new(
        FaultKind::Hardware,
        "disks-changed",
        format!("the disks are not those that were planned for: {}", differences.join("; ")),
        "nothing was written; look at the plan for the disks that are there now and start again",
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
}
