//! The scenarios: each installs for real, and each breaks something else on the way.

use crate::bench::{Bench, Job};
use crate::demo::install_and_answer;
use crate::disk_image;
use crate::parts::Parts;
use crate::storage::cases::{CASES, Case};
use crate::storage::{self, Rig};
use crate::watch::{Quiet, is_installed, look, run_until};
use anyhow::{Context as _, Result, bail, ensure};
use hostwright_model::api::{RunState, StoredEvent};
use hostwright_model::facts::Firmware;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
        run: power_cut,
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
        let acted = act(&mut bench);
        if acted.is_err() {
            bench.keep_evidence()?;
        }
        acted
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

fn kill_serve(stage: &Stage) -> Result<()> {
    stage.with_bench(stage.image_job(Firmware::Bios), |bench| {
        bench.machine.power_on()?;
        let (server, machine) = (&mut bench.server, &mut bench.machine);
        let halfway = |progress: &hostwright_model::progress::RunProgress| {
            let (finished, steps) = progress.steps();
            steps > 0 && finished * 2 >= steps
        };
        run_until(&bench.run, server, machine, &mut Quiet, |_, progress| halfway(progress))?;
        server.kill()?;
        std::thread::sleep(Duration::from_secs(5));
        server.start_again()?;
        run_until(&bench.run, server, machine, &mut Quiet, is_installed)?;
        no_event_lost(&bench.events()?)
    })
}

/// Five cuts, each at a random moment after the agent's first word of that attempt.
fn power_cut(stage: &Stage) -> Result<()> {
    let mut chance = Chance(stage.seed);
    stage.with_bench(stage.image_job(Firmware::Bios), |bench| {
        for cut in 1..=5u32 {
            bench.machine.power_on()?;
            let (server, machine) = (&mut bench.server, &mut bench.machine);
            run_until(&bench.run, server, machine, &mut Quiet, |run, _| run.attempts >= cut)?;
            let until = Instant::now() + Duration::from_millis(chance.below(60_000));
            let early = |run: &hostwright_model::api::Run, p: &_| {
                is_installed(run, p) || Instant::now() >= until
            };
            let (run, _) = run_until(&bench.run, server, machine, &mut Quiet, early)?;
            bench.machine.cut_power()?;
            ensure!(run.state != RunState::Installed, "cut {cut} came too late to cut anything");
        }
        install_and_answer(bench, &stage.parts, &mut Quiet)?;
        no_event_lost(&bench.events()?)
    })
}

fn corrupted_object(stage: &Stage) -> Result<()> {
    let store = stage.parts.store();
    let broken = stage.dir.join("store");
    copy_tree(&store, &broken)?;
    damage_largest_pack(&broken.join("packs"))?;
    let mut stage_parts = stage.parts.clone();
    stage_parts.dir = stage.dir.clone();
    for part in ["space", "installer"] {
        std::os::unix::fs::symlink(stage.parts.dir.join(part), stage.dir.join(part))?;
    }
    let job = stage.image_job(Firmware::Bios);
    let mut bench = Bench::set_up(&stage_parts, &stage.dir.join("bench"), stage.acceleration, job)?;
    bench.machine.power_on()?;
    let refused =
        run_until(&bench.run, &mut bench.server, &mut bench.machine, &mut Quiet, is_installed);
    let error = match refused {
        Ok(_) => bail!("a corrupted image was installed"),
        Err(error) => error.to_string(),
    };
    if !error.contains("corrupt") {
        bench.keep_evidence()?;
        bail!("the refusal does not name the corruption: {error}");
    }
    let (run, _) = look(&bench.run, &bench.server)?;
    ensure!(run.state == RunState::Failed, "the run is {:?}", run.state);
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

/// A small generator of random numbers (SplitMix64), so that a seed repeats a scenario.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
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
