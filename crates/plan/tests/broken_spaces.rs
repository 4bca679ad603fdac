//! The table of broken spaces: examples/minimal with one defect each, and the one finding for it.
//!
//! Each case of `fixtures/broken-spaces/cases.toml` is checked as `hostwright check` does it, and
//! planned as a run does it. Together they must find the defect and nothing else, at its place, and
//! there must be no plan if the finding is an error.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod simulated;
mod support;

use hostwright_model::class::ClassList;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Facts;
use hostwright_model::ids::{Digest, StepId};
use hostwright_model::image::{ImageOrigin, ImageRef};
use hostwright_model::plan::{Inputs, Skip, TargetProfile};
use hostwright_model::vars::Var;
use hostwright_plan::{ConfigTree, TreeFile, check, parse, resolve};
use serde::Deserialize;
use simulated::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// All cases.
#[derive(Deserialize)]
struct Table {
    case: Vec<Case>,
}

/// One defect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is wrong, in words.
    name: String,
    /// Files with new content; new ones in class/, hooks/, scripts/ and tests/ are executable.
    #[serde(default)]
    write: BTreeMap<String, String>,
    /// Text to replace in files: file, from, to.
    #[serde(default)]
    replace: Vec<(String, String, String)>,
    /// Links, each with its target.
    #[serde(default)]
    link: BTreeMap<String, String>,
    /// Files to remove; a `/` at the end removes a directory.
    #[serde(default)]
    remove: Vec<String>,
    /// Files that lose their run bit.
    #[serde(default)]
    unexecutable: Vec<String>,
    /// A recorded machine.
    #[serde(default = "default_machine")]
    machine: String,
    /// Size of its first disk, in bytes.
    disk_bytes: Option<u64>,
    /// Its classes.
    #[serde(default = "default_classes")]
    classes: String,
    /// Variables that differ from those of the example; an empty text unsets one.
    #[serde(default)]
    vars: BTreeMap<String, String>,
    /// Classes of the image, where one is installed.
    image: Option<String>,
    /// Tasks skipped by hooks: task, step.
    #[serde(default)]
    skips: Vec<(String, String)>,
    /// Functions of FAI that were defined anew, each with the step that did it.
    #[serde(default)]
    functions: BTreeMap<String, StepId>,
    /// What class/BASE.var has set `disklist` to.
    disk_list: Option<String>,
    /// The finding.
    code: String,
    /// Its place, `file:line:column`.
    at: String,
    /// A part of its cure.
    cure: String,
    /// True if the run may go on.
    #[serde(default)]
    warning: bool,
}

fn default_machine() -> String {
    "bios-virtio-20g".to_owned()
}

fn default_classes() -> String {
    "DEFAULT AMD64 BASE DEBIAN GRUB_PC demohost LAST".to_owned()
}

const VARS: [(&str, &str, &str); 4] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/BASE.var"),
    ("TIMEZONE", "Etc/UTC", "class/BASE.var"),
    ("MAXPACKAGES", "500", "class/BASE.var"),
    ("kernel", "linux-image-amd64", "class/DEBIAN.var"),
];

impl Case {
    fn tree(&self, mut tree: ConfigTree) -> ConfigTree {
        for (path, text) in &self.write {
            let known = tree.files.get(path).is_some_and(|file| file.executable);
            let scripts = ["hooks/", "scripts/", "tests/", "class/0", "class/1", "class/2"];
            let executable = known || scripts.iter().any(|start| path.starts_with(start));
            tree.files.insert(path.clone(), TreeFile::file(text.as_str(), executable));
        }
        for (path, from, to) in &self.replace {
            let file = tree.files.get_mut(path).unwrap_or_else(|| panic!("no file {path}"));
            let text = file.text();
            assert!(text.contains(from.as_str()), "{}: {path} has no '{from}'", self.name);
            file.content = text.replacen(from.as_str(), to, 1).into_bytes();
        }
        for (path, target) in &self.link {
            tree.files.insert(path.clone(), TreeFile::symlink(target.as_str()));
        }
        for path in &self.remove {
            let count = tree.files.len();
            tree.files.retain(|known, _| {
                known != path && !(path.ends_with('/') && known.starts_with(path.as_str()))
            });
            assert!(tree.files.len() < count, "{}: there is no {path} to remove", self.name);
        }
        for path in &self.unexecutable {
            let file = tree.files.get_mut(path).unwrap_or_else(|| panic!("no file {path}"));
            file.executable = false;
        }
        tree
    }

