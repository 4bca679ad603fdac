//! debconf, packages and scripts: what turns a base system into the wanted one.

use super::{Planner, step};
use crate::packages::{self, PreloadFile};
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::package::{PackageAction, PackageGroup, PackageSystem};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Step, Why};
use hostwright_model::vars::Vars;
use std::collections::BTreeMap;

impl Planner<'_> {
    /// The phases debconf, repository, updatebase and instsoft.
    pub(super) fn plan_software(&mut self, vars: &Vars) -> Result<(), Vec<Diagnostic>> {
        self.hooks(Phase::Debconf);
        let answers =
            self.scripts_of(&self.space.debconf, "debconf", |path| Action::Debconf { path });
        self.body(Phase::Debconf, answers, false);
        self.plan_repository(vars)?;
        self.hooks(Phase::Updatebase);
        self.fixed(Phase::Updatebase, "updatebase", Action::UpdateBase);
        self.hooks(Phase::Instsoft);
        self.plan_packages(vars)
    }

    /// First it is made sure that all packages are to be had, which may change the plan of the rest.
    fn plan_packages(&mut self, vars: &Vars) -> Result<(), Vec<Diagnostic>> {
        if !self.does(Phase::Instsoft) {
            self.body(Phase::Instsoft, Vec::new(), false);
            return Ok(());
        }
        let mut groups = self.package_groups(vars)?;
        let lenient = self.inputs.rules.lenient;
        if !groups.is_empty() {
            let why = Why::because("nothing is fetched before all packages are known");
            let check = step("packages/check", Action::CheckPackages { lenient }, why);
            self.body(Phase::Instsoft, vec![check], true);
        }
        let unknown = &self.inputs.discovered.unknown_packages;
        for group in &mut groups {
            group.packages.retain(|package| !unknown.contains(&package.name));
        }
        let mut steps = self.preload_steps();
        let runs_dpkg = groups.iter().any(|group| group.action.system() == PackageSystem::Apt);
        steps.extend(self.group_steps(groups, vars)?);
        let files = self.package_file_steps();
        let has_debs = files.iter().any(|step| match &step.action {
            Action::PackageFiles { paths } => paths.iter().any(|path| path.ends_with(".deb")),
            _ => false,
        });
        steps.extend(files);
        if runs_dpkg || has_debs {
            let why = Why::because("packages were installed");
            steps.push(step("packages/settle", Action::SettlePackages, why));
        }
        steps.extend(self.remove_preloaded_steps());
        self.body(Phase::Instsoft, steps, false);
        Ok(())
    }

    /// What package_config asks for.
    fn package_groups(&self, vars: &Vars) -> Result<Vec<PackageGroup>, Vec<Diagnostic>> {
        match self.inputs.rules.fai_bugs {
            true => Ok(packages::groups_with_leaks(self.space, &self.classes, vars)?.0),
            false => packages::groups(self.space, &self.classes, vars),
        }
    }

    /// Warnings about words that reach into groups where nobody wrote them.
    pub(super) fn leaked_removals(&self) -> Vec<Diagnostic> {
        let vars = self.inputs.vars.as_ref().filter(|_| self.inputs.rules.fai_bugs);
        let leaks = vars.map(|vars| packages::groups_with_leaks(self.space, &self.classes, vars));
        leaks.and_then(Result::ok).map(|(_, warnings)| warnings).unwrap_or_default()
    }

    fn group_steps(
        &self,
        groups: Vec<PackageGroup>,
        vars: &Vars,
    ) -> Result<Vec<Step>, Vec<Diagnostic>> {
        let names_max = packages::chunk_size(self.space, vars)?;
        let mut steps = Vec::new();
        for group in groups {
            let release = group.release.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
            let size = match group.action {
                PackageAction::Taskinst | PackageAction::Taskrm => 1,
                action if action.takes_chunks() => names_max,
                _ => usize::MAX,
            };
            for (number, group) in (1..).zip(group.chunks(size)) {
                let id = format!("packages/{}{release}/{number}", group.action);
                let why = group.packages.first().map(|first| first.why.clone()).unwrap_or_default();
                steps.push(step(id, Action::Packages { group }, why));
            }
        }
        Ok(steps)
    }

    /// `.deb` and `.rpm` files of the space, a step for each class and kind.
    fn package_file_steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for class in self.classes.iter() {
            let all = self.space.package_archives.get(class).into_iter().flatten();
            for kind in ["deb", "rpm"] {
                let ending = format!(".{kind}");
                let paths: Vec<String> =
                    all.clone().filter(|path| path.ends_with(&ending)).cloned().collect();
                if !paths.is_empty() {
                    let why = Why::line(format!("pkgs/{class}"), 0, Some(class.as_str()));
                    let id = format!("package-files/{class}/{kind}");
                    steps.push(step(id, Action::PackageFiles { paths }, why));
                }
            }
        }
        steps
    }

    fn preload_steps(&self) -> Vec<Step> {
        let files = packages::preloads(self.space, &self.classes);
        let steps = (1..).zip(files).map(|(number, file)| {
            let PreloadFile { url, directory, why, .. } = file;
            step(format!("preload/{number}"), Action::Preload { url, directory }, why)
        });
        steps.collect()
    }

    fn remove_preloaded_steps(&self) -> Vec<Step> {
        let files = packages::preloads(self.space, &self.classes);
        let temporary = (1..).zip(files).filter(|(_, file)| file.is_temporary);
        let steps = temporary.map(|(number, file)| {
            let PreloadFile { url, directory, why, .. } = file;
            step(
                format!("preload/{number}/remove"),
                Action::RemovePreloaded { url, directory },
                why,
            )
        });
        steps.collect()
    }

    /// The phase configure with all its scripts.
    pub(super) fn plan_scripts(&mut self) {
        self.hooks(Phase::Configure);
        let scripts =
            self.scripts_of(&self.space.scripts, "script", |path| Action::Script { path });
        self.body(Phase::Configure, scripts, true);
    }

    /// A step for each file of each class, in order, named `KIND/CLASS/NAME`.
    pub(super) fn scripts_of(
        &self,
        by_class: &BTreeMap<ClassName, Vec<String>>,
        kind: &str,
        action: fn(String) -> Action,
    ) -> Vec<Step> {
        let of_class =
            |class| by_class.get(class).into_iter().flatten().map(move |path| (class, path));
        let files = self.classes.iter().flat_map(of_class);
        let steps = files.map(|(class, path)| {
            let name = path.split_once('/').map_or(path.as_str(), |(_, name)| name);
            let why = Why::line(path.clone(), 0, Some(class.as_str()));
            step(format!("{kind}/{name}"), action(path.clone()), why)
        });
        steps.collect()
    }
}
