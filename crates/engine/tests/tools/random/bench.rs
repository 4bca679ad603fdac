//! A sample, and what a program makes of it: status, output, tree with contents, modes, owners,
//! times, links and extended attributes.

use super::super::bench::{NoPackages, call};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Time of the first file of a sample, seconds since the epoch; each further file is a day younger.
const OLD: u64 = 1_000_000_000;
/// Whatever is younger was made by the program.
const NOW: i64 = 1_600_000_000;

/// What a path holds before the run. `@` in texts and links is the directory of the sample.
pub enum Node {
    Dir,
    File {
        text: Vec<u8>,
        mode: u32,
        owner: u32,
    },
    Link(String),
    /// Another name of a file made earlier.
    HardLink(String),
}

/// Everything a program is given.
#[derive(Default)]
pub struct Sample {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub before: Vec<(String, Node)>,
    /// Shell text run in the directory when the tree is there: what a list of files cannot say.
    pub prepare: String,
}

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub tree: BTreeMap<String, Found>,
}

/// A file after the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: char,
    pub mode: u32,
    pub owner: (u32, u32),
    pub content: String,
    /// `None` if the program changed the file, and for directories.
    pub time: Option<i64>,
    pub names: u64,
    pub xattrs: BTreeMap<String, String>,
}

impl Sample {
    /// Adds an option or argument.
    pub fn arg(&mut self, arg: impl Into<String>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable.
    pub fn var(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a file of root's.
    pub fn file(&mut self, path: impl Into<String>, text: impl Into<Vec<u8>>) -> &mut Self {
        self.node(path, Node::File { text: text.into(), mode: 0o644, owner: 0 })
    }

    /// Adds anything, unless the path or a part of it is taken.
    pub fn node(&mut self, path: impl Into<String>, node: Node) -> &mut Self {
        let path = path.into();
        let collides = |(other, node): &(String, Node)| {
            let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|r| r.starts_with('/'));
            *other == path
                || below(other, &path)
                || (below(&path, other) && !matches!(node, Node::Dir))
        };
        if !self.before.iter().any(collides) {
            self.before.push((path, node));
        }
        self
    }

    /// The sample's command line, for people.
    pub fn line(&self) -> String {
        format!("{:?} with {:?}", self.args, self.env)
    }

    /// Runs FAI's program on a copy.
    pub fn run_theirs(&self, program: &[&str]) -> Outcome {
        let dir = self.make();
        let base = dir.path().to_str().unwrap();
        let output = Command::new(program[0])
            .args(&program[1..])
            .args(self.placed_args(base))
            .env_clear()
            .envs(self.placed_env(base))
            .current_dir(base)
            .output()
            .unwrap();
        let status = output.status.code().unwrap_or(-1);
        outcome(base, status, &output.stdout, &output.stderr)
    }

    /// Runs our program on a copy.
    pub fn run_ours(&self, tool: &str) -> Outcome {
        let dir = self.make();
        let base = dir.path().to_str().unwrap();
        let (args, env) = (self.placed_args(base), self.placed_env(base));
        let (status, out, err) = call(tool, &args, env, base, &NoPackages);
        outcome(base, status, out.as_bytes(), err.as_bytes())
    }

    fn placed_args(&self, base: &str) -> Vec<String> {
        self.args.iter().map(|arg| arg.replace('@', base)).collect()
    }

    fn placed_env(&self, base: &str) -> Vec<(String, String)> {
        let path = "/usr/lib/fai:/usr/sbin:/usr/bin:/sbin:/bin";
        let always = [("PATH", path), ("LC_ALL", "C"), ("TMPDIR", "@/tmp")];
        let always = always.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let vars = always.iter().chain(&self.env);
        vars.map(|(name, value)| (name.clone(), value.replace('@', base))).collect()
    }

    fn make(&self) -> TempDir {
        let dir = tempfile::Builder::new().prefix("peers").tempdir().unwrap();
        let base = dir.path().to_str().unwrap().to_owned();
        fs::create_dir(format!("{base}/tmp")).unwrap();
        for (day, (path, node)) in (0..).zip(&self.before) {
            let full = format!("{base}/{path}");
            fs::create_dir_all(Path::new(&full).parent().unwrap()).unwrap();
            match node {
                Node::Dir => fs::create_dir_all(&full).unwrap(),
                Node::File { text, mode, owner } => {
                    fs::write(&full, at_base(text, &base)).unwrap();
                    lchown(&full, Some(*owner), Some(*owner)).unwrap();
                    fs::set_permissions(&full, fs::Permissions::from_mode(*mode)).unwrap();
                }
                Node::Link(to) => symlink(to.replace('@', &base), &full).unwrap(),
                Node::HardLink(to) => fs::hard_link(format!("{base}/{to}"), &full).unwrap(),
            }
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(OLD + day * 86_400);
            hostwright_host::metadata::set_modified(&full, time, true).unwrap();
        }
        if !self.prepare.is_empty() {
            let words = ["-c", &self.prepare];
            let done = Command::new("bash").args(words).current_dir(&base).status().unwrap();
            assert!(done.success(), "{}", self.prepare);
        }
        dir
    }
}

fn at_base(text: &[u8], base: &str) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.replace('@', base).into_bytes(),
        Err(_) => text.to_vec(),
    }
}

fn outcome(base: &str, status: i32, stdout: &[u8], stderr: &[u8]) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(base, "@");
    let mut tree = BTreeMap::new();
    walk(base, Path::new(base), &mut tree);
    Outcome { status, stdout: text(stdout), stderr: text(stderr), tree }
}

fn walk(base: &str, dir: &Path, tree: &mut BTreeMap<String, Found>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
        // FAI leaves temporary files behind on some of its ways out, with random names.
        if name == "tmp" {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let is_dir = meta.is_dir();
        tree.insert(name, found(base, &path, &meta));
        if is_dir {
            walk(base, &path, tree);
        }
    }
}

fn found(base: &str, path: &Path, meta: &fs::Metadata) -> Found {
    let (kind, content) = match meta.file_type() {
        kind if kind.is_dir() => ('d', Vec::new()),
        kind if kind.is_symlink() => {
            ('l', fs::read_link(path).unwrap().into_os_string().into_encoded_bytes())
        }
        kind if kind.is_file() => ('f', fs::read(path).unwrap()),
        _ => ('s', Vec::new()),
    };
    let time = (kind != 'd' && meta.mtime() < NOW).then_some(meta.mtime());
    let names = if kind == 'd' { 0 } else { meta.nlink() };
    let of = |name: std::ffi::OsString| {
        let value = xattr::get(path, &name).ok().flatten().unwrap_or_default();
        (name.to_string_lossy().into_owned(), String::from_utf8_lossy(&value).into_owned())
    };
    let listed = if kind == 'l' { None } else { xattr::list(path).ok() };
    Found {
        kind,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        content: String::from_utf8_lossy(&content).replace(base, "@"),
        time,
        names,
        xattrs: listed.into_iter().flatten().map(of).collect(),
    }
}
