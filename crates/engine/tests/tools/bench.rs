//! The bench on which both programs run.

use hostwright_engine::tools::{
    self, Env, PackageLists, PackageRequest, PackageSelection, Session,
};
use hostwright_host::real::RealHost;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Time of every file of a case before the run, seconds since the epoch.
const OLD: u64 = 1_000_000_000;
/// Owner and group of files of the config space: somebody who is not root.
pub const SOMEBODY: u32 = 4321;

/// A file that exists before the run. `@` in paths and texts is the directory of the case.
#[derive(Clone, Copy)]
pub enum Entry {
    Dir(&'static str),
    File(&'static str, &'static str),
    /// With a mode, and owned by [`SOMEBODY`].
    Owned(&'static str, &'static str, u32),
    Link(&'static str, &'static str),
}
pub use Entry::{Dir, File, Link, Owned};

/// How the two are to compare.
#[derive(Clone, Copy)]
pub enum Expect {
    /// Equal tree, status and standard output.
    Same,
    /// Equal tree and status; standard output is for people and differs.
    SameTree,
    /// Equal, with the lines of output and logs in any order: Perl's hashes have none.
    SameInAnyOrder,
    /// Equal tree; both fail. Perl's status then is the number of some bygone error.
    BothFail,
    /// Not equal, for this reason. Ours has this status, and these files with this content.
    Differs { because: &'static str, status: i32, files: &'static [(&'static str, &'static str)] },
}
pub use Expect::{BothFail, Differs, Same, SameInAnyOrder, SameTree};

/// One comparison.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// Words, split at single blanks; a `_` in one is a blank, `@` the directory of the case.
    pub args: &'static str,
    pub env: &'static [(&'static str, &'static str)],
    pub before: &'static [Entry],
    pub expect: Expect,
}

/// What a program left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub tree: BTreeMap<String, Node>,
}

/// A file after the run.
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    content: String,
    /// True if the time is that of before the run. Directories have none.
    is_old: Option<bool>,
}

impl Case {
    /// See [`BothFail`].
    pub const fn failing(mut self) -> Self {
        self.expect = BothFail;
        self
    }

    /// See [`SameTree`].
    pub const fn for_people(mut self) -> Self {
        self.expect = SameTree;
        self
    }

    /// See [`SameInAnyOrder`].
    pub const fn sorted(mut self) -> Self {
        self.expect = SameInAnyOrder;
        self
    }

    pub fn args(&self, base: &str) -> Vec<String> {
        let words = self.args.split(' ').filter(|word| !word.is_empty());
        words.map(|word| word.replace('_', " ").replace('@', base)).collect()
    }

    pub fn env(&self, base: &str) -> Vec<(String, String)> {
        let always = [("PATH", "/usr/lib/fai:/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")];
        let vars = always.iter().chain(self.env);
        vars.map(|(name, value)| ((*name).to_owned(), value.replace('@', base))).collect()
    }
}

/// Runs every case with both programs; fails with all differences.
pub fn compare(tool: &str, oracle: &[&str], cases: &[Case]) {
    compare_prepared(tool, oracle, cases, |_| {});
}

/// The same; `prepare` does to the directory what a table of files cannot say.
pub fn compare_prepared(tool: &str, oracle: &[&str], cases: &[Case], prepare: fn(&str)) {
    need_fai();
    let problems: Vec<String> =
        cases.iter().filter_map(|case| compare_one(tool, oracle, case, prepare).err()).collect();
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
}

/// Fails with what to install where FAI is missing: a comparison that did not happen must not pass.
pub fn need_fai() {
    assert!(
        Path::new("/usr/lib/fai/subroutines").exists() && Path::new("/usr/sbin/fcopy").exists(),
        "this test compares with FAI's own programs: apt-get install fai-client libfile-lchown-perl"
    );
    let user = fs::metadata("/proc/self").unwrap().uid();
    assert_eq!(user, 0, "this test sets owners of files: run it as root");
}

fn compare_one(tool: &str, oracle: &[&str], case: &Case, prepare: fn(&str)) -> Result<(), String> {
    let theirs = run_theirs(oracle, case, prepare);
    let ours = run_ours(tool, case, prepare);
    let differences = differences(&theirs, &ours, case.expect);
    match case.expect {
        Differs { because, .. } if differences.is_empty() => {
            Err(format!("{}: is equal by now, although: {because}", case.name))
        }
        Differs { status, files, .. } => {
            let wrong = files.iter().filter(|(path, content)| {
                ours.tree.get(*path).is_none_or(|node| node.content != *content)
            });
            let wrong: Vec<_> = wrong.map(|(path, _)| (*path, ours.tree.get(*path))).collect();
            if wrong.is_empty() && ours.status == status {
                return Ok(());
            }
            Err(format!("{}: status {}, not as told: {wrong:?}", case.name, ours.status))
        }
        _ if differences.is_empty() => Ok(()),
        _ => Err(format!("{}: {}", case.name, differences.join("\n    "))),
    }
}

