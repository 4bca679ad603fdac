//! What a plan makes of a machine, part by part, as text by name.

use super::{Change, Side};
use crate::render::details;
use hostwright_model::class::ClassList;
use hostwright_model::ids::Digest;
use hostwright_model::phase::Phase;
use hostwright_model::plan::Action;
use hostwright_model::size::ByteSize;
use std::collections::{BTreeMap, BTreeSet};

/// A file with the digest of its content.
pub(super) type Contents = BTreeMap<String, (String, Option<Digest>)>;

fn class_list(side: Side<'_>) -> ClassList {
    side.inputs.classes.clone().unwrap_or_default()
}

/// Classes that come or go, and one change for a new order of the others.
pub(super) fn classes(old: Side<'_>, new: Side<'_>) -> Vec<Change> {
    let (old, new) = (class_list(old), class_list(new));
    let only = |some: &ClassList, other: &ClassList| -> Vec<String> {
        let missing = some.iter().filter(|class| !other.contains(class.as_str()));
        missing.map(ToString::to_string).collect()
    };
    let there = Some(String::new());
    let gone = only(&old, &new).into_iter();
    let gone = gone.map(|what| Change { what, old: there.clone(), new: None });
    let come = only(&new, &old).into_iter();
    let come = come.map(|what| Change { what, old: None, new: there.clone() });
    let mut changes: Vec<Change> = gone.chain(come).collect();
    let common = |some: &ClassList, other: &ClassList| -> String {
        let both = some.iter().filter(|class| other.contains(class.as_str()));
        both.map(|class| class.as_str()).collect::<Vec<_>>().join(" ")
    };
    let (before, after) = (common(&old, &new), common(&new, &old));
    if before != after {
        let what = "order".to_owned();
        changes.push(Change { what, old: Some(before), new: Some(after) });
    }
    changes
}

/// What the space and the operator set; the rest describes the run and the machine.
pub(super) fn variables(side: Side<'_>) -> BTreeMap<String, String> {
    let is_told = |origin: &str| origin.starts_with("class/") || origin == "command line";
    let vars = side.inputs.vars.iter().flat_map(|vars| &vars.0);
    let told = vars.filter(|(_, var)| is_told(&var.origin));
    told.map(|(name, var)| (name.clone(), format!("'{}'", var.value))).collect()
}

/// Tables, arrays, groups and the like by what is done, volumes by where they are mounted.
pub(super) fn disks(side: Side<'_>) -> BTreeMap<String, String> {
    let mut disks = BTreeMap::new();
    for (_, step) in side.plan.steps().filter(|(phase, _)| *phase == Phase::Partition) {
        // Volumes come from the layout, below; the rest follows from the others.
        let is_told_otherwise = matches!(
            step.action,
            Action::Format { .. }
                | Action::StorageFiles { .. }
                | Action::ConfirmDisks { .. }
                | Action::SaveMetadata { .. }
                | Action::Hook { .. }
        );
        if !is_told_otherwise {
            let text = [vec![step.action.title()], details(&step.action)].concat().join("; ");
            disks.insert(step.id.to_string(), text);
        }
    }
    for volume in side.plan.layout.iter().flat_map(|layout| &layout.volumes) {
        let name = volume.mount_point.as_ref().unwrap_or(&volume.device).clone();
        let size = ByteSize(volume.size_bytes).rounded();
        let kind = volume.file_system.as_deref().unwrap_or("-");
        let options = [&volume.create_options[..], &volume.tune_options[..]].concat().join(" ");
        let text = format!("{} {size} {kind} {} {options}", volume.device, volume.mount_options);
        disks.insert(name, text.trim_end().to_owned());
    }
    disks
}

/// Packages by their names, each with what is done.
pub(super) fn packages(side: Side<'_>) -> BTreeMap<String, String> {
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, step) in side.plan.steps() {
        let Action::Packages { group } = &step.action else { continue };
        let release = group.release.as_ref().map(|name| format!(" from {name}"));
        let what = format!("{}{}", group.action.word(), release.unwrap_or_default());
        for name in group.names() {
            let asked: &mut Vec<String> = packages.entry(name.to_owned()).or_default();
            if !asked.contains(&what) {
                asked.push(what.clone());
            }
        }
    }
    packages.into_iter().map(|(name, asked)| (name, asked.join(", then "))).collect()
}

/// For each path the variant that fcopy takes.
pub(super) fn files(side: Side<'_>) -> Contents {
    let classes = class_list(side);
    let expanded = side.tree.expanded();
    let mut files = BTreeMap::new();
    for (target, variants) in &side.space.files {
        let winner = classes.iter().rev().find_map(|class| variants.get(class));
        if let Some(variant) = winner {
            let digest = expanded.get(variant).map(|file| digest(&file.content));
            files.insert(format!("/{target}"), (variant.clone(), digest));
        }
    }
    files
}

/// Code and answers of the space that the plan uses, by their paths.
pub(super) fn scripts(side: Side<'_>) -> Contents {
    let expanded = side.tree.expanded();
    let mut scripts = BTreeMap::new();
    for (phase, step) in side.plan.steps() {
        let path = match &step.action {
            Action::Hook { path, .. }
            | Action::Subroutines { path }
            | Action::ClassScript { path, .. }
            | Action::SourceVars { path }
            | Action::Debconf { path }
            | Action::Script { path }
            | Action::Test { path } => path,
            _ => continue,
        };
        let digest = expanded.get(path).map(|file| digest(&file.content));
        scripts.insert(path.clone(), (format!("in {phase}"), digest));
    }
    scripts
}

/// Files that come, go, are others, or have another content.
pub(super) fn contents(old: &Contents, new: &Contents) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let text = |side: Option<&(String, Option<Digest>)>| side.map(|(text, _)| text.clone());
        let (mut before_text, mut after_text) = (text(before), text(after));
        if let (Some((what, Some(old))), Some((_, Some(new)))) = (before, after)
            && before_text == after_text
        {
            let short = |digest: &Digest| digest.to_string()[..8].to_owned();
            before_text = Some(format!("{what} {}", short(old)));
            after_text = Some(short(new));
        }
        changes.push(Change { what: name.clone(), old: before_text, new: after_text });
    }
    changes
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}
