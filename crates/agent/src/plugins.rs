//! Programs of the site's own in the place of the installer's, with the contracts of Dominator's
//! installer (docs/reference/agent.md): arguments in, lines on standard output out, status 0 for
//! success.
//!
//! A plugin that fails fails the run, with what it wrote; the notifier alone does not.

use crate::space::SPACE_DIR;
use hostwright_host::boot::process::{self, Said};
use hostwright_model::facts::{Disk, Facts};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::manners::{Notice, Plugins};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a plugin may take.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long a notifier may take: nobody waits for it longer.
const NOTIFIER_LIMIT: Duration = Duration::from_secs(60);
/// Lines of a plugin that failed which are shown.
const LINES: usize = 20;

/// Where plugins find things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The directory with the configuration files.
    pub(crate) config_dir: String,
    /// The interface with the address; empty if there is none.
    pub(crate) interface: String,
    /// The root of the installed system.
    pub(crate) target: String,
}

/// The program behind a declared path: of the root, or of the config space.
fn program(declared: &str) -> String {
    match declared.starts_with('/') {
        true => declared.to_owned(),
        false => Path::new(SPACE_DIR).join(declared).display().to_string(),
    }
}

/// What to do about a plugin that fails.
const MEND: &str = "mend the program, or take it out of the machine's manners, then resume";

/// Runs a plugin whose failure is one of the run.
fn run(code: &str, cure: &str, declared: &str, args: &[&str]) -> Result<Said, Box<Fault>> {
    let program = program(declared);
    let failed = |message: String, output: &str| {
        let lines: Vec<&str> = output.lines().collect();
        let shown = lines[lines.len().saturating_sub(LINES)..].iter();
        let fault = Fault::new(FaultKind::Config, code, message, cure);
        let command = Some([&[program.as_str()], args].concat().join(" "));
        Box::new(Fault { command, output: shown.map(|it| (*it).to_owned()).collect(), ..fault })
    };
    let said = process::run_with(&program, args, &[], b"", LIMIT)
        .map_err(|error| failed(crate::fault::sentence(&error), ""))?;
    match said.status {
        0 => Ok(said),
        status => Err(failed(format!("{program} ended with status {status}"), &said.errors)),
    }
}

/// Fetches the configuration in the site's own way.
pub(crate) fn load_configuration(declared: &str, places: &Places) -> Result<(), Box<Fault>> {
    let args = [places.config_dir.as_str(), &places.interface];
    run("configuration-loader", MEND, declared, &args).map(drop)
}

/// Configures the network of the installed system in the site's own way.
pub(crate) fn configure_network(declared: &str, places: &Places) -> Result<(), Box<Fault>> {
    // The tools are in the root of whoever runs here; Dominator's lie in a directory of their own.
    let args = [places.config_dir.as_str(), &places.target, &places.interface, "/"];
    run("network-configurator", MEND, declared, &args).map(drop)
}

/// The machine as the plan shall see it: with those disks only that the selector names, in its
/// order. It cannot name others, and none is never taken for all.
pub(crate) fn select_drives(declared: &str, facts: Facts) -> Result<Facts, Box<Fault>> {
    let names: Vec<&str> = facts.disks.iter().map(|disk| disk.name.as_str()).collect();
    let said = run("drive-selector", MEND, declared, &names)?;
    let bad = |message: String| {
        let cure = "let it print names of its arguments, one a line, each once";
        Box::new(Fault::new(FaultKind::Config, "drive-selector", message, cure))
    };
    let mut disks: Vec<Disk> = Vec::new();
    for name in said.output.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let disk = facts.disks.iter().find(|disk| disk.name == name);
        let disk =
            disk.ok_or_else(|| bad(format!("{declared} chose '{name}', which is no disk")))?;
        if disks.iter().any(|chosen| chosen.name == name) {
            return Err(bad(format!("{declared} chose '{name}' twice")));
        }
        disks.push(disk.clone());
    }
    if disks.is_empty() {
        return Err(bad(format!("{declared} chose no disk")));
    }
    Ok(Facts { disks, ..facts })
}

/// What a notifier hears on its standard input, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct News {
    /// `completed`, `failed` or `progress`; also in the variable `HOSTWRIGHT_OUTCOME`.
    pub(crate) outcome: &'static str,
    pub(crate) machine: String,
    pub(crate) run: String,
    /// The phase that began, or in which it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

/// Tells the site's notifier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notifier {
    program: Option<String>,
    failures: bool,
    progress: bool,
    /// True while it is told of progress: what happens meanwhile it does not hear.
    busy: Arc<AtomicBool>,
}

impl Notifier {
    pub(crate) fn new(plugins: &Plugins) -> Self {
        Self {
            program: plugins.completion_notifier.as_deref().map(program),
            failures: plugins.notify.contains(&Notice::Failure),
            progress: plugins.notify.contains(&Notice::Progress),
            busy: Arc::default(),
        }
    }

