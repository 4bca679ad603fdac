//! `install_packages`: installs and removes what package_config asks for the classes.

use super::options::Options;
use super::session::{usage, words};
use super::{Env, Session, ToolError, package_names};
use crate::package_calls::{self, Manner};
use hostwright_host::{Command, Tool, metadata};
use hostwright_model::class::{ClassList, ClassName};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::package::{Package, PackageAction, PackageGroup, PackageSystem, Wish};
use hostwright_model::plan::Why;
use hostwright_model::quirk::Quirk;

pub(super) const USAGE: &str = "[-cdGhHlLnNPsv] [-m N] [-p DIR]";

/// Names in one call of apt-get unless MAXPACKAGES says otherwise.
const NAMES_MAX: usize = 99;
/// Status when a command failed.
const FAILED: i32 = 3;
/// Names in one call when packages are only downloaded.
const DOWNLOAD_NAMES_MAX: usize = 9999;
/// Where sources are fetched to in the target, before they are moved to FAI_DEBSOURCESDIR.
const SOURCES: &str = "/var/lib/fai/packages";

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
    /// True to take conditions with `!` for true, as a mirror for many machines needs it.
    pub generic: bool,
    /// True to do as FAI does where its documentation says otherwise.
    pub fai_bugs: bool,
}

/// A line `PRELOAD` or `PRELOADRM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagePreload {
    /// `file:/PATH` for a file of the target, else what curl(1) takes.
    pub url: String,
    /// The directory of the target.
    pub directory: String,
    /// True for `PRELOADRM`.
    pub is_temporary: bool,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSelection {
    /// Groups in the order in which they are to be carried out, of any length.
    pub groups: Vec<PackageGroup>,
    /// Files to fetch before.
    pub preloads: Vec<PackagePreload>,
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
    manner: Manner,
    /// Where sources of the packages go, `-s`.
    sources_dir: Option<String>,
    failures: u32,
}

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("cdGHvlLm:p:nNPs", args)?;
    if options.has('H') {
        list_actions(session);
        return Ok(0);
    }
    let mut call = Call::new(&options, session)?;
    let PackageSelection { mut groups, preloads, .. } = selection(&options, &call, session)?;
    if options.has('G') {
        groups.iter_mut().for_each(|group| group.packages.retain(|it| !it.name.ends_with('-')));
    }
    check_names(&options, &mut groups, session)?;
    if options.has('c') {
        return Ok(0);
    }
    if options.has('l') {
        list_names(&groups, session);
        return Ok(0);
    }
    if options.has('L') {
        for group in &groups {
            call.simulate(group, session)?;
        }
        return Ok(0);
    }
    call.carry_out(&groups, &preloads, session)?;
    if call.failures > 0 {
        session.warn(&format!("{} errors during executing of install_packages", call.failures));
        return Ok(FAILED);
    }
    Ok(0)
}

/// Leaves out what apt of the target does not know, with one warning, so that one wrong name does
/// not keep all others from being installed.
fn check_names(
    options: &Options,
    groups: &mut Vec<PackageGroup>,
    session: &mut Session<'_>,
) -> Result<(), ToolError> {
    let unchecked = options.has('N') || session.env.is_on("FAI_DISABLE_PACKAGE_NAME_CHECK");
    let has_names = groups.iter().any(|group| group.action.takes_chunks());
    if unchecked || !has_names || !package_names::is_possible(session)? {
        return Ok(());
    }
    let unknown = package_names::take_unknown(groups, session)?;
    groups.retain(|group| !group.packages.is_empty());
    if !unknown.is_empty() {
        let names = unknown.join(" ");
        session.warn(&format!(
            "WARNING: These unknown packages are removed from the installation list: {names}"
        ));
    }
    Ok(())
}

/// `-l`: all names that are to be installed, on one line that scripts search. FAI 6.0 shows those of
/// the last group only, 6.6 a line for each.
fn list_names(groups: &[PackageGroup], session: &mut Session<'_>) {
    let listed = groups.iter().filter(|group| group.action.wish() == Wish::Present);
    let mut listed: Vec<&PackageGroup> = listed.collect();
    let what = "install_packages: only the last group of packages is listed";
    if listed.len() > 1 && session.has_quirk(Quirk::LastGroupListed, what) {
        listed = listed.split_off(listed.len().saturating_sub(1));
    }
    let names: Vec<&str> = listed.iter().flat_map(|group| group.names()).collect();
    session.say(&format!("{} ", names.join(" ")));
}

