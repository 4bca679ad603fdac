//! How each action of package_config is carried out: which program is called, and with what.

use hostwright_host::{Command, Tool};
use hostwright_model::package::{PackageAction, PackageGroup};

/// Where the names of the latest group stand in the target, for people and scripts.
pub(crate) const LIST: &str = "/var/log/install_packages.list";

/// Options under which dpkg asks nothing about changed configuration files.
const KEEP_OR_NEW: [&str; 4] =
    ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confnew"];

/// Tells dpkg about packages that are to be had before it is told what to select: it ignores
/// selections for names that it does not know. The selections come on standard input.
const SELECT: &str = "set -e -o pipefail
apt-cache dumpavail | dpkg --merge-avail >/dev/null
dpkg --set-selections";

/// Fetches packages without their dependencies and unpacks them; to be configured at the end.
const UNPACK: &str = "set -e
dir=/var/cache/apt/archives/hostwright-unpack
rm -rf $dir; mkdir -p $dir; cd $dir
apt-get download \"$@\"
dpkg --unpack --recursive $dir
rm -rf $dir";

/// What differs between those who call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Install; what cannot be fetched is an error.
    Strict,
    /// Install as FAI does, with what can be fetched.
    AsFai,
    /// Only download, with these options of the user's.
    Download {
        /// The words of `aptoptions`.
        options: Vec<String>,
        /// True to hear what apt says.
        verbose: bool,
        /// True to print where the packages are instead of fetching them.
        print_uris: bool,
    },
}

/// The text of [`LIST`].
pub(crate) fn list(group: &PackageGroup) -> String {
    let names: String = group.names().map(|name| format!("{name}\n")).collect();
    format!("# List of all packages that will be installed via install_packages\n{names}")
}

/// The calls that carry a group out, in order. None if the action has no part in a mere download.
pub(crate) fn calls(group: &PackageGroup, manner: &Manner) -> Vec<Command> {
    let names: Vec<&str> = group.names().collect();
    if matches!(manner, Manner::Download { .. }) {
        return download(group, manner).into_iter().collect();
    }
    let command = |tool, args: &[&str]| Command::new(tool).args(args.iter().copied());
    let plain = |tool, args: &[&str]| vec![command(tool, args).args(names.iter().copied())];
    match group.action {
        PackageAction::Zypper => plain(Tool::Zypper, &["-n", "install", "-l"]),
        PackageAction::ZypperPattern => {
            plain(Tool::Zypper, &["-n", "install", "-l", "-t", "pattern"])
        }
        PackageAction::ZypperProduct => {
            plain(Tool::Zypper, &["-n", "install", "-l", "-t", "product"])
        }
        PackageAction::ZypperRm => plain(Tool::Zypper, &["-n", "remove"]),
        PackageAction::Rpmr => plain(Tool::Rpm, &["-e"]),
        PackageAction::Yumgroup => plain(Tool::Yum, &["-y", "groupinstall"]),
        PackageAction::Yumi => plain(Tool::Yum, &["-y", "install"]),
        PackageAction::Yumr => plain(Tool::Yum, &["-y", "remove"]),
        PackageAction::Dnfgroup => plain(Tool::Dnf, &["-y", "group", "install"]),
        PackageAction::Dnfi => plain(Tool::Dnf, &["-y", "install"]),
        PackageAction::Dnfr => plain(Tool::Dnf, &["-y", "remove"]),
        PackageAction::PacmanRns => plain(Tool::Pacman, &["--noconfirm", "-Rns"]),
        PackageAction::PacmanS => plain(Tool::Pacman, &["--noconfirm", "-S"]),
        PackageAction::ApkAdd => plain(Tool::Apk, &["add"]),
        PackageAction::ApkDel => plain(Tool::Apk, &["del"]),
        PackageAction::Hold => vec![select(names.iter().map(|name| format!("{name} hold")))],
        PackageAction::DselectUpgrade => vec![
            select(names.iter().map(|pair| (*pair).to_owned())),
            apt(Tool::AptGet).arg("dselect-upgrade"),
        ],
        // tasksel takes one task a call.
        PackageAction::Taskinst | PackageAction::Taskrm => {
            let verb = if group.action == PackageAction::Taskinst { "install" } else { "remove" };
            names.iter().map(|task| command(Tool::Tasksel, &[verb, task])).collect()
        }
        PackageAction::Unpack => {
            vec![command(Tool::Bash, &["-c", UNPACK, "unpack"]).args(names.iter().copied())]
        }
        PackageAction::Remove => {
            vec![apt(Tool::AptGet).args(["--purge", "remove"]).args(names.iter().copied())]
        }
        PackageAction::Install
        | PackageAction::InstallNorec
        | PackageAction::Aptitude
        | PackageAction::AptitudeR
        | PackageAction::Apt => vec![install(group, manner)],
    }
}

