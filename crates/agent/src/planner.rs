//! Gives the engine, which does not know how plans are made, the planner and its readers.

use hostwright_engine::Planner;
use hostwright_engine::tools::{PackageLists, PackagePreload, PackageRequest, PackageSelection};
use hostwright_host::real::RealHost;
use hostwright_host::space::read_space;
use hostwright_host::{Host as _, HostError};
use hostwright_model::api::RecoveryKey;
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::manners::FailurePolicy;
use hostwright_model::plan::{Inputs, Plan};
use hostwright_model::space::TreeFile;
use hostwright_model::vars::Vars;
use hostwright_plan::space::Condition;
use hostwright_plan::{ConfigSpace, ConfigTree, check_plan, packages, parse, resolve, storage};
use std::path::{Path, PathBuf};

/// Makes plans from one config space.
pub struct SpacePlanner {
    space: ConfigSpace,
}

impl SpacePlanner {
    /// Reads the space in `dir`. Mistakes in files that this machine does not use do not matter;
    /// the others come back with the plan.
    pub fn read(dir: &Path) -> Result<Self, HostError> {
        Ok(Self::of(&ConfigTree { files: read_space(dir)? }))
    }

    /// The same for a space that is at hand.
    pub fn of(tree: &ConfigTree) -> Self {
        let (space, _) = parse(tree);
        Self { space }
    }
}

impl Planner for SpacePlanner {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        let plan = resolve(&self.space, inputs).map_err(|found| {
            let cure = "mend the config space; 'hostwright check' finds such mistakes beforehand";
            refused(FaultKind::Config, "config-space", &found, cure)
        })?;
        let found = check_plan(&plan, inputs);
        if found.iter().any(|finding| finding.severity == Severity::Error) {
            let cure = "report this with the config space and the facts of the machine";
            return Err(refused(FaultKind::Bug, "plan-refused", &found, cure));
        }
        Ok(plan)
    }

    fn settle_classes(&mut self, named: ClassList) -> Result<ClassList, Box<Fault>> {
        let ordered = self.space.dependencies.apply(&named).map_err(|found| {
            let cure = "change the machine's classes, or class/dependencies.toml";
            refused(FaultKind::Config, "config-space", &found, cure)
        })?;
        Ok(ordered.classes)
    }

    fn passphrase(&mut self, file: &str, line: u32) -> Option<String> {
        let class: ClassName = file.strip_prefix("disk_config/")?.parse().ok()?;
        let config = &self.space.disk_configs.get(&class)?.config;
        storage::passphrase(config, line).map(str::to_owned)
    }
}

/// Leaves each plan that it makes beside the journal.
pub(crate) struct NotedPlanner {
    planner: SpacePlanner,
    /// The file: the page of the machine shows it.
    note: PathBuf,
    /// What the latest plan says of failures.
    pub(crate) on_failure: Option<FailurePolicy>,
}

impl NotedPlanner {
    pub(crate) fn new(planner: SpacePlanner, record_dir: &Path) -> Self {
        Self { planner, note: record_dir.join("plan.json"), on_failure: None }
    }
}

impl Planner for NotedPlanner {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        let plan = self.planner.plan(inputs)?;
        write_json(&self.note, &plan)?;
        self.on_failure = plan.policy.as_ref().map(|policy| policy.on_failure);
        Ok(plan)
    }

    fn settle_classes(&mut self, named: ClassList) -> Result<ClassList, Box<Fault>> {
        self.planner.settle_classes(named)
    }

    fn passphrase(&mut self, file: &str, line: u32) -> Option<String> {
        self.planner.passphrase(file, line)
    }
}

/// Keeps a recovery key.
pub(crate) type KeepKey<'a> = &'a mut dyn FnMut(&RecoveryKey) -> Result<(), Box<Fault>>;

/// A planner of a machine with a server, which keeps its recovery keys.
pub(crate) struct ServerPlanner<'a> {
    pub(crate) planner: &'a mut NotedPlanner,
    pub(crate) keep: KeepKey<'a>,
}

impl Planner for ServerPlanner<'_> {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        self.planner.plan(inputs)
    }

    fn settle_classes(&mut self, named: ClassList) -> Result<ClassList, Box<Fault>> {
        self.planner.settle_classes(named)
    }

    fn passphrase(&mut self, file: &str, line: u32) -> Option<String> {
        self.planner.passphrase(file, line)
    }

    fn keep_recovery_key(&mut self, key: &RecoveryKey) -> Result<(), Box<Fault>> {
        (self.keep)(key)
    }
}

