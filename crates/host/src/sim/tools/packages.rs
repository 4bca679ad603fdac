//! apt-get(8), dpkg(1), debootstrap(8), debconf-set-selections(1) and dpkg's databases.
//!
//! An installed package is a file in `/var/lib/dpkg/info`, as on a real system, so that packages go
//! where the file system goes that they were installed into.

use super::{Call, Reply};
use crate::HostError;
use crate::sim::state::State;
use crate::sim::tree::{Node, NodeKind};

const INFO: &str = "/var/lib/dpkg/info";
/// dpkg's journal: while a file is in it, dpkg was interrupted.
const PENDING: &str = "/var/lib/dpkg/updates/0000";
const LISTS: &str = "/var/lib/apt/lists/simulated";
const ARCHIVES: &str = "/var/cache/apt/archives";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
const STATOVERRIDES: &str = "/var/lib/dpkg/statoverride";
const DEBCONF: &str = "/var/cache/debconf/config.dat";
/// The status with which apt-get fails.
const APT_FAILED: i32 = 100;

/// What debootstrap makes, beside [`BASE_PACKAGES`].
const BASE_DIRECTORIES: [(&str, u32); 16] = [
    ("/boot", 0o755),
    ("/dev", 0o755),
    ("/etc/apt", 0o755),
    ("/home", 0o755),
    ("/proc", 0o755),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o755),
    ("/tmp", 0o1777),
    ("/usr/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/usr/lib", 0o755),
    ("/var/lib/apt/lists", 0o755),
    ("/var/cache/apt/archives", 0o755),
    ("/var/lib/dpkg/updates", 0o755),
    ("/var/log", 0o755),
];
const BASE_PACKAGES: [&str; 6] = ["apt", "base-files", "bash", "dpkg", "libc6", "systemd"];

/// Programs that callers look for, and the packages that bring them.
const PROGRAMS: [(&str, &str); 4] = [
    ("dbus", "/usr/bin/dbus-daemon"),
    ("dpkg", "/usr/bin/dpkg-divert"),
    ("openssh-server", "/usr/sbin/sshd"),
    ("systemd", "/usr/bin/systemd-machine-id-setup"),
];

fn write(state: &mut State, call: &Call<'_>, path: &str, text: &str) -> Result<(), HostError> {
    state.put_in(call.root, path, Node::file(text, 0o644))
}