/// The calls that put a file into a directory of the target, before packages are installed. A file
/// of the target is copied; any other is fetched beside and moved inside, where links lead to where
/// they lead later.
pub(crate) fn preload(url: &str, directory: &str, target: &str) -> Vec<Command> {
    const COPY: &str = "mkdir -p -- \"$2\" && cp -- \"$1\" \"$2/\"";
    const MOVE: &str = "mkdir -p -- \"$2\" && mv -f -- \"$1\" \"$2/\"";
    let inside = |text: &str, from: &str| {
        in_root(Command::new(Tool::Bash).args(["-c", text, "preload", from, directory]), target)
    };
    match url.strip_prefix("file:") {
        Some(path) => vec![inside(COPY, path)],
        None => {
            let fetched = format!("/tmp/{}", file_name(url));
            let outside = format!("{}{fetched}", target.trim_end_matches('/'));
            vec![download_to(url, &outside), inside(MOVE, &fetched)]
        }
    }
}

/// The call that removes a preloaded file again. FAI looks for it on the machine that installs, and
/// leaves it in the target.
pub(crate) fn remove_preloaded(url: &str, directory: &str, target: &str) -> Command {
    let path = format!("{}/{}", directory.trim_end_matches('/'), file_name(url));
    in_root(Command::new(Tool::Bash).args(["-c", "rm -f -- \"$1\"", "preload", &path]), target)
}

/// A download that is an error where the server says so, and is tried again where the network fails.
pub(crate) fn download_to(url: &str, path: &str) -> Command {
    Command::new(Tool::Curl)
        .args(["--fail", "--location", "--silent", "--show-error", "--retry", "3"])
        .args(["--output", path, url])
}

/// The file name at the end of a URL.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

fn in_root(command: Command, target: &str) -> Command {
    if target == "/" { command } else { command.in_root(target) }
}

/// A call of a program of the apt family that asks nothing.
pub(crate) fn apt(tool: Tool) -> Command {
    let command = Command::new(tool).arg("-y").args(KEEP_OR_NEW);
    // aptitude does not know the option.
    let held = (tool != Tool::Aptitude).then_some("--allow-change-held-packages");
    command.args(held)
}

fn install(group: &PackageGroup, manner: &Manner) -> Command {
    let fix = (*manner == Manner::AsFai).then_some("--fix-missing");
    let apt_get = || apt(Tool::AptGet).args(fix).arg("install");
    let command = match group.action {
        PackageAction::InstallNorec => apt_get().arg("--no-install-recommends"),
        PackageAction::Aptitude => aptitude("-R"),
        PackageAction::AptitudeR => aptitude("-r"),
        PackageAction::Apt => apt(Tool::Apt).arg("install"),
        _ => apt_get(),
    };
    let release = group.release.iter().flat_map(|release| ["-t", release.as_str()]);
    command.args(release).args(group.names())
}

fn aptitude(recommends: &str) -> Command {
    let mut command = apt(Tool::Aptitude);
    command.args.insert(0, recommends.to_owned());
    command.arg("install")
}

fn select(lines: impl Iterator<Item = String>) -> Command {
    let selections: String = lines.map(|line| line + "\n").collect();
    Command::new(Tool::Bash).args(["-c", SELECT, "select"]).stdin(selections)
}

