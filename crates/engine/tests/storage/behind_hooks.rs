//! Hooks that handle disks themselves: what they do to them is planned for, what they partition is
//! left alone, and a layout that does not fit stops a run only once they have had their say.

use crate::layouts::RAID;
use crate::rig::{Space, attempt, boot_by_names, disk, forget_run, machine, tokens, world_at_rest};
use hostwright_host::sim::{Effect, RootKind, SimHost};
use hostwright_host::{Command, Tool};

const HOOK: &str = "partition.TEST";
const PLAIN: &str = "\
disk_config disk1 disklabel:gpt
primary / 2000 ext4 rw

disk_config disk2 disklabel:msdos
primary /data 3000 ext4 rw
";
/// More than the disk has.
const TOO_LARGE: &str = "disk_config disk1 disklabel:gpt\nprimary / 50000 ext4 rw\n";

fn fresh() -> SimHost {
    machine(&[disk("vda", 10), disk("vdb", 10)], RootKind::Disk)
}

fn with_hook(mut host: SimHost, effect: Effect) -> SimHost {
    let path = format!("/space/hooks/{HOOK}");
    host.add_file(&path, "#!/bin/sh\n", 0o755);
    host.script(path, effect);
    host.script("mount2dir", Effect::default());
    host
}

/// A machine with arrays and a volume group that run.
fn second_life() -> SimHost {
    let mut host = fresh();
    attempt(&mut host, &mut Space::new(RAID)).unwrap_or_else(|fault| panic!("{fault}"));
    boot_by_names(&mut host);
    forget_run(&mut host);
    host.restart();
    boot_by_names(&mut host);
    host
}

#[test]
fn disks_that_a_hook_takes_apart_or_formats_are_planned_for() {
    let tool = |tool, args: &[&str]| Command::new(tool).args(args.iter().copied());
    let apart = [
        tool(Tool::Vgchange, &["--activate", "n", "vg1"]),
        tool(Tool::Mdadm, &["--stop", "/dev/md1"]),
        tool(Tool::Wipefs, &["--all", "/dev/vda2"]),
    ];
    for commands in [apart[..1].to_vec(), apart[..2].to_vec(), apart.to_vec()] {
        let hook = Effect { commands, ..Effect::default() };
        let mut host = with_hook(second_life(), hook);
        let mut space = Space::with_hooks(PLAIN, &[HOOK]);
        attempt(&mut host, &mut space)
            .unwrap_or_else(|fault| panic!("{fault}\n{:#?}", fault.output));
        let mut plain = second_life();
        attempt(&mut plain, &mut Space::new(PLAIN)).unwrap();
        let (world, plain) = (world_at_rest(&host), world_at_rest(&plain));
        let of_disks = |name: &str| name.starts_with("/dev/vd") && !name.contains("simulated");
        let different = plain.diff(&world).into_iter().filter(|line| of_disks(line));
        assert_eq!(different.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn a_layout_that_does_not_fit_is_refused_once_the_hooks_have_run() {
    let mut host = with_hook(fresh(), Effect::default());
    let fault = attempt(&mut host, &mut Space::with_hooks(TOO_LARGE, &[HOOK])).unwrap_err();
    assert_eq!(fault.code, "config-space", "{fault}");
    assert!(fault.message.contains("disk-config-disk-too-small"), "{fault}");
    assert!(host.executed().contains(&format!("/space/hooks/{HOOK}")), "{:?}", host.executed());
    let before = fresh().ops().len();
    assert!(!host.ops()[before..].iter().any(|op| op.starts_with("sfdisk")), "nothing is written");
}

#[test]
fn a_hook_that_partitions_itself_has_the_last_word() {
    let fstab = ("/tmp/fai/fstab".to_owned(), "/dev/vda1 / ext4 rw 0 1\n".to_owned());
    let file = |name: &str, text: &str| (format!("/tmp/fai/{name}"), text.to_owned());
    let says = [file("skip.partition", ""), file("disk_var.sh", "BOOT_DEVICE=/dev/vda\n")];
    for said in says {
        for layout in [TOO_LARGE, PLAIN] {
            let files = vec![fstab.clone(), said.clone()];
            let hook = Effect { files, ..Effect::default() };
            let mut host = with_hook(fresh(), hook);
            let before = world_at_rest(&host);
            attempt(&mut host, &mut Space::with_hooks(layout, &[HOOK]))
                .unwrap_or_else(|fault| panic!("{said:?}: {fault}\n{:#?}", fault.output));
            let tables: Vec<&String> = host
                .ops()
                .iter()
                .filter(|op| op.contains("sfdisk") || op.contains("mkfs"))
                .collect();
            assert_eq!(tables, Vec::<&String>::new(), "{said:?}");
            assert_eq!(tokens(&before), tokens(&world_at_rest(&host)));
        }
    }
    let empty = file("disk_var.sh", "");
    let mut host = with_hook(fresh(), Effect { files: vec![empty], ..Effect::default() });
    attempt(&mut host, &mut Space::with_hooks(PLAIN, &[HOOK])).unwrap();
    assert!(host.ops().iter().any(|op| op.contains("mkfs")), "an empty file says nothing");
}
