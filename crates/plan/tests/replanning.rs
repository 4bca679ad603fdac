//! What the engine relies on: a plan that is made again when more is known has every step that may
//! have been done already, unchanged and in the same order.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod support;

use hostwright_model::ids::{Digest, StepId};
use hostwright_model::image::{ImageOrigin, ImageRef};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Inputs, Plan, Skip, Step, TargetProfile};
use hostwright_model::vars::Var;
use hostwright_plan::{ConfigTree, TreeFile, advise, check_plan, parse, resolve};
use support::{inputs, machine, minimal, simple};

const CLASSES: &str = "DEFAULT LINUX AMD64 DHCPC FAIBASE DEBIAN DEMO GRUB_PC demohost LAST";
const VARS: [(&str, &str, &str); 2] = [
    ("FAI_DEBOOTSTRAP", "bookworm http://deb.example.org/debian", "class/FAIBASE.var"),
    ("kernelname", "linux-image-amd64", "class/DEBIAN.var"),
];

fn targets() -> [TargetProfile; 3] {
    let image = ImageRef {
        name: "demo".to_owned(),
        manifest: Digest([7; 32]),
        content_bytes: 1 << 30,
        origin: ImageOrigin { classes: CLASSES.parse().unwrap(), ..ImageOrigin::default() },
    };
    [TargetProfile::Directory, TargetProfile::DisksClassic, TargetProfile::DisksImage { image }]
}

/// FAI's example, with a hook before every task.
fn tree() -> ConfigTree {
    let mut tree = simple();
    for phase in Phase::ALL {
        let hook = TreeFile::file("#!/bin/sh\n", true);
        tree.files.insert(format!("hooks/{phase}.DEFAULT"), hook);
    }
    tree
}

fn inputs_for(target: &TargetProfile) -> Inputs {
    inputs(machine("bios-virtio-20g"), target.clone(), CLASSES, &VARS)
}

fn steps(plan: &Plan) -> Vec<&Step> {
    plan.steps().map(|(_, step)| step).collect()
}

/// Steps that are done when the stage of `until` is done.
fn done<'a>(plan: &'a Plan, until: &StepId) -> Vec<&'a Step> {
    let last = plan.stages.iter().position(|stage| stage.steps.iter().any(|s| s.id == *until));
    plan.stages[..=last.unwrap()].iter().flat_map(|stage| &stage.steps).collect()
}

#[test]
fn what_is_known_first_stays() {
    let (space, _) = parse(&tree());
    for target in targets() {
        let complete = inputs_for(&target);
        let mut before_vars = complete.clone();
        before_vars.vars = None;
        let mut before_classes = before_vars.clone();
        before_classes.classes = None;
        let plans = [before_classes, before_vars, complete].map(|inputs| {
            let plan = resolve(&space, &inputs).unwrap();
            assert_eq!(check_plan(&plan, &inputs), []);
            plan
        });
        for (i, pair) in plans.windows(2).enumerate() {
            let (known, more) = (steps(&pair[0]), steps(&pair[1]));
            assert!(known.len() < more.len(), "plan {i} for {target:?} says nothing new");
            assert_eq!(more[..known.len()], known, "plan {i} for {target:?}");
            assert!(!pair[0].open.is_empty() && pair[0].stages.last().unwrap().barrier);
        }
        assert!(plans[2].open.is_empty());
    }
}

#[test]
fn every_skip_by_every_piece_of_user_code_keeps_what_is_done() {
    let (space, _) = parse(&tree());
    for target in targets() {
        let inputs = inputs_for(&target);
        let plan = resolve(&space, &inputs).unwrap();
        let barriers = plan.stages.iter().filter(|stage| stage.barrier);
        // The engine's own question ends a stage, too, but says nothing about tasks.
        let user_code =
            barriers.flat_map(|s| &s.steps).filter(|s| s.id.as_str() != "packages/check");
        let speakers: Vec<StepId> = user_code.map(|s| s.id.clone()).collect();
        assert!(speakers.len() > 20);
        for by in &speakers {
            for phase in Phase::ALL {
                // Who skips partition has to mount, too; this is its own test below.
                let alone = [*phase];
                let phases = match phase {
                    Phase::Partition => &[Phase::Partition, Phase::Mountdisks],
                    _ => alone.as_slice(),
                };
                let skip = |phase: &Phase| Skip { phase: *phase, by: by.clone() };
                let mut later = inputs.clone();
                later.skips = phases.iter().map(skip).collect();
                let replanned = resolve(&space, &later)
                    .unwrap_or_else(|found| panic!("{by} skips {phase}: {found:?}"));
                let done = done(&plan, by);
                let kept = steps(&replanned);
                assert_eq!(kept[..done.len()], done, "{by} skips {phase} on {target:?}");
                assert_eq!(check_plan(&replanned, &later), [], "{by} skips {phase}");
            }
        }
    }
}

