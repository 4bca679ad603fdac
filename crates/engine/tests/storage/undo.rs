//! A run that stops before anything is formatted is undone, and only on the disks that it was on.

use crate::rig::{Space, attempt, boot_by_names, disk, forget_run, machine, world, world_at_rest};
use hostwright_engine::undo_record;
use hostwright_host::sim::{Cut, RootKind, SimHost};

/// Without logical volumes: to remove one is final.
const MIRRORS: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary - 300 - -
primary - 3000 - -

disk_config disk2 sameas:disk1

disk_config raid fstabkey:uuid
raid1 /boot disk1.1,disk2.1 vfat rw mdcreateopts=\"--metadata=1.0\"
raid1 / disk1.2,disk2.2 ext4 rw
";
const PLAIN: &str = "\
disk_config disk1 disklabel:gpt
primary / 2000 ext4 rw

disk_config disk2 disklabel:msdos
primary /data 3000 ext4 rw
";

/// The power goes just before the next life formats anything; the machine as it was before, too.
fn stopped_before_formatting() -> (SimHost, SimHost) {
    let disks = [disk("vda", 10), disk("vdb", 10)];
    let mut host = machine(&disks, RootKind::Disk);
    attempt(&mut host, &mut Space::new(MIRRORS)).unwrap_or_else(|fault| panic!("{fault}"));
    boot_by_names(&mut host);
    forget_run(&mut host);
    let (before, done) = (host.clone(), host.ops().len());
    let mut calm = host.clone();
    attempt(&mut calm, &mut Space::new(PLAIN)).unwrap_or_else(|fault| panic!("{fault}"));
    let ops = &calm.ops()[done..];
    let formats = ops.iter().position(|op| op.contains("mkfs")).expect("something is formatted");
    let is_journal = |op: &String| op.contains("/record/journal");
    // The line that says so comes before: what it stands for is final.
    let at = ops[..formats].iter().rposition(is_journal).expect("every step is noted");
    host.power_cut_at((done + at) as u64 + 1, Cut::Before);
    let fault = attempt(&mut host, &mut Space::new(PLAIN)).expect_err("the power went");
    assert_eq!(fault.code, "power-cut");
    (before, host)
}

#[test]
fn the_disks_are_as_they_were() {
    let (before, mut host) = stopped_before_formatting();
    host.reboot();
    let disks = |host: &SimHost| world(host).without(&["root:"]);
    assert!(!disks(&before).diff(&disks(&host)).is_empty(), "the run has changed something");
    let changed = undo_record(&mut host, "/record").unwrap_or_else(|fault| panic!("{fault}"));
    assert!(changed > 0);
    let disks = |host: &SimHost| world_at_rest(host).without(&["root:"]);
    let different = disks(&before).diff(&disks(&host));
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn disks_that_have_changed_their_names_are_left_alone() {
    let (_, mut host) = stopped_before_formatting();
    host.exchange_disks("vda", "vdb");
    let before = world(&host);
    let fault = undo_record(&mut host, "/record").expect_err("each disk has the other's name");
    assert_eq!(fault.code, "disks-changed", "{fault}");
    assert!(fault.cure.starts_with("nothing was put back"), "{fault}");
    let different = before.diff(&world(&host));
    assert!(different.is_empty(), "{}", different.join("\n"));

    host.exchange_disks("vda", "vdb");
    undo_record(&mut host, "/record").unwrap_or_else(|fault| panic!("{fault}"));
}
