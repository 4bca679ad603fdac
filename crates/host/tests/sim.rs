//! The simulated machine: what its tools do, what a power cut leaves, and that it is strict.

use hostwright_host::dry::DryHost;
use hostwright_host::fault::{Fault, FaultHost};
use hostwright_host::sim::{Cut, Effect, RootKind, SimHost, World};
use hostwright_host::{Command, Host, HostError, MountRequest, Output, ShellRequest, Tool};
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware};
use hostwright_model::ids::Digest;
use hostwright_model::image::{Entry, EntryKind, TreeSource};
use std::collections::BTreeMap;
use std::io::{self, Read};

const GIB: u64 = 1 << 30;
const TABLE: &str = "label: dos\nunit: sectors\n\n\
    1: start=2048, size=4194304, type=83, bootable\n\
    2: start=4196352, size=8386560, type=5\n\
    5: start=4198400, size=1945600, type=82\n";

fn disk(name: &str, signatures: &[&str]) -> Disk {
    Disk {
        links: Vec::new(),
        name: name.to_owned(),
        size_bytes: 8 * GIB,
        sector_bytes: 512,
        model: None,
        serial: None,
        wwn: None,
        rotational: false,
        removable: false,
        signatures: signatures.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn machine(root: RootKind) -> SimHost {
    let facts = Facts {
        version: FACTS_VERSION,
        firmware: Firmware::Bios,
        architecture: "amd64".to_owned(),
        memory_bytes: GIB,
        cpus: 2,
        disks: vec![disk("vda", &[]), disk("nvme0n1", &["ntfs"])],
        nics: vec![],
        dmi: Dmi::default(),
        kernel: "6.1".to_owned(),
        tpm2: false,
        storage: ExistingStorage::default(),
    };
    SimHost::new(facts, root)
}

fn run(host: &mut dyn Host, command: Command) -> Output {
    host.run(&command, &mut |_, _| {}).expect("is simulated")
}

fn ok(host: &mut dyn Host, command: Command) {
    let output = run(host, command);
    assert_eq!(output.status, 0, "{output:?}");
}

fn partition(host: &mut dyn Host) {
    let sfdisk = Command::new(Tool::Sfdisk).args(["--wipe", "always", "--quiet", "/dev/vda"]);
    ok(host, sfdisk.stdin(TABLE));
}

fn mount(host: &mut dyn Host, source: &str, target: &str, kind: &str) -> Result<(), HostError> {
    let (source, target, file_system) = (source.into(), target.into(), Some(kind.into()));
    host.mount(&MountRequest { source, target, file_system, options: String::new() })
}

/// A small installation, each line one operation or more.
fn install(host: &mut dyn Host) -> Result<(), HostError> {
    let on = |host: &mut dyn Host, command: Command| {
        host.run(&command, &mut |_, _| {}).and_then(Output::success).map(|_| ())
    };
    for point in host.mounts_below("/target")?.iter().rev() {
        host.unmount(point)?;
    }
    let sfdisk = Command::new(Tool::Sfdisk).args(["--wipe", "always", "--quiet", "/dev/vda"]);
    on(host, sfdisk.stdin(TABLE))?;
    on(host, Command::mkfs("ext4").args(["-F", "/dev/vda1"]))?;
    mount(host, "/dev/vda1", "/target", "ext4")?;
    on(host, Command::new(Tool::Debootstrap).args(["bookworm", "/target"]))?;
    mount(host, "proc", "/target/proc", "proc")?;
    on(host, Command::new(Tool::Dpkg).args(["--configure", "-a"]).in_root("/target"))?;
    on(host, Command::new(Tool::AptGet).args(["-y", "install", "ssh", "vim"]).in_root("/target"))?;
    on(host, Command::new(Tool::AptGet).arg("clean").in_root("/target"))?;
    host.write("/target/etc/hostname", b"demohost\n", 0o644)?;
    host.unmount("/target/proc")?;
    host.unmount("/target")
}

fn installed() -> (World, u64) {
    let mut host = machine(RootKind::Memory);
    install(&mut host).expect("nothing fails");
    (host.world(), host.ops().len() as u64)
}

#[test]
fn after_a_power_cut_anywhere_a_second_attempt_ends_in_the_same_world() {
    let (expected, ops) = installed();
    assert!(ops > 10);
    for n in 1..=ops {
        for cut in [Cut::Before, Cut::During, Cut::After] {
            for agent_only in [false, true] {
                let mut host = machine(RootKind::Memory);
                host.power_cut_at(n, cut);
                let error = install(&mut host).expect_err("the power goes");
                assert!(matches!(error, HostError::PowerCut), "{n} {cut:?}: {error:?}");
                assert!(host.read("/etc/x").is_err(), "nothing answers without power");
                if agent_only {
                    host.restart()
                } else {
                    host.reboot()
                }
                install(&mut host).expect("the second attempt ends well");
                let differences = expected.diff(&host.world());
                assert!(differences.is_empty(), "{n} {cut:?} {agent_only}: {differences:#?}");
            }
        }
    }
}

#[test]
fn a_world_shows_files_packages_and_partitions() {
    let (world, _) = installed();
    let file = world.get("/dev/vda1:/etc/hostname");
    assert_eq!(file, Some("0644 0:0 file \"demohost\\n\""));
    assert!(world.get("/dev/vda1:/var/lib/dpkg/info/vim.list").is_some());
    assert!(world.get("/dev/vda1:/var/cache/apt/archives/vim.deb").is_none());
    assert!(world.get("/dev/vda1 partition").is_some_and(|line| line.ends_with("bootable")));
    assert!(world.get("/dev/vda1 content").is_some_and(|line| line.starts_with("ext4 ")));
    let other = machine(RootKind::Memory).world();
    let lines = other.diff(&world);
    assert!(lines.contains(&"+ /dev/vda table: dos".to_owned()), "{lines:?}");
    assert_eq!(world.clone().without(&["/dev/vda"]), other);
}

#[test]
fn files_belong_to_the_file_system_they_are_written_to() {
    let mut host = machine(RootKind::Disk);
    partition(&mut host);
    ok(&mut host, Command::mkfs("ext4").arg("/dev/vda1"));
    host.write("/target/below", b"hidden", 0o644).expect("writes");
    mount(&mut host, "/dev/vda1", "/target", "ext4").expect("mounts");
    assert_eq!(host.read("/target/below").expect("reads"), None);
    host.write("/target/file", b"1", 0o644).expect("writes");
    mount(&mut host, "tmpfs", "/target/run", "tmpfs").expect("mounts");
    host.write("/target/run/volatile", b"2", 0o644).expect("writes");
    assert_eq!(host.mounts_below("/target").expect("lists"), ["/target", "/target/run"]);
    assert!(host.unmount("/target").is_err(), "something is mounted in it");
    assert!(host.remove("/target/run").is_err());
    assert_eq!(run(&mut host, Command::mkfs("ext4").arg("/dev/vda1")).status, 1);
    host.unmount("/target/run").expect("unmounts");
    host.unmount("/target").expect("unmounts");
    assert_eq!(host.list("/target").expect("lists"), ["below"]);
    mount(&mut host, "/dev/vda1", "/mnt", "ext4").expect("mounts");
    assert_eq!(host.list("/mnt").expect("lists"), ["file", "lost+found", "run"]);
    host.unmount("/mnt").expect("unmounts");
    ok(&mut host, Command::mkfs("ext4").arg("/dev/vda1"));
    mount(&mut host, "/dev/vda1", "/mnt", "ext4").expect("mounts");
    assert_eq!(host.list("/mnt").expect("lists"), ["lost+found"]);
    assert!(mount(&mut host, "/dev/vda1", "/srv", "xfs").is_err(), "it is no xfs");
    assert!(mount(&mut host, "/dev/vda9", "/srv", "ext4").is_err());
}

#[test]
fn links_lead_where_they_lead_inside_and_outside_a_root() {
    let mut host = machine(RootKind::Disk);
    ok(&mut host, Command::new(Tool::Debootstrap).args(["bookworm", "/target"]));
    host.symlink("/target/etc/link", "/etc/real").expect("links");
    host.write("/etc/real", b"outside", 0o644).expect("writes");
    host.write("/target/etc/real", b"inside", 0o644).expect("writes");
    assert_eq!(host.read("/target/etc/link").expect("reads").as_deref(), Some(&b"outside"[..]));
    host.write("/target/bin/tool", b"", 0o755).expect("writes");
    assert!(host.list("/target/usr/bin").expect("lists").contains(&"tool".to_owned()));
    host.symlink("/a", "/b").expect("links");
    host.symlink("/b", "/a").expect("links");
    assert!(host.read("/a/x").is_err(), "a loop of links");
}

#[test]
fn the_kernel_s_files_follow_the_state() {
    let mut host = machine(RootKind::Memory);
    partition(&mut host);
    ok(&mut host, Command::new(Tool::Mkswap).arg("/dev/vda5"));
    ok(&mut host, Command::new(Tool::Swapon).arg("/dev/vda5"));
    ok(&mut host, Command::mkfs("vfat").args(["-n", "BOOT", "/dev/vda1"]));
    mount(&mut host, "/dev/vda1", "/target", "vfat").expect("mounts");
    let mut text = |path: &str| String::from_utf8(host.read(path).unwrap().unwrap()).unwrap();
    assert!(text("/proc/swaps").contains("/dev/vda5\tpartition\t972800"));
    assert!(text("/proc/self/mounts").contains("/dev/vda1 /target vfat rw 0 0\n"));
    assert_eq!(text("/sys/class/block/vda/vda2/size"), "2\n", "extended, as the kernel shows it");
    let dev = host.list("/dev").expect("lists");
    assert_eq!(dev, ["nvme0n1", "vda", "vda1", "vda2", "vda5"]);
    let block = host.list("/sys/class/block/vda").expect("lists");
    assert_eq!(block, ["holders", "size", "slaves", "vda1", "vda2", "vda5"]);
    let facts = host.facts().expect("answers");
    assert_eq!(facts.disks[0].signatures, ["dos"]);
    assert_eq!(facts.disks[1].signatures, ["ntfs"]);
    let ids = host.device_ids("/dev/vda1").expect("answers");
    assert_eq!((ids.label.as_deref(), ids.kind.as_deref()), (Some("BOOT"), Some("vfat")));
    assert!(ids.partuuid.is_some_and(|uuid| uuid.ends_with("-01")));
    let sfdisk = Command::new(Tool::Sfdisk).args(["-q", "/dev/vda"]).stdin(TABLE);
    assert_eq!(run(&mut host, sfdisk).status, 1, "the disk is in use");
}

#[test]
fn a_table_that_does_not_fit_or_overlaps_is_refused() {
    let mut host = machine(RootKind::Memory);
    let overlap = "label: gpt\nstart=2048, size=100\nstart=2100, size=100\n";
    let large = "label: gpt\nstart=2048, size=99999999\n";
    for script in [overlap, large] {
        let sfdisk = Command::new(Tool::Sfdisk).args(["-q", "/dev/vda"]).stdin(script);
        assert_eq!(run(&mut host, sfdisk).status, 1, "{script}");
    }
    assert_eq!(host.world().get("/dev/vda table"), None);
}

#[test]
fn old_content_is_found_again_at_the_same_place_unless_it_was_wiped() {
    let mut host = machine(RootKind::Memory);
    partition(&mut host);
    ok(&mut host, Command::mkfs("ext4").args(["-L", "old", "/dev/vda1"]));
    partition(&mut host);
    assert_eq!(host.device_ids("/dev/vda1").expect("answers").label.as_deref(), Some("old"));
    ok(&mut host, Command::new(Tool::Wipefs).args(["--all", "--force", "/dev/vda1"]));
    assert_eq!(host.device_ids("/dev/vda1").expect("answers").label, None);
    ok(&mut host, Command::new(Tool::Partx).args(["--delete", "/dev/vda"]));
    assert!(host.device_ids("/dev/vda1").is_err(), "the kernel has forgotten it");
    ok(&mut host, Command::new(Tool::Partx).args(["--update", "--nr", "1:5", "/dev/vda"]));
    assert!(host.device_ids("/dev/vda5").is_ok());
}

#[test]
fn volume_groups_live_on_their_disks_and_sleep_after_a_boot() {
    let mut host = machine(RootKind::Memory);
    ok(&mut host, Command::new(Tool::Wipefs).args(["-a", "/dev/nvme0n1"]));
    ok(&mut host, Command::new(Tool::Pvcreate).args(["-ff", "--yes", "/dev/nvme0n1"]));
    let vgcreate = Command::new(Tool::Vgcreate).args(["--yes", "vg-1", "/dev/nvme0n1"]);
    ok(&mut host, vgcreate.clone());
    assert_eq!(run(&mut host, vgcreate).status, 5, "it is there already");
    let lvcreate = |name: &str, size: u64| {
        let size = format!("{size}b");
        Command::new(Tool::Lvcreate).args(["--yes", "--name", name, "--size", &size, "vg-1"])
    };
    ok(&mut host, lvcreate("root", 5_000_000));
    assert_eq!(run(&mut host, lvcreate("large", 9 * GIB)).status, 5);
    ok(&mut host, Command::mkfs("ext4").arg("/dev/vg-1/root"));
    assert!(host.list("/dev/mapper").expect("lists").contains(&"vg--1-root".to_owned()));
    host.reboot();
    assert!(mount(&mut host, "/dev/vg-1/root", "/target", "ext4").is_err());
    ok(&mut host, Command::new(Tool::Vgchange).args(["--activate", "y", "vg-1"]));
    mount(&mut host, "/dev/vg-1/root", "/target", "ext4").expect("mounts");
    let world = host.world();
    assert!(world.get("/dev/vg-1/root volume").is_some_and(|line| line.starts_with("8388608 ")));
    host.unmount("/target").expect("unmounts");
    ok(&mut host, Command::new(Tool::Wipefs).args(["-a", "-f", "/dev/nvme0n1"]));
    assert_eq!(host.world().get("vg-1 group"), None);
}

#[test]
fn an_interrupted_installation_of_packages_must_be_settled_first() {
    let mut host = machine(RootKind::Disk);
    ok(&mut host, Command::new(Tool::Debootstrap).args(["bookworm", "/target"]));
    let apt = || Command::new(Tool::AptGet).args(["-y", "install", "a", "b"]).in_root("/target");
    host.power_cut_at(2, Cut::During);
    assert!(host.run(&apt(), &mut |_, _| {}).is_err());
    host.reboot();
    let output = run(&mut host, apt());
    assert_eq!(output.status, 100);
    assert!(output.tail[0].contains("dpkg --configure -a"), "{output:?}");
    ok(&mut host, Command::new(Tool::Dpkg).args(["--configure", "-a"]).in_root("/target"));
    ok(&mut host, apt());
    host.hide_package("c");
    let missing = Command::new(Tool::AptGet).args(["install", "c/sid"]).in_root("/target");
    assert_eq!(run(&mut host, missing).tail, ["E: Unable to locate package c/sid"]);
}

#[test]
fn what_is_not_simulated_is_an_error() {
    let mut host = machine(RootKind::Memory);
    let unknown = [
        Command::new(Tool::Mksquashfs),
        Command::new(Tool::Sfdisk).args(["--relocate", "/dev/vda"]),
        Command::new(Tool::Sfdisk).arg("/dev/vda").stdin("label: gpt\n,,L\n"),
        Command::new(Tool::AptGet).arg("moo"),
        Command::mkfs("zfs").arg("/dev/vda"),
        Command::new(Tool::Udevadm).arg("info"),
    ];
    ok(&mut host, Command::new(Tool::Debootstrap).args(["bookworm", "/"]));
    for command in unknown {
        let error = host.run(&command, &mut |_, _| {}).expect_err("is not simulated");
        assert!(matches!(error, HostError::Probe { .. }), "{command:?}: {error:?}");
    }
    let env = BTreeMap::new();
    let start = ShellRequest::Start { env, prelude: String::new() };
    host.shell(&start, &mut |_, _| {}).expect("starts");
    let eval = ShellRequest::Eval { script: "task_error 5".to_owned(), dir: "/".to_owned() };
    assert!(host.shell(&eval, &mut |_, _| {}).is_err());
    host.tool("mksquashfs", Effect::writes("/out.img", "squashed"));
    ok(&mut host, Command::new(Tool::Mksquashfs));
    assert!(host.read("/out.img").expect("reads").is_some());
}

#[test]
fn scripts_do_what_they_are_said_to_do_and_leave_a_mark() {
    let mut host = machine(RootKind::Disk);
    for name in ["class/10-a", "class/X.var", "hooks/die.sh", "log/disk_var.sh"] {
        host.add_file(&format!("/space/{name}"), "", 0o755);
    }
    host.script("/space/class/10-a", Effect::prints("DEBIAN AMD64"));
    host.script("/space/class/X.var", Effect::sets("ROOTPW", "x"));
    let die = Effect { status: 3, exits: true, ..Effect::default() };
    host.script("/space/hooks/die.sh", die);
    host.write("/space/log/disk_var.sh", b"B=${B:-new}\nC=\"x y\"\n", 0o644).expect("writes");
    let env = BTreeMap::from([
        ("target".to_owned(), "/target".to_owned()),
        ("classes".to_owned(), "DEFAULT".to_owned()),
        ("B".to_owned(), "old".to_owned()),
    ]);
    let mut shell = |request: ShellRequest| host.shell(&request, &mut |_, _| {});
    let dir = "/space".to_owned();
    let source = |name: &str| ShellRequest::Source {
        path: format!("/space/{name}"),
        dir: dir.clone(),
        trace: false,
    };
    shell(ShellRequest::Start { env, prelude: String::new() }).expect("starts");
    let (path, args) = ("/space/class/10-a".to_owned(), vec!["-v".to_owned()]);
    let execute = ShellRequest::Execute { path: path.clone(), args, dir: dir.clone() };
    assert_eq!(shell(execute).expect("runs").stdout, "DEBIAN AMD64\n");
    let args = vec!["PERL5LIB=/x".to_owned(), path, "-v".to_owned()];
    let env = ShellRequest::Execute { path: "/usr/bin/env".to_owned(), args, dir: dir.clone() };
    assert_eq!(shell(env).expect("runs").stdout, "DEBIAN AMD64\n");
    assert_eq!(shell(source("class/X.var")).expect("runs").vars["ROOTPW"], "x");
    let vars = shell(source("log/disk_var.sh")).expect("runs").vars;
    assert_eq!((vars["B"].as_str(), vars["C"].as_str()), ("old", "x y"));
    assert!(shell(source("missing")).is_err());
    let error = shell(source("hooks/die.sh")).expect_err("the shell ends");
    assert!(matches!(error, HostError::Failed { status: 3, .. }));
    assert!(shell(source("class/X.var")).is_err(), "until it is started again");
    let mark = "root:/target/var/lib/simulated/ran:|space|class|10-a";
    let world = host.world();
    let line = world.get(mark).expect("is marked");
    assert!(line.contains("-v\\nFAI_ACTION=\\nFAI_ROOT=\\nclasses=DEFAULT"), "{line}");
    assert_eq!(host.executed().len(), 5);
}

struct OneFile(Vec<Entry>);

impl TreeSource for OneFile {
    fn entries(&self) -> &[Entry] {
        &self.0
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        match entry.path.as_str() {
            "bad" => Err(io::ErrorKind::InvalidData.into()),
            _ => Ok(Box::new(&b"content"[..])),
        }
    }
}

fn tree(names: &[&str]) -> OneFile {
    let file = |path: &&str| Entry {
        path: (*path).to_owned(),
        mode: 0o640,
        uid: 1,
        gid: 2,
        mtime: 0,
        xattrs: BTreeMap::from([("user.x".to_owned(), b"y".to_vec())]),
        kind: EntryKind::File { size: 7, digest: Digest([0; 32]) },
    };
    let mut entries: Vec<Entry> = names.iter().map(file).collect();
    let kind = EntryKind::Hardlink { target: names[0].to_owned() };
    entries.push(Entry { path: "link".to_owned(), kind, ..file(&"link") });
    OneFile(entries)
}

#[test]
fn a_tree_is_laid_down_with_everything_that_belongs_to_it() {
    let mut host = machine(RootKind::Disk);
    let mut bytes = 0;
    host.lay_tree("/target", &tree(&["a/file"]), &mut |sum| bytes = sum).expect("lays");
    assert_eq!(bytes, 7);
    let world = host.world();
    let expected = Some("0640 1:2 file \"content\" user.x=y");
    assert_eq!(world.get("root:/target/a/file"), expected);
    assert_eq!(world.get("root:/target/link"), expected);
    assert!(host.lay_tree("/target", &tree(&["bad"]), &mut |_| {}).is_err());
}

#[test]
fn a_dry_host_reads_but_only_records_what_would_be_written() {
    let mut inner = machine(RootKind::Disk);
    inner.add_file("/etc/old", "old", 0o644);
    let before = inner.world();
    let mut host = DryHost::new(inner);
    install(&mut host).expect("everything would succeed");
    assert_eq!(host.read("/etc/old").expect("reads").as_deref(), Some(&b"old"[..]));
    host.append("/etc/old", b"+").expect("records");
    assert_eq!(host.read("/etc/old").expect("reads").as_deref(), Some(&b"old+"[..]));
    host.rename("/etc/old", "/etc/new").expect("records");
    assert_eq!(host.list("/etc").expect("lists"), ["new"]);
    let lines = host.ops();
    assert!(lines.contains(&"mkfs.ext4 -F /dev/vda1".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"mount -t ext4 -o defaults /dev/vda1 /target".to_owned()));
    assert!(lines.contains(&"write /target/etc/hostname (9 bytes, mode 0644)".to_owned()));
    assert_eq!(host.into_inner().world(), before);
}

#[test]
fn listed_faults_come_where_they_are_listed() {
    let mut host = FaultHost::listed(
        machine(RootKind::Disk),
        vec![Fault::Before(1), Fault::After(2), Fault::OnTool(Tool::Mkfs, 2)],
    );
    let error = host.write("/one", b"", 0o644).expect_err("before");
    assert_eq!(error.to_string(), "cannot write /one");
    assert_eq!(host.read("/one").expect("reads"), None);
    host.write("/two", b"", 0o644).expect_err("after");
    assert!(host.read("/two").expect("reads").is_some());
    let mkfs = Command::mkfs("ext4").arg("/dev/vda");
    assert_eq!(run(&mut host, mkfs.clone()).status, 0);
    assert_eq!(run(&mut host, mkfs.clone()).status, 1);
    assert_eq!(run(&mut host, mkfs).status, 0);
    assert_eq!((host.injected().len(), host.ops()), (3, 5));
}

#[test]
fn a_seed_gives_the_same_faults_again() {
    let faults = |seed: u64| {
        let mut host = FaultHost::seeded(machine(RootKind::Disk), seed, 5);
        for number in 0..200 {
            let _ = host.write(&format!("/{number}"), b"", 0o644);
        }
        assert_eq!(host.seed(), Some(seed));
        host.injected().to_vec()
    };
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
    assert!((20..70).contains(&faults(7).len()), "{}", faults(7).len());
    assert!(faults(7)[0].contains("seed 7"), "{:?}", faults(7)[0]);
}