#[test]
fn a_skip_leaves_out_what_fai_leaves_out() {
    let (space, _) = parse(&tree());
    let target = TargetProfile::DisksClassic;
    let ids = |phase: Phase, by: &str| {
        let mut inputs = inputs_for(&target);
        inputs.skips = vec![Skip { phase, by: by.into() }];
        let plan = resolve(&space, &inputs).unwrap();
        let steps = plan.steps().filter(|(of, _)| *of == phase);
        steps.map(|(_, step)| step.id.to_string()).collect::<Vec<_>>()
    };
    let own_hook = ids(Phase::Updatebase, "hook/updatebase.DEFAULT");
    assert_eq!(own_hook, ["hook/updatebase.DEFAULT", "hook/updatebase.DEBIAN"]);
    assert_eq!(ids(Phase::Updatebase, "hook/setup.DEFAULT"), Vec::<String>::new());
    assert_eq!(ids(Phase::Updatebase, "hook/instsoft.DEFAULT").len(), 3, "too late");

    let mut inputs = inputs_for(&target);
    inputs.skips = vec![Skip { phase: Phase::Install, by: "hook/install.DEFAULT".into() }];
    let plan = resolve(&space, &inputs).unwrap();
    let phases: Vec<Phase> = plan.stages.iter().map(|stage| stage.phase).collect();
    let after = phases.iter().skip_while(|phase| **phase != Phase::Install);
    assert_eq!(after.collect::<Vec<_>>(), [&Phase::Install, &Phase::Faiend, &Phase::Faiend]);
}

#[test]
fn without_class_scripts_and_variables_the_engine_is_still_asked_back() {
    let mut tree = minimal();
    tree.files.retain(|path, _| !path.starts_with("class/"));
    tree.files.insert("class/demohost".to_owned(), TreeFile::file("BASE\n", false));
    let (space, _) = parse(&tree);
    let mut inputs = inputs(
        machine("bios-virtio-20g"),
        TargetProfile::DisksClassic,
        "DEFAULT BASE demohost LAST",
        &VARS,
    );
    inputs.vars = None;
    inputs.classes = None;
    for (phase, ends) in [(Phase::Defclass, 1), (Phase::Defvar, 1)] {
        let plan = resolve(&space, &inputs).unwrap();
        let last = plan.stages.last().unwrap();
        assert_eq!((last.phase, last.barrier, plan.open.len()), (phase, true, ends));
        assert_eq!(last.steps, []);
        inputs.classes = Some("DEFAULT BASE demohost LAST".parse().unwrap());
    }
}

#[test]
fn the_same_inputs_give_the_same_plan_and_others_another_digest() {
    let (space, _) = parse(&tree());
    let one = inputs_for(&TargetProfile::Directory);
    let mut other = one.clone();
    other.facts.memory_bytes += 1;
    let (plan, again) = (resolve(&space, &one), resolve(&space, &one));
    assert_eq!(plan, again);
    assert_ne!(plan.unwrap().inputs, resolve(&space, &other).unwrap().inputs);
}

#[test]
fn every_function_defined_anew_keeps_what_is_done() {
    let (space, _) = parse(&tree());
    for target in targets() {
        let inputs = inputs_for(&target);
        let plan = resolve(&space, &inputs).unwrap();
        let sourced = plan.stages.iter().filter(|stage| stage.barrier).flat_map(|s| &s.steps);
        let sourced = sourced.filter(|step| step.id.as_str() != "packages/check");
        let speakers: Vec<StepId> = sourced.map(|step| step.id.clone()).collect();
        let names = Phase::ALL.iter().map(|phase| format!("task_{phase}"));
        let names: Vec<String> = names.chain(["call_hook".to_owned()]).collect();
        for by in &speakers {
            for name in &names {
                let mut later = inputs.clone();
                later.overrides.functions.insert(name.clone(), by.clone());
                let replanned = resolve(&space, &later)
                    .unwrap_or_else(|found| panic!("{by} defines {name}: {found:?}"));
                let done = done(&plan, by);
                let kept = steps(&replanned);
                assert_eq!(kept[..done.len()], done, "{by} defines {name} on {target:?}");
                assert_eq!(check_plan(&replanned, &later), [], "{by} defines {name}");
            }
        }
    }
}

