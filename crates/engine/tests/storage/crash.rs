//! The power goes before, during and after each operation of layouts with every kind of layer; the
//! run is taken up again, and the disks must be those of a run that nothing disturbed.

use crate::layouts::{AFTER_RESIZE, BEFORE_RESIZE, BTRFS, LUKS, RAID};
use crate::rig::{
    Space, attempt, boot, boot_by_names, boot_with_groups, disk, file_systems, forget_run,
    leave_token, machine, tokens, world_at_rest,
};
use hostwright_host::sim::{Cut, RootKind, SimHost, World};

fn disks() -> Vec<hostwright_model::facts::Disk> {
    vec![disk("vda", 10), disk("vdb", 10)]
}

/// The cuts to try at one operation: each in its turn, or all with `HOSTWRIGHT_STORAGE_CUTS=all`.
fn cuts(at: usize) -> Vec<Cut> {
    let all = [Cut::Before, Cut::During, Cut::After];
    match std::env::var("HOSTWRIGHT_STORAGE_CUTS").as_deref() {
        Ok("all") => all.to_vec(),
        _ => vec![all[at % all.len()]],
    }
}

fn crash_everywhere(fresh: &SimHost, text: &str) -> World {
    crash_everywhere_in(fresh, Space::new(text))
}

/// Runs undisturbed, then with each cut; the world at the end.
pub fn crash_everywhere_in(fresh: &SimHost, space: Space) -> World {
    crash_and_start(fresh, space, boot)
}

/// The same on a machine that starts in its own way.
fn crash_and_start(fresh: &SimHost, mut space: Space, start: fn(&mut SimHost)) -> World {
    let mut host = fresh.clone();
    let before = host.ops().len();
    attempt(&mut host, &mut space)
        .unwrap_or_else(|fault| panic!("{fault}\n{:#?}\n{:#?}", fault.output, host.ops()));
    let (ops, calm) = (host.ops()[before..].to_vec(), world_at_rest(&host));
    for (at, op) in ops.iter().enumerate() {
        for cut in cuts(at) {
            let mut host = fresh.clone();
            host.power_cut_at((before + at) as u64 + 1, cut);
            let fault = attempt(&mut host, &mut space).expect_err("the power went");
            assert_eq!(fault.code, "power-cut", "{cut:?} {op}: {fault}");
            start(&mut host);
            if let Err(fault) = attempt(&mut host, &mut space) {
                let ops = host.ops().iter().skip(before + at).cloned().collect::<Vec<_>>();
                panic!("{cut:?} '{op}' cannot be resumed: {fault}\n{:#?}\n{ops:#?}", fault.output);
            }
            let different = calm.diff(&world_at_rest(&host));
            assert!(different.is_empty(), "{cut:?} '{op}':\n{}", different.join("\n"));
        }
    }
    calm
}

/// A machine that was installed with `text` before, with a token in each file system.
pub fn second_life(text: &str) -> SimHost {
    let mut host = machine(&disks(), RootKind::Disk);
    attempt(&mut host, &mut Space::new(text)).unwrap_or_else(|fault| panic!("{fault}"));
    boot_by_names(&mut host);
    for (device, kind) in file_systems(&mut host) {
        leave_token(&mut host, &device, &kind, &device);
    }
    forget_run(&mut host);
    host
}

#[test]
fn arrays_with_volumes_survive_a_power_cut_at_every_operation() {
    let world = crash_everywhere(&machine(&disks(), RootKind::Disk), RAID);
    let conf = world.get("/dev/vg1/root:/etc/mdadm/mdadm.conf").expect("arrays have names");
    assert!(conf.contains("ARRAY /dev/md0 metadata=1.0 UUID="), "{conf}");
    assert!(conf.contains("ARRAY /dev/md1 metadata=1.2 UUID="), "{conf}");
}

