//! Functions of FAI that a space defines anew, run in place of the engine's own work.

use crate::bench::output;
use crate::directory::{Bench, write};
use hostwright_model::event::EventBody;
use hostwright_model::phase::Phase;
use hostwright_model::plan::TargetProfile;

impl Bench {
    fn with(files: &[(&str, &str)]) -> Self {
        let bench = Self::new();
        for (name, text) in files {
            write(&bench.dir.path().join("space"), name, text);
        }
        bench
    }

    fn runs(&mut self) {
        let ended = self.run();
        ended.unwrap_or_else(|fault| panic!("{fault}\n{}", output(&self.events)));
    }

    fn steps_of(&self, phase: Phase) -> Vec<String> {
        let of_phase = |event: &EventBody| match event {
            EventBody::StepStarted { step, phase: of, .. } if *of == phase => {
                Some(step.to_string())
            }
            _ => None,
        };
        self.events.iter().filter_map(of_phase).collect()
    }
}

#[test]
fn root_a_task_that_is_defined_anew_replaces_ours() {
    let mut bench = Bench::with(&[
        (
            "hooks/subroutines",
            "task_extrbase() { mkdir -p $target/etc $target/var; echo own > $target/etc/base; }\n\
             task_tests() { echo \"$COLOUR\" > $target/etc/tested; tested=yes; task_error 5; }\n",
        ),
        ("hooks/configure.EXTRA.sh", "#!/bin/bash\ntask_configure() { echo in $LOGDIR; }\n"),
        ("hooks/finish.EXTRA.sh", "#!/bin/bash\necho \"tested: $tested\" > $target/etc/after\n"),
    ]);
    bench.runs();
    assert_eq!(bench.target("etc/base"), "own\n");
    assert_eq!(bench.target("etc/tested"), "dark red\n");
    assert_eq!(bench.target("etc/after"), "tested: yes\n", "what it sets stays");
    assert_eq!(bench.target("etc/marker"), "", "no script ran");
    assert_eq!(bench.steps_of(Phase::Extrbase), ["task/extrbase"]);
    assert_eq!(bench.steps_of(Phase::Configure), ["hook/configure.EXTRA.sh", "task/configure"]);
    assert!(bench.log("fai.log").contains("Calling the space's own function: task_tests"));
}

#[test]
fn root_call_hook_that_is_defined_anew_runs_the_hooks() {
    let mut bench = Bench::with(&[
        (
            "hooks/defclass.DEFAULT.sh",
            "#!/bin/bash\ncall_hook() { echo \"$1\" >> $LOGDIR/called; }\n",
        ),
        ("hooks/tests.EXTRA", "#!/bin/bash\ntouch $target/etc/never\n"),
        ("hooks/subroutines", ""),
    ]);
    // The hooks of the tests' space keep tasks away that need packages.
    for task in ["repository", "updatebase"] {
        let name = format!("class/{task}.sh");
        write(
            &bench.dir.path().join("space"),
            &name.replace(task, &format!("80-{task}")),
            &format!("#!/bin/bash\nskiptask {task}\n"),
        );
    }
    bench.runs();
    let called = bench.log("called");
    assert!(called.starts_with("defvar\naction\ndirinstall\nextrbase\n"), "{called}");
    assert!(!bench.dir.path().join("target/etc/never").exists());
    assert_eq!(bench.steps_of(Phase::Tests), ["call_hook/tests"]);
}

#[test]
fn root_class_scripts_keep_their_functions_to_themselves() {
    let mut bench = Bench::with(&[
        (
            "class/25-leak.sh",
            "#!/bin/bash\ntask_configure() { :; }\nhelper() { echo broken; }\nleak() { :; }\n",
        ),
        ("scripts/EXTRA/10-x", "#!/bin/bash\ndeclare -F leak > $target/etc/leak\nhelper you\n"),
    ]);
    bench.runs();
    assert_eq!(bench.target("etc/leak"), "");
    assert!(bench.log("scripts.log").contains("helper you\n"));
    assert!(bench.target("etc/marker").contains("dark red"), "the scripts ran");
}

#[test]
fn root_a_task_of_our_own_cannot_be_called() {
    let mut bench = Bench::with(&[("hooks/configure.EXTRA.sh", "#!/bin/bash\ntask_partition\n")]);
    let fault = bench.run().unwrap_err();
    assert_eq!(fault.code, "task-error");
    assert!(fault.message.contains("task_partition is the work of the engine"), "{fault}");
}

#[test]
fn root_the_space_s_own_tasks_run_with_their_hooks() {
    let mut bench = Bench::with(&[
        ("hooks/subroutines", "task_extra() { echo \"$1\" >> $target/etc/extra; }\n"),
        ("hooks/extra.FAIBASE", "#!/bin/sh\necho hook >> $target/etc/extra\n"),
        ("hooks/configure.EXTRA.sh", "#!/bin/bash\ntask extra word\nskiptask extra\ntask extra\n"),
    ]);
    bench.runs();
    assert_eq!(bench.target("etc/extra"), "hook\nword\n");
}

#[test]
fn root_an_action_of_the_space_s_own_runs_and_nothing_else() {
    let mut bench = Bench::with(&[
        ("hooks/burn-in", "#!/bin/sh\necho \"$FAI_ACTION\" > $LOGDIR/burnt\n"),
        ("class/LAST.var", "FAI_ACTION=burn-in\n"),
    ]);
    bench.runs();
    assert_eq!(bench.log("burnt"), "burn-in\n");
    assert!(bench.steps_of(Phase::Extrbase).is_empty());
}

#[test]
fn root_hardware_is_listed_and_shown() {
    let mut bench = Bench::with(&[("class/LAST.var", "FAI_ACTION=inventory\n")]);
    bench.runs();
    assert!(bench.log("inventory.log").contains("\ndisk vda: 21474836480 bytes"));
    let mut bench = Bench::with(&[("class/LAST.var", "FAI_ACTION=sysinfo\n")]);
    bench.runs();
    assert!(bench.log("sysinfo.log").contains("===== uname -a =====\nLinux"));
}

#[test]
fn root_a_system_is_brought_up_to_date_where_it_is() {
    let mut bench = Bench::with(&[(
        "scripts/FAIBASE/10-write",
        "#!/bin/sh\necho \"$FAI_ACTION $do_init_tasks\" > $target/etc/marker\n",
    )]);
    bench.profile = TargetProfile::RunningSystem;
    std::fs::create_dir_all(bench.dir.path().join("target/etc/apt")).unwrap();
    bench.runs();
    assert_eq!(bench.target("etc/marker"), "softupdate 0\n");
    assert_eq!(bench.target("etc/base"), "", "no base system was unpacked");
    assert!(bench.target("var/log/fai/demohost/last-softupdate/status.log").contains("FAIBASE"));
}

#[test]
fn root_errors_of_ours_go_through_the_space_s_task_error() {
    let mut bench = Bench::with(&[
        ("hooks/subroutines", "task_error() { echo \"raised $1\" >> $target/etc/raised; }\n"),
        ("scripts/EXTRA/10-fails", "#!/bin/sh\nexit 7\n"),
    ]);
    bench.runs();
    assert_eq!(bench.target("etc/raised"), "raised 420\n");
    assert_eq!(bench.log("task_error"), "0\n", "the space's function noted it elsewhere");
}
