//! A simulated machine with several disks, and runs that only partition and mount.

use hostwright_engine::{NoImages, Planner, Session, Settings, run};
use hostwright_host::sim::{Effect, RootKind, SimHost, World};
use hostwright_host::{Command, Host, MountRequest, Tool};
use hostwright_model::api::RecoveryKey;
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::StepId;
use hostwright_model::overrides::Overrides;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{
    Action, Discovered, Inputs, Plan, Rules, Skip, Step, TargetProfile, Why,
};
use hostwright_model::space::TreeFile;
use hostwright_plan::{ConfigSpace, ConfigTree, check_plan, parse, resolve, storage};
use std::collections::BTreeMap;

/// What differs by nature: the journal and logs.
const NOT_COMPARED: [&str; 2] = ["/record/", "/tmp/fai"];
/// Phases that have nothing to do with storage.
const SKIPPED: [Phase; 9] = [
    Phase::Extrbase,
    Phase::Debconf,
    Phase::Repository,
    Phase::Updatebase,
    Phase::Instsoft,
    Phase::Configure,
    Phase::Tests,
    Phase::Chboot,
    Phase::Savelog,
];

/// A disk that no layout names.
pub const STRANGER: &str = "/dev/vdz";

/// What a test adds to a plan.
pub type Addition = fn(&mut Plan);

/// A space with one disk_config.
#[derive(Clone)]
pub struct Space {
    space: ConfigSpace,
    addition: Option<Addition>,
    /// Recovery keys that were given away.
    pub recovery_keys: Vec<RecoveryKey>,
}

impl Space {
    pub fn new(disk_config: &str) -> Self {
        Self::with_hooks(disk_config, &[])
    }

    /// The same with hooks, by their names.
    pub fn with_hooks(disk_config: &str, hooks: &[&str]) -> Self {
        let mut tree = ConfigTree::default();
        for name in hooks {
            tree.files.insert(format!("hooks/{name}"), TreeFile::file(b"#!/bin/sh\n", true));
        }
        let file = TreeFile::file(disk_config.as_bytes(), false);
        tree.files.insert("disk_config/TEST".to_owned(), file);
        for path in ["class/README", "basefiles/TEST.tar.xz"] {
            tree.files.insert(path.to_owned(), TreeFile::file(b"", false));
        }
        Self { space: parse(&tree).0, addition: None, recovery_keys: Vec::new() }
    }

    /// The same with more steps behind those that partition and mount.
    pub fn with(disk_config: &str, addition: Addition) -> Self {
        Self { addition: Some(addition), ..Self::new(disk_config) }
    }
}

impl Planner for Space {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        let mut plan = resolve(&self.space, inputs).map_err(|found| {
            let words: Vec<String> = found.iter().map(ToString::to_string).collect();
            Box::new(Fault::new(FaultKind::Config, "config-space", words.join("\n"), "mend it"))
        })?;
        let found = check_plan(&plan, inputs);
        if !found.is_empty() {
            let words: Vec<String> = found.iter().map(ToString::to_string).collect();
            let (kind, code) = (FaultKind::Bug, "plan-refused");
            return Err(Box::new(Fault::new(kind, code, words.join("\n"), "mend it")));
        }
        // Without a base system nobody else writes what the installed system needs.
        let mounts = plan.stages.iter_mut().rfind(|stage| stage.phase == Phase::Mountdisks);
        if let Some(stage) = mounts {
            let (id, action) = ("fstab".into(), Action::InstallFstab);
            stage.steps.push(Step { id, action, why: Why::default() });
        }
        if let Some(add) = self.addition {
            add(&mut plan);
        }
        Ok(plan)
    }

    fn keep_recovery_key(&mut self, key: &RecoveryKey) -> Result<(), Box<Fault>> {
        self.recovery_keys.push(key.clone());
        Ok(())
    }

    fn passphrase(&mut self, file: &str, line: u32) -> Option<String> {
        let class = file.strip_prefix("disk_config/")?.parse().ok()?;
        let config = &self.space.disk_configs.get(&class)?.config;
        storage::passphrase(config, line).map(str::to_owned)
    }
}

pub fn disk(name: &str, gib: u64) -> Disk {
    Disk {
        name: name.to_owned(),
        size_bytes: gib << 30,
        sector_bytes: 512,
        model: None,
        serial: Some(format!("serial-{name}")),
        wwn: None,
        rotational: false,
        removable: false,
        links: Vec::new(),
        signatures: Vec::new(),
    }
}

/// A machine with these disks, and one more that no layout names.
pub fn machine(disks: &[Disk], root: RootKind) -> SimHost {
    machine_with(disks, root, Firmware::Bios)
}

/// The same with that firmware.
pub fn machine_with(disks: &[Disk], root: RootKind, firmware: Firmware) -> SimHost {
    let mut disks = disks.to_vec();
    disks.push(disk("vdz", 4));
    let facts = Facts {
        version: FACTS_VERSION,
        firmware,
        architecture: "amd64".to_owned(),
        memory_bytes: 2 << 30,
        cpus: 2,
        disks,
        nics: Vec::new(),
        dmi: Dmi::default(),
        kernel: "6.1.0-18-amd64".to_owned(),
        tpm2: false,
        storage: ExistingStorage::default(),
    };
    let mut host = SimHost::new(facts, root);
    host.add_file("/dev/null", "", 0o666);
    let none = Effect::default;
    for text in ["cfclasses=", "declare -f", "unset newclasses"] {
        host.script(text, none());
    }
    let root_command = BTreeMap::from([("ROOTCMD".to_owned(), "chroot /target".to_owned())]);
    host.script("unshare --fork", Effect { vars: root_command, ..none() });
    host
}

