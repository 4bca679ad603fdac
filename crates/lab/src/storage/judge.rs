//! Compares what a case left behind with what its plans promised.

use super::cases::Case;
use super::compare;
use super::found::Found;
use super::read_text;
use crate::process::tail;
use anyhow::{Context as _, Result, bail, ensure};
use hostwright_model::plan::Plan;
use hostwright_model::storage::StorageLayout;
use std::fs;
use std::path::Path;

/// Everything about a case that is not as promised.
pub(super) fn problems(case: &Case, answers: &Path) -> Result<Vec<String>> {
    let first = Life::read(answers, "install", "assemble")?;
    let mut problems = first.problems(None);
    if case.second.is_none() || !problems.is_empty() {
        return Ok(problems);
    }
    if case.sabotage.is_empty() {
        let second = Life::read(answers, "reinstall", "assemble-again")?;
        let former = Found::read(&answers.join("assemble"), &answers.join("reinstall"))?;
        problems.extend(second.problems(Some(&former)));
    } else {
        problems.extend(undone(answers, &first)?);
    }
    Ok(problems)
}

/// A reinstallation must have failed once it changed disks, and left everything as it was.
fn undone(answers: &Path, first: &Life) -> Result<Vec<String>> {
    let (failed, again) = (answers.join("reinstall"), answers.join("assemble-again"));
    let events = read_text(&failed.join("events.jsonl"))?;
    let changes_disks = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let step = event["step"].as_str().unwrap_or_default();
        step.starts_with("partition/") || step.starts_with("take-down/")
    };
    ensure!(read_text(&failed.join("status"))?.trim() != "0", "the reinstallation did not fail");
    ensure!(events.lines().any(changes_disks), "it failed too early: {}", fault(&failed));
    let undo = read_text(&failed.join("undo"))?;
    ensure!(read_text(&failed.join("undo-status"))?.trim() == "0", "undo failed: {undo}");
    let found = Found::read(&again, &answers.join("install"))?;
    let mut problems = lines(&again.join("problems"));
    problems.extend(compare::with_layout(&first.layout, &found));
    problems.extend(compare::same_identifiers(&first.layout, &first.assembled, &found));
    let marks = lines(&again.join("marks"));
    let points = first.layout.volumes.iter().filter_map(|volume| volume.mount_point.as_ref());
    let lost = points.filter(|point| !marks.contains(point));
    problems.extend(lost.map(|point| format!("the content of {point} is gone")));
    Ok(problems.into_iter().map(|problem| format!("after undo: {problem}")).collect())
}

/// One installation of a case and the boot behind it.
struct Life {
    layout: StorageLayout,
    /// As the agent left it.
    installed: Found,
    /// As it came up again.
    assembled: Found,
    /// What the guest noticed itself.
    noticed: Vec<String>,
    /// Mount points whose content is of the life before.
    marks: Vec<String>,
}

impl Life {
    fn read(answers: &Path, install: &str, assemble: &str) -> Result<Self> {
        let (made, up) = (answers.join(install), answers.join(assemble));
        let status = fs::read_to_string(made.join("status")).unwrap_or_default();
        if status.trim() != "0" {
            let log = tail(&answers.join(format!("{install}.log")), 15);
            bail!("{install} failed: {}{}\n{log}", fault(&made), tail(&made.join("stderr"), 10));
        }
        let plan: Plan = serde_json::from_str(&read_text(&made.join("plan.json"))?)?;
        let noticed = [made.join("left"), up.join("problems")];
        Ok(Self {
            layout: plan.layout.context("the plan has no layout")?,
            installed: Found::read(&made, &made)?,
            assembled: Found::read(&up, &made)?,
            noticed: noticed.iter().flat_map(|path| lines(path)).collect(),
            marks: lines(&up.join("marks")),
        })
    }

    /// What is not as promised, also about what was there `before`.
    fn problems(&self, before: Option<&Found>) -> Vec<String> {
        let mut problems = self.noticed.clone();
        let by_stage = [("installed", &self.installed), ("after a reboot", &self.assembled)];
        for (when, found) in by_stage {
            let found = compare::with_layout(&self.layout, found);
            problems.extend(found.into_iter().map(|problem| format!("{when}: {problem}")));
        }
        problems.extend(compare::same_identifiers(&self.layout, &self.installed, &self.assembled));
        problems.extend(compare::fates(&self.layout, before, &self.assembled, &self.marks));
        problems
    }
}

/// The last fault that the agent told of.
fn fault(dir: &Path) -> String {
    let events = fs::read_to_string(dir.join("events.jsonl")).unwrap_or_default();
    let faults = events.lines().rev().filter_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event.get("fault").filter(|fault| !fault.is_null()).map(|fault| format!("{fault:#}\n"))
    });
    faults.take(1).collect()
}

/// The lines of a file; none if there is no such file.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