#[test]
fn a_function_defined_anew_is_called_in_place_of_our_work() {
    let mut tree = tree();
    let text = "# ours\n\ntask_updatebase() {\n    :\n}\n";
    tree.files.insert("hooks/subroutines".to_owned(), TreeFile::file(text, false));
    let (space, _) = parse(&tree);
    let mut inputs = inputs_for(&TargetProfile::DisksClassic);
    inputs.overrides.functions.insert("task_updatebase".to_owned(), "subroutines".into());
    let plan = resolve(&space, &inputs).unwrap();
    let steps = plan.steps().filter(|(phase, _)| *phase == Phase::Updatebase);
    let (_, last) = steps.last().unwrap();
    assert_eq!(last.id.as_str(), "task/updatebase");
    assert_eq!(last.action.title(), "call the space's task_updatebase");
    assert_eq!(last.why.to_string(), "hooks/subroutines:3");
}

#[test]
fn a_disk_list_says_which_disk_is_the_first() {
    let (space, _) = parse(&tree());
    let mut inputs = inputs_for(&TargetProfile::DisksClassic);
    let mut second = inputs.facts.disks[0].clone();
    second.name = "vdb".to_owned();
    inputs.facts.disks.push(second);
    let by = "hook/partition.DEFAULT";
    let list = Var { value: "/dev/vdb vda ".to_owned(), origin: by.to_owned() };
    inputs.overrides.disk_list = Some(list);
    let plan = resolve(&space, &inputs).unwrap();
    assert_eq!(check_plan(&plan, &inputs), []);
    assert_eq!(plan.layout.unwrap().disks[0].device, "/dev/vdb");
}

#[test]
fn a_layout_that_does_not_fit_is_open_while_hooks_may_change_that() {
    for (target, hooks) in targets().into_iter().flat_map(|target| {
        let hooks = [Phase::Action, Phase::Install, Phase::Partition];
        hooks.map(|phase| (target.clone(), phase))
    }) {
        let mut tree = simple();
        let hook = TreeFile::file("#!/bin/sh\n", true);
        tree.files.insert(format!("hooks/{hooks}.DEFAULT"), hook);
        let (space, _) = parse(&tree);
        let mut inputs = inputs_for(&target);
        inputs.facts.disks[0].size_bytes = 1 << 20;
        if target == TargetProfile::Directory {
            assert!(resolve(&space, &inputs).unwrap().open.is_empty());
            continue;
        }
        let plan = resolve(&space, &inputs).unwrap();
        assert_eq!(check_plan(&plan, &inputs), []);
        let last = plan.stages.last().unwrap();
        assert_eq!((last.phase, last.barrier, plan.layout.is_none()), (hooks, true, true));
        assert!(plan.open[0].contains("disk-config-disk-too-small"), "{:?}", plan.open);
        let advice = advise(&space, &inputs);
        assert!(advice.iter().any(|found| found.code == "disk-config-disk-too-small"));

        inputs.discovered.hooks_done = Phase::ALL.to_vec();
        let refused = resolve(&space, &inputs).unwrap_err();
        assert_eq!(refused[0].code, "disk-config-disk-too-small");
        let skip = Skip { phase: Phase::Partition, by: "disk_var.sh".into() };
        inputs.skips = vec![skip];
        let later = resolve(&space, &inputs).unwrap();
        assert_eq!(check_plan(&later, &inputs), []);
        let (done, more) = (steps(&plan), steps(&later));
        assert_eq!(more[..done.len()], done, "{hooks} on {target:?}");
        assert!(later.steps().any(|(_, step)| step.id.as_str() == "mount/fstab"));
    }
}

