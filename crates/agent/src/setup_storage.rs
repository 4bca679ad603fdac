//! `setup-storage` for hooks that call it: partitions disks by a disk_config, with the planner and the
//! engine of a whole installation, a journal of its own, and nothing but the task partition.
//!
//! `-s` checks the file, without options the plan is shown (`-p` the same), `-X` carries it out and
//! leaves `fstab`, `crypttab`, `mdadm.conf` and `disk_var.sh` in the log directory.

use crate::fault;
use crate::planner::SpacePlanner;
use hostwright_engine::tools::Env;
use hostwright_engine::{FAT_STAGE, NoImages, Planner as _, Session, Settings};
use hostwright_host::Host;
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_model::class::ClassList;
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::event::EventBody;
use hostwright_model::facts::Facts;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::StepId;
use hostwright_model::overrides::Overrides;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Discovered, Inputs, Plan, Rules, Skip, TargetProfile};
use hostwright_model::space::TreeFile;
use hostwright_model::storage::EncryptionKey;
use hostwright_model::vars::{Var, Vars};
use hostwright_plan::{ConfigTree, storage};
use std::collections::BTreeMap;
use std::io::Write as _;

/// What it is called.
pub(crate) const NAME: &str = "setup-storage";

const USAGE: &str = "\
Usage: setup-storage [-X | -p | -s] [-f FILE] [-D \"DISK ...\"] [-L LOGDIR] [-d]
";
/// The class that the file is for.
const CLASS: &str = "DISKS";
/// What the caller reads afterwards.
const RESULTS: [&str; 4] = ["fstab", "crypttab", "mdadm.conf", "disk_var.sh"];
/// More calls in one installation than any hook makes.
const CALLS_MAX: u32 = 1000;

/// A command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    only_checks: bool,
    carries_out: bool,
    file: Option<String>,
    disks: Option<String>,
    log_dir: Option<String>,
}

/// Does it. The exit status.
pub(crate) fn run(args: &[String], env: &Env) -> i32 {
    let Some(call) = Call::read(args) else {
        tell(USAGE);
        return 2;
    };
    match call.carry_out(env) {
        Ok(()) => 0,
        Err(fault) => {
            tell(&format!("{NAME}: {fault}\n"));
            fault.output.iter().for_each(|line| tell(&format!("  {line}\n")));
            1
        }
    }
}