    /// Tells what happened, if it wants to hear of that. What went wrong with it.
    pub(crate) fn tell(&self, places: &Places, news: News) -> Option<String> {
        let program = self.program.clone()?;
        match news.outcome {
            "completed" => call(&program, places, &news),
            "failed" if self.failures => call(&program, places, &news),
            "progress" if self.progress && !self.busy.swap(true, Ordering::AcqRel) => {
                let (busy, places) = (Arc::clone(&self.busy), places.clone());
                // The installation does not wait for it, and nobody misses a step on the way.
                thread::spawn(move || {
                    let _ = call(&program, &places, &news);
                    busy.store(false, Ordering::Release);
                });
                None
            }
            _ => None,
        }
    }
}

fn call(program: &str, places: &Places, news: &News) -> Option<String> {
    let input = serde_json::to_vec(news).expect("invariant: plain data serialises");
    let args = [places.config_dir.as_str(), &places.interface];
    let env = [("HOSTWRIGHT_OUTCOME", news.outcome)];
    match process::run_with(program, &args, &env, &input, NOTIFIER_LIMIT) {
        Ok(said) if said.status == 0 => None,
        Ok(said) => {
            let last = said.errors.lines().last().unwrap_or_default();
            Some(format!("{program} ended with status {}: {last}", said.status))
        }
        Err(error) => Some(crate::fault::sentence(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use tempfile::TempDir;

    fn script(dir: &TempDir, text: &str) -> String {
        let path = dir.path().join("plugin");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn places(dir: &TempDir) -> Places {
        let config_dir = dir.path().display().to_string();
        Places { config_dir, interface: "eth0".into(), target: "/target".into() }
    }

    #[test]
    fn loader_and_configurator_get_dominators_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = script(&dir, "echo \"$#:$*\" >\"$1/called\"");
        let called = || fs::read_to_string(dir.path().join("called")).unwrap();
        let config = dir.path().display().to_string();
        load_configuration(&plugin, &places(&dir)).unwrap();
        assert_eq!(called(), format!("2:{config} eth0\n"));
        configure_network(&plugin, &places(&dir)).unwrap();
        assert_eq!(called(), format!("4:{config} /target eth0 /\n"));
        let plugin = script(&dir, "echo why >&2; exit 3");
        let fault = load_configuration(&plugin, &places(&dir)).unwrap_err();
        assert_eq!(
            (fault.code.as_str(), fault.output),
            ("configuration-loader", vec!["why".into()])
        );
        assert!(fault.message.ends_with("status 3"), "{}", fault.message);
    }

    #[test]
    fn a_selector_chooses_among_what_there_is_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let facts = samples::facts(&["sda", "sdb", "nvme0n1"]);
        let chosen = |text: &str| {
            let plugin = script(&dir, text);
            let names = |facts: Facts| facts.disks.into_iter().map(|disk| disk.name).collect();
            select_drives(&plugin, facts.clone()).map(names).map_err(|fault| fault.message)
        };
        assert_eq!(chosen("echo nvme0n1; echo /dev/sda"), Ok(vec!["nvme0n1".into(), "sda".into()]));
        assert_eq!(chosen("echo \"$3\""), Ok(vec!["nvme0n1".to_owned()]), "names are arguments");
        for (text, why) in [
            ("echo sdz", "which is no disk"),
            ("echo sda; echo sda", "twice"),
            ("true", "chose no disk"),
            ("exit 1", "status 1"),
        ] {
            let message = chosen(text).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn a_notifier_made_for_dominator_hears_of_success_only() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = script(&dir, "{ echo \"$HOSTWRIGHT_OUTCOME $2\"; cat; echo; } >>\"$1/heard\"");
        let heard = || fs::read_to_string(dir.path().join("heard")).unwrap_or_default();
        let news = |outcome| News {
            outcome,
            machine: "web1".into(),
            run: "web1-1".into(),
            phase: None,
            fault: None,
        };
        let mut plugins = Plugins { completion_notifier: Some(plugin), ..Plugins::default() };
        let notifier = Notifier::new(&plugins);
        assert_eq!(notifier.tell(&places(&dir), news("failed")), None);
        assert_eq!(heard(), "");
        assert_eq!(notifier.tell(&places(&dir), news("completed")), None);
        let expected =
            "completed eth0\n{\"outcome\":\"completed\",\"machine\":\"web1\",\"run\":\"web1-1\"}\n";
        assert_eq!(heard(), expected);
        plugins.notify = vec![Notice::Failure];
        Notifier::new(&plugins).tell(&places(&dir), news("failed"));
        assert!(heard().contains("failed eth0\n"));
        plugins.completion_notifier = Some(script(&dir, "echo no >&2; exit 1"));
        let wrong = Notifier::new(&plugins).tell(&places(&dir), news("completed")).unwrap();
        assert!(wrong.ends_with("ended with status 1: no"), "{wrong}");
    }
}
