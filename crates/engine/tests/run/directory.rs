//! A run into a directory on the real machine: hooks, class scripts, variables, skips, scripts and
//! tests as a small config space has them, with no package manager.

use crate::bench::{SpacePlanner, inputs, output, settings};
use hostwright_engine::{NoImages, Planner, Report, Session, Settings, run};
use hostwright_host::real::RealHost;
use hostwright_model::event::EventBody;
use hostwright_model::fault::Fault;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Inputs, Rules, TargetProfile};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

pub struct Bench {
    pub dir: TempDir,
    pub settings: Settings,
    pub events: Vec<EventBody>,
    pub profile: TargetProfile,
    pub rules: Rules,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let space = dir.path().join("space");
        for (name, text) in FILES {
            write(&space, name, text);
        }
        base_file(dir.path());
        let base = dir.path().to_str().unwrap();
        let mut settings = settings(base, space.to_str().unwrap());
        settings.vars.insert("OPERATOR".to_owned(), "last word".to_owned());
        Self {
            dir,
            settings,
            events: Vec::new(),
            profile: TargetProfile::Directory,
            rules: Rules::default(),
        }
    }

    pub fn run(&mut self) -> Result<Report, Box<Fault>> {
        let mut planner = SpacePlanner::read(&self.dir.path().join("space"));
        self.run_with(&mut planner)
    }

    pub fn run_with(&mut self, planner: &mut dyn Planner) -> Result<Report, Box<Fault>> {
        let (mut host, mut images) = (RealHost::default(), NoImages);
        let inputs = Inputs { rules: self.rules, ..inputs("demohost", self.profile.clone()) };
        let mut session =
            Session::open(&mut host, &mut images, self.settings.clone(), inputs).unwrap();
        let events = &mut self.events;
        run(&mut session, planner, &mut |event| events.push(event))
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("log").join(name)).unwrap_or_default()
    }

    pub fn target(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("target").join(name)).unwrap_or_default()
    }
}

pub fn write(space: &Path, name: &str, text: &str) {
    let path = space.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The smallest thing that counts as a base system.
fn base_file(dir: &Path) {
    let root = dir.join("root");
    for name in ["etc/apt", "usr/sbin"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("etc/base"), "base\n").unwrap();
    let archive = dir.join("space/basefiles/FAIBASE.tar.gz");
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    let tar = Command::new("tar").arg("-C").arg(&root).arg("-czf").arg(archive).arg(".").status();
    assert!(tar.unwrap().success());
}

const FILES: &[(&str, &str)] = &[
    ("class/10-base", "#!/bin/bash\necho FAIBASE # with a reason\n# a comment\necho EXTRA\n"),
    ("class/20-more.sh", "#!/bin/bash\nleaked=yes\nnewclasses=\"SOURCED $classes\"\n"),
    (
        "class/30-seen",
        "#!/bin/sh\nset -- $classes\necho SEEN_$#\necho ADDED > $LOGDIR/additional-classes\n",
    ),
    ("class/demohost", "# of this host only\nHOSTFILE\n"),
    ("class/FAIBASE.var", "COLOUR=red\nROOTPW=secret\nOPERATOR=space\n"),
    ("class/LAST.var", "COLOUR=\"dark $COLOUR\"\n"),
    ("hooks/setup.DEFAULT.sh", "#!/bin/bash\nearly=bird\nhelper() { echo \"helper $1\"; }\n"),
    ("hooks/repository.FAIBASE", "#!/bin/bash\nskiptask repository updatebase\nexit 3\n"),
    ("hooks/instsoft.FAIBASE", "#!/bin/sh\ntouch $LOGDIR/skip.instsoft\n"),
    (
        "scripts/FAIBASE/10-write",
        "#!/bin/bash\nhelper here\necho \"$COLOUR|$early|$leaked|$OPERATOR|$FAI_ACTION\" > $target/etc/marker\n",
    ),
    ("scripts/FAIBASE/20-fail", "#!/bin/sh\necho about to fail\nexit 7\n"),
    ("scripts/SOURCED", "#!/bin/sh\npwd > $target/etc/where\n"),
    ("disk_config/unused", "disk_config disk1\nprimary / 1G- ext4 rw\n"),
];

#[test]
fn root_a_directory_gets_what_fai_would_make() {
    let mut bench = Bench::new();
    let report = bench.run().unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    assert_eq!(report.task_error, 420, "a script failed");

    let classes = bench.log("FAI_CLASSES");
    let expected = "DEFAULT FAIBASE EXTRA SOURCED SEEN_4 ADDED HOSTFILE demohost LAST";
    assert_eq!(classes.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    assert_eq!(bench.target("etc/base"), "base\n");
    assert_eq!(bench.target("etc/marker"), "dark red|bird||last word|dirinstall\n");
    assert_eq!(bench.target("etc/where").trim(), format!("{}/scripts", bench.settings.space_dir));

    let scripts = bench.log("scripts.log");
    let expected = "=====   shell: FAIBASE/10-write   =====\nhelper here\n\
                    FAIBASE/10-write     OK.\n\
                    =====   shell: FAIBASE/20-fail   =====\nabout to fail\n\
                    FAIBASE/20-fail      FAILED with exit code 7.\n";
    assert!(scripts.ends_with(expected) || scripts.contains(expected), "{scripts}");
    let status = bench.log("status.log");
    assert!(status.contains("repository.FAIBASE   FAILED with exit code 3.\n"), "{status}");
    let variables = bench.log("variables.log");
    assert!(variables.contains("ROOTPW=XXXXXXXXXXXXX\n"), "{variables}");
    assert!(!bench.log("fai.log").contains("secret"));
}

#[test]
fn root_skipped_tasks_leave_no_trace_and_logs_are_in_the_target() {
    let mut bench = Bench::new();
    bench.run().unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    let phases: Vec<Phase> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            EventBody::PhaseStarted { phase } => Some(*phase),
            _ => None,
        })
        .collect();
    assert!(!phases.contains(&Phase::Updatebase), "{phases:?}");
    assert!(phases.contains(&Phase::Configure));
    let steps = bench.events.iter().filter(|event| match event {
        EventBody::StepStarted { phase, .. } => *phase == Phase::Repository,
        _ => false,
    });
    assert_eq!(steps.count(), 1, "only the hook that skipped the task ran");
    let saved = bench.dir.path().join("target/var/log/fai/demohost/last/scripts.log");
    assert!(fs::read_to_string(saved).unwrap().contains("about to fail"));
    assert!(bench.target("var/lib/fai/FAI_CLASSES").contains("FAIBASE"));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(bench.dir.path().to_str().unwrap()), "nothing stays mounted");
}

