//! How a system that exists differs from what a plan would make of it, without touching it.

use crate::settings::Settings;
use hostwright_host::{Host, HostError};
use hostwright_model::package::PackageAction;
use hostwright_model::plan::{Action, Plan};
use std::collections::BTreeSet;

/// dpkg's list of packages, below the root of the system.
const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// What fcopy replaces by the value of a variable begins so.
const SUBSTITUTION: &[u8] = b"{%";

/// Everything that differs, as far as it can be told without running code of the space's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discrepancies {
    /// Packages that the plan installs and that are not installed.
    pub missing_packages: Vec<String>,
    /// Packages that the plan removes and that are installed.
    pub unwanted_packages: Vec<String>,
    /// Files of which the space has a variant for the classes, and that are not there.
    pub missing_files: Vec<String>,
    /// Files whose content is not that of the space's variant.
    pub changed_files: Vec<String>,
    /// Files whose variant holds variables, so that only copying them would tell.
    pub unknown_files: Vec<String>,
    /// Scripts that would run, and may do anything.
    pub scripts: Vec<String>,
}

impl Discrepancies {
    /// True if nothing differs; scripts do not count.
    pub fn is_empty(&self) -> bool {
        [
            &self.missing_packages,
            &self.unwanted_packages,
            &self.missing_files,
            &self.changed_files,
            &self.unknown_files,
        ]
        .iter()
        .all(|list| list.is_empty())
    }
}

/// Compares the system at `settings.target_dir` with what `plan` would make of it. `files` are the
/// paths that the space has variants for (`etc/motd`), each with the variant that counts.
pub fn discrepancies(
    host: &mut dyn Host,
    settings: &Settings,
    plan: &Plan,
    files: &[(String, String)],
) -> Result<Discrepancies, HostError> {
    let status = host.read(&settings.in_target(DPKG_STATUS))?.unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let installed = installed_packages(&status);
    let mut found = Discrepancies::default();
    for (_, step) in plan.steps() {
        match &step.action {
            Action::Packages { group } => {
                for name in group.names() {
                    packages(&mut found, &installed, group.action, name);
                }
            }
            Action::Script { path } | Action::Test { path } => found.scripts.push(path.clone()),
            Action::Hook { path, .. } => found.scripts.push(path.clone()),
            _ => {}
        }
    }
    for (path, variant) in files {
        let wanted = host.read(&settings.in_space(variant))?.unwrap_or_default();
        let shown = format!("/{path}");
        match host.read(&settings.in_target(path))? {
            None => found.missing_files.push(shown),
            Some(content) if content == wanted => {}
            Some(_) if contains(&wanted, SUBSTITUTION) => found.unknown_files.push(shown),
            Some(_) => found.changed_files.push(shown),
        }
    }
    Ok(found)
}

/// Sorts one word of a package list in: `nginx`, `nginx-`, `nginx=1.2`, `nginx/suite`.
fn packages(
    found: &mut Discrepancies,
    installed: &BTreeSet<&str>,
    action: PackageAction,
    word: &str,
) {
    let removes = match action.word() {
        "remove" => true,
        "install" | "install-norec" | "aptitude" | "aptitude-r" | "apt" => false,
        // Groups and tasks are not names of packages.
        _ => return,
    };
    let (word, removes) = match word.strip_suffix('-') {
        Some(name) => (name, true),
        None => (word.trim_end_matches('+'), removes),
    };
    let name = word.split(['=', '/', ':']).next().unwrap_or(word);
    match (removes, installed.contains(name)) {
        (true, true) => found.unwanted_packages.push(name.to_owned()),
        (false, false) => found.missing_packages.push(name.to_owned()),
        _ => {}
    }
}

/// Names of the packages that dpkg's status file calls installed.
fn installed_packages(status: &str) -> BTreeSet<&str> {
    let mut installed = BTreeSet::new();
    for stanza in status.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        let is_installed = field("Status: ").is_some_and(|status| status.ends_with(" installed"));
        if let Some(name) = field("Package: ").filter(|_| is_installed) {
            installed.insert(name);
        }
    }
    installed
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_package_lists_are_held_against_dpkg() {
        let status = "Package: nginx\nStatus: install ok installed\nVersion: 1\n\n\
                      Package: vim\nStatus: deinstall ok config-files\n";
        let installed = installed_packages(status);
        let mut found = Discrepancies::default();
        for word in ["nginx", "vim", "curl=7", "nginx-", "vim-"] {
            packages(&mut found, &installed, PackageAction::Install, word);
        }
        packages(&mut found, &installed, PackageAction::Remove, "nginx");
        assert_eq!(found.missing_packages, ["vim", "curl"]);
        assert_eq!(found.unwanted_packages, ["nginx", "nginx"]);
    }
}