fn with_action(action: &str, target: TargetProfile) -> Inputs {
    let mut inputs = inputs_for(&target);
    inputs.vars.as_mut().unwrap().set("FAI_ACTION", action, "command line");
    inputs
}

fn ids_behind_variables(tree: &ConfigTree, inputs: &Inputs) -> Vec<String> {
    let (space, _) = parse(tree);
    let plan = resolve(&space, inputs).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(check_plan(&plan, inputs), []);
    let steps = plan.steps().filter(|(phase, _)| *phase > Phase::Defvar);
    steps.map(|(_, step)| step.id.to_string()).collect()
}

#[test]
fn an_action_of_the_space_s_own_is_all_that_runs() {
    let mut tree = tree();
    tree.files.insert("hooks/burn-in".to_owned(), TreeFile::file("#!/bin/sh\n", true));
    let ids =
        |action| ids_behind_variables(&tree, &with_action(action, TargetProfile::DisksClassic));
    assert_eq!(ids("burn-in"), ["hook/action.DEFAULT", "action/burn-in", "unmount"]);
    let sysinfo = ["hook/action.DEFAULT", "hook/sysinfo.DEFAULT", "action/sysinfo", "unmount"];
    assert_eq!(ids("sysinfo"), sysinfo);
    // Neither needs a layout.
    tree.files.retain(|path, _| !path.starts_with("disk_config/"));
    let inputs = with_action("inventory", TargetProfile::DisksClassic);
    assert!(ids_behind_variables(&tree, &inputs).contains(&"action/inventory".to_owned()));
}

#[test]
fn the_running_system_is_neither_partitioned_nor_unmounted() {
    // The class of the installation is still stored.
    let inputs = with_action("install", TargetProfile::RunningSystem);
    let ids = ids_behind_variables(&tree(), &inputs);
    assert_eq!(
        ids[..3],
        ["hook/action.DEFAULT", "hook/softupdate.DEFAULT", "hook/debconf.DEFAULT"]
    );
    assert!(ids.contains(&"packages/install-norec/1".to_owned()), "{ids:?}");
    assert_eq!(ids.last().unwrap(), "hook/faiend.DEFAULT");
    let (space, _) = parse(&tree());
    let refused = resolve(&space, &with_action("softupdate", TargetProfile::DisksClassic));
    assert_eq!(refused.unwrap_err()[0].code, "other-action");
}

#[test]
fn hooks_with_the_name_of_old_are_left_out() {
    let mut tree = minimal();
    let hook = TreeFile::file("#!/bin/bash\n", true);
    tree.files.insert("hooks/instsoft.DEFAULT.source".to_owned(), hook);
    let (space, found) = parse(&tree);
    assert!(found.iter().any(|found| found.code == "legacy-name"));
    let mut inputs = inputs_for(&TargetProfile::Directory);
    inputs.classes = Some("DEFAULT BASE demohost LAST".parse().unwrap());
    for fai_bugs in [false, true] {
        inputs.rules.fai_bugs = fai_bugs;
        let plan = resolve(&space, &inputs).unwrap();
        assert!(!plan.steps().any(|(_, step)| step.action.title().contains(".source")));
    }
}

#[test]
fn a_class_that_is_named_twice_has_its_steps_twice() {
    let (space, _) = parse(&tree());
    for target in targets() {
        let mut inputs = inputs_for(&target);
        let once = resolve(&space, &inputs).unwrap();
        let mut classes = inputs.classes.clone().unwrap();
        classes.push_again("DEBIAN".parse().unwrap());
        inputs.classes = Some(classes);
        inputs.rules.fai_bugs = true;
        let twice = resolve(&space, &inputs).unwrap();
        assert_eq!(check_plan(&twice, &inputs), []);
        let count = |plan: &Plan, id: &str| {
            plan.steps().filter(|(_, step)| step.id.as_str().split('#').next() == Some(id)).count()
        };
        for id in ["hook/updatebase.DEBIAN", "var/DEBIAN", "debconf/DEBIAN"] {
            let before = count(&once, id);
            assert_eq!(count(&twice, id), before * 2, "{id} on {target:?}");
        }
        assert_eq!(
            count(&twice, "hook/updatebase.DEFAULT"),
            count(&once, "hook/updatebase.DEFAULT")
        );
    }
}
