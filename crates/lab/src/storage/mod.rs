//! Storage carried out for real: disk_configs on the disks of a QEMU machine, installed by the real
//! agent, rebooted into, read back, and compared with what the plan promised.
//!
//! ```text
//! stage            every case in turn, in one boot
//! install          what was there before; agent: plan, run; look
//! assemble         up again by fstab, crypttab and mdadm.conf alone; look; leave marks
//! reinstall        a second disk_config, where the case has one; look
//! assemble-again   as above: the marks that should be there are, the others are not
//! ```
//!
//! The machine has no network. It boots the installer's kernel with an initramfs that leads into the
//! tools image, and gets cases and gives answers on an ext4 disk of the rig's own. Read
//! [`cases::Case`] first.

pub mod cases;
mod compare;
mod found;
mod machine;

use crate::process::tail;
use anyhow::{Context as _, Result, bail, ensure};
use cases::Case;
use found::Found;
use hostwright_model::plan::Plan;
use hostwright_model::storage::StorageLayout;
use machine::StorageMachine;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the rig works with.
#[derive(Clone, Debug)]
pub struct Rig {
    /// Directory with `vmlinuz`, `initrd.img` and `tools.squashfs`, made by `hostwright installer`.
    pub installer: PathBuf,
    /// The agent that is tested.
    pub agent: PathBuf,
    /// Where everything is kept; emptied first.
    pub dir: PathBuf,
    /// How QEMU runs guests.
    pub acceleration: &'static str,
}

/// What came of a case.
pub struct Verdict {
    /// Name of the case.
    pub case: &'static str,
    /// What is not as promised; empty if all is.
    pub problems: Vec<String>,
}

/// Scripts of the guest, by the name they have there.
const GUEST_FILES: &[(&str, &str)] = &[
    ("boot", include_str!("guest/boot")),
    ("case.sh", include_str!("guest/case.sh")),
    ("install", include_str!("guest/install")),
    ("reinstall", include_str!("guest/reinstall")),
    ("assemble", include_str!("guest/assemble")),
    ("assemble-again", include_str!("guest/assemble")),
    ("agent-run", include_str!("guest/agent-run")),
    ("read-back", include_str!("guest/read-back")),
    ("take-apart", include_str!("guest/take-apart")),
];
const INIT: &str = include_str!("guest/init");
const LOOK_HOOK: &str = include_str!("guest/look.hook");

/// The boots that cases need; one that has only one life needs two.
const STAGES: [&str; 4] = ["install", "assemble", "reinstall", "assemble-again"];
/// Size of the disk by which cases and answers travel.
const STATE_MIB: u32 = 256;

/// Runs cases, as many in one machine as it has room for. `say` is told what goes on.
pub fn run(rig: &Rig, chosen: &[&'static Case], say: &mut dyn FnMut(&str)) -> Result<Vec<Verdict>> {
    if rig.dir.exists() {
        fs::remove_dir_all(&rig.dir)?;
    }
    fs::create_dir_all(&rig.dir)?;
    let state = rig.dir.join("state.img");
    lay_state(rig, chosen, &state)?;
    let machine = StorageMachine::build(rig, chosen, &state)?;
    let two_lives = chosen.iter().any(|case| case.second.is_some());
    let stages = if two_lives { &STAGES[..] } else { &STAGES[..2] };
    for stage in stages {
        say(stage);
        set_stage(&rig.dir, &state, stage)?;
        machine.boot(stage, say)?;
    }
    let answers = rig.dir.join("answers");
    take_answers(&state, &answers)?;
    let judge = |case: &&'static Case| Verdict {
        case: case.name,
        problems: judge(case, &answers.join("cases").join(case.name))
            .unwrap_or_else(|error| vec![format!("{error:#}")]),
    };
    Ok(chosen.iter().map(judge).collect())
}

