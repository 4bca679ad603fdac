//! The variables that FAI promises to hooks, scripts and tools before any of them has run.

use crate::monitor;
use crate::network::Network;
use crate::settings::Settings;
use hostwright_model::class::ClassName;
use hostwright_model::facts::Facts;
use hostwright_model::plan::{Inputs, TargetProfile};
use std::collections::BTreeMap;

/// The version of FAI whose behaviour scripts find here.
pub const FAI_VERSION: &str = "6.0.3";

/// Where programs are looked for after the directory of FAI's own tools.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/lib/fai:/usr/sbin:/usr/bin:/sbin:/bin";

/// Tells the tools to do as FAI does where its documentation says otherwise.
pub(crate) const FAI_BUGS: &str = "HOSTWRIGHT_FAI_BUGS";

/// Tells tools that mount where FAT file systems are gathered.
pub const FAT_STAGE: &str = "HOSTWRIGHT_FAT_STAGE";

/// What the engine found out about the machine before the shell starts.
pub(crate) struct Surroundings {
    /// Whole seconds since the kernel started.
    pub uptime_s: u64,
    /// When the run began, `20260102_030405`.
    pub run_date: String,
    /// What the network says.
    pub network: Network,
}

/// The environment of the long-lived shell.
pub(crate) fn variables(
    settings: &Settings,
    inputs: &Inputs,
    around: &Surroundings,
) -> BTreeMap<String, String> {
    let given = words(&inputs.given_classes);
    let own_machine = inputs.target.is_own_machine();
    let flag = |yes: bool| if yes { "1" } else { "0" }.to_owned();
    let target = &settings.target_dir;
    let mut vars: BTreeMap<String, String> = [
        ("AINSL_TARGET", target.clone()),
        ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
        ("FAI", settings.space_dir.clone()),
        ("FAI_ACTION", inputs.target.fai_action().to_owned()),
        ("FAI_CONFIG_SRC", format!("file://{}", settings.space_dir)),
        ("FAI_ETC_DIR", "/etc/fai".to_owned()),
        ("FAI_FLAGS", settings.flags.join(" ")),
        ("FAI_LOGPROTO", "ssh".to_owned()),
        ("FAI_ROOT", target.clone()),
        ("FAI_RUNDIR", settings.record_dir.clone()),
        ("FAI_VERSION", FAI_VERSION.to_owned()),
        ("HOME", "/root".to_owned()),
        ("HOSTNAME", inputs.hostname.clone()),
        ("LC_ALL", locale(inputs).to_owned()),
        ("LOGDIR", settings.log_dir.clone()),
        ("LOGNAME", "root".to_owned()),
        ("MNTPOINT", "/media/mirror".to_owned()),
        ("PATH", format!("{}:{PATH}", settings.tools_dir())),
        ("SHELL", "/bin/bash".to_owned()),
        ("STOP_ON_ERROR", crate::task_error::DEFAULT_LIMIT.to_string()),
        ("TERM", "linux".to_owned()),
        ("USER", "root".to_owned()),
        ("classes", provisional_classes(inputs)),
        ("cmdlineclasses", given),
        ("do_init_tasks", flag(own_machine)),
        ("fai_rundate", around.run_date.clone()),
        ("faimond", "0".to_owned()),
        ("renewclass", flag(inputs.run_class_scripts)),
        ("start_seconds", around.uptime_s.to_string()),
        ("target", target.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if inputs.target.has_disks() {
        vars.insert("disklist".to_owned(), disk_list(&inputs.facts));
    }
    if own_machine {
        // The console's log level, which scripts change and put back.
        vars.insert("printk".to_owned(), "6".to_owned());
        vars.extend(around.network.variables(&inputs.facts));
    }
    if inputs.rules.fai_bugs {
        vars.insert(FAI_BUGS.to_owned(), "1".to_owned());
    }
    if let Some(dir) = &settings.fat_stage_dir {
        vars.insert(FAT_STAGE.to_owned(), dir.clone());
    }
    vars.extend(settings.defaults.clone());
    vars.extend(settings.vars.clone());
    // Flags may come from either side; those of the caller are not lost by a variable.
    let given = vars.get("FAI_FLAGS").cloned().unwrap_or_default();
    vars.extend(flags(settings, &given));
    monitor::switch_on(&mut vars);
    vars
}

/// The locale of all that runs for the target. fai-diskimage's own is C, from which packages
/// conclude that nothing else than ASCII is wanted: console-setup takes an 8 bit character set.
pub(crate) fn locale(inputs: &Inputs) -> &'static str {
    if is_fai_s_image(inputs) { "C" } else { "C.UTF-8" }
}

/// True for a disk image that is built in FAI's locale.
pub(crate) fn is_fai_s_image(inputs: &Inputs) -> bool {
    inputs.rules.fai_bugs && inputs.target == TargetProfile::DiskFile
}

/// Classes whose hooks run before there are classes.
fn provisional_classes(inputs: &Inputs) -> String {
    if inputs.given_classes.is_empty() {
        return format!("DEFAULT LINUX {} LAST", inputs.hostname);
    }
    words(&inputs.given_classes)
}

fn words(classes: &[ClassName]) -> String {
    classes.iter().map(ClassName::as_str).collect::<Vec<_>>().join(" ")
}

/// `FAI_FLAGS` and a variable for each flag; `given` are flags between commas or blanks.
fn flags(settings: &Settings, given: &str) -> BTreeMap<String, String> {
    let mut flags = settings.flags.clone();
    for flag in given.split([',', ' ']).filter(|flag| !flag.is_empty()) {
        if !flags.iter().any(|known| known == flag) {
            flags.push(flag.to_owned());
        }
    }
    let is_name = |flag: &&String| flag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let named = flags.iter().filter(is_name).map(|flag| format!("flag_{flag}"));
    // Two of them have a variable of their own, too.
    let more = ["verbose", "debug"].into_iter().filter(|name| {
        flags.iter().any(|flag| flag == name) || (*name == "verbose" && settings.verbose)
    });
    let on = named.chain(more.map(str::to_owned)).map(|name| (name, "1".to_owned()));
    on.chain([("FAI_FLAGS".to_owned(), flags.join(" "))]).collect()
}

/// Names of the disks that may be installed on.
fn disk_list(facts: &Facts) -> String {
    let fixed = facts.disks.iter().filter(|disk| !disk.removable);
    fixed.map(|disk| disk.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_both_sides_are_set() {
        let mut settings = Settings::of_record("/record");
        settings.flags = vec!["reboot".to_owned()];
        let flags = flags(&settings, "debug,sshd reboot");
        assert_eq!(flags["FAI_FLAGS"], "reboot debug sshd");
        for name in ["flag_reboot", "flag_sshd", "flag_debug", "debug"] {
            assert_eq!(flags.get(name).map(String::as_str), Some("1"), "{name}");
        }
        assert_eq!(flags.get("verbose"), None);
    }
}