    fn inputs(&self) -> Inputs {
        let mut facts: Facts = support::machine(&self.machine);
        if let Some(bytes) = self.disk_bytes {
            facts.disks[0].size_bytes = bytes;
        }
        let target = match &self.image {
            None => TargetProfile::DisksClassic,
            Some(classes) => TargetProfile::DisksImage { image: image(classes.parse().unwrap()) },
        };
        let mut inputs = support::inputs(facts, target, &self.classes, &VARS);
        let vars = inputs.vars.as_mut().unwrap();
        for (name, value) in &self.vars {
            match value.as_str() {
                "" => drop(vars.0.remove(name)),
                value => vars.set(name, value, "class/BASE.var"),
            }
        }
        let skip = |(phase, by): &(String, String)| Skip {
            phase: phase.parse().unwrap(),
            by: StepId::new(by.as_str()),
        };
        inputs.skips = self.skips.iter().map(skip).collect();
        inputs.overrides.functions.clone_from(&self.functions);
        let by_base =
            |value: &String| Var { value: value.clone(), origin: "class/BASE.var".to_owned() };
        inputs.overrides.disk_list = self.disk_list.as_ref().map(by_base);
        inputs
    }

    /// What check and plan find, each place once; true if there is a plan.
    fn findings(&self, minimal: &ConfigTree) -> (Vec<Diagnostic>, bool) {
        let tree = self.tree(minimal.clone());
        let plan = resolve(&parse(&tree).0, &self.inputs());
        let is_planned = plan.is_ok();
        let mut found = plan.err().unwrap_or_default();
        for diagnostic in check(&tree) {
            let is_same =
                |known: &Diagnostic| known.code == diagnostic.code && known.at == diagnostic.at;
            if diagnostic.severity > Severity::Note && !found.iter().any(is_same) {
                found.push(diagnostic);
            }
        }
        (found, is_planned)
    }
}

fn image(classes: ClassList) -> ImageRef {
    let origin = ImageOrigin { classes, ..ImageOrigin::default() };
    ImageRef { name: "demo".to_owned(), manifest: Digest([7; 32]), content_bytes: 1 << 30, origin }
}

fn table() -> Table {
    let path = support::project().join("fixtures/broken-spaces/cases.toml");
    let text = support::read_text(&path);
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn place(diagnostic: &Diagnostic) -> String {
    diagnostic.at.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn every_broken_space_has_one_finding_and_no_plan() {
    let minimal = support::minimal();
    let mut wrong = Vec::new();
    for case in table().case {
        let (found, is_planned) = case.findings(&minimal);
        let severity = if case.warning { Severity::Warning } else { Severity::Error };
        let fits = |d: &Diagnostic| {
            d.code == case.code
                && place(d) == case.at
                && d.severity == severity
                && d.cure.contains(&case.cure)
        };
        if !matches!(found.as_slice(), [one] if fits(one)) || is_planned != case.warning {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            wrong.push(format!("{}\n  planned: {is_planned}\n  {}", case.name, found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The engine itself, on a simulated machine from its first step on: class scripts run, and the disks
/// are those of before when the plan with the defect is refused. What a hook is to have done before is
/// not simulated: those cases are refused by the planner, above.
#[test]
fn a_broken_space_writes_to_no_disk() {
    let minimal = support::minimal();
    let mut wrong = Vec::new();
    let has_no_hook = |case: &&Case| case.functions.is_empty() && case.disk_list.is_none();
    for case in table().case.iter().filter(|case| !case.warning).filter(has_no_hook) {
        let outcome = simulated::run(&case.tree(minimal.clone()), case.inputs());
        if outcome.fault.as_deref() != Some(&case.code) || !outcome.written.is_empty() {
            wrong.push(format!("{}: {outcome:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_sound_space_does_write_to_the_disk() {
    let case: Case = toml::from_str("name = ''\ncode = ''\nat = ''\ncure = ''").unwrap();
    let Outcome { fault, written } = simulated::run(&support::minimal(), case.inputs());
    assert_eq!(fault, None);
    assert!(written.iter().any(|line| line.contains("/dev/vda table")), "{written:#?}");
}

#[test]
fn the_findings_read_well() {
    let minimal = support::minimal();
    let mut text = String::new();
    for case in table().case {
        let (found, _) = case.findings(&minimal);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        text.push_str(&format!("{}\n    {}\n", case.name, found.join("\n    ")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_table_is_large_and_without_repetitions() {
    let cases = table().case;
    // FILE:LINE:COLUMN; what is missing altogether has no line.
    let is_placed = |case: &&Case| case.at.split(':').count() == 3;
    let errors = cases.iter().filter(|case| !case.warning).filter(is_placed).count();
    assert!(errors >= 40, "{errors} cases with an error and its column; the promise is 40");
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
}

#[test]
fn without_a_defect_there_is_a_plan_and_nothing_to_find() {
    let case: Case = toml::from_str("name = ''\ncode = ''\nat = ''\ncure = ''").unwrap();
    assert_eq!(case.findings(&support::minimal()), (Vec::new(), true));
}
