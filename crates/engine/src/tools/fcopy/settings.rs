//! The command line and the variables of `fcopy`, and what they mean together.

use super::modes::Modes;
use crate::tools::options::Options;
use crate::tools::session::{usage, words};
use crate::tools::{Session, ToolError};

/// Directories of version control that `-r` does not enter.
const IGNORED: [&str; 5] = ["CVS", ".svn", ".arch-ids", "{arch}", ".git"];

/// What becomes of a file that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backup {
    /// Nothing.
    None,
    /// It stays beside the new one as `FILE.pre_fcopy`.
    Beside,
    /// It is moved below a directory.
    Below(String),
}

/// A call of `fcopy`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Directory of the sources, absolute.
    pub(super) source_root: String,
    /// Root of the target, absolute.
    pub(super) target: String,
    /// Sources as given.
    pub(super) sources: Vec<String>,
    /// Classes, lowest priority first.
    pub(super) classes: Vec<String>,
    /// Owner and mode for all files.
    pub(super) modes: Option<Modes>,
    pub(super) recurse: bool,
    pub(super) ignored_dirs: Vec<String>,
    pub(super) may_miss: bool,
    pub(super) delete: bool,
    pub(super) backup: Backup,
    pub(super) substitute: bool,
    pub(super) copy_links: bool,
    pub(super) refuse_links: bool,
    pub(super) not_in_softupdate: bool,
    pub(super) dry_run: bool,
    pub(super) verbose: bool,
    pub(super) debug: bool,
    /// File that gets a line for each copied file.
    pub(super) log: Option<String>,
}

impl Settings {
    pub(crate) fn parse(args: &[String], session: &mut Session<'_>) -> Result<Self, ToolError> {
        let options = Options::parse("Ms:t:rm:vidDc:C:F:lL:Bb:I:UnHS", args)?;
        let sources = sources(&options, session)?;
        let classes = classes(&options, session)?;
        let on = |letter, name| options.has(letter) || session.env.is_on(name);
        Ok(Self {
            source_root: source_root(&options, session),
            target: target(&options, session)?,
            sources,
            classes,
            modes: modes(&options)?,
            recurse: options.has('r'),
            ignored_dirs: ignored_dirs(&options, session),
            may_miss: options.has('i'),
            delete: options.has('d'),
            backup: backup(&options, session),
            substitute: on('S', "FCOPY_SUBSTITUTE"),
            copy_links: options.has('H'),
            refuse_links: options.has('l'),
            not_in_softupdate: options.has('U'),
            dry_run: on('n', "FCOPY_DRYRUN"),
            verbose: on('v', "verbose"),
            debug: on('D', "debug"),
            log: match options.value('L') {
                Some(path) => Some(session.absolute(path)),
                None => session.log_file("fcopy.log"),
            },
        })
    }
}

fn source_root(options: &Options, session: &Session<'_>) -> String {
    let of_space = session.env.get("FAI").map(|space| format!("{space}/files"));
    let root = options.value('s').map(str::to_owned).or(of_space);
    session.absolute(&root.unwrap_or_else(|| session.dir.clone()))
}

fn target(options: &Options, session: &Session<'_>) -> Result<String, ToolError> {
    let given = options.value('t').or_else(|| session.env.get("FAI_ROOT"));
    let target = given.or_else(|| session.env.get("target"));
    let undefined = || ToolError::refused(255, "neither -t nor FAI_ROOT says where the target is");
    target.map(|target| session.absolute(target)).ok_or_else(undefined)
}

fn sources(options: &Options, session: &mut Session<'_>) -> Result<Vec<String>, ToolError> {
    let Some(list) = options.value('F') else { return Ok(options.rest.clone()) };
    let text = read_list(list, session)?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}

fn classes(options: &Options, session: &mut Session<'_>) -> Result<Vec<String>, ToolError> {
    if let Some(list) = options.value('C') {
        let text = read_list(list, session)?;
        return Ok(text.lines().filter(|line| !line.starts_with('#')).flat_map(words).collect());
    }
    match options.value('c') {
        Some(list) => Ok(list.split(',').map(str::to_owned).collect()),
        None => Ok(session.classes()),
    }
}

fn read_list(path: &str, session: &mut Session<'_>) -> Result<String, ToolError> {
    let content = session.host.read(&session.absolute(path))?;
    let missing = || ToolError::refused(2, format!("there is no file {path}"));
    Ok(String::from_utf8_lossy(&content.ok_or_else(missing)?).into_owned())
}

fn modes(options: &Options) -> Result<Option<Modes>, ToolError> {
    let default = options.has('M').then_some("root,root,0644");
    let Some(text) = default.or_else(|| options.value('m')) else { return Ok(None) };
    let parts: Vec<&str> = text.split(',').collect();
    let [user, group, mode] = parts[..] else {
        return Err(usage(format!("-m takes user,group,mode, not '{text}'")));
    };
    let wrong = || usage(format!("the mode of a file is an octal number, not '{mode}'"));
    Modes::new(user, group, mode).map(Some).ok_or_else(wrong)
}

fn ignored_dirs(options: &Options, session: &Session<'_>) -> Vec<String> {
    match (options.value('I'), session.env.get("FCOPY_IGNOREDIRS")) {
        (Some(list), _) => list.split(',').map(str::to_owned).collect(),
        (None, Some(list)) => words(list),
        (None, None) => IGNORED.map(str::to_owned).to_vec(),
    }
}

fn backup(options: &Options, session: &Session<'_>) -> Backup {
    if options.has('B') || session.env.is_on("FCOPY_NOBACKUP") {
        return Backup::None;
    }
    match options.value('b').or_else(|| session.env.get("FAI_BACKUPDIR")) {
        Some(dir) => Backup::Below(session.absolute(dir)),
        None => Backup::Beside,
    }
}

/// A source as a path below the source root: without leading `./` and `/`, and without a `/` at
/// the end.
pub(super) fn plain_name(source: &str) -> &str {
    let mut name = source;
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    if name == "." { "" } else { name.trim_end_matches('/') }
}