fn differences(theirs: &Outcome, ours: &Outcome, expect: Expect) -> Vec<String> {
    let mut found = Vec::new();
    let both_fail = matches!(expect, BothFail) && theirs.status != 0 && ours.status != 0;
    if theirs.status != ours.status && !both_fail {
        found.push(format!("status: FAI {}, ours {}", theirs.status, ours.status));
    }
    let in_any_order = matches!(expect, SameInAnyOrder);
    let text = |text: &str| if in_any_order { sorted(text) } else { text.to_owned() };
    let for_people = matches!(expect, SameTree | BothFail);
    if !for_people && text(&theirs.stdout) != text(&ours.stdout) {
        found.push(format!("stdout: FAI {:?}, ours {:?}", theirs.stdout, ours.stdout));
    }
    let paths: std::collections::BTreeSet<_> = theirs.tree.keys().chain(ours.tree.keys()).collect();
    for path in paths {
        let (theirs, ours) = (theirs.tree.get(path), ours.tree.get(path));
        let key =
            |node: &Node| (node.kind, node.mode, node.owner, text(&node.content), node.is_old);
        if theirs.map(key) != ours.map(key) {
            let show =
                |node: Option<&Node>| format!("{node:?}").chars().take(300).collect::<String>();
            found.push(format!("{path}: FAI {}\n      ours {}", show(theirs), show(ours)));
        }
    }
    found
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Runs FAI's program.
fn run_theirs(program: &[&str], case: &Case, prepare: fn(&str)) -> Outcome {
    let dir = make_tree(case);
    let base = dir.path().to_str().unwrap();
    prepare(base);
    let output = Command::new(program[0])
        .args(&program[1..])
        .args(case.args(base))
        .env_clear()
        .envs(case.env(base))
        .current_dir(base)
        .output()
        .unwrap();
    outcome(base, output.status.code().unwrap_or(-1), &output.stdout)
}

/// Runs our program.
fn run_ours(tool: &str, case: &Case, prepare: fn(&str)) -> Outcome {
    let dir = make_tree(case);
    let base = dir.path().to_str().unwrap();
    prepare(base);
    let (status, stdout, _) = call(tool, &case.args(base), case.env(base), base, &NoPackages);
    outcome(base, status, stdout.as_bytes())
}

/// Calls one of our tools: its status and both streams.
pub fn call(
    tool: &str,
    args: &[String],
    env: Vec<(String, String)>,
    dir: &str,
    packages: &dyn PackageLists,
) -> (i32, String, String) {
    let (mut host, mut out, mut err) = (RealHost::default(), Vec::new(), Vec::new());
    let env: Env = env.into_iter().collect();
    let dir = dir.to_owned();
    let status = tools::main(
        tool,
        args,
        &mut Session { env, dir, host: &mut host, packages, out: &mut out, err: &mut err },
    );
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// For tools that are not about packages.
pub struct NoPackages;

impl PackageLists for NoPackages {
    fn select(&self, _: PackageRequest<'_>) -> PackageSelection {
        PackageSelection::default()
    }
}

fn outcome(base: &str, status: i32, stdout: &[u8]) -> Outcome {
    let stdout = String::from_utf8_lossy(stdout).replace(base, "@");
    let mut tree = BTreeMap::new();
    walk(base, Path::new(base), &mut tree);
    Outcome { status, stdout, tree }
}

fn walk(base: &str, dir: &Path, tree: &mut BTreeMap<String, Node>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let read = || String::from_utf8_lossy(&fs::read(&path).unwrap()).replace(base, "@");
        let (kind, content) = match meta.file_type() {
            kind if kind.is_dir() => ("directory", String::new()),
            kind if kind.is_symlink() => {
                ("link", fs::read_link(&path).unwrap().to_str().unwrap().replace(base, "@"))
            }
            _ => ("file", read()),
        };
        let is_old = (kind != "directory").then_some(meta.mtime() == OLD as i64);
        let (mode, owner) = (meta.mode() & 0o7777, (meta.uid(), meta.gid()));
        let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
        tree.insert(name, Node { kind, mode, owner, content, is_old });
        if kind == "directory" {
            walk(base, &path, tree);
        }
    }
}

/// Makes the tree of a case.
fn make_tree(case: &Case) -> TempDir {
    let dir = tempfile::Builder::new().prefix("tools").tempdir().unwrap();
    let base = dir.path().to_str().unwrap().to_owned();
    for entry in case.before {
        let (path, text, mode, owner) = match *entry {
            Dir(path) => {
                fs::create_dir_all(format!("{base}/{path}")).unwrap();
                continue;
            }
            File(path, text) => (path, text, 0o644, 0),
            Owned(path, text, mode) => (path, text, mode, SOMEBODY),
            Link(path, text) => (path, text, 0, 0),
        };
        let full = format!("{base}/{path}");
        fs::create_dir_all(Path::new(&full).parent().unwrap()).unwrap();
        let text = text.replace('@', &base);
        if let Link(..) = entry {
            symlink(text, &full).unwrap();
        } else {
            fs::write(&full, text).unwrap();
            lchown(&full, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&full, fs::Permissions::from_mode(mode)).unwrap();
        }
        set_old(&full);
    }
    dir
}

fn set_old(path: &str) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(OLD);
    hostwright_host::metadata::set_modified(path, time, true).unwrap();
}
