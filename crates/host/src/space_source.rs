//! Config spaces from elsewhere: what FAI_CONFIG_SRC may say, and how its space gets here.
//!
//! ```text
//! /srv/config  file:///srv/config          a directory, used in place
//! git://…  git+https://…#BRANCH            a clone; a branch, a tag or a commit
//! https://…/x.tar.gz#sha256=HEX            an archive; also http://, scp://, sftp://
//! nfs://SERVER/PATH                        a copy of what is exported there
//! detect://                                /media/data/config or /var/lib/fai/config
//! X://…                                    whatever the program get-config-dir-X brings
//! ```
//!
//! Everything but the first and `detect` is kept below a cache directory, one for each source.

use crate::{Command, Host, HostError, MountRequest, Tool};
use std::str::FromStr;
use thiserror::Error;

/// Where `detect://` looks, in this order.
const DETECTED: [&str; 2] = ["/media/data/config", "/var/lib/fai/config"];
/// FAI's options for a config space on NFS: nothing is written, and the server may be slow.
const NFS_OPTIONS: &str = "ro,nolock,noatime,actimeo=1800";
/// The branch that FAI takes where none is named.
const DEFAULT_BRANCH: &str = "master";

/// Where a config space is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpaceSource {
    /// A directory of this machine.
    Directory(String),
    /// A git repository.
    Git {
        /// As git takes it.
        url: String,
        /// Branch, tag or commit.
        revision: Option<String>,
    },
    /// An archive.
    Archive {
        /// `http://…`, `https://…`, `scp://…` or `sftp://…`.
        url: String,
        /// SHA-256 of the archive in hexadecimal digits.
        sha256: Option<String>,
    },
    /// A directory that another machine exports.
    Nfs {
        /// The machine.
        server: String,
        /// The directory there.
        path: String,
    },
    /// A data partition, or what FAI has put on this machine.
    Detect,
    /// Something that a program `get-config-dir-SCHEME` knows.
    Program {
        /// What stands in front of `+` or `://`.
        scheme: String,
        /// The whole source.
        uri: String,
    },
}

/// Why a text is not a [`SpaceSource`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{uri}' is no source of a config space: {reason}")]
pub struct BadSource {
    /// The text.
    pub uri: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a space did not get here.
#[derive(Debug, Error)]
pub enum FetchError {
    /// A program or a file.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What came is not what was promised.
    #[error("the archive {url} has the SHA-256 {found}, not {wanted}")]
    Checksum {
        /// Where it came from.
        url: String,
        /// What it should have been.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{url} has neither a branch nor a tag nor a commit '{revision}'")]
    NoRevision {
        /// The repository.
        url: String,
        /// What was asked for.
        revision: String,
    },
    /// Nothing knows this kind of source.
    #[error("config spaces from {scheme}:// need a program get-config-dir-{scheme} in PATH")]
    NoProgram {
        /// The kind.
        scheme: String,
    },
    /// What came has no directory class/.
    #[error("{uri} holds no config space: there is no directory class/ in it")]
    NoSpace {
        /// Where it came from.
        uri: String,
    },
}

/// A config space that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedSpace {
    /// Its directory.
    pub dir: String,
    /// Which version of it: a commit, a checksum; `None` for a directory that may change.
    pub revision: Option<String>,
}

impl FromStr for SpaceSource {
    type Err = BadSource;
    fn from_str(uri: &str) -> Result<Self, BadSource> {
        let bad = |reason| BadSource { uri: uri.to_owned(), reason };
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Ok(Self::Directory(uri.to_owned()));
        };
        let (plain, fragment) = match uri.split_once('#') {
            Some((plain, fragment)) => (plain, Some(fragment.to_owned())),
            None => (uri, None),
        };
        let kind = scheme.split('+').next().unwrap_or(scheme);
        match kind {
            "file" if rest.starts_with('/') => Ok(Self::Directory(rest.to_owned())),
            "file" => Err(bad("write file:///PATH")),
            "detect" => Ok(Self::Detect),
            "git" => {
                if fragment.as_ref().is_some_and(|name| name.is_empty() || name.starts_with('-')) {
                    return Err(bad("the part behind '#' is not the name of a branch"));
                }
                let url = plain.strip_prefix("git+").unwrap_or(plain).to_owned();
                Ok(Self::Git { url, revision: fragment })
            }
            "http" | "https" | "scp" | "sftp" => {
                let sha256 = fragment.map(|text| checksum(&text)).transpose().map_err(bad)?;
                Ok(Self::Archive { url: plain.to_owned(), sha256 })
            }
            "nfs" => match rest.split_once('/') {
                Some(("", _)) | None => Err(bad("write nfs://SERVER/PATH")),
                Some((server, path)) => {
                    Ok(Self::Nfs { server: server.to_owned(), path: format!("/{path}") })
                }
            },
            _ if !is_word(kind) => Err(bad("what stands in front of '://' is no word")),
            _ => Ok(Self::Program { scheme: kind.to_owned(), uri: uri.to_owned() }),
        }
    }
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !text.is_empty() && text.chars().all(plain)
}

