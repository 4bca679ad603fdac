//! The base system: a base file of the space or debootstrap, and where its packages come from.

use super::{Planner, step};
use crate::finding::Finding;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, PackageSources, SecuritySource, Step, Why};
use hostwright_model::vars::Vars;

/// Where FAI mounts a mirror unless `MNTPOINT` says otherwise, and how unless `romountopt` does.
const MIRROR_PATH: &str = "/media/mirror";
const MIRROR_OPTIONS: &str = "async,noatime,nolock,ro,actimeo=1800";

impl Planner<'_> {
    /// The phase extrbase.
    pub(super) fn plan_base(&mut self, vars: &Vars) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Extrbase);
        if !self.does(Phase::Extrbase) {
            self.body(Phase::Extrbase, Vec::new(), false);
            return Ok(());
        }
        if let Some(fetch) = self.fetch_base_file(vars) {
            self.body(Phase::Extrbase, vec![fetch], true);
        }
        let base = match self.needs_fetched_base(vars) && self.inputs.discovered.base_file.is_none()
        {
            true => None,
            false => Some(self.base_system(vars)?),
        };
        let why = Why::because("FAI's task extrbase");
        let fstab = step("fstab", Action::InstallFstab, why);
        let mut steps: Vec<Step> = base.into_iter().chain([fstab]).collect();
        steps.extend(self.ram_disks(vars, "ram-disk", |path| Action::RamDisk { path }));
        self.body(Phase::Extrbase, steps, false);
        Ok(())
    }

    /// What makes the base system: a file that was fetched, a file of the space, or debootstrap.
    fn base_system(&self, vars: &Vars) -> Result<Step, Vec<Diagnostic>> {
        if let Some(path) = &self.inputs.discovered.base_file {
            let name = path.rsplit('/').next().unwrap_or(path);
            let why = self.why_var(vars, "FAI_BASEFILEURL");
            return Ok(step(
                format!("basefiles/{name}"),
                Action::BaseFile { path: path.clone() },
                why,
            ));
        }
        match self.space.base_file_of(&self.classes) {
            Some((class, path)) => {
                let why = Why::line(path.clone(), 0, Some(class.as_str()));
                Ok(step(path.clone(), Action::BaseFile { path: path.clone() }, why))
            }
            None => self.debootstrap(vars),
        }
    }

    /// True if only a base file from FAI_BASEFILEURL can make the base system.
    fn needs_fetched_base(&self, vars: &Vars) -> bool {
        let is_set = |name: &str| vars.get(name).is_some_and(|value| !value.trim().is_empty());
        is_set("FAI_BASEFILEURL")
            && !is_set("FAI_DEBOOTSTRAP")
            && self.space.base_file_of(&self.classes).is_none()
    }

    /// The question for a base file of a class above the one that the space has one for.
    fn fetch_base_file(&self, vars: &Vars) -> Option<Step> {
        let url = vars.get("FAI_BASEFILEURL").filter(|url| !url.is_empty())?.to_owned();
        let own = self.space.base_file_of(&self.classes).map(|(class, _)| class);
        let mut above: Vec<_> =
            self.classes.iter().rev().take_while(|class| Some(*class) != own).cloned().collect();
        above.reverse();
        let why = self.why_var(vars, "FAI_BASEFILEURL");
        let action =
            Action::FetchBaseFile { url, classes: above, required: self.needs_fetched_base(vars) };
        Some(step("fetch-base-file", action, why))
    }

    /// A step for each directory that FAI_RAMDISKS names.
    fn ram_disks(&self, vars: &Vars, kind: &str, action: fn(String) -> Action) -> Vec<Step> {
        let paths = vars.get("FAI_RAMDISKS").unwrap_or_default().split_whitespace();
        let why = self.why_var(vars, "FAI_RAMDISKS");
        let steps = (1..).zip(paths).map(|(number, path)| {
            step(format!("{kind}/{number}"), action(path.to_owned()), why.clone())
        });
        steps.collect()
    }

    /// What brings RAM disks to the disk again, at the end of the installation.
    pub(super) fn flush_ram_disks(&self) -> Vec<Step> {
        let flush = |path| Action::FlushRamDisk { path };
        let vars = self.inputs.vars.as_ref();
        vars.map(|vars| self.ram_disks(vars, "flush-ram-disk", flush)).unwrap_or_default()
    }

    /// The mirror that FAI_DEBMIRROR names.
    fn mirror(&self, vars: &Vars) -> Result<Option<Step>, Vec<Diagnostic>> {
        let is_set = |name: &str| vars.0.get(name).filter(|var| !var.value.is_empty());
        let Some(var) = is_set("FAI_DEBMIRROR") else { return Ok(None) };
        if !var.value.contains(":/") && !var.value.starts_with('/') {
            let message = format!("FAI_DEBMIRROR is '{}', not a place to mount from", var.value);
            let cure = "set it to SERVER:/PATH, or to a directory of the machine that installs";
            let finding = Finding::error("bad-value", message, cure);
            return Err(vec![self.space.at_variable(finding, "FAI_DEBMIRROR", var)]);
        }
        let path = is_set("MNTPOINT").map_or(MIRROR_PATH, |var| &var.value).to_owned();
        // FAI keeps the word `-o` in the variable.
        let options = is_set("romountopt").map_or(MIRROR_OPTIONS, |var| &var.value);
        let options = options.trim().trim_start_matches("-o").trim().to_owned();
        let action = Action::MountMirror { source: var.value.clone(), path, options };
        Ok(Some(step("mirror", action, self.why_var(vars, "FAI_DEBMIRROR"))))
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
        let steps = [Some(repository), self.mirror(vars)?].into_iter().flatten().collect();
        self.body(Phase::Repository, steps, false);
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
