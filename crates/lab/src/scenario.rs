//! The scenarios: each installs for real, and each breaks something else on the way.

use crate::bench::{Bench, Job};
use crate::cut::{Moment, moments};
use crate::demo::{await_answer, install_and_answer};
use crate::disk_image;
use crate::interrupt::{At, interrupt};
use crate::parts::Parts;
use crate::storage::cases::{CASES, Case};
use crate::storage::{self, Rig};
use crate::watch::{Quiet, is_installed, look, run_until};
use anyhow::{Context as _, Result, bail, ensure};
use hostwright_model::api::{Run, RunState, StoredEvent};
use hostwright_model::facts::Firmware;
use hostwright_model::phase::Phase;
use hostwright_model::progress::RunProgress;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sets of scenarios, each with a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ring {
    /// For every change; minutes.
    Pr,
    /// Everything.
    Full,
}

/// One scenario.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// The smallest ring that it belongs to.
    pub ring: Ring,
    /// What it shows.
    pub shows: &'static str,
    /// True if it installs the images of the example space.
    pub needs_images: bool,
    run: fn(&Stage) -> Result<()>,
}

/// What a scenario is given.
pub struct Stage {
    /// Where things are.
    pub parts: Parts,
    /// A directory of its own.
    pub dir: PathBuf,
    /// How QEMU runs guests.
    pub acceleration: &'static str,
    /// Decides what is left to chance.
    pub seed: u64,
    /// A package proxy outside of the lab's network.
    pub uplink: Option<SocketAddr>,
    /// Tells people what is going on.
    pub say: fn(&str),
}

/// All scenarios, cheapest first.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "corrupted-object",
        ring: Ring::Pr,
        shows: "a corrupted object in the store is refused before the disk is touched",
        needs_images: true,
        run: corrupted_object,
    },
    Scenario {
        name: "bios-image",
        ring: Ring::Pr,
        shows: "BIOS, image: from the first packet to the login",
        needs_images: true,
        run: |stage| image(stage, Firmware::Bios),
    },
    Scenario {
        name: "uefi-image",
        ring: Ring::Pr,
        shows: "UEFI, image: from the first packet to the login",
        needs_images: true,
        run: |stage| image(stage, Firmware::Uefi),
    },
    Scenario {
        name: "kill-serve",
        ring: Ring::Pr,
        shows: "the server is killed in the middle; the install ends well and no event is lost",
        needs_images: true,
        run: kill_serve,
    },
    Scenario {
        name: "power-cut",
        ring: Ring::Full,
        shows: "power is cut at 5 random points; the next boot installs to the end",
        needs_images: true,
        run: |stage| power_cut(stage, Firmware::Bios),
    },
    Scenario {
        name: "power-cut-uefi",
        ring: Ring::Full,
        shows: "the same with UEFI, where the boot loader puts the disk first before the end",
        needs_images: true,
        run: |stage| power_cut(stage, Firmware::Uefi),
    },
    Scenario {
        name: "ctrl-c",
        ring: Ring::Full,
        shows: "the demo is interrupted at three points and leaves nothing behind",
        needs_images: false,
        run: ctrl_c,
    },
    Scenario {
        name: "reproducible",
        ring: Ring::Full,
        shows: "kernel and initramfs made twice are equal to the byte",
        needs_images: false,
        run: reproducible,
    },
    Scenario {
        name: "classic",
        ring: Ring::Full,
        shows: "FAI's classic way: packages on the machine, through the boot server's proxy",
        needs_images: false,
        run: classic,
    },
    Scenario {
        name: "bios-disk-image",
        ring: Ring::Full,
        shows: "a disk image made by build -o boots by BIOS, to the login",
        needs_images: false,
        run: |stage| disk_image(stage, Firmware::Bios),
    },
    Scenario {
        name: "uefi-disk-image",
        ring: Ring::Full,
        shows: "a disk image made by build -o boots by UEFI, to the login",
        needs_images: false,
        run: |stage| disk_image(stage, Firmware::Uefi),
    },
    Scenario {
        name: "storage-mail-store",
        ring: Ring::Full,
        shows: "RAID 1 on two NVMe disks, read back after a reboot; the mail outlives a reinstallation",
        needs_images: false,
        run: |stage| storage(stage, |case| case.name == "mail-store"),
    },
    Scenario {
        name: "storage-root",
        ring: Ring::Full,
        shows: "a machine boots from LVM on LUKS with a key file on RAID 1",
        needs_images: false,
        run: |stage| storage(stage, |case| case.boots),
    },
    Scenario {
        name: "storage",
        ring: Ring::Full,
        shows: "every other case of 'hostwright lab storage --list'",
        needs_images: false,
        run: |stage| storage(stage, |case| case.name != "mail-store" && !case.boots),
    },
];