/// The digits of `sha256=HEX`.
fn checksum(fragment: &str) -> Result<String, &'static str> {
    let digits = fragment.strip_prefix("sha256=").filter(|hex| hex.len() == 64);
    let digits = digits.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits.map(str::to_ascii_lowercase).ok_or("write #sha256= and 64 hexadecimal digits")
}

/// Brings a space here. `cache` is a directory for this source alone.
pub fn fetch(
    host: &mut dyn Host,
    source: &SpaceSource,
    cache: &str,
) -> Result<FetchedSpace, FetchError> {
    let (dir, revision) = match source {
        SpaceSource::Directory(dir) => (dir.clone(), None),
        SpaceSource::Detect => (detect(host)?, None),
        SpaceSource::Git { url, revision } => {
            let dir = format!("{cache}/clone");
            let commit = git(host, url, revision.as_deref(), &dir)?;
            (dir, Some(format!("commit {commit}")))
        }
        SpaceSource::Archive { url, sha256 } => {
            let dir = format!("{cache}/space");
            let found = archive(host, url, sha256.as_deref(), cache, &dir)?;
            (dir, Some(format!("sha256 {found}")))
        }
        SpaceSource::Nfs { server, path } => {
            let dir = format!("{cache}/space");
            nfs(host, server, path, cache, &dir)?;
            (dir, None)
        }
        SpaceSource::Program { scheme, uri } => {
            let dir = format!("{cache}/space");
            program(host, scheme, uri, &dir)?;
            (dir, None)
        }
    };
    match space_in(host, &dir)? {
        Some(dir) => Ok(FetchedSpace { dir, revision }),
        None => Err(FetchError::NoSpace { uri: dir }),
    }
}

/// The space at `dir`, or in the one directory in it: archives often begin with one.
fn space_in(host: &mut dyn Host, dir: &str) -> Result<Option<String>, HostError> {
    let names = host.list(dir)?;
    if names.iter().any(|name| name == "class") {
        return Ok(Some(dir.to_owned()));
    }
    for name in names {
        let below = format!("{dir}/{name}");
        // A file has no entries, and cannot be listed.
        if host.list(&below).unwrap_or_default().iter().any(|name| name == "class") {
            return Ok(Some(below));
        }
    }
    Ok(None)
}

fn detect(host: &mut dyn Host) -> Result<String, FetchError> {
    for dir in DETECTED {
        if !host.list(dir)?.is_empty() {
            return Ok(dir.to_owned());
        }
    }
    Err(FetchError::NoSpace { uri: DETECTED.join(" or ") })
}

/// Runs a tool to a good end; its standard output without the line end.
fn output(host: &mut dyn Host, command: Command) -> Result<String, HostError> {
    let output = host.run(&command, &mut |_, _| {})?.success()?;
    Ok(output.stdout.trim().to_owned())
}

/// git in a repository; it must never ask for a password.
fn git_in(dir: &str) -> Command {
    Command::new(Tool::Git).env("GIT_TERMINAL_PROMPT", "0").args(["-C", dir])
}

