//! Storage carried out for real: disk_configs on the disks of a QEMU machine, installed by the real
//! agent, rebooted into, read back, and compared with what the plan promised.
//!
//! ```text
//! stage            every case in turn, in one boot
//! install          what was there before; agent: plan, run; look
//! assemble         up again by fstab, crypttab and mdadm.conf alone; look; leave marks. A case
//!                  that boots from its own disks does so instead
//! reinstall        a second disk_config, where the case has one; look. Or it fails and is undone
//! assemble-again   as above: the marks that should be there are, the others are not
//! ```
//!
//! The machine has no network. It boots the installer's kernel with an initramfs that leads into the
//! tools image, and gets cases and gives answers on an ext4 disk of the rig's own. Read
//! [`cases::Case`] first.

pub mod cases;
mod compare;
mod found;
mod judge;
mod machine;

use crate::parts::Parts;
use anyhow::{Context as _, Result, ensure};
use cases::Case;
use machine::StorageMachine;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs};

/// What the rig works with.
#[derive(Clone, Debug)]
pub struct Rig {
    /// Directory with `vmlinuz`, `initrd.img` and `tools.squashfs`, made by `hostwright installer`.
    pub installer: PathBuf,
    /// The agent that is tested.
    pub agent: PathBuf,
    /// A base system in a tar archive, for cases that boot from their own disks.
    pub base: Option<PathBuf>,
    /// Where everything is kept; emptied first.
    pub dir: PathBuf,
    /// How QEMU runs guests.
    pub acceleration: &'static str,
}

impl Rig {
    /// Makes what these cases need. Nothing of it is made twice but the installer.
    pub fn new(
        parts: &Parts,
        chosen: &[&'static Case],
        dir: PathBuf,
        acceleration: &'static str,
    ) -> Result<Self> {
        let boots = chosen.iter().any(|case| case.boots);
        Ok(Self {
            installer: parts.installer()?,
            agent: parts.agent.clone(),
            base: boots.then(|| parts.base_system()).transpose()?,
            dir,
            acceleration,
        })
    }
}

/// What came of a case.
pub struct Verdict {
    /// Name of the case.
    pub case: &'static str,
    /// What is not as promised; empty if all is.
    pub problems: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.problems.is_empty() { "ok    " } else { "FAILED" };
        write!(f, "{word}  {}", self.case)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n        {problem}"))
    }
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
    ("old-life", include_str!("guest/old-life")),
    ("kill-at-table", include_str!("guest/kill-at-table")),
    ("booted", include_str!("guest/booted")),
];
/// The script of a space whose machine boots from its own disks.
const BASE_BOOT: &str = include_str!("guest/base-boot");
const INIT: &str = include_str!("guest/init");
const LOOK_HOOK: &str = include_str!("guest/look.hook");

/// The boots that cases need; one that has only one life needs two.
const STAGES: [&str; 4] = ["install", ASSEMBLE, "reinstall", "assemble-again"];
/// The stage in which a case comes up as it was installed.
const ASSEMBLE: &str = "assemble";
/// Size of the disk by which cases and answers travel.
const STATE_MIB: u32 = 1024;
/// By its label an installed system finds it.
const STATE_LABEL: &str = "rig";

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
    for stage in if two_lives { &STAGES[..] } else { &STAGES[..2] } {
        say(stage);
        set_note(&rig.dir, &state, "stage", stage)?;
        // Where all boot by themselves there is nothing to assemble.
        if *stage != ASSEMBLE || chosen.iter().any(|case| !case.boots) {
            machine.boot(stage, say)?;
        }
        if *stage == ASSEMBLE {
            for case in chosen.iter().filter(|case| case.boots) {
                set_note(&rig.dir, &state, "booting", case.name)?;
                machine.boot_from_disk(case, say)?;
            }
        }
    }
    let answers = rig.dir.join("answers");
    take_answers(&state, &answers)?;
    let judge = |case: &&'static Case| Verdict {
        case: case.name,
        problems: judge::problems(case, &answers.join("cases").join(case.name))
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
        if let Some(second) = case.second_config() {
            lay_space(&dir.join("space2"), &second, &serials)?;
        }
        if case.boots {
            write(&dir.join("boots"), "")?;
            let base = rig.base.as_ref().with_context(|| format!("{} has no base", case.name))?;
            lay_base(&dir.join("space"), base)?;
        }
        let scripts = [("before", case.before), ("after", case.after), ("sabotage", case.sabotage)];
        for (name, text) in scripts.into_iter().filter(|(_, text)| !text.is_empty()) {
            write(&dir.join(name), text)?;
        }
        write(&dir.join("passphrase"), cases::PASSPHRASE)?;
    }
    let image = fs::File::create(state)?;
    image.set_len(u64::from(STATE_MIB) << 20)?;
    call("mkfs.ext4", &["-q", "-F", "-L", STATE_LABEL, "-d", text(&tree)?, text(state)?])
}

/// What a space has beside its disks if its machine is to boot by itself.
fn lay_base(dir: &Path, base: &Path) -> Result<()> {
    let basefile = dir.join("basefiles/CASE.tar.zst");
    let script = dir.join("scripts/CASE/10-boot");
    write(&script, BASE_BOOT)?;
    make_runnable(&script)?;
    fs::create_dir_all(dir.join("basefiles"))?;
    fs::copy(base, &basefile).with_context(|| base.display().to_string())?;
    Ok(())
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

/// Leaves a note to the machine about its next boot.
fn set_note(dir: &Path, state: &Path, name: &str, note: &str) -> Result<()> {
    let file = dir.join(name);
    write(&file, note)?;
    check_state(state)?;
    call("debugfs", &["-w", "-R", &format!("rm {name}"), text(state)?])?;
    call("debugfs", &["-w", "-R", &format!("write {} {name}", text(&file)?), text(state)?])
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
