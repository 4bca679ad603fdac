//! The base system: a base file of the space or debootstrap, and where its packages come from.

use super::{Planner, step};
use crate::finding::Finding;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, PackageSources, SecuritySource, Step, Why};
use hostwright_model::vars::Vars;

/// Variables that ask for something this version does not do, and what to do instead.
const FOREIGN_VARS: [(&str, &str); 2] = [
    ("FAI_BASEFILEURL", "put the base file into basefiles/ and unset the variable"),
    ("FAI_DEBMIRROR", "unset it: packages come through the boot server's package proxy"),
];

impl Planner<'_> {
    /// The phase extrbase.
    pub(super) fn plan_base(&mut self, vars: &Vars) -> Result<(), Vec<Diagnostic>> {
        self.refuse_foreign_vars(vars)?;
        self.hooks(Phase::Extrbase);
        if !self.does(Phase::Extrbase) {
            self.body(Phase::Extrbase, Vec::new(), false);
            return Ok(());
        }
        let base = match self.space.base_file_of(&self.classes) {
            Some((class, path)) => {
                let why = Why::line(path.clone(), 0, Some(class.as_str()));
                step(path.clone(), Action::BaseFile { path: path.clone() }, why)
            }
            None => self.debootstrap(vars)?,
        };
        let why = Why::because("FAI's task extrbase");
        self.body(Phase::Extrbase, vec![base, step("fstab", Action::InstallFstab, why)], false);
        Ok(())
    }

    fn refuse_foreign_vars(&self, vars: &Vars) -> Result<(), Vec<Diagnostic>> {
        let is_set = |name: &str| vars.0.get(name).filter(|var| !var.value.is_empty());
        let found = FOREIGN_VARS.iter().filter_map(|(name, cure)| {
            let message = format!("this version does not support {name}");
            let finding = Finding::error("foreign-variable", message, *cure);
            is_set(name).map(|var| self.space.at_variable(finding, name, var))
        });
        let found: Vec<Diagnostic> = found.collect();
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    fn debootstrap(&self, vars: &Vars) -> Result<Step, Vec<Diagnostic>> {
        let Some((suite, mirror)) = self.suite_and_mirror(vars)? else {
            let message = "there is no base system: no class has a base file, and FAI_DEBOOTSTRAP \
                           is not set";
            let cure = "set FAI_DEBOOTSTRAP=\"SUITE MIRROR\" in a .var file";
            return Err(vec![Finding::error("no-base-system", message, cure).at_file("class")]);
        };
        let options = vars.get("FAI_DEBOOTSTRAP_OPTS").unwrap_or_default();
        let options = options.split_whitespace().map(str::to_owned).collect();
        let id = format!("debootstrap/{suite}");
        let why = self.why_var(vars, "FAI_DEBOOTSTRAP");
        Ok(step(id, Action::Debootstrap { suite, mirror, options }, why))
    }

    /// The line that sets a variable.
    fn why_var(&self, vars: &Vars, name: &str) -> Why {
        let Some(var) = vars.0.get(name) else { return Why::default() };
        match self.space.setter_of(var) {
            Some((class, file)) => {
                let line = file.assignments.get(name).map_or(0, |assignment| assignment.line);
                Why::line(file.path.clone(), line, Some(class.as_str()))
            }
            None => Why::because(format!("{name} from {}", var.origin)),
        }
    }

    /// The phase repository.
    pub(super) fn plan_repository(&mut self, vars: &Vars) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Repository);
        let of_class = |class| self.space.keys.get(class).cloned().unwrap_or_default();
        let keys = self.classes.iter().flat_map(of_class).collect();
        let sources = if self.has_own_sources() { None } else { self.package_sources(vars)? };
        let why = match &sources {
            Some(_) => self.why_var(vars, "FAI_DEBOOTSTRAP"),
            None => Why::because("FAI's task repository"),
        };
        let repository = step("repository", Action::Repository { keys, sources }, why);
        self.body(Phase::Repository, vec![repository], false);
        Ok(())
    }

    /// True if the space brings the list of package sources for one of the classes.
    fn has_own_sources(&self) -> bool {
        let lists =
            ["sources.list", "sources.list.d/debian.sources", "sources.list.d/ubuntu.sources"];
        lists.iter().any(|list| {
            let variants = self.space.files.get(&format!("etc/apt/{list}"));
            variants.is_some_and(|variants| self.classes.iter().any(|c| variants.contains_key(c)))
        })
    }

    /// The two words of FAI_DEBOOTSTRAP.
    fn suite_and_mirror(&self, vars: &Vars) -> Result<Option<(String, String)>, Vec<Diagnostic>> {
        let Some(var) = vars.0.get("FAI_DEBOOTSTRAP") else { return Ok(None) };
        match var.value.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            [suite, mirror] if mirror.contains("://") => {
                Ok(Some(((*suite).to_owned(), mirror.trim_end_matches('/').to_owned())))
            }
            _ => {
                let message =
                    format!("FAI_DEBOOTSTRAP is '{}', not a suite and a mirror", var.value);
                let cure =
                    "write FAI_DEBOOTSTRAP=\"SUITE MIRROR\", such as \"bookworm http://…/debian\"";
                let finding = Finding::error("bad-value", message, cure);
                Err(vec![self.space.at_variable(finding, "FAI_DEBOOTSTRAP", var)])
            }
        }
    }

    /// Package sources for a space that has none of its own.
    fn package_sources(&self, vars: &Vars) -> Result<Option<PackageSources>, Vec<Diagnostic>> {
        let Some((suite, mirror)) = self.suite_and_mirror(vars)? else { return Ok(None) };
        let is_set = |name: &str| vars.get(name).filter(|value| !value.is_empty());
        let security = is_set("security_cdn").zip(is_set("secsuite")).map(|(host, suite)| {
            let host = host.trim_end_matches('/');
            let path = if host.ends_with("/debian-security") { "" } else { "/debian-security" };
            SecuritySource { suite: suite.to_owned(), mirror: format!("{host}{path}") }
        });
        let components = components(vars, &suite);
        Ok(Some(PackageSources { suite, mirror, components, security }))
    }
}

/// What debootstrap was told to use, else all parts that the suite has: FAI's examples name
/// firmware, which is not in `main`.
fn components(vars: &Vars, suite: &str) -> Vec<String> {
    let options = vars.get("FAI_DEBOOTSTRAP_OPTS").unwrap_or_default();
    let told = options.split_whitespace().find_map(|word| word.strip_prefix("--components="));
    let names: Vec<&str> = match (told, suite) {
        (Some(told), _) => told.split(',').filter(|name| !name.is_empty()).collect(),
        // non-free-firmware came with bookworm.
        (None, "jessie" | "stretch" | "buster" | "bullseye") => vec!["main", "contrib", "non-free"],
        (None, "bookworm" | "trixie" | "forky" | "sid" | "stable" | "testing" | "unstable") => {
            vec!["main", "contrib", "non-free", "non-free-firmware"]
        }
        (None, _) => vec!["main"],
    };
    names.into_iter().map(str::to_owned).collect()
}