/// A clone at a revision, without anything that is not in it. The commit.
fn git(
    host: &mut dyn Host,
    url: &str,
    revision: Option<&str>,
    dir: &str,
) -> Result<String, FetchError> {
    if host.list(dir)?.is_empty() {
        let clone = Command::new(Tool::Git).env("GIT_TERMINAL_PROMPT", "0");
        output(host, clone.args(["clone", "--quiet", "--no-checkout", "--", url, dir]))?;
    } else {
        let fetch = ["fetch", "--quiet", "--prune", "--tags", "--force", "origin"];
        output(host, git_in(dir).args(fetch))?;
    }
    let candidates = match revision {
        Some(name) => vec![format!("origin/{name}"), name.to_owned()],
        None => vec![format!("origin/{DEFAULT_BRANCH}"), "origin/HEAD".to_owned()],
    };
    for name in candidates {
        let name = format!("{name}^{{commit}}");
        let parse = git_in(dir).args(["rev-parse", "--verify", "--quiet", &name]);
        let found = host.run(&parse, &mut |_, _| {})?;
        if found.status == 0 {
            let commit = found.stdout.trim().to_owned();
            output(
                host,
                git_in(dir).args(["checkout", "--quiet", "--force", "--detach", &commit]),
            )?;
            output(host, git_in(dir).args(["clean", "-ffdxq"]))?;
            return Ok(commit);
        }
    }
    let revision = revision.unwrap_or(DEFAULT_BRANCH).to_owned();
    Err(FetchError::NoRevision { url: url.to_owned(), revision })
}

/// Downloads and unpacks an archive, nothing of it before its checksum is seen. The checksum.
fn archive(
    host: &mut dyn Host,
    url: &str,
    wanted: Option<&str>,
    cache: &str,
    dir: &str,
) -> Result<String, FetchError> {
    let file = format!("{cache}/archive");
    host.make_dir(cache, 0o755)?;
    output(host, download(url, &file))?;
    let sum = output(host, Command::new(Tool::Sha256sum).arg(&file))?;
    let found = sum.split_whitespace().next().unwrap_or_default().to_owned();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
        host.remove(&file)?;
        let (url, wanted) = (url.to_owned(), wanted.to_owned());
        return Err(FetchError::Checksum { url, wanted, found });
    }
    host.remove(dir)?;
    host.make_dir(dir, 0o755)?;
    output(host, Command::new(Tool::Tar).args(["-C", dir, "-xf", &file]))?;
    Ok(found)
}

/// curl(1) for the web, where a page of an error is no file; scp(1) for what ssh protects.
fn download(url: &str, file: &str) -> Command {
    if let Some(rest) = url.strip_prefix("sftp://").or(url.strip_prefix("scp://")) {
        return Command::new(Tool::Scp).args(["-q", "-B", &format!("scp://{rest}"), file]);
    }
    let options = ["--fail", "--silent", "--show-error", "--location", "--retry", "3"];
    Command::new(Tool::Curl).args(options).args(["--output", file, "--", url])
}

/// Copies what another machine exports; nothing stays mounted.
fn nfs(
    host: &mut dyn Host,
    server: &str,
    path: &str,
    cache: &str,
    dir: &str,
) -> Result<(), FetchError> {
    let target = format!("{cache}/mounted");
    host.mount(&MountRequest {
        source: format!("{server}:{path}"),
        target: target.clone(),
        file_system: Some("nfs".to_owned()),
        options: NFS_OPTIONS.to_owned(),
    })?;
    let copied = host.remove(dir).and_then(|()| {
        let copy = Command::new(Tool::Cp).args(["--archive", &format!("{target}/."), dir]);
        host.make_dir(dir, 0o755)?;
        output(host, copy)
    });
    host.unmount(&target)?;
    copied?;
    Ok(())
}

