//! Layouts, earlier lives and faults at random, all from one seed: no disk is written that the layout
//! does not name, nothing is lost that is to be kept, no run stops without a cause, and none begins on
//! a disk that is not as it was when the plan was made.
//!
//! `HOSTWRIGHT_STORAGE_SEEDS=0..10000` runs those seeds instead of a few.

use crate::layouts::{Dice, Keep, RandomLayout};
use crate::rig::{
    Space, attempt, attempt_for, boot, boot_by_names, disk, file_systems, forget_run, leave_token,
    machine, tokens, world, world_at_rest,
};
use hostwright_host::Host as _;
use hostwright_host::fault::FaultHost;
use hostwright_host::sim::{Cut, RootKind, SimHost, World};
use std::ops::Range;

const SEEDS: Range<u64> = 0..40;
/// More starts of the engine than any run needs.
const ATTEMPTS_MAX: u64 = 200;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("HOSTWRIGHT_STORAGE_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// A machine with a stranger's file system on a disk that no layout names.
fn with_stranger(disks: usize, root: RootKind) -> SimHost {
    let names = ["vda", "vdb", "vdc"];
    let list: Vec<_> = names[..disks].iter().map(|name| disk(name, 8)).collect();
    let mut host = machine(&list, root);
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
                assert!(
                    !injected.is_empty(),
                    "seed {seed}: stopped without a cause: {fault}\n{:#?}\n{:#?}",
                    fault.output,
                    host.ops().iter().rev().take(30).collect::<Vec<_>>()
                );
                host.restart();
            }
        }
    }
    panic!("seed {seed}: not done after {ATTEMPTS_MAX} attempts");
}

/// Two lives of one machine. False for a layout that no planner accepts.
fn lives(seed: u64) -> bool {
    let mut dice = Dice::new(seed);
    let disks = 1 + dice.roll(3) as usize;
    let root = if dice.roll(3) == 0 { RootKind::Memory } else { RootKind::Disk };
    let fresh = with_stranger(disks, root);
    let stranger = strangers(&world(&fresh));

    let first = RandomLayout::roll(&mut dice, disks);
    let text = first.text(&Keep::default());
    let mut calm = fresh.clone();
    if let Err(fault) = attempt(&mut calm, &mut Space::new(&text)) {
        assert_eq!(fault.code, "config-space", "seed {seed}: {fault}\n{:#?}\n{text}", fault.output);
        return false;
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
        0 => (RandomLayout::roll(&mut dice, disks), Keep::default()),
        _ => (first.clone(), first.choose(&mut dice)),
    };
    let text = second.text(&keep);
    let mut calm = host.clone();
    if let Err(fault) = attempt(&mut calm, &mut Space::new(&text)) {
        assert_eq!(fault.code, "config-space", "seed {seed}: {fault}\n{:#?}\n{text}", fault.output);
        return false;
    }
    check_kept(seed, &world_at_rest(&calm), &keep, &stranger, &text);
    change_behind_the_plan(seed, &mut dice, host.clone(), &text);
    let host = stumble(&mut dice, host, &mut Space::new(&text), seed + (1 << 40));
    check_kept(seed, &world_at_rest(&host), &keep, &stranger, &text);
    let different = world_at_rest(&calm).diff(&world_at_rest(&host));
    assert!(different.is_empty(), "seed {seed}:\n{}\n{text}", different.join("\n"));
    true
}

/// Somebody writes to a disk of the plan between the look at it and the run: nothing is touched.
fn change_behind_the_plan(seed: u64, dice: &mut Dice, mut host: SimHost, text: &str) {
    let planned = host.facts().unwrap();
    let found = file_systems(&mut host);
    let on_disks: Vec<_> =
        found.iter().filter(|(device, _)| device.starts_with("/dev/vd")).collect();
    if on_disks.is_empty() {
        return;
    }
    let (device, kind) = on_disks[dice.roll(on_disks.len() as u64) as usize];
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

#[test]
fn no_disk_is_wrong_and_nothing_kept_is_lost_whatever_fails() {
    let seeds = seeds();
    let count = seeds.end - seeds.start;
    let whole = seeds.filter(|seed| lives(*seed)).count() as u64;
    assert!(whole * 2 > count, "only {whole} of {count} layouts could be planned");
}