fn read(state: &State, call: &Call<'_>, path: &str) -> String {
    let bytes = state.read_in(call.root, path).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn exists(state: &State, call: &Call<'_>, path: &str) -> bool {
    let path = state.resolve(call.root, path, false);
    path.is_ok_and(|path| state.node(&path).is_some())
}

fn remove(state: &mut State, call: &Call<'_>, path: &str) -> Result<(), HostError> {
    let path = state.resolve(call.root, path, false)?;
    state.remove(&path)
}

fn names(state: &State, call: &Call<'_>, path: &str) -> Vec<String> {
    state.resolve(call.root, path, true).map(|path| state.names(&path)).unwrap_or_default()
}

fn install(state: &mut State, call: &Call<'_>, package: &str) -> Result<(), HostError> {
    for (_, program) in PROGRAMS.iter().filter(|(of, _)| *of == package) {
        state.put_in(call.root, program, Node::file("program\n", 0o755))?;
    }
    write(state, call, &format!("{INFO}/{package}.list"), "/.\n")
}

fn uninstall(state: &mut State, call: &Call<'_>, package: &str) -> Result<(), HostError> {
    for (_, program) in PROGRAMS.iter().filter(|(of, _)| *of == package) {
        remove(state, call, program)?;
    }
    remove(state, call, &format!("{INFO}/{package}.list"))
}

pub(super) fn apt_get(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = [
        "-y --yes --assume-yes",
        "-q --quiet",
        "-qq",
        "-f --fix-broken",
        "-m --fix-missing",
        "--no-install-recommends",
        "--install-recommends",
        "--purge",
        "--reinstall",
        "-d",
        "-s --simulate --dry-run",
        "--autoremove --auto-remove",
        "--allow-downgrades",
        "--allow-remove-essential",
        "--allow-change-held-packages",
        "--allow-unauthenticated",
        "--allow-releaseinfo-change",
        "--force-yes",
        "--print-uris",
        "-u",
        "-V",
    ];
    let options = call.options(&flags, &["-o --option", "-t --target-release", "-c"])?;
    let Some((verb, words)) = options.words.split_first() else {
        return Err(call.unknown("it takes a verb"));
    };
    if !exists(state, call, "/var/lib/dpkg") {
        return Ok(Reply::fail(APT_FAILED, "E: Could not open lock file /var/lib/dpkg/lock"));
    }
    let changes_packages = !matches!(*verb, "update" | "clean" | "autoclean");
    if changes_packages && exists(state, call, PENDING) {
        let line = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'";
        return Ok(Reply::fail(APT_FAILED, line));
    }
    match *verb {
        "update" => write(state, call, LISTS, "all packages\n")?,
        "clean" | "autoclean" => {
            for name in names(state, call, ARCHIVES) {
                remove(state, call, &format!("{ARCHIVES}/{name}"))?;
            }
        }
        "install" if options.has("-s") => return Ok(unknown_to_apt(call, words)),
        "install" => return apt_install(state, call, words, options.has("-d")),
        "remove" | "purge" => {
            for package in words {
                uninstall(state, call, plain_name(package))?;
            }
        }
        "check" | "upgrade" | "dist-upgrade" | "full-upgrade" | "autoremove" => {}
        _ => return Err(call.unknown(format!("verb '{verb}' is not simulated"))),
    }
    Ok(Reply::ok())
}

/// What apt says before it does anything: a line for each package that no archive has.
fn unknown_to_apt(call: &Call<'_>, words: &[&str]) -> Reply {
    let missing = words.iter().filter(|word| call.missing_packages.contains(plain_name(word)));
    let err: Vec<String> =
        missing.map(|word| format!("E: Unable to locate package {word}")).collect();
    let status = if err.is_empty() { 0 } else { APT_FAILED };
    Reply { status, out: Vec::new(), err }
}

fn apt_install(
    state: &mut State,
    call: &Call<'_>,
    words: &[&str],
    only_download: bool,
) -> Result<Reply, HostError> {
    let refusal = unknown_to_apt(call, words);
    if refusal.status != 0 {
        return Ok(refusal);
    }
    // Without power, half of the packages are unpacked and none is configured.
    let count = if call.torn { words.len().div_ceil(2) } else { words.len() };
    for word in &words[..count] {
        let name = plain_name(word);
        if word.ends_with('-') {
            uninstall(state, call, name)?;
            continue;
        }
        write(state, call, &format!("{ARCHIVES}/{name}.deb"), "archive\n")?;
        if !only_download {
            install(state, call, name)?;
        }
    }
    if call.torn && !only_download {
        write(state, call, PENDING, "interrupted\n")?;
    }
    Ok(Reply {
        out: words.iter().map(|word| format!("Setting up {word}")).collect(),
        ..Reply::ok()
    })
}

/// The name in `name/suite`, `name=version`, `name:arch`, `name-` and `name+`.
fn plain_name(word: &str) -> &str {
    let name = word.split(['/', '=', ':']).next().unwrap_or(word);
    let name = name.strip_suffix('-').unwrap_or(name);
    match name.strip_suffix('+') {
        Some(shorter) if !shorter.ends_with('+') => shorter,
        _ => name,
    }
}

pub(super) fn dpkg(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = [
        "--configure",
        "-a --pending",
        "-C --audit",
        "-i --install",
        "--print-architecture",
        "--add-architecture",
        "--print-foreign-architectures",
        "--force-confdef",
        "--force-confold",
        "--force-confnew",
        "--force-all",
        "--force-overwrite",
    ];
    let options = call.options(&flags, &[])?;
    if options.has("--print-architecture") {
        return Ok(Reply::say(&state.facts.architecture));
    }
    if !exists(state, call, "/var/lib/dpkg") {
        return Ok(Reply::fail(2, "dpkg: error: cannot open the package database"));
    }
    if options.has("--configure") && options.has("-a") {
        remove(state, call, PENDING)?;
    } else if options.has("--add-architecture") {
        for word in &options.words {
            let known = read(state, call, "/var/lib/dpkg/arch");
            if !known.lines().any(|line| line == *word) {
                write(state, call, "/var/lib/dpkg/arch", &format!("{known}{word}\n"))?;
            }
        }
    } else if options.has("--print-foreign-architectures") {
        let known = read(state, call, "/var/lib/dpkg/arch");
        return Ok(Reply { out: known.lines().map(str::to_owned).collect(), ..Reply::ok() });
    } else if options.has("-i") {
        for file in &options.words {
            let name = file.rsplit('/').next().and_then(|name| name.split('_').next());
            install(state, call, name.unwrap_or(file))?;
        }
    } else if options.has("-C") {
        let pending = exists(state, call, PENDING);
        return Ok(if pending {
            Reply::say("some packages are half configured")
        } else {
            Reply::ok()
        });
    } else {
        return Err(call.unknown("this form is not simulated"));
    }
    Ok(Reply::ok())
}

pub(super) fn debootstrap(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = [
        "--verbose",
        "--no-check-gpg",
        "--force-check-gpg",
        "--merged-usr",
        "--no-merged-usr",
        "--log-extra-deps",
        "--resolve-deps",
        "--no-resolve-deps",
    ];
    let valued = [
        "--arch",
        "--include",
        "--exclude",
        "--variant",
        "--components",
        "--keyring",
        "--cache-dir",
        "--extra-suites",
        "--unpack-tarball",
    ];
    let options = call.options(&flags, &valued)?;
    let [suite, target, ..] = options.words[..] else {
        return Err(call.unknown("it takes a suite and a target"));
    };
    let inside = state.resolve(call.root, target, true)?;
    let inside = Call { root: &inside, command: call.command, ..*call };
    let included = options.value("--include").unwrap_or_default().split(',');
    let excluded = options.value("--exclude").unwrap_or_default();
    let packages = BASE_PACKAGES.into_iter().chain(included).filter(|name| !name.is_empty());
    let packages: Vec<&str> =
        packages.filter(|name| !excluded.split(',').any(|other| other == *name)).collect();
    if call.torn {
        write(state, &inside, "/debootstrap/suite", suite)?;
        for package in &packages[..packages.len() / 2] {
            install(state, &inside, package)?;
        }
        return Ok(Reply::ok());
    }
    for (path, mode) in BASE_DIRECTORIES {
        let mut directory = Node::directory();
        directory.mode = mode;
        state.put_in(inside.root, path, directory)?;
    }
    for link in ["bin", "sbin", "lib"] {
        let link_node = Node::new(NodeKind::Symlink(format!("usr/{link}")), 0o777);
        state.put_in(inside.root, &format!("/{link}"), link_node)?;
    }
    for package in packages {
        install(state, &inside, package)?;
    }
    write(state, &inside, "/etc/debian_version", &format!("{suite}\n"))?;
    write(state, &inside, "/etc/apt/sources.list", &format!("deb simulated {suite} main\n"))?;
    write(state, &inside, LISTS, "all packages\n")?;
    remove(state, &inside, "/debootstrap")?;
    Ok(Reply::say("I: Base system installed successfully."))
}

pub(super) fn debconf_set_selections(
    state: &mut State,
    call: &Call<'_>,
) -> Result<Reply, HostError> {
    let options = call.options(&["-v --verbose", "-c --checkonly", "-u --unseen"], &[])?;
    let texts = match options.words.is_empty() {
        true => call.input(),
        false => options.words.iter().map(|path| read(state, call, path)).collect(),
    };
    let old = read(state, call, DEBCONF);
    let mut answers: std::collections::BTreeMap<String, String> =
        old.lines().filter_map(|line| Some((question_of(line)?, line.to_owned()))).collect();
    for (at, line) in texts.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(question) = question_of(line) else {
            return Ok(Reply::fail(1, format!("error: Cannot find a question on line {}", at + 1)));
        };
        answers.insert(question, line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if !options.has("-c") {
        let text: String = answers.into_values().map(|line| line + "\n").collect();
        write(state, call, DEBCONF, &text)?;
    }
    Ok(Reply::ok())
}

/// Copies all answers into a file of their own, which is the only use of it here.
pub(super) fn debconf_copydb(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &["--config"])?;
    let file = options.values("--config").iter().find_map(|word| word.strip_prefix("Filename:"));
    let (["configdb", _], Some(file)) = (&options.words[..], file) else {
        return Err(call.unknown("only a copy of configdb into a file is simulated"));
    };
    let answers = read(state, call, DEBCONF);
    write(state, call, file, &answers)?;
    Ok(Reply::ok())
}

/// Owner and question of a line `owner question type value`.
fn question_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (owner, question, _) = (words.next()?, words.next()?, words.next()?);
    Some(format!("{owner} {question}"))
}