#[test]
fn root_an_error_above_the_limit_stops_and_a_resumed_run_goes_on() {
    let mut bench = Bench::new();
    let space = bench.dir.path().join("space");
    let hook = "#!/bin/bash\ntask_error 801\ntouch $target/etc/never\n";
    write(&space, "hooks/configure.EXTRA.sh", hook);
    let fault = bench.run().unwrap_err();
    assert_eq!(fault.code, "task-error");
    assert!(fault.message.contains("step hook/configure.EXTRA.sh"), "{fault}");
    assert!(!bench.dir.path().join("target/etc/never").exists());
    assert!(!bench.dir.path().join("target/etc/marker").exists());
    let saved = bench.dir.path().join("target/var/log/fai/demohost/last/fai.log");
    assert!(fs::read_to_string(saved).unwrap().contains("FATAL ERROR"));

    // A hook is no part of a plan that its content could change.
    write(&space, "hooks/configure.EXTRA.sh", "#!/bin/bash\ncolour2=$COLOUR\n");
    bench.events.clear();
    let report = bench.run().unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    assert_eq!(report.task_error, 420);
    assert_eq!(bench.target("etc/marker"), "dark red|bird||last word|dirinstall\n");
    assert!(
        !bench
            .events
            .iter()
            .any(|event| matches!(event, EventBody::StepStarted { phase: Phase::Extrbase, .. })),
        "finished work is not repeated"
    );

    let before = snapshot(bench.dir.path());
    assert_eq!(bench.run().unwrap(), report);
    assert_eq!(snapshot(bench.dir.path()), before, "a finished run changes nothing");
}

#[test]
fn root_a_plan_that_contradicts_finished_work_is_refused() {
    let mut bench = Bench::new();
    let space = bench.dir.path().join("space");
    let exits = "#!/bin/bash\nexit 5\n";
    write(&space, "hooks/configure.EXTRA.sh", exits);
    let fault = bench.run().unwrap_err();
    assert_eq!(fault.code, "shell-ended", "{fault}");
    fs::remove_file(space.join("hooks/repository.FAIBASE")).unwrap();
    let fault = bench.run().unwrap_err();
    assert_eq!(fault.code, "plan-drift");
    assert!(fault.message.contains("step hook/repository.FAIBASE"), "{fault}");
}

fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if kind.is_file() {
            files.push((path.to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn root_what_is_written_to_a_ram_disk_is_in_the_directory_at_the_end() {
    let mut bench = Bench::new();
    let space = bench.dir.path().join("space");
    write(&space, "class/LAST.var", "FAI_RAMDISKS=$target/etc\n");
    write(
        &space,
        "scripts/EXTRA/20-file-system",
        "#!/bin/sh\nstat -f -c %T $target/etc > $target/etc/file-system\n",
    );
    let ended = bench.run();
    ended.unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    assert_eq!(bench.target("etc/file-system"), "tmpfs\n");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(&bench.dir.path().display().to_string()), "nothing stays mounted");
}