fn settings() -> Settings {
    Settings {
        record_dir: "/record".to_owned(),
        space_dir: "/space".to_owned(),
        target_dir: "/target".to_owned(),
        log_dir: "/tmp/fai".to_owned(),
        program: "/bin/false".to_owned(),
        shims: false,
        package_proxy: None,
        vars: BTreeMap::new(),
        defaults: BTreeMap::new(),
        flags: Vec::new(),
        verbose: false,
        firmware_view: None,
        fat_stage_dir: None,
    }
}

/// The inputs of a run on the machine as it is now.
pub fn inputs(facts: Facts) -> Inputs {
    let by = StepId::from("operator");
    let skip = |phase: Phase| Skip { phase, by: by.clone() };
    Inputs {
        facts,
        hostname: "demohost".to_owned(),
        target: TargetProfile::DisksClassic,
        given_classes: vec!["TEST".parse().unwrap()],
        run_class_scripts: false,
        classes: None,
        vars: None,
        skips: SKIPPED.into_iter().map(skip).collect(),
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    }
}

/// One start of the engine.
pub fn attempt(host: &mut dyn Host, space: &mut Space) -> Result<(), Box<Fault>> {
    let facts = host.facts().map_err(|error| Box::new(hostwright_engine::of_host(&error)))?;
    attempt_for(facts, host, space)
}

/// The same with facts that may be old.
pub fn attempt_for(facts: Facts, host: &mut dyn Host, space: &mut Space) -> Result<(), Box<Fault>> {
    let mut images = NoImages;
    let mut session = Session::open(host, &mut images, settings(), inputs(facts))?;
    run(&mut session, space, &mut |_| {})?;
    Ok(())
}

/// A run of its own: whatever an earlier one left beside the disks is gone.
pub fn forget_run(host: &mut SimHost) {
    boot(host);
    for dir in ["/record", "/tmp/fai", "/target"] {
        host.remove(dir).unwrap();
    }
}

/// The machine starts, and udev assembles the arrays that are whole, under names of its own.
pub fn boot(host: &mut SimHost) {
    host.reboot();
    for (at, array) in host.facts().unwrap().storage.arrays.into_iter().enumerate() {
        let assemble = Command::new(Tool::Mdadm)
            .args(["--assemble", &format!("/dev/md{}", 127 - at)])
            .args(array.members);
        host.run(&assemble, &mut |_, _| {}).unwrap();
    }
}

/// The same, and volume groups are activated, too.
pub fn boot_with_groups(host: &mut SimHost) {
    boot(host);
    activate_groups(host);
}

fn activate_groups(host: &mut SimHost) {
    let command = Command::new(Tool::Vgchange).args(["--activate", "y"]);
    host.run(&command, &mut |_, _| {}).unwrap();
}

/// The machine starts, and everything comes up under the names that the run gave it.
pub fn boot_by_names(host: &mut SimHost) {
    host.reboot();
    for array in host.facts().unwrap().storage.arrays {
        let made = host.ops().iter().rev().filter(|op| op.starts_with("mdadm --create"));
        let made: Vec<Vec<String>> = made
            .map(|op| op.split(' ').filter(|w| w.starts_with("/dev/")).map(str::to_owned).collect())
            .collect();
        let is_it = |words: &&Vec<String>| array.members.iter().all(|m| words[1..].contains(m));
        let name = &made.iter().find(is_it).expect("a run made it")[0];
        let assemble =
            Command::new(Tool::Mdadm).args(["--assemble", name]).args(array.members.clone());
        host.run(&assemble, &mut |_, _| {}).unwrap();
    }
    activate_groups(host);
}

/// What lasts on the disks.
pub fn world(host: &SimHost) -> World {
    host.world().without(&NOT_COMPARED)
}

/// The same after one more start: the end of a run lets go of arrays and mounts, and a run that had
/// ended before the power went does not.
pub fn world_at_rest(host: &SimHost) -> World {
    let mut host = host.clone();
    boot_by_names(&mut host);
    world(&host)
}

/// Devices with a file system, but for the stranger's disk.
pub fn file_systems(host: &mut SimHost) -> Vec<(String, String)> {
    let storage = host.facts().unwrap().storage;
    let kinds = ["ext4", "xfs", "vfat", "btrfs"];
    let found = storage.signatures.into_iter().filter(|s| kinds.contains(&s.kind.as_str()));
    let found = found.filter(|signature| signature.device != STRANGER);
    found.map(|signature| (signature.device, signature.kind)).collect()
}

/// Writes a file into a file system; false if it cannot be mounted by itself.
pub fn leave_token(host: &mut SimHost, device: &str, kind: &str, token: &str) -> bool {
    let request = MountRequest {
        source: device.to_owned(),
        target: "/token".to_owned(),
        file_system: Some(kind.to_owned()),
        options: String::new(),
    };
    if host.mount(&request).is_err() {
        return false;
    }
    host.write("/token/token", token.as_bytes(), 0o644).unwrap();
    host.unmount("/token").unwrap();
    true
}

/// Tokens that are on the disks, wherever they are.
pub fn tokens(world: &World) -> Vec<String> {
    let files = world.iter().filter(|(name, _)| name.ends_with(":/token"));
    files.filter_map(|(_, line)| Some(line.split('"').nth(1)?.to_owned())).collect()
}