pub(super) fn dpkg_reconfigure(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-u --unseen-only", "--force"], &["-f --frontend", "-p"])?;
    for package in &options.words {
        if !exists(state, call, &format!("{INFO}/{package}.list")) {
            let line = format!("/usr/sbin/dpkg-reconfigure: {package} is not installed");
            return Ok(Reply::fail(1, line));
        }
    }
    Ok(Reply::ok())
}

pub(super) fn dpkg_divert(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["--local", "--rename", "--no-rename", "--quiet", "--add", "--remove", "--list"];
    let options = call.options(&flags, &["--divert", "--package"])?;
    let table = read(state, call, DIVERSIONS);
    if options.has("--list") {
        return Ok(Reply { out: table.lines().map(str::to_owned).collect(), ..Reply::ok() });
    }
    let [path] = options.words[..] else { return Err(call.unknown("it takes one path")) };
    let line_of_path = table.lines().find(|line| line.split(' ').next() == Some(path));
    let default = format!("{path}.distrib");
    if !options.has("--remove") {
        let to = options.value("--divert").unwrap_or(&default);
        let line = format!("{path} {to}");
        match line_of_path {
            Some(old) if old == line => return Ok(Reply::ok()),
            Some(old) => return Ok(Reply::fail(2, format!("dpkg-divert: clashes with '{old}'"))),
            None => {}
        }
        write(state, call, DIVERSIONS, &format!("{table}{line}\n"))?;
        return move_aside(state, call, options.has("--rename"), path, to);
    }
    let Some(line) = line_of_path else { return Ok(Reply::say("No diversion, none removed.")) };
    let to = line.split(' ').nth(1).unwrap_or(&default).to_owned();
    if options.has("--rename") && exists(state, call, path) && exists(state, call, &to) {
        return Ok(Reply::fail(2, format!("dpkg-divert: rename involves overwriting '{path}'")));
    }
    let rest: String =
        table.lines().filter(|other| *other != line).map(|other| format!("{other}\n")).collect();
    write(state, call, DIVERSIONS, &rest)?;
    move_aside(state, call, options.has("--rename"), &to, path)
}