impl Scenario {
    /// Runs it.
    pub fn run(&self, stage: &Stage) -> Result<()> {
        (self.run)(stage)
    }
}

impl Stage {
    /// Sets a bench up, runs `act` on it, and keeps the evidence if it fails.
    fn with_bench(&self, job: Job<'_>, act: impl FnOnce(&mut Bench) -> Result<()>) -> Result<()> {
        let mut bench = Bench::set_up(&self.parts, &self.dir, self.acceleration, job)?;
        act(&mut bench).map_err(|failure| bench.keep_evidence(failure))
    }

    fn image_job(&self, firmware: Firmware) -> Job<'static> {
        Job { firmware, image: Some(Parts::image_name(firmware)), uplink: None }
    }
}

fn image(stage: &Stage, firmware: Firmware) -> Result<()> {
    stage.with_bench(stage.image_job(firmware), |bench| {
        install_and_answer(bench, &stage.parts, &mut Quiet)?;
        no_event_lost(&bench.events()?)
    })
}

fn classic(stage: &Stage) -> Result<()> {
    let uplink = Some(stage.uplink.context("the classic way needs a package proxy outside")?);
    let job = Job { firmware: Firmware::Bios, image: None, uplink };
    stage.with_bench(job, |bench| {
        install_and_answer(bench, &stage.parts, &mut Quiet)?;
        no_event_lost(&bench.events()?)
    })
}

/// No boot server: the image is a disk already.
fn disk_image(stage: &Stage, firmware: Firmware) -> Result<()> {
    let (space, disk) = (stage.dir.join("space"), stage.dir.join("disk.raw"));
    copy_tree(&stage.parts.dir.join("space"), &space)?;
    disk_image::add_class(&space)?;
    stage.parts.disk_image(&space, firmware, &disk)?;
    disk_image::boot(&disk, firmware, stage.acceleration, &space, &stage.dir)?;
    Ok(())
}