#[test]
fn encrypted_devices_survive_a_power_cut_at_every_operation() {
    let world = crash_everywhere(&machine(&disks(), RootKind::Disk), LUKS);
    let crypttab = world.get("/dev/vda1:/etc/crypttab").expect("there is one");
    for part in [
        "crypt_dev_vda5\\tUUID=",
        "/etc/keys/crypt_dev_vda5.key\\tluks,discard",
        "none\\tluks,discard",
        "crypt_dev_vda7\\tPARTUUID=",
        "swap,cipher=aes-xts-plain64,size=512",
        "tmp=ext4,cipher=",
    ] {
        assert!(crypttab.contains(part), "{part}: {crypttab}");
    }
    let key = world.get("/dev/vda1:/etc/keys/crypt_dev_vda5.key").expect("the key is kept");
    assert!(key.starts_with("0600 0:0"), "{}", &key[..20]);
    let leaks: Vec<&str> =
        world.iter().filter(|(_, line)| line.contains("correct horse")).map(|(n, _)| n).collect();
    assert_eq!(leaks, [] as [&str; 0], "the passphrase is nowhere");
}

#[test]
fn a_passphrase_is_in_no_command_and_no_record() {
    let mut host = machine(&disks(), RootKind::Disk);
    attempt(&mut host, &mut Space::new(LUKS)).unwrap();
    let ops = host.ops().join("\n");
    assert!(ops.contains("--key-file=-"), "it is given on standard input");
    assert!(!ops.contains("correct horse"), "{ops}");
    let everything = host.world();
    let leaks: Vec<&str> = everything
        .iter()
        .filter(|(name, line)| name.contains("/record/") && line.contains("correct horse"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(leaks, [] as [&str; 0]);
}

#[test]
fn btrfs_on_two_disks_survives_a_power_cut_at_every_operation() {
    let world = crash_everywhere(&machine(&disks(), RootKind::Disk), BTRFS);
    assert!(world.get("/dev/vda2:/@data").is_some(), "the subvolume is there");
}

#[test]
fn a_kept_array_survives_a_power_cut_at_every_operation_of_the_next_life() {
    let fresh = second_life(RAID);
    let next = RAID.replace("raid fstabkey", "raid preserve_lazy:0 fstabkey");
    let world = crash_everywhere(&fresh, &next);
    assert_eq!(tokens(&world), ["/dev/md0"], "{world:#?}");
}

#[test]
fn a_kept_volume_survives_a_power_cut_at_every_operation_of_the_next_life() {
    let fresh = second_life(RAID);
    let next = RAID.replace("lvm fstabkey", "lvm preserve_lazy:vg1-home fstabkey");
    let world = crash_everywhere(&fresh, &next);
    assert_eq!(tokens(&world), ["/dev/vg1/home"], "{world:#?}");
}

#[test]
fn what_is_resized_survives_a_power_cut_at_every_operation() {
    let mut fresh = second_life(BEFORE_RESIZE);
    // What is in a logical volume can only be told while it is active.
    boot_with_groups(&mut fresh);
    let world = crash_and_start(&fresh, Space::new(AFTER_RESIZE), boot_with_groups);
    let kept =
        ["/dev/vda1", "/dev/vda2", "/dev/vda3", "/dev/vdb6", "/dev/vg1/home", "/dev/vg1/mail"];
    let mut found = tokens(&world);
    found.sort();
    assert_eq!(found, kept, "{world:#?}");
}

#[test]
fn another_life_takes_every_layer_of_the_first_apart() {
    let plain = "disk_config disk1 disklabel:gpt\nprimary / 2000 ext4 rw\n\n\
                 disk_config disk2 disklabel:msdos\nprimary /data 3000 ext4 rw\n";
    for first in [RAID, LUKS, BTRFS] {
        let world = crash_everywhere(&second_life(first), plain);
        assert_eq!(tokens(&world), [] as [&str; 0]);
        let left: Vec<&str> = world
            .iter()
            .filter(|(name, _)| name.ends_with(" array") || name.ends_with(" group"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(left, [] as [&str; 0]);
    }
}
