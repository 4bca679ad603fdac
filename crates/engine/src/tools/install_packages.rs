//! `install_packages`: installs and removes what package_config asks for the classes.

use super::options::Options;
use super::session::{usage, words};
use super::{Env, Session, ToolError};
use hostwright_host::{Command, HostError, Tool, metadata};
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::package::{PackageAction, PackageGroup};
use std::collections::HashSet;

pub(super) const USAGE: &str = "[-dhHlLnNv] [-m N] [-p DIR]";

/// Names in one call of apt-get unless MAXPACKAGES says otherwise.
const NAMES_MAX: usize = 99;
/// Status when a command failed.
const FAILED: i32 = 3;
/// What the list of packages begins with in the target.
const LIST: &str = "/var/log/install_packages.list";

/// A file of package_config that belongs to a class of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageText {
    /// Its path, for messages.
    pub path: String,
    /// Its class.
    pub class: ClassName,
    /// Its content.
    pub text: String,
}

/// What [`PackageLists`] is asked.
#[derive(Clone, Copy, Debug)]
pub struct PackageRequest<'a> {
    /// The files in the order of the classes.
    pub files: &'a [PackageText],
    /// The classes, for conditions behind `PACKAGES`.
    pub classes: &'a ClassList,
    /// Values of variables in names.
    pub env: &'a Env,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSelection {
    /// Groups in the order in which they are to be carried out, of any length.
    pub groups: Vec<PackageGroup>,
    /// Mistakes in the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Makes groups of packages out of package_config. The engine does not know how: the binary gives
/// it the planner's reader, so that a preview and a run cannot differ.
pub trait PackageLists {
    /// What the files ask for.
    fn select(&self, request: PackageRequest<'_>) -> PackageSelection;
}

/// How it was called.
struct Call {
    names_max: usize,
    verbose: bool,
    dry_run: bool,
    /// `-d` and the variable `aptoptions`.
    download: Option<Vec<String>>,
    failures: u32,
}

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("dHvlLm:p:nN", args)?;
    if options.has('H') {
        list_actions(session);
        return Ok(0);
    }
    let mut call = Call::new(&options, session)?;
    let mut groups = groups(&options, &call, session)?;
    if options.has('l') {
        let names: Vec<String> = groups.into_iter().flat_map(|group| group.names).collect();
        session.say(&format!("{} ", names.join(" ")));
        return Ok(0);
    }
    let unchecked = options.has('N') || session.env.is_on("FAI_DISABLE_PACKAGE_NAME_CHECK");
    if !unchecked {
        drop_unknown(&mut groups, session)?;
    }
    if options.has('L') {
        for group in groups.iter().filter(|group| group.action != PackageAction::Remove) {
            call.simulate(group, session)?;
        }
        return Ok(0);
    }
    call.carry_out(&groups, session)?;
    if call.failures > 0 {
        session.warn(&format!("install_packages: {} commands failed", call.failures));
        return Ok(FAILED);
    }
    Ok(0)
}

/// Everything package_config asks for; an error in it stops us before anything is done.
fn groups(
    options: &Options,
    call: &Call,
    session: &mut Session<'_>,
) -> Result<Vec<PackageGroup>, ToolError> {
    let of_space = session.env.get("FAI").map(|space| format!("{space}/package_config"));
    let dir = options.value('p').map(str::to_owned).or(of_space);
    let undefined = || ToolError::refused(2, "neither -p nor FAI says where package_config is");
    let dir = session.absolute(&dir.ok_or_else(undefined)?);
    let classes: ClassList =
        session.classes().iter().filter_map(|class| class.parse::<ClassName>().ok()).collect();
    let mut files = Vec::new();
    for class in classes.iter() {
        let path = format!("{dir}/{class}");
        if !metadata::stat(&path)?.is_some_and(|meta| meta.is_file()) {
            continue;
        }
        if call.verbose {
            session.warn(&format!("install_packages: read config file {class}"));
        }
        let content = session.host.read(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content).into_owned();
        files.push(PackageText { path, class: class.clone(), text });
    }
    let request = PackageRequest { files: &files, classes: &classes, env: &session.env };
    let selection = session.packages.select(request);
    for diagnostic in &selection.diagnostics {
        session.warn(&diagnostic.to_string());
    }
    let is_wrong = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
    match selection.diagnostics.iter().any(is_wrong) {
        true => Err(ToolError::refused(FAILED, "package_config has errors, nothing is installed")),
        false => Ok(selection.groups),
    }
}