fn storage(stage: &Stage, is_chosen: fn(&Case) -> bool) -> Result<()> {
    let chosen: Vec<&'static Case> = CASES.iter().filter(|case| is_chosen(case)).collect();
    let rig = Rig::new(&stage.parts, &chosen, stage.dir.join("rig"), stage.acceleration)?;
    let verdicts = storage::run(&rig, &chosen, &mut |_| {})?;
    let failed: Vec<String> =
        verdicts.iter().filter(|v| !v.problems.is_empty()).map(ToString::to_string).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Once while the image is fetched, for longer than a client waits that counts its attempts, and once
/// while it is laid down.
fn kill_serve(stage: &Stage) -> Result<()> {
    stage.with_bench(stage.image_job(Firmware::Bios), |bench| {
        bench.machine.power_on()?;
        kill_when(bench, Duration::from_secs(40), is_fetching_image)?;
        let phase = Phase::Extrbase;
        let laid_down = Moment { phase, permille: 100, pause: Duration::ZERO };
        kill_when(bench, Duration::from_secs(5), |progress| laid_down.is_reached(progress))?;
        await_answer(bench, &stage.parts, &mut Quiet)?;
        no_event_lost(&bench.events()?)
    })
}

/// Kills the server when `moment` is there, and starts it again after `away`.
fn kill_when(
    bench: &mut Bench,
    away: Duration,
    moment: impl Fn(&RunProgress) -> bool,
) -> Result<()> {
    let (server, machine) = (&mut bench.server, &mut bench.machine);
    let (run, _) = run_until(&bench.run, server, machine, &mut Quiet, |run, progress| {
        is_installed(run, progress) || moment(progress)
    })?;
    ensure!(run.state != RunState::Installed, "the server was killed too late");
    server.kill()?;
    std::thread::sleep(away);
    server.start_again()
}

fn is_fetching_image(progress: &RunProgress) -> bool {
    let image = progress.fetches.iter().find(|fetch| fetch.what == "image");
    image.is_some_and(|fetch| 0 < fetch.done_bytes && fetch.done_bytes < fetch.total_bytes)
}

/// Five cuts, each in another part of the installation.
fn power_cut(stage: &Stage, firmware: Firmware) -> Result<()> {
    // The boot loader's script takes seconds on a real processor and more than a minute on an
    // emulated one.
    let script = match stage.acceleration {
        "kvm" => Duration::from_secs(2),
        _ => Duration::from_secs(50),
    };
    stage.with_bench(stage.image_job(firmware), |bench| {
        for (cut, moment) in (1..).zip(moments(stage.seed, script)) {
            bench.machine.power_on()?;
            let (server, machine) = (&mut bench.server, &mut bench.machine);
            let reached = |run: &Run, progress: &RunProgress| {
                // An earlier attempt's progress is shown until this one has told something.
                let is_current = progress.attempt >= cut;
                is_installed(run, progress) || (is_current && moment.is_reached(progress))
            };
            run_until(&bench.run, server, machine, &mut Quiet, reached)?;
            std::thread::sleep(moment.pause);
            bench.machine.cut_power()?;
            let (run, progress) = look(&bench.run, &bench.server)?;
            let title = progress.step.map_or("between two steps".to_owned(), |step| step.title);
            (stage.say)(&format!("cut {cut} at {moment}: {title}"));
            ensure!(run.state != RunState::Installed, "cut {cut} came too late to cut anything");
        }
        install_and_answer(bench, &stage.parts, &mut Quiet)?;
        no_event_lost(&bench.events()?)
    })
}

fn ctrl_c(stage: &Stage) -> Result<()> {
    // The first is a lab without anything, the others have an installer and packages.
    let (fresh, warm) = (stage.dir.join("fresh"), stage.dir.join("warm"));
    interrupt(&stage.parts, &fresh, stage.acceleration, At::ToolsImage)?;
    (stage.say)("nothing is left after an interrupted installer build");
    fs::create_dir_all(&warm)?;
    copy_tree(&stage.parts.dir.join("installer"), &warm.join("installer"))?;
    let packages = stage.parts.package_cache();
    fs::create_dir_all(&packages)?;
    std::os::unix::fs::symlink(packages, warm.join("packages"))?;
    interrupt(&stage.parts, &warm, stage.acceleration, At::Image)?;
    (stage.say)("nothing is left after an interrupted image build");
    interrupt(&stage.parts, &warm, stage.acceleration, At::Machine)
}

fn reproducible(stage: &Stage) -> Result<()> {
    let again = Parts { dir: stage.dir.clone(), ..stage.parts.clone() };
    let (first, second) = (stage.parts.dir.join("installer"), again.installer()?);
    for name in ["vmlinuz", "initrd.img"] {
        let [one, other] = [&first, &second].map(|dir| fs::read(dir.join(name)));
        ensure!(
            one? == other?,
            "{name} differs between {} and {}",
            first.display(),
            second.display()
        );
    }
    Ok(())
}

fn corrupted_object(stage: &Stage) -> Result<()> {
    let broken = stage.dir.join("store");
    copy_tree(&stage.parts.store(), &broken)?;
    damage_largest_pack(&broken.join("packs"))?;
    for part in ["space", "installer"] {
        std::os::unix::fs::symlink(stage.parts.dir.join(part), stage.dir.join(part))?;
    }
    let parts = Parts { dir: stage.dir.clone(), ..stage.parts.clone() };
    let (dir, acceleration) = (stage.dir.join("bench"), stage.acceleration);
    let mut bench = Bench::set_up(&parts, &dir, acceleration, stage.image_job(Firmware::Bios))?;
    refuses_corruption(&mut bench).map_err(|failure| bench.keep_evidence(failure))
}

/// The machine says why, stays up with a shell on its console, and its disk is as it was.
fn refuses_corruption(bench: &mut Bench) -> Result<()> {
    bench.machine.power_on()?;
    let (server, machine) = (&mut bench.server, &mut bench.machine);
    let error = match run_until(&bench.run, server, machine, &mut Quiet, is_installed) {
        Ok(_) => bail!("a corrupted image was installed"),
        Err(error) => error.to_string(),
    };
    ensure!(error.contains("corrupt"), "the refusal does not name the corruption: {error}");
    let (run, _) = look(&bench.run, &bench.server)?;
    ensure!(run.state == RunState::Failed, "the run is {:?}", run.state);
    let mut terminal = bench.machine.sit_down()?;
    // The shell comes after the server knows; what is typed before it is lost.
    let answered = (0..30).any(|_| {
        terminal.type_line("echo $((40+2))").is_ok()
            && terminal.expect_line("42", Duration::from_secs(2)).is_ok()
    });
    ensure!(answered, "no shell answers on the console of the machine that failed");
    let written = fs::metadata(bench.machine.disk())?.blocks();
    ensure!(written == 0, "{written} blocks of the disk were written");
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cannot copy {}", from.display());
    Ok(())
}

/// Flips one bit in the middle of the largest pack.
fn damage_largest_pack(packs: &Path) -> Result<()> {
    let mut largest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(packs)? {
        let path = entry?.path();
        let length = fs::metadata(&path)?.len();
        if largest.as_ref().is_none_or(|(longest, _)| length > *longest) {
            largest = Some((length, path));
        }
    }
    let (length, path) = largest.context("the store has no pack")?;
    let mut bytes = Vec::new();
    File::open(&path)?.read_to_end(&mut bytes)?;
    bytes[usize::try_from(length / 2)?] ^= 1;
    Ok(fs::write(&path, bytes)?)
}

/// Each attempt's events must be numbered 1, 2, 3 … without a gap.
fn no_event_lost(events: &[StoredEvent]) -> Result<()> {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for event in events {
        let before = last.insert(event.attempt, event.event.seq).unwrap_or(0);
        let seq = event.event.seq;
        ensure!(
            seq == before + 1,
            "attempt {}: event {before} is followed by {seq}",
            event.attempt
        );
    }
    ensure!(!last.is_empty(), "there are no events at all");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::event::{Event, EventBody};
    use hostwright_model::ids::RunId;

    fn event(attempt: u32, seq: u64) -> StoredEvent {
        let event = Event { seq, at_ms: 0, body: EventBody::Rebooting };
        StoredEvent { id: 1, run: RunId::from("r"), attempt, event }
    }

    #[test]
    fn a_gap_in_the_events_is_found() {
        assert!(no_event_lost(&[event(1, 1), event(1, 2), event(2, 1)]).is_ok());
        assert!(no_event_lost(&[event(1, 1), event(1, 3)]).is_err());
        assert!(no_event_lost(&[event(1, 2)]).is_err());
        assert!(no_event_lost(&[]).is_err());
    }
}