/// Makes the disk that holds scripts, agent and cases.
fn lay_state(rig: &Rig, chosen: &[&'static Case], state: &Path) -> Result<()> {
    let tree = rig.dir.join("state");
    for (name, text) in GUEST_FILES {
        write(&tree.join(name), text)?;
    }
    make_runnable(&tree.join("boot"))?;
    let agent = tree.join("agent");
    fs::copy(&rig.agent, &agent).with_context(|| rig.agent.display().to_string())?;
    let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
    write(&tree.join("order"), &names.join("\n"))?;
    for case in chosen {
        let dir = tree.join("cases").join(case.name);
        let serials: Vec<String> =
            (0..case.disks.len()).map(|number| machine::serial(case, number)).collect();
        write(&dir.join("serials"), &serials.join("\n"))?;
        lay_space(&dir.join("space"), case.first, &serials)?;
        if let Some(second) = case.second {
            lay_space(&dir.join("space2"), second, &serials)?;
        }
        let scripts = [("before", case.before), ("after", case.after)];
        for (name, text) in scripts.into_iter().filter(|(_, text)| !text.is_empty()) {
            write(&dir.join(name), text)?;
        }
        write(&dir.join("passphrase"), cases::PASSPHRASE)?;
    }
    let image = fs::File::create(state)?;
    image.set_len(u64::from(STATE_MIB) << 20)?;
    call("mkfs.ext4", &["-q", "-F", "-d", text(&tree)?, text(state)?])
}

/// A space that partitions and mounts, has a look, and does nothing else. Its machine file chooses
/// the disks of the case among those of all cases.
fn lay_space(dir: &Path, disk_config: &str, serials: &[String]) -> Result<()> {
    let hints = serials.iter().map(|serial| format!("[[disk]]\nserial = \"{serial}\"\n"));
    write(&dir.join("machines/rig.toml"), &hints.collect::<String>())?;
    write(&dir.join("disk_config/CASE"), disk_config)?;
    // Nothing is ever fetched from there: the hook that looks skips the rest.
    let vars = "FAI_DEBOOTSTRAP=\"bookworm http://deb.example.org/debian\"\n";
    write(&dir.join("class/CASE.var"), vars)?;
    let code = [("class/10-case", "#!/bin/sh\necho CASE\n"), ("hooks/extrbase.CASE", LOOK_HOOK)];
    for (path, text) in code {
        let path = dir.join(path);
        write(&path, text)?;
        make_runnable(&path)?;
    }
    Ok(())
}

/// Tells the machine what its next boot is for.
fn set_stage(dir: &Path, state: &Path, stage: &str) -> Result<()> {
    let note = dir.join("stage");
    write(&note, stage)?;
    check_state(state)?;
    call("debugfs", &["-w", "-R", "rm stage", text(state)?])?;
    call("debugfs", &["-w", "-R", &format!("write {} stage", text(&note)?), text(state)?])
}

fn take_answers(state: &Path, answers: &Path) -> Result<()> {
    fs::create_dir_all(answers)?;
    check_state(state)?;
    call("debugfs", &["-R", &format!("rdump cases {}", text(answers)?), text(state)?])
}

/// A guest that was cut off leaves its file system with a journal to replay.
fn check_state(state: &Path) -> Result<()> {
    /// e2fsck(8): from here on something was not mended.
    const NOT_MENDED: i32 = 4;
    let output = Command::new("e2fsck").args(["-fy", text(state)?]).output()?;
    let status = output.status.code().unwrap_or(NOT_MENDED);
    ensure!(status < NOT_MENDED, "e2fsck: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Everything about a case that is not as promised.
fn judge(case: &Case, answers: &Path) -> Result<Vec<String>> {
    let first = Life::read(answers, "install", "assemble")?;
    let mut problems = first.problems(None)?;
    if case.second.is_some() && problems.is_empty() {
        let second = Life::read(answers, "reinstall", "assemble-again")?;
        problems.extend(second.problems(Some(&first))?);
    }
    Ok(problems)
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
        let lines = |path: &PathBuf| -> Vec<String> {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        Ok(Self {
            layout: plan.layout.context("the plan has no layout")?,
            installed: Found::read(&made)?,
            assembled: Found::read(&up)?,
            noticed: noticed.iter().flat_map(lines).collect(),
            marks: lines(&up.join("marks")),
        })
    }

    fn problems(&self, before: Option<&Self>) -> Result<Vec<String>> {
        let mut problems = self.noticed.clone();
        let by_stage = [("installed", &self.installed), ("after a reboot", &self.assembled)];
        for (when, found) in by_stage {
            let found = compare::with_layout(&self.layout, found);
            problems.extend(found.into_iter().map(|problem| format!("{when}: {problem}")));
        }
        problems.extend(compare::same_identifiers(&self.layout, &self.installed, &self.assembled));
        let former = before.map(|before| &before.assembled);
        problems.extend(compare::fates(&self.layout, former, &self.assembled, &self.marks));
        Ok(problems)
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

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn make_runnable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Runs a program of the machine that the lab runs on.
fn call(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {errors}", args.join(" "));
    Ok(())
}