fn download(group: &PackageGroup, manner: &Manner) -> Option<Command> {
    let Manner::Download { options, verbose, print_uris } = manner else { return None };
    let apt_get = || {
        let quiet = (!verbose).then_some("-qq");
        let uris = print_uris.then_some("--print-uris");
        let command = Command::new(Tool::AptGet).args(quiet).args(uris).arg("-d");
        command.args(options.iter().cloned()).arg("-y")
    };
    let other = |tool, first: Option<&str>| {
        let command = Command::new(tool).args(first).arg("-d");
        command.args(options.iter().cloned()).args(["-y", "install"])
    };
    let command = match group.action {
        PackageAction::Install | PackageAction::Unpack => {
            apt_get().args(["--fix-missing", "install"])
        }
        PackageAction::InstallNorec => {
            apt_get().args(["--fix-missing", "install", "--no-install-recommends"])
        }
        PackageAction::Apt => other(Tool::Apt, None),
        PackageAction::Aptitude => other(Tool::Aptitude, Some("-R")),
        PackageAction::AptitudeR => other(Tool::Aptitude, Some("-r")),
        // What tasksel would install is what its package of that name depends on.
        PackageAction::Taskinst => {
            let tasks = group.names().map(|task| format!("task-{task}"));
            return Some(apt_get().args(["--fix-missing", "install"]).args(tasks));
        }
        _ => return None,
    };
    let release = group.release.iter().flat_map(|release| ["-t", release.as_str()]);
    Some(command.args(release).args(group.names()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::package::Package;
    use hostwright_model::plan::Why;

    fn shown(action: PackageAction, release: Option<&str>, manner: &Manner) -> String {
        let package = |name: &str| Package { name: name.to_owned(), why: Why::default() };
        let release = release.map(str::to_owned);
        let group = PackageGroup { action, release, packages: vec![package("a"), package("b")] };
        let lines: Vec<String> = calls(&group, manner).iter().map(|call| call.to_shell()).collect();
        lines.join("; ")
    }

    #[test]
    fn commands_are_those_of_fai() {
        let apt = "-y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confnew";
        let held = "--allow-change-held-packages";
        let cases = [
            (PackageAction::Install, format!("apt-get {apt} {held} --fix-missing install a b")),
            (
                PackageAction::InstallNorec,
                format!("apt-get {apt} {held} --fix-missing install --no-install-recommends a b"),
            ),
            (PackageAction::Remove, format!("apt-get {apt} {held} --purge remove a b")),
            (PackageAction::Aptitude, format!("aptitude -R {apt} install a b")),
            (PackageAction::AptitudeR, format!("aptitude -r {apt} install a b")),
            (PackageAction::Apt, format!("apt {apt} {held} install a b")),
            (PackageAction::Taskinst, "tasksel install a; tasksel install b".to_owned()),
            (PackageAction::Taskrm, "tasksel remove a; tasksel remove b".to_owned()),
            (PackageAction::Dnfi, "dnf -y install a b".to_owned()),
            (PackageAction::Dnfgroup, "dnf -y group install a b".to_owned()),
            (PackageAction::Yumgroup, "yum -y groupinstall a b".to_owned()),
            (PackageAction::ZypperPattern, "zypper -n install -l -t pattern a b".to_owned()),
            (PackageAction::ZypperRm, "zypper -n remove a b".to_owned()),
            (PackageAction::Rpmr, "rpm -e a b".to_owned()),
            (PackageAction::PacmanS, "pacman --noconfirm -S a b".to_owned()),
            (PackageAction::PacmanRns, "pacman --noconfirm -Rns a b".to_owned()),
            (PackageAction::ApkAdd, "apk add a b".to_owned()),
            (PackageAction::ApkDel, "apk del a b".to_owned()),
        ];
        for (action, expected) in cases {
            assert_eq!(shown(action, None, &Manner::AsFai), expected, "{action}");
        }
    }

    #[test]
    fn a_release_and_the_manner_change_the_call() {
        let strict = shown(PackageAction::Install, Some("sid"), &Manner::Strict);
        assert!(strict.ends_with("--allow-change-held-packages install -t sid a b"), "{strict}");
        let options = vec!["-o".to_owned(), "Dir=/x".to_owned()];
        let only = Manner::Download { options, verbose: false, print_uris: true };
        let download = shown(PackageAction::Aptitude, None, &only);
        assert_eq!(download, "aptitude -R -d -o Dir=/x -y install a b");
        let download = shown(PackageAction::Install, None, &only);
        let expected = "apt-get -qq --print-uris -d -o Dir=/x -y --fix-missing install a b";
        assert_eq!(download, expected);
        assert_eq!(shown(PackageAction::Remove, None, &only), "");
    }
}