/// Everything package_config asks for; an error in it stops us before anything is done.
fn selection(
    options: &Options,
    call: &Call,
    session: &mut Session<'_>,
) -> Result<PackageSelection, ToolError> {
    let of_space = session.env.get("FAI").map(|space| format!("{space}/package_config"));
    let dir = options.value('p').map(str::to_owned).or(of_space);
    let undefined = || ToolError::refused(2, "neither -p nor FAI says where package_config is");
    let dir = session.absolute(&dir.ok_or_else(undefined)?);
    let classes: ClassList =
        session.classes().iter().filter_map(|class| class.parse::<ClassName>().ok()).collect();
    if call.verbose {
        session.warn(&format!("install_packages: reading config files from directory {dir}"));
    }
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
    let (generic, fai_bugs) = (options.has('G'), session.fai_bugs());
    let env = &session.env;
    let request = PackageRequest { files: &files, classes: &classes, env, generic, fai_bugs };
    let selection = session.packages.select(request);
    for diagnostic in &selection.diagnostics {
        session.warn(&diagnostic.to_string());
    }
    let is_wrong = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
    match selection.diagnostics.iter().any(is_wrong) {
        true => Err(ToolError::refused(FAILED, "package_config has errors, nothing is installed")),
        false => Ok(selection),
    }
}

impl Call {
    fn new(options: &Options, session: &Session<'_>) -> Result<Self, ToolError> {
        let download = options.has('d') || options.has('P');
        let names_max = match session.env.get("MAXPACKAGES").or_else(|| options.value('m')) {
            None if download => DOWNLOAD_NAMES_MAX,
            None => NAMES_MAX,
            Some(number) => {
                let wrong = || usage(format!("'{number}' is not a number of packages"));
                number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?
            }
        };
        let verbose = options.has('v') || options.has('n') || session.env.is_on("verbose");
        let manner = match download {
            true => Manner::Download {
                options: words(session.env.get("aptoptions").unwrap_or_default()),
                verbose,
                print_uris: options.has('P'),
            },
            false => Manner::AsFai,
        };
        let sources_dir = session.env.get("FAI_DEBSOURCESDIR").filter(|_| options.has('s'));
        if options.has('s') && sources_dir.is_none() {
            return Err(ToolError::refused(2, "FAI_DEBSOURCESDIR does not say where sources go"));
        }
        let sources_dir = sources_dir.map(|dir| session.absolute(dir));
        Ok(Self { names_max, verbose, dry_run: options.has('n'), manner, sources_dir, failures: 0 })
    }

    fn installs(&self) -> bool {
        self.manner == Manner::AsFai
    }

    fn carry_out(
        &mut self,
        groups: &[PackageGroup],
        preloads: &[PackagePreload],
        session: &mut Session<'_>,
    ) -> Result<(), ToolError> {
        let target = session.target();
        for PackagePreload { url, directory, .. } in preloads {
            for command in package_calls::preload(url, directory, &target) {
                self.execute(command, session)?;
            }
        }
        let is_debian =
            |group: &PackageGroup| group.action.system() == PackageSystem::Apt && is_counted(group);
        let settles = self.installs() && groups.iter().any(is_debian);
        // Once, behind the actions of other package managers and before those of apt.
        let mut is_clean = !settles;
        for group in groups {
            if !is_clean && group.action > PackageAction::Taskinst {
                self.execute(session.in_target(clean()), session)?;
                is_clean = true;
            }
            self.group(group, settles, session)?;
        }
        for preload in preloads.iter().filter(|preload| preload.is_temporary) {
            let PackagePreload { url, directory, .. } = preload;
            self.execute(package_calls::remove_preloaded(url, directory, &target), session)?;
        }
        if settles {
            let pending = Command::new(Tool::Dpkg).args(["--configure", "--pending"]);
            for command in [pending, Command::new(Tool::Dpkg).arg("-C"), clean()] {
                self.execute(session.in_target(command), session)?;
            }
        }
        Ok(())
    }

    fn group(
        &mut self,
        group: &PackageGroup,
        settles: bool,
        session: &mut Session<'_>,
    ) -> Result<(), ToolError> {
        let is_chunked = group.action.takes_chunks();
        if is_chunked {
            self.write_list(group, session)?;
            self.fetch_sources(group, session)?;
        }
        let size = if is_chunked { self.names_max } else { usize::MAX };
        for part in group.chunks(size) {
            if self.is_archived(&part, session)? {
                continue;
            }
            for command in package_calls::calls(&part, &self.manner) {
                self.execute(session.in_target(command), session)?;
            }
            if is_chunked && settles {
                self.execute(session.in_target(clean()), session)?;
            }
        }
        Ok(())
    }