impl Call {
    /// `None` for a command line that is not understood.
    fn read(args: &[String]) -> Option<Self> {
        let mut call = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut letters = arg.strip_prefix('-').filter(|letters| !letters.is_empty())?.chars();
            while let Some(letter) = letters.next() {
                let value = match letter {
                    'X' => {
                        call.carries_out = true;
                        continue;
                    }
                    's' => {
                        call.only_checks = true;
                        continue;
                    }
                    'p' | 'd' => continue,
                    'f' => &mut call.file,
                    'D' => &mut call.disks,
                    'L' => &mut call.log_dir,
                    _ => return None,
                };
                let rest: String = letters.by_ref().collect();
                *value = Some(if rest.is_empty() { args.next()?.clone() } else { rest });
            }
        }
        Some(call)
    }

    fn carry_out(&self, env: &Env) -> Result<(), Box<Fault>> {
        let (path, text) = self.disk_config(env)?;
        let (config, mut found) = storage::parse(&path, &text, None);
        found.extend(storage::check(&config));
        found.iter().for_each(|diagnostic| tell(&format!("{diagnostic}\n")));
        if found.iter().any(is_error) {
            let cure = "mend the file; nothing was done";
            return Err(refusal("config-space", format!("{path} has errors"), cure));
        }
        if self.only_checks {
            return Ok(());
        }
        let (mut host, facts, disks) = self.machine(env)?;
        let mut planner = SpacePlanner::of(&space(&text));
        let inputs = inputs(env, facts, &disks);
        let plan = planner.plan(&inputs)?;
        if !self.carries_out {
            show(&plan);
            return Ok(());
        }
        refuse_key_files(&plan)?;
        let log_dir = self.log_dir(env);
        let settings = settings(&mut host, &log_dir)?;
        let own_logs = settings.log_dir.clone();
        let mut images = NoImages;
        let mut session = Session::open(&mut host, &mut images, settings, inputs)?;
        hostwright_engine::run(&mut session, &mut planner, &mut |body| {
            if let EventBody::StepStarted { title, .. } = body {
                say(&format!("{title}\n"));
            }
        })?;
        drop(session);
        hand_over(&mut host, &own_logs, &log_dir)
    }

    /// The file that is named, or that of the last class which has one.
    fn disk_config(&self, env: &Env) -> Result<(String, String), Box<Fault>> {
        let mut host = RealHost::default();
        let mut read = |path: &str| host.read(path).map_err(|error| fault::of_host(&error));
        let paths: Vec<String> = match &self.file {
            Some(path) => vec![path.clone()],
            None => {
                let space = env.get("FAI").unwrap_or("/var/lib/fai/config");
                let classes = env.get("classes").unwrap_or_default().split_whitespace();
                classes.rev().map(|class| format!("{space}/disk_config/{class}")).collect()
            }
        };
        for path in &paths {
            if let Some(bytes) = read(path)? {
                return Ok((path.clone(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        let message = match &self.file {
            Some(path) => format!("there is no file {path}"),
            None => "none of the classes has a disk_config".to_owned(),
        };
        Err(refusal("no-disk-config", message, "name a file with -f, or add disk_config/CLASS"))
    }

    /// The machine, and which of its disks count, `disk1` first. Loop devices count if they are named.
    fn machine(&self, env: &Env) -> Result<(RealHost, Facts, Vec<String>), Box<Fault>> {
        let list = self.disks.as_deref().or(env.get("disklist")).unwrap_or_default();
        let names = list.split_whitespace().map(|name| name.trim_start_matches("/dev/").to_owned());
        let names: Vec<String> = names.collect();
        let mut host = RealHost::default();
        let facts = host.facts().map_err(|error| fault::of_host(&error))?;
        let is_known = |name: &String| facts.disks.iter().any(|disk| disk.name == *name);
        if names.iter().all(is_known) {
            return Ok((host, facts, names));
        }
        let mut host = RealHost::new(RealOptions {
            only_disks: Some(names.clone()),
            fat_stage_dir: env.get(FAT_STAGE).map(str::to_owned),
            ..RealOptions::default()
        });
        let facts = host.facts().map_err(|error| fault::of_host(&error))?;
        Ok((host, facts, names))
    }

    fn log_dir(&self, env: &Env) -> String {
        self.log_dir.as_deref().or(env.get("LOGDIR")).unwrap_or("/tmp/fai").to_owned()
    }
}

/// A space that is nothing but this layout.
fn space(disk_config: &str) -> ConfigTree {
    let mut tree = ConfigTree::default();
    tree.files.insert("class/README".to_owned(), TreeFile::file(b"", false));
    let file = TreeFile::file(disk_config.as_bytes(), false);
    tree.files.insert(format!("disk_config/{CLASS}"), file);
    tree
}

/// An installation of which only the task partition is left.
fn inputs(env: &Env, facts: Facts, disks: &[String]) -> Inputs {
    let by = StepId::from(NAME);
    let later = Phase::ALL.iter().filter(|phase| **phase > Phase::Partition);
    let mut vars = Vars::default();
    for name in ["FAI_FLAGS", "flag_initial", "SS_IGNORE_VG"] {
        if let Some(value) = env.get(name) {
            vars.set(name, value, "environment");
        }
    }
    let list = Var { value: disks.join(" "), origin: "disklist".to_owned() };
    Inputs {
        facts,
        hostname: env.get("HOSTNAME").unwrap_or("localhost").to_owned(),
        target: match env.is_on("do_init_tasks") {
            true => TargetProfile::DisksClassic,
            false => TargetProfile::DiskFile,
        },
        given_classes: vec![class()],
        run_class_scripts: false,
        classes: Some(std::iter::once(class()).collect::<ClassList>()),
        vars: Some(vars),
        skips: later.map(|phase| Skip { phase: *phase, by: by.clone() }).collect(),
        rules: Rules { fai_bugs: env.is_on("HOSTWRIGHT_FAI_BUGS"), ..Rules::default() },
        discovered: Discovered::default(),
        overrides: Overrides {
            disk_list: (!disks.is_empty()).then_some(list),
            ..Overrides::default()
        },
    }
}

fn class() -> hostwright_model::class::ClassName {
    CLASS.parse().expect("invariant: it is a name")
}

/// A record and logs of its own for each call, below the log directory.
fn settings(host: &mut RealHost, log_dir: &str) -> Result<Settings, Box<Fault>> {
    let mut number = 1;
    let made = host.make_dir(log_dir, 0o750).and_then(|()| {
        let taken = host.list(log_dir)?;
        while number < CALLS_MAX && taken.contains(&format!("{NAME}.{number}")) {
            number += 1;
        }
        Ok(())
    });
    made.map_err(|error| fault::of_host(&error))?;
    let record_dir = format!("{log_dir}/{NAME}.{number}");
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    Ok(Settings {
        space_dir: format!("{record_dir}/space"),
        target_dir: format!("{record_dir}/target"),
        log_dir: format!("{record_dir}/log"),
        record_dir,
        program: program.display().to_string(),
        shims: false,
        package_proxy: None,
        vars: BTreeMap::new(),
        defaults: BTreeMap::new(),
        flags: Vec::new(),
        verbose: false,
        firmware_view: None,
        fat_stage_dir: None,
    })
}

/// Their keys would stay in the record of this call, where the installation does not look for them.
fn refuse_key_files(plan: &Plan) -> Result<(), Box<Fault>> {
    let devices = plan.layout.iter().flat_map(|layout| &layout.encrypted);
    let mut with_key = devices.filter(|device| device.key == EncryptionKey::File);
    match with_key.next() {
        None => Ok(()),
        Some(device) => {
            let message = format!("{}: {NAME} keeps no key file for {}", device.why, device.device);
            let cure = "give it a passphrase, luks:\"…\", or let the task partition do it";
            Err(refusal("key-file", message, cure))
        }
    }
}

/// Copies what the caller reads to where it looks.
fn hand_over(host: &mut RealHost, from: &str, to: &str) -> Result<(), Box<Fault>> {
    let mut copy = |name: &str| {
        let Some(content) = host.read(&format!("{from}/{name}"))? else { return Ok(()) };
        let mode = if name == "crypttab" { 0o600 } else { 0o644 };
        host.write(&format!("{to}/{name}"), &content, mode)
    };
    RESULTS.into_iter().try_for_each(&mut copy).map_err(|error| fault::of_host(&error))
}

fn show(plan: &Plan) {
    if let Some(layout) = &plan.layout {
        say(&storage::draw(layout));
    }
    plan.steps().for_each(|(_, step)| say(&format!("{}\n", step.action.title())));
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}

fn refusal(code: &str, message: String, cure: &str) -> Box<Fault> {
    Box::new(Fault::new(FaultKind::Config, code, message, cure))
}

fn say(text: &str) {
    // A reader that went away is no reason to stop half-way.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn tell(text: &str) {
    // Nothing is left to be done where standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::existing::ExistingStorage;
    use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Firmware};

    const TEXT: &str = "disk_config disk1 disklabel:gpt\nprimary / 2G- ext4 rw\n";

    fn call(line: &str) -> Option<Call> {
        Call::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn facts() -> Facts {
        let disk = |name: &str| Disk {
            name: name.to_owned(),
            size_bytes: 8 << 30,
            sector_bytes: 512,
            model: None,
            serial: None,
            wwn: None,
            rotational: false,
            removable: false,
            links: Vec::new(),
            signatures: Vec::new(),
        };
        Facts {
            version: FACTS_VERSION,
            firmware: Firmware::Bios,
            architecture: "amd64".to_owned(),
            memory_bytes: 1 << 30,
            cpus: 1,
            disks: vec![disk("sda"), disk("sdb")],
            nics: Vec::new(),
            dmi: Dmi::default(),
            kernel: "6.1.0".to_owned(),
            tpm2: false,
            storage: ExistingStorage::default(),
        }
    }

    #[test]
    fn options_are_those_of_fai() {
        let read = call("-dX -f /x/DISKS -L/log").unwrap();
        assert!(read.carries_out && !read.only_checks);
        assert_eq!(
            (read.file.as_deref(), read.log_dir.as_deref()),
            (Some("/x/DISKS"), Some("/log"))
        );
        assert!(call("-s").unwrap().only_checks);
        for wrong in ["-f", "-z", "file", "-", "--help"] {
            assert_eq!(call(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_task_partition_is_planned_on_the_named_disk() {
        for own_machine in ["0", "1"] {
            let env: Env =
                [("do_init_tasks".to_owned(), own_machine.to_owned())].into_iter().collect();
            let inputs = inputs(&env, facts(), &["sdb".to_owned()]);
            let plan = SpacePlanner::of(&space(TEXT)).plan(&inputs).unwrap();
            assert_eq!(plan.layout.as_ref().unwrap().disks[0].device, "/dev/sdb");
            let ids: Vec<&str> = plan.steps().map(|(_, step)| step.id.as_str()).collect();
            assert_eq!(ids, ["disks", "partition/sdb", "format/sdb1", "storage-files"]);
            assert!(plan.open.is_empty());
        }
    }

    #[test]
    fn a_key_that_nobody_would_find_again_is_refused() {
        let text = "disk_config disk1\nprimary / 2G ext4 rw\nprimary - 2G - -\n\
                    disk_config cryptsetup\nluks /x disk1.2 ext4 rw\n";
        let inputs = inputs(&Env::default(), facts(), &[]);
        let plan = SpacePlanner::of(&space(text)).plan(&inputs).unwrap();
        assert_eq!(refuse_key_files(&plan).unwrap_err().code, "key-file");
    }

    #[test]
    fn a_file_is_checked_without_a_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("A");
        let args = ["-s".to_owned(), "-f".to_owned(), path.display().to_string()];
        assert_eq!(run(&args, &Env::default()), 1, "there is no file");
        std::fs::write(&path, TEXT).unwrap();
        assert_eq!(run(&args, &Env::default()), 0);
        std::fs::write(&path, "disk_config disk1\nprimry / 2G- ext4 rw\n").unwrap();
        assert_eq!(run(&args, &Env::default()), 1);
    }
}