fn move_aside(
    state: &mut State,
    call: &Call<'_>,
    wanted: bool,
    from: &str,
    to: &str,
) -> Result<Reply, HostError> {
    if wanted && exists(state, call, from) {
        let from = state.resolve(call.root, from, false)?;
        let to = state.resolve(call.root, to, false)?;
        state.rename(&from, &to)?;
    }
    Ok(Reply::ok())
}

pub(super) fn dpkg_statoverride(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["--list", "--add", "--remove", "--update", "--force"], &[])?;
    let table = read(state, call, STATOVERRIDES);
    let path = options.words.last().copied().unwrap_or_default();
    let of_path = |line: &&str| path.is_empty() || line.split(' ').next_back() == Some(path);
    let found: Vec<String> = table.lines().filter(of_path).map(str::to_owned).collect();
    if options.has("--list") {
        let status = i32::from(found.is_empty());
        return Ok(Reply { status, out: found, ..Reply::ok() });
    }
    let rest: String =
        table.lines().filter(|line| !of_path(line)).map(|line| format!("{line}\n")).collect();
    match (options.has("--add"), options.has("--remove"), &options.words[..]) {
        (true, false, [..]) if options.words.len() == 4 => {
            if !found.is_empty() && !options.has("--force") {
                return Ok(Reply::fail(2, format!("an override for '{path}' already exists")));
            }
            write(state, call, STATOVERRIDES, &format!("{rest}{}\n", options.words.join(" ")))?;
        }
        (false, true, [_]) => write(state, call, STATOVERRIDES, &rest)?,
        _ => return Err(call.unknown("this form is not simulated")),
    }
    Ok(Reply::ok())
}

#[cfg(test)]
mod tests {
    use super::plain_name;

    #[test]
    fn the_name_of_a_package_is_found_in_apt_s_words() {
        let cases = [
            ("ssh/stable", "ssh"),
            ("libc6:i386", "libc6"),
            ("vim=2:9.0", "vim"),
            ("nano-", "nano"),
            ("nano+", "nano"),
            ("g++", "g++"),
        ];
        for (word, name) in cases {
            assert_eq!(plain_name(word), name);
        }
    }
}