    /// With packages one by one, as for a mirror: true if FAI_ARCHIVE_DIR has this one.
    fn is_archived(
        &self,
        part: &PackageGroup,
        session: &mut Session<'_>,
    ) -> Result<bool, ToolError> {
        let dir = session.env.get("FAI_ARCHIVE_DIR").map(|dir| session.absolute(dir));
        let (Some(dir), [package], 1) = (dir, &part.packages[..], self.names_max) else {
            return Ok(false);
        };
        let start = format!("{}_", package.name);
        let names = session.host.list(&dir)?;
        Ok(names.iter().any(|name| name.starts_with(&start) && name.ends_with("deb")))
    }

    fn execute(&mut self, command: Command, session: &mut Session<'_>) -> Result<(), ToolError> {
        let shown = command.to_shell();
        if self.verbose {
            session.warn(&format!("install_packages: executing {shown}"));
        }
        if self.dry_run {
            return Ok(());
        }
        let status = session.run(command)?.status;
        if status != 0 {
            session.warn(&format!("ERROR: {shown} return code {status}"));
            self.failures += 1;
        }
        Ok(())
    }

    /// Shows what apt would install, with versions.
    fn simulate(&self, group: &PackageGroup, session: &mut Session<'_>) -> Result<(), ToolError> {
        if !matches!(group.action, PackageAction::Install | PackageAction::InstallNorec) {
            return Ok(());
        }
        for mut command in package_calls::calls(group, &Manner::AsFai) {
            command.args.insert(0, "-s".to_owned());
            let command = session.in_target(command);
            let output = session.run_for_output(command)?;
            for line in output.stdout.lines().filter(|line| line.starts_with("Inst")) {
                session.say(line);
            }
        }
        Ok(())
    }

    /// `-s`: fetches the sources of the packages.
    fn fetch_sources(
        &mut self,
        group: &PackageGroup,
        session: &mut Session<'_>,
    ) -> Result<(), ToolError> {
        let Some(to) = self.sources_dir.clone() else { return Ok(()) };
        let from = format!("{}{SOURCES}", session.target().trim_end_matches('/'));
        const FETCH: &str = "mkdir -p \"$1\" && cd \"$1\" && apt-get --download-only source \"$2\"";
        const MOVE: &str = "mkdir -p \"$2\" && mv \"$1\"/* \"$2\"";
        for name in group.names() {
            let fetch = Command::new(Tool::Bash).args(["-c", FETCH, "sources", SOURCES, name]);
            self.execute(session.in_target(fetch), session)?;
            let move_out = Command::new(Tool::Bash).args(["-c", MOVE, "sources", &from, &to]);
            self.execute(move_out, session)?;
        }
        Ok(())
    }

    /// Leaves the names of a group in the target, for people.
    fn write_list(&self, group: &PackageGroup, session: &mut Session<'_>) -> Result<(), ToolError> {
        if self.dry_run || !self.installs() {
            return Ok(());
        }
        let path = metadata::resolve_in_root(&session.target(), package_calls::LIST, true)?;
        Ok(session.host.write(&path, package_calls::list(group).as_bytes(), 0o644)?)
    }
}

/// Actions after which FAI settles what apt left; holding packages back and unpacking them are not
/// among them.
fn is_counted(group: &PackageGroup) -> bool {
    !matches!(group.action, PackageAction::Hold | PackageAction::Taskrm | PackageAction::Unpack)
}

fn clean() -> Command {
    Command::new(Tool::AptGet).arg("clean")
}

/// `-H`: the actions, with what they run.
fn list_actions(session: &mut Session<'_>) {
    let mut actions = PackageAction::ALL.to_vec();
    actions.sort_by_key(|action| action.word());
    session.say("List of known commands for package_config files\nShort list:");
    actions.iter().for_each(|action| session.say(action.word()));
    session.say("\nLong list:");
    for action in actions {
        // The word in the place of the names, so that each call is shown as it will be.
        let package = Package { name: "…".to_owned(), why: Why::default() };
        let group = PackageGroup { action, release: None, packages: vec![package] };
        let calls = package_calls::calls(&group, &Manner::AsFai);
        let program = |call: &Command| match call.tool {
            Tool::Bash => call.args[2].clone(),
            _ => call.to_shell().replace(" '…'", "").replace(" …", ""),
        };
        let shown: Vec<String> = calls.iter().map(program).collect();
        session.say(&format!("{:>15}    {}", action.word(), shown.join("; ")));
    }
}
