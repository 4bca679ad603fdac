//! Which disk_config counts for a machine, and which of its lines asks for a volume.

use super::{Asked, Explanation, Reason, place, reason, whole};
use crate::space::DiskConfigFile;
use crate::storage::{self, StorageFacts};
use hostwright_model::class::ClassName;

pub(super) fn explain(asked: &Asked<'_>, name: &str) -> Explanation {
    let mut explanation = Explanation::new(format!("partition {name}"), String::new());
    let counts = asked.classes.as_ref().and_then(|classes| asked.space.disk_config_of(classes));
    let mut files: Vec<(&ClassName, &DiskConfigFile)> = asked.space.disk_configs.iter().collect();
    files.sort_by_key(|(class, _)| asked.rank(class));
    for (class, file) in files {
        let mut lines = lines(asked, &file.path, name);
        lines.extend(device_lines(asked, file, name));
        let is_counting = counts.is_some_and(|(known, _)| known == class);
        if is_counting {
            let text = format!("class {class} is the last of the machine's that has a layout");
            explanation.because.push(reason(text, whole(&file.path)));
        }
        if is_counting || asked.classes.is_none() {
            explanation.because.extend(lines);
        } else {
            let order = if asked.has(class.as_str()) { "came last" } else { "were there" };
            let with = |line: Reason| reason(format!("if {class} {order}: {}", line.text), line.at);
            explanation.otherwise.extend(lines.into_iter().map(with));
        }
    }
    let asked_for =
        explanation.because.iter().any(|reason| reason.at.as_ref().is_some_and(|at| at.line > 0));
    explanation.answer = match (asked_for, counts, &asked.classes) {
        (true, Some((class, _)), _) => format!("class {class} asks for it"),
        (true, None, _) => "these layouts ask for it".to_owned(),
        (false, Some((_, file)), _) => format!("{} does not ask for it", file.path),
        (false, None, Some(_)) => "none of the machine's classes has a layout".to_owned(),
        (false, None, None) => "no layout asks for it".to_owned(),
    };
    explanation
}

/// Lines that make a device: `vda2`, `/dev/md0`, `vg1/root`. A copy by `sameas` is made by the line of
/// its original.
fn device_lines(asked: &Asked<'_>, file: &DiskConfigFile, name: &str) -> Vec<Reason> {
    let Some(facts) = asked.machine else { return Vec::new() };
    let Ok(layout) = storage::layout(&file.config, &StorageFacts::from(facts)) else {
        return Vec::new();
    };
    let partitions = layout.disks.iter().flat_map(|disk| &disk.partitions);
    let partitions = partitions.map(|partition| (&partition.device, &partition.why));
    let arrays = layout.arrays.iter().map(|array| (&array.device, &array.why));
    let encrypted = layout.encrypted.iter().map(|crypt| (&crypt.mapped_device, &crypt.why));
    let groups = layout.volume_groups.iter().flat_map(|group| &group.logical_volumes);
    let volumes = groups.map(|volume| (&volume.device, &volume.why));
    let wanted = format!("/dev/{}", name.trim_start_matches("/dev/"));
    let made = partitions.chain(arrays).chain(encrypted).chain(volumes);
    let made = made.filter(|(device, _)| **device == wanted);
    let numbered = asked.lines(&file.path);
    let lines = made.filter_map(|(device, why)| {
        let (number, text) = numbered.iter().find(|(number, _)| *number == why.line)?;
        let column = text.len() - text.trim_start().len();
        let at = place(&file.path, *number, column as u32 + 1, text.trim().len());
        Some(reason(format!("{device}: {}", text.trim()), at))
    });
    lines.collect()
}

/// Lines of a layout with this mount point, volume or kind.
fn lines(asked: &Asked<'_>, path: &str, name: &str) -> Vec<Reason> {
    let mut found = Vec::new();
    for (line, text) in asked.lines(path) {
        let code = text.trim();
        if code.starts_with('#') {
            continue;
        }
        // Behind the second word come sizes and options, in which a name means something else.
        let mut words = code.split_whitespace().take(2);
        if let Some(word) = words.find(|word| word.split(':').next() == Some(name)) {
            let column = text.find(word).unwrap_or_default() as u32 + 1;
            found.push(reason(code, place(path, line, column, word.len())));
        }
    }
    found
}