impl Call {
    fn new(options: &Options, session: &Session<'_>) -> Result<Self, ToolError> {
        let names_max = match session.env.get("MAXPACKAGES").or_else(|| options.value('m')) {
            None => NAMES_MAX,
            Some(number) => {
                let wrong = || usage(format!("'{number}' is not a number of packages"));
                number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?
            }
        };
        let apt_options = || words(session.env.get("aptoptions").unwrap_or_default());
        Ok(Self {
            names_max,
            verbose: options.has('v') || options.has('n') || session.env.is_on("verbose"),
            dry_run: options.has('n'),
            download: options.has('d').then(apt_options),
            failures: 0,
        })
    }

    fn carry_out(
        &mut self,
        groups: &[PackageGroup],
        session: &mut Session<'_>,
    ) -> Result<(), ToolError> {
        let settles = self.download.is_none() && !groups.is_empty();
        if settles {
            self.execute(clean(), session)?;
        }
        for group in groups {
            if self.download.is_some() && group.action == PackageAction::Remove {
                continue;
            }
            if group.action == PackageAction::Remove {
                self.execute(self.apt(group, &group.names), session)?;
                continue;
            }
            self.write_list(group, session)?;
            for names in group.names.chunks(self.names_max) {
                self.execute(self.apt(group, names), session)?;
                if settles {
                    self.execute(clean(), session)?;
                }
            }
        }
        if settles {
            self.execute(Command::new(Tool::Dpkg).args(["--configure", "--pending"]), session)?;
            self.execute(Command::new(Tool::Dpkg).arg("-C"), session)?;
            self.execute(clean(), session)?;
        }
        Ok(())
    }

    /// The call of apt-get for some names of a group.
    fn apt(&self, group: &PackageGroup, names: &[String]) -> Command {
        let mut command = Command::new(Tool::AptGet);
        command = match &self.download {
            None => command.args(APT_OPTIONS),
            Some(options) => {
                let quiet = (!self.verbose).then_some("-qq");
                command.args(quiet).arg("-d").args(options).arg("-y")
            }
        };
        command = match group.action {
            PackageAction::Install => command.args(["--fix-missing", "install"]),
            PackageAction::InstallNorec => {
                command.args(["--fix-missing", "install", "--no-install-recommends"])
            }
            PackageAction::Remove => command.args(["--purge", "remove"]),
        };
        if let Some(release) = &group.release {
            command = command.args(["-t", release]);
        }
        command.args(names)
    }

    fn execute(&mut self, command: Command, session: &mut Session<'_>) -> Result<(), ToolError> {
        let command = session.in_target(command);
        if self.verbose {
            session.warn(&format!("install_packages: executing {}", command.to_shell()));
        }
        if self.dry_run {
            return Ok(());
        }
        let shown = command.to_shell();
        let status = session.run(command)?.status;
        if status != 0 {
            session.warn(&format!("ERROR: {shown} return code {status}"));
            self.failures += 1;
        }
        Ok(())
    }

    /// Shows what apt would install, with versions.
    fn simulate(&self, group: &PackageGroup, session: &mut Session<'_>) -> Result<(), ToolError> {
        let mut command = self.apt(group, &group.names);
        command.args.insert(0, "-s".to_owned());
        let command = session.in_target(command);
        let output = session.run_for_output(command)?;
        for line in output.stdout.lines().filter(|line| line.starts_with("Inst")) {
            session.say(line);
        }
        Ok(())
    }

