//! The variables that FAI promises to hooks, scripts and tools before any of them has run.

use crate::monitor;
use crate::settings::Settings;
use hostwright_model::class::ClassName;
use hostwright_model::facts::{Facts, Nic};
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
        vars.extend(machine(&inputs.facts));
    }
    if inputs.rules.fai_bugs {
        vars.insert(FAI_BUGS.to_owned(), "1".to_owned());
    }
    if let Some(dir) = &settings.fat_stage_dir {
        vars.insert(FAT_STAGE.to_owned(), dir.clone());
    }
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
    match inputs.rules.fai_bugs && inputs.target == TargetProfile::DiskFile {
        true => "C",
        false => "C.UTF-8",
    }
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

/// What FAI's install client knows of the machine it runs on.
fn machine(facts: &Facts) -> Vec<(String, String)> {
    // The console's log level, which scripts change and put back.
    let mut vars = vec![("printk".to_owned(), "6".to_owned())];
    let Some(nic) = first_nic(facts) else {
        return vars;
    };
    vars.push(("NIC1".to_owned(), nic.name.clone()));
    vars.push(("MAC".to_owned(), nic.mac.to_string()));
    let v4 = nic.addresses.iter().find_map(|cidr| {
        let (address, bits) = cidr.split_once('/')?;
        let address: std::net::Ipv4Addr = address.parse().ok()?;
        Some((cidr, address, bits.parse::<u32>().ok().filter(|bits| *bits <= 32)?))
    });
    if let Some((cidr, address, bits)) = v4 {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let text = |bits: u32| std::net::Ipv4Addr::from(bits).to_string();
        let network = u32::from(address) & mask;
        vars.push(("CIDR".to_owned(), cidr.clone()));
        vars.push(("IPADDR".to_owned(), address.to_string()));
        vars.push(("NETMASK".to_owned(), text(mask)));
        vars.push(("NETWORK".to_owned(), text(network)));
        vars.push(("BROADCAST".to_owned(), text(network | !mask)));
    }
    vars
}

/// The interface the machine was reached by: one with an address, else one with a link.
fn first_nic(facts: &Facts) -> Option<&Nic> {
    let addressed = facts.nics.iter().find(|nic| !nic.addresses.is_empty());
    addressed.or_else(|| facts.nics.iter().find(|nic| nic.link_up)).or(facts.nics.first())
}

/// True for a variable whose value must not appear in a log.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.ends_with("PW") || ["PASS", "SECRET", "TOKEN", "PRIVATE"].iter().any(|w| name.contains(w))
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

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in ["ROOTPW", "USERPW", "rootpw", "LOGPASSWD", "api_token", "DB_SECRET"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["LOGDIR", "PATH", "release", "KEYMAP"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