/// Writes a file for its owner only.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Box<Fault>> {
    let bytes = serde_json::to_vec_pretty(value).expect("invariant: plain data serialises");
    let mut host = RealHost::default();
    let written = host.write(&path.display().to_string(), &bytes, 0o600);
    written.map_err(|error| crate::fault::of_host(&error))
}

/// The first mistake makes the message, all of them the lines below it.
fn refused(kind: FaultKind, code: &str, found: &[Diagnostic], cure: &str) -> Box<Fault> {
    let first = found.iter().max_by_key(|finding| finding.severity);
    let message = first.map_or_else(|| "there is no plan".to_owned(), ToString::to_string);
    let output = found.iter().map(ToString::to_string).collect();
    Box::new(Fault { output, ..Fault::new(kind, code, message, cure) })
}

/// Reads package_config for `install_packages` with the planner's reader.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpacePackages;

impl PackageLists for SpacePackages {
    fn select(&self, request: PackageRequest<'_>) -> PackageSelection {
        let mut tree = ConfigTree::default();
        for file in request.files {
            let path = format!("package_config/{}", file.class);
            tree.files.insert(path, TreeFile::file(file.text.as_bytes(), false));
        }
        let (mut space, mut diagnostics) = parse(&tree);
        if request.generic {
            let blocks = space.packages.values_mut().flat_map(|file| &mut file.blocks);
            blocks.filter(|it| it.condition.has_negation()).for_each(|it| {
                it.condition = Condition::Always;
            });
        }
        let mut vars = Vars::default();
        for (name, value) in request.env.as_map() {
            vars.set(name, value, "environment");
        }
        let groups = match request.fai_bugs {
            true => packages::groups_with_leaks(&space, request.classes, &vars),
            false => packages::groups(&space, request.classes, &vars).map(|it| (it, Vec::new())),
        };
        let (groups, found) = groups.unwrap_or_else(|found| (Vec::new(), found));
        diagnostics.extend(found);
        let preloads = packages::preloads(&space, request.classes).into_iter();
        let preloads = preloads.map(|file| PackagePreload {
            url: file.url,
            directory: file.directory,
            is_temporary: file.is_temporary,
        });
        PackageSelection { groups, preloads: preloads.collect(), diagnostics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_engine::tools::{Env, PackageText};
    use hostwright_model::package::PackageGroup;

    #[test]
    fn install_packages_reads_as_the_planner_does() {
        let text = "PACKAGES install\nnginx $flavour\nPACKAGES remove GUI\nxterm\n\
                    PACKAGES apt !WEB\nmore\n";
        let files = [PackageText {
            path: "/space/package_config/WEB".to_owned(),
            class: "WEB".parse().unwrap(),
            text: text.to_owned(),
        }];
        let env: Env = [("flavour".to_owned(), "curl".to_owned())].into_iter().collect();
        let classes = "DEFAULT WEB LAST".parse().unwrap();
        let request = PackageRequest {
            files: &files,
            classes: &classes,
            env: &env,
            generic: false,
            fai_bugs: false,
        };
        let names = |request| {
            let selection = SpacePackages.select(request);
            assert_eq!(selection.diagnostics, []);
            let names = |group: &PackageGroup| group.names().collect::<Vec<_>>().join(" ");
            selection.groups.iter().map(names).collect::<Vec<_>>()
        };
        assert_eq!(names(request), ["nginx curl"]);
        assert_eq!(names(PackageRequest { generic: true, ..request }), ["nginx curl", "more"]);
    }

    #[test]
    fn a_space_that_cannot_be_planned_is_its_authors_fault() {
        let found = [Diagnostic {
            code: "unset-variable".to_owned(),
            severity: Severity::Error,
            message: "no .var file sets 'kernelname'".to_owned(),
            at: None,
            cure: "set it".to_owned(),
            source_line: None,
        }];
        let fault = refused(FaultKind::Config, "config-space", &found, "mend the config space");
        assert_eq!(fault.kind, FaultKind::Config);
        assert!(fault.message.contains("kernelname"), "{}", fault.message);
        assert_eq!(fault.output.len(), 1);
    }
}
