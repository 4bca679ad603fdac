//! Layouts, earlier lives and faults at random, all from one seed: no disk is written that the layout
//! does not name, nothing is lost that is to be kept, no run stops without a cause, and none begins on
//! a disk that is not as it was when the plan was made.
//!
//! `HOSTWRIGHT_STORAGE_SEEDS=0..10000` runs those seeds instead of a few, on all processors:
//!
//! ```text
//! HOSTWRIGHT_STORAGE_SEEDS=0..10000 cargo test -p hostwright-engine --test storage whatever_fails
//! ```

use crate::random_layout::{Dice, Keep, RandomLayout};
use crate::rig::{
    Space, attempt, attempt_for, boot, boot_by_names, disk, file_systems, forget_run, leave_token,
    machine_with, tokens, world, world_at_rest,
};
use hostwright_host::Host as _;
use hostwright_host::fault::FaultHost;
use hostwright_host::sim::{Cut, RootKind, SimHost, World};
use hostwright_model::facts::Firmware;
use hostwright_model::fault::Fault;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: Range<u64> = 0..40;
/// More starts of the engine than any run needs.
const ATTEMPTS_MAX: u64 = 200;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("HOSTWRIGHT_STORAGE_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// A machine with a stranger's file system on a disk that no layout names.
fn with_stranger(disks: usize, root: RootKind, firmware: Firmware) -> SimHost {
    let names = ["vda", "vdb", "vdc"];
    let list: Vec<_> = names[..disks].iter().map(|name| disk(name, 8)).collect();
    let mut host = machine_with(&list, root, firmware);
    let made = host.run(&hostwright_host::Command::mkfs("ext4").arg("/dev/vdz"), &mut |_, _| {});
    assert_eq!(made.unwrap().status, 0);
    assert!(leave_token(&mut host, "/dev/vdz", "ext4", "stranger"));
    host
}

/// What of the world belongs to the stranger's disk.
fn strangers(world: &World) -> Vec<(String, String)> {
    let lines = world.iter().filter(|(name, _)| name.starts_with("/dev/vdz"));
    lines.map(|(name, line)| (name.to_owned(), line.to_owned())).collect()
}

/// Starts the engine until it is done, with failing operations and power cuts at random.
fn stumble(dice: &mut Dice, mut host: SimHost, space: &mut Space, seed: u64) -> SimHost {
    for attempts in 0..ATTEMPTS_MAX {
        let calm = attempts > 20;
        if !calm && dice.roll(2) == 0 {
            let at = host.ops().len() as u64 + 1 + dice.roll(150);
            let cut = dice.pick(&[Cut::Before, Cut::During, Cut::After]);
            host.power_cut_at(at, cut);
        }
        let one_in = if calm { u64::MAX } else { 60 };
        let mut faulty = FaultHost::seeded(host, seed * 1000 + attempts, one_in);
        let result = attempt(&mut faulty, space);
        let injected = faulty.injected().to_vec();
        host = faulty.into_inner();
        match result {
            Ok(()) => return host,
            Err(fault) if fault.code == "power-cut" => boot(&mut host),
            Err(fault) => {
                let last = host.ops().iter().rev().take(30).collect::<Vec<_>>();
                assert!(
                    is_of(&fault, &injected),
                    "seed {seed}: stopped without a cause: {fault}\n{:#?}\n{injected:#?}\n{last:#?}",
                    fault.output,
                );
                host.restart();
            }
        }
    }
    panic!("seed {seed}: not done after {ATTEMPTS_MAX} attempts");
}

/// True if a fault speaks of one that was injected.
fn is_of(fault: &Fault, injected: &[String]) -> bool {
    let said = std::iter::once(fault.to_string()).chain(fault.output.iter().cloned());
    let said: Vec<String> = said.collect();
    injected.iter().any(|line| {
        let number = line.split("injected fault at ").nth(1).unwrap_or(line);
        said.iter().any(|text| text.contains(number))
    })
}

/// Two lives of one machine. The code of the first finding for a layout that no planner accepts.
fn lives(seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let disks = 1 + dice.roll(3) as usize;
    let root = if dice.roll(3) == 0 { RootKind::Memory } else { RootKind::Disk };
    let firmware = if dice.roll(4) == 0 { Firmware::Uefi } else { Firmware::Bios };
    let is_uefi = firmware == Firmware::Uefi;
    let fresh = with_stranger(disks, root, firmware);
    let stranger = strangers(&world(&fresh));

    let first = RandomLayout::roll(&mut dice, disks, is_uefi);
    let text = first.text(&Keep::default());
    let mut calm = fresh.clone();
    if let Err(fault) = attempt(&mut calm, &mut Space::new(&text)) {
        return refused(seed, &fault, &text);
    }
    let host = stumble(&mut dice, fresh, &mut Space::new(&text), seed);
    let different = world_at_rest(&calm).diff(&world_at_rest(&host));
    assert!(different.is_empty(), "seed {seed}:\n{}\n{text}", different.join("\n"));

    // The next life: the same with something kept, or something else altogether.
    let mut host = calm;
    boot_by_names(&mut host);
    for (device, kind) in file_systems(&mut host) {
        leave_token(&mut host, &device, &kind, &device);
    }
    forget_run(&mut host);
    let (second, keep) = match dice.roll(3) {
        0 => (RandomLayout::roll(&mut dice, disks, is_uefi), Keep::default()),
        _ => (first.clone(), first.choose(&mut dice)),
    };
    let text = second.text(&keep);
    let mut calm = host.clone();
    if let Err(fault) = attempt(&mut calm, &mut Space::new(&text)) {
        return refused(seed, &fault, &text);
    }
    check_kept(seed, &world_at_rest(&calm), &keep, &stranger, &text);
    change_behind_the_plan(seed, &mut dice, host.clone(), &text);
    let host = stumble(&mut dice, host, &mut Space::new(&text), seed + (1 << 40));
    check_kept(seed, &world_at_rest(&host), &keep, &stranger, &text);
    let different = world_at_rest(&calm).diff(&world_at_rest(&host));
    assert!(different.is_empty(), "seed {seed}:\n{}\n{text}", different.join("\n"));
    Ok(())
}

/// The code of the first finding about a layout; another fault is none of the planner's.
fn refused(seed: u64, fault: &Fault, text: &str) -> Result<(), String> {
    assert_eq!(fault.code, "config-space", "seed {seed}: {fault}\n{:#?}\n{text}", fault.output);
    let code = fault.message.split(['[', ']']).nth(1).unwrap_or(&fault.message);
    Err(code.to_owned())
}

/// Somebody writes to a disk of the plan between the look at it and the run: nothing is touched.
fn change_behind_the_plan(seed: u64, dice: &mut Dice, mut host: SimHost, text: &str) {
    let planned = host.facts().unwrap();
    let found = file_systems(&mut host);
    if found.is_empty() {
        return;
    }
    let (device, kind) = &found[dice.roll(found.len() as u64) as usize];
    let other = if kind == "xfs" { "ext4" } else { "xfs" };
    let mkfs = hostwright_host::Command::mkfs(other).args(["-f", device]);
    assert_eq!(host.run(&mkfs, &mut |_, _| {}).unwrap().status, 0, "seed {seed}: {device}");
    let disks = |host: &SimHost| world(host).without(&["root:"]);
    let before = disks(&host);
    let fault = attempt_for(planned, &mut host, &mut Space::new(text)).expect_err("it is another");
    assert_eq!(fault.code, "disks-changed", "seed {seed}: {fault}");
    let different = before.diff(&disks(&host));
    assert!(different.is_empty(), "seed {seed}: {device}:\n{}\n{text}", different.join("\n"));
}

fn check_kept(seed: u64, world: &World, keep: &Keep, stranger: &[(String, String)], text: &str) {
    assert_eq!(strangers(world), stranger, "seed {seed}: a disk that nobody named was written");
    let found = tokens(world);
    for device in keep.devices() {
        assert!(found.contains(&device), "seed {seed}: {device} is lost; found {found:?}\n{text}");
    }
}

/// All of them, on as many threads as there are processors; the seeds of refused layouts, by code.
fn live_all(seeds: Range<u64>) -> BTreeMap<String, Vec<u64>> {
    let next = AtomicU64::new(seeds.start);
    let refusals = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if let Err(code) = lives(seed) {
                        refusals.lock().unwrap().entry(code).or_insert_with(Vec::new).push(seed);
                    }
                }
            });
        }
    });
    refusals.into_inner().unwrap()
}

#[test]
fn no_disk_is_wrong_and_nothing_kept_is_lost_whatever_fails() {
    // They are made so that they fit, and that nothing is kept whose line makes it anew.
    assert_eq!(live_all(seeds()), BTreeMap::new(), "layouts that could not be planned, by code");
}