    /// Leaves the names of a group in the target, for people.
    fn write_list(&self, group: &PackageGroup, session: &mut Session<'_>) -> Result<(), ToolError> {
        if self.dry_run || self.download.is_some() {
            return Ok(());
        }
        let names: String = group.names.iter().map(|name| format!("{name}\n")).collect();
        let text = format!("# What install_packages was last asked to install\n{names}");
        let path = metadata::resolve_in_root(&session.target(), LIST, true)?;
        Ok(session.host.write(&path, text.as_bytes(), 0o644)?)
    }
}

/// Options of every apt-get but that of `-d`.
const APT_OPTIONS: [&str; 6] = [
    "-y",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confnew",
    "--allow-change-held-packages",
];

fn clean() -> Command {
    Command::new(Tool::AptGet).arg("clean")
}

/// Drops names that apt of the target does not know, with one warning, so that one of them does
/// not keep all others from being installed. Like FAI only where apt has its cache at hand.
fn drop_unknown(
    groups: &mut Vec<PackageGroup>,
    session: &mut Session<'_>,
) -> Result<(), HostError> {
    let cache = "/var/cache/apt/pkgcache.bin";
    let cache = metadata::resolve_in_root(&session.target(), cache, true)?;
    if metadata::stat(&cache)?.is_none() {
        return Ok(());
    }
    let command = session.in_target(Command::new(Tool::AptCache).arg("dumpavail"));
    let available = session.run_for_output(command)?.success()?.stdout;
    let known = known_names(&available);
    let mut unknown = Vec::new();
    for group in groups.iter_mut() {
        group.names.retain(|name| {
            let is_known = is_known(name, &known);
            if !is_known {
                unknown.push(name.clone());
            }
            is_known
        });
    }
    groups.retain(|group| !group.names.is_empty());
    if !unknown.is_empty() {
        let names = unknown.join(" ");
        session.warn(&format!(
            "WARNING: These unknown packages are removed from the installation list: {names}"
        ));
    }
    Ok(())
}

/// Names of packages, and what they provide, in the output of `apt-cache dumpavail`.
fn known_names(available: &str) -> HashSet<&str> {
    let mut names = HashSet::new();
    for line in available.lines() {
        if let Some(name) = line.strip_prefix("Package: ") {
            names.insert(name);
        } else if let Some(provided) = line.strip_prefix("Provides: ") {
            let first_word = |entry: &'_ str| entry.trim().find(' ');
            for entry in provided.split(',').map(str::trim) {
                names.insert(first_word(entry).map_or(entry, |end| &entry[..end]));
            }
        }
    }
    names
}

/// FAI's order: as it is, without `-`, without `+`, without `/release` or `=version`, without
/// `:arch`.
fn is_known(name: &str, known: &HashSet<&str>) -> bool {
    let mut name = name;
    let mut tries = vec![name];
    for end in ['-', '+'] {
        name = name.strip_suffix(end).unwrap_or(name);
        tries.push(name);
    }
    for mark in [&['/', '='][..], &[':'][..]] {
        name = name.split(mark).next().unwrap_or(name);
        tries.push(name);
    }
    tries.iter().any(|name| known.contains(name))
}

/// `-H`: the actions, with what they run.
fn list_actions(session: &mut Session<'_>) {
    let call = Call { names_max: 1, verbose: false, dry_run: true, download: None, failures: 0 };
    session.say("Actions of package_config files:");
    for action in [PackageAction::Install, PackageAction::InstallNorec, PackageAction::Remove] {
        let group = PackageGroup { action, release: None, names: Vec::new() };
        session.say(&format!("{:>15}    {}", action.word(), call.apt(&group, &[]).to_shell()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_without_their_marks() {
        let available = "Package: nginx\nProvides: httpd (= 1), web:any\n\nPackage: g++\n";
        let known = known_names(available);
        for name in ["nginx", "nginx-", "nginx=1.2", "nginx/sid", "nginx:amd64", "g++", "httpd"] {
            assert!(is_known(name, &known), "{name}");
        }
        assert!(!is_known("apache2", &known) && !is_known("", &known));
    }
}
