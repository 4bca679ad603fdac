//! Real apt and real debootstrap through the proxy, against the mirrors of this machine's own apt.

use crate::origin::Proxy;
use hostwright_server::package_proxy::{MirrorMap, PackageProxyConfig, start};
use std::fs;
use std::path::Path;
use std::process::Command;

fn run(program: &str, args: &[&str], proxy: &str) -> String {
    let output = Command::new(program).args(args).env("http_proxy", proxy).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}\n{errors}");
    text
}

/// What apt needs to work below `root` without touching this machine's own state.
fn apt_root(root: &Path) -> Vec<String> {
    for dir in [
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "var/lib/dpkg",
        "var/cache/apt",
        "var/lib/apt",
    ] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let sources = format!("deb [signed-by={key}] http://deb.debian.org/debian bookworm main\n");
    fs::write(root.join("etc/apt/sources.list"), sources).unwrap();
    let at = |key: &str, path: &str| format!("-oDir::{key}={}", root.join(path).display());
    vec![
        at("Etc", "etc/apt"),
        at("State", "var/lib/apt"),
        at("State::status", "var/lib/dpkg/status"),
        at("Cache", "var/cache/apt"),
        "-oAPT::Architecture=amd64".into(),
        "-oAPT::Sandbox::User=root".into(),
        "-oDir::Etc::parts=/dev/null".into(),
        "-oDir::Etc::sourceparts=/dev/null".into(),
    ]
}

#[test]
fn apt_and_debootstrap_work_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = PackageProxyConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        cache_dir: dir.path().join("cache"),
        map: MirrorMap::from_apt_sources(),
        upstream: None,
    };
    let started = Proxy { handle: Some(start(config).unwrap()), dir };
    let (handle, dir) = (started.handle(), &started.dir);
    let proxy = handle.url();
    // A machine without a network cannot run this test, and says so.
    let release = started.get("http://deb.debian.org/debian/dists/bookworm/InRelease");
    if release.status != 200 {
        eprintln!("skipped: {}", String::from_utf8_lossy(&release.body));
        return;
    }
    let options = apt_root(dir.path());
    let words = |rest: &[&'static str]| {
        let mut words: Vec<String> = options.clone();
        words.push(format!("-oAcquire::http::Proxy={proxy}"));
        words.extend(rest.iter().map(|&word| word.to_owned()));
        words
    };
    let apt = |rest: &[&'static str]| {
        let words = words(rest);
        run("apt-get", &words.iter().map(String::as_str).collect::<Vec<_>>(), &proxy)
    };
    apt(&["update"]);
    let before = handle.stats();
    assert!(before.cached_bytes > 1_000_000, "{before:?}");
    fs::remove_dir_all(dir.path().join("var/lib/apt/lists")).unwrap();
    apt(&["update"]);
    let again = handle.stats();
    let by_hash = again.hits > before.hits;
    assert!(by_hash, "indices named by their digest come from the cache: {again:?}");
    for round in 0..2 {
        apt(&["-y", "--download-only", "install", "hello"]);
        let archives = dir.path().join("var/cache/apt/archives");
        let found = fs::read_dir(&archives).unwrap().flatten();
        let deb = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".deb");
        assert!(found.filter(|entry| deb(&entry.file_name())).count() > 0, "round {round}");
        fs::remove_dir_all(&archives).unwrap();
    }
    let target = dir.path().join("target").display().to_string();
    let mirror = "http://deb.debian.org/debian";
    let debs = run(
        "debootstrap",
        &["--print-debs", "--variant=minbase", "bookworm", &target, mirror],
        &proxy,
    );
    assert!(debs.split_whitespace().any(|name| name == "base-files"), "{debs}");
    let fetched = handle.stats().fetched_bytes;
    eprintln!("{fetched} bytes fetched, {:?}", handle.stats());
}
