//! debconf, packages and scripts: what turns a base system into the wanted one.

use super::{Planner, step};
use crate::finding::Finding;
use crate::packages;
use hostwright_model::class::ClassName;
use hostwright_model::diagnostic::Diagnostic;
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
        let steps = self.package_steps(vars)?;
        self.body(Phase::Instsoft, steps, false);
        Ok(())
    }

    fn package_steps(&self, vars: &Vars) -> Result<Vec<Step>, Vec<Diagnostic>> {
        self.refuse_archives()?;
        let size = packages::chunk_size(self.space, vars)?;
        let mut steps = Vec::new();
        for group in packages::groups(self.space, &self.classes, vars)? {
            let release = group.release.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
            for (number, (group, why)) in (1..).zip(group.chunks(size)) {
                let id = format!("packages/{}{release}/{number}", group.action.word());
                steps.push(step(id, Action::Packages { group }, why));
            }
        }
        if !steps.is_empty() {
            let why = Why::because("packages were installed");
            steps.push(step("packages/settle", Action::SettlePackages, why));
        }
        Ok(steps)
    }

    fn refuse_archives(&self) -> Result<(), Vec<Diagnostic>> {
        let archives =
            self.classes.iter().filter_map(|class| self.space.package_archives.get(class));
        let found = archives.flatten().map(|path| {
            let message = "this version does not install package files of a space";
            let cure = "serve it from a repository, or install it in a script of configure";
            Finding::error("foreign-package-file", message, cure).at_file(path)
        });
        let found: Vec<Diagnostic> = found.collect();
        if found.is_empty() { Ok(()) } else { Err(found) }
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