/// Lets a program of the operator's bring the space, by FAI's rules: FAI_CONFIG_SRC is the source
/// and FAI the directory.
fn program(host: &mut dyn Host, scheme: &str, uri: &str, dir: &str) -> Result<(), FetchError> {
    let name = format!("get-config-dir-{scheme}");
    let bash = |script: &str| Command::new(Tool::Bash).args(["-c", script, "bash", &name]);
    if host.run(&bash(r#"command -v "$1""#), &mut |_, _| {})?.status != 0 {
        return Err(FetchError::NoProgram { scheme: scheme.to_owned() });
    }
    host.make_dir(dir, 0o755)?;
    let call = bash(r#"exec "$1""#).env("FAI_CONFIG_SRC", uri).env("FAI", dir);
    output(host, call)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::RealHost;
    use std::fs;
    use std::path::Path;

    fn parse(uri: &str) -> SpaceSource {
        uri.parse().unwrap()
    }

    #[test]
    fn sources_are_told_apart() {
        assert_eq!(parse("/srv/config"), SpaceSource::Directory("/srv/config".to_owned()));
        assert_eq!(parse("file:///srv/config"), SpaceSource::Directory("/srv/config".to_owned()));
        let git = SpaceSource::Git {
            url: "https://git.example.org/fai".to_owned(),
            revision: Some("bookworm".to_owned()),
        };
        assert_eq!(parse("git+https://git.example.org/fai#bookworm"), git);
        let server = "boot".to_owned();
        assert_eq!(
            parse("nfs://boot/srv/x"),
            SpaceSource::Nfs { server, path: "/srv/x".to_owned() }
        );
        let scheme = "svn".to_owned();
        let uri = "svn+ssh://host/x".to_owned();
        assert_eq!(parse("svn+ssh://host/x"), SpaceSource::Program { scheme, uri });
        for uri in ["nfs:///srv", "file://srv", "https://x/y.tar#sha256=12", "git://x#-f", "://"] {
            assert!(uri.parse::<SpaceSource>().is_err(), "{uri}");
        }
    }

    fn run(dir: &Path, program: &str, args: &[&str]) {
        let mut command = std::process::Command::new(program);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "t");
            command.env(format!("GIT_{role}_EMAIL"), "t@example.org");
        }
        let status = command.args(args).current_dir(dir).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    }

    #[test]
    fn a_clone_follows_its_branch_and_drops_what_is_not_in_it() {
        let base = tempfile::tempdir().unwrap();
        let origin = base.path().join("origin");
        fs::create_dir_all(origin.join("class")).unwrap();
        run(&origin, "git", &["init", "--quiet", "--initial-branch=main"]);
        let commit = |text: &str| {
            fs::write(origin.join("class/10-x"), text).unwrap();
            run(&origin, "git", &["add", "-A"]);
            run(&origin, "git", &["commit", "--quiet", "-m", text]);
        };
        commit("one");
        let cache = base.path().join("cache").display().to_string();
        let source = parse(&format!("git+file://{}", origin.display()));
        let mut host = RealHost::default();
        let first = fetch(&mut host, &source, &cache).unwrap();
        let script = Path::new(&first.dir).join("class/10-x");
        assert_eq!(fs::read_to_string(&script).unwrap(), "one");
        fs::write(Path::new(&first.dir).join("class/litter"), "").unwrap();
        commit("two");
        let second = fetch(&mut host, &source, &cache).unwrap();
        assert_eq!(fs::read_to_string(&script).unwrap(), "two");
        assert!(!Path::new(&first.dir).join("class/litter").exists());
        let old = first.revision.as_ref().unwrap().strip_prefix("commit ").unwrap();
        assert_ne!(first.revision, second.revision);
        let source = parse(&format!("git+file://{}#{old}", origin.display()));
        assert_eq!(fetch(&mut host, &source, &cache).unwrap().revision, first.revision);
        let source = parse(&format!("git+file://{}#nowhere", origin.display()));
        let error = fetch(&mut host, &source, &cache).unwrap_err();
        assert!(matches!(error, FetchError::NoRevision { .. }), "{error}");
    }

    #[test]
    fn an_archive_is_unpacked_only_with_the_right_checksum() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("tree/config/class")).unwrap();
        fs::write(base.path().join("tree/config/class/10-x"), "x").unwrap();
        run(base.path(), "tar", &["-C", "tree", "-czf", "x.tar.gz", "config"]);
        let bytes = fs::read(base.path().join("x.tar.gz")).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&bytes).unwrap();
            }
        });
        let cache = base.path().join("cache").display().to_string();
        let url = format!("http://{address}/x.tar.gz");
        let mut host = RealHost::default();
        let source = parse(&format!("{url}#sha256={}", "0".repeat(64)));
        let error = fetch(&mut host, &source, &cache).unwrap_err();
        let FetchError::Checksum { found, .. } = error else { panic!("{error}") };
        assert!(!Path::new(&cache).join("space").exists());
        let fetched = fetch(&mut host, &parse(&format!("{url}#sha256={found}")), &cache).unwrap();
        assert_eq!(fetched.revision, Some(format!("sha256 {found}")));
        assert_eq!(fetched.dir, format!("{cache}/space/config"));
        server.join().unwrap();
    }

    #[test]
    fn a_source_that_nothing_knows_is_named() {
        let base = tempfile::tempdir().unwrap();
        let cache = base.path().join("cache").display().to_string();
        let error = fetch(&mut RealHost::default(), &parse("rcs://x/y"), &cache).unwrap_err();
        let message = "config spaces from rcs:// need a program get-config-dir-rcs in PATH";
        assert_eq!(error.to_string(), message);
    }
}
