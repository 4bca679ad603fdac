//! Tools that work inside a whole Debian system, beside FAI's: the system is the running one, with
//! an overlay that takes all changes.

use super::bench::{call, need_fai};
use hostwright_engine::tools::{PackageLists, PackageRequest, PackageSelection};
use hostwright_model::package::{Package, PackageAction, PackageGroup};
use hostwright_model::plan::Why;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A copy of the running system that costs nothing, unmounted when it is dropped.
struct Debian {
    dir: TempDir,
}

impl Debian {
    fn new() -> Self {
        let debian = Self { dir: tempfile::Builder::new().prefix("tools").tempdir().unwrap() };
        let base = debian.base().to_owned();
        sh(&format!(
            "mount -t tmpfs tmpfs {base} && cd {base} && mkdir upper work target log space &&
             mount -t overlay overlay -o lowerdir=/,upperdir={base}/upper,workdir={base}/work target &&
             mount --bind --make-private /dev target/dev"
        ));
        debian
    }

    fn base(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// The variables of a run; `classes` is A B.
    fn env(&self) -> Vec<(String, String)> {
        let base = self.base();
        let target = format!("{base}/target");
        let vars = [
            ("PATH", "/usr/lib/fai:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("LC_ALL", "C".to_owned()),
            ("ROOTCMD", format!("chroot {target}")),
            ("FAI", format!("{base}/space")),
            ("LOGDIR", format!("{base}/log")),
            ("FAI_ROOT", target.clone()),
            ("target", target),
            ("classes", "A B".to_owned()),
        ];
        vars.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Runs FAI's program: its status and both streams.
    fn theirs(&self, program: &str, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(program);
        let command = command.args(self.args(args)).env_clear().envs(self.env());
        let output = command.current_dir(self.base()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(self.base(), "@");
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs our program.
    fn ours(
        &self,
        tool: &str,
        args: &[&str],
        packages: &dyn PackageLists,
    ) -> (i32, String, String) {
        let (status, out, err) = call(tool, &self.args(args), self.env(), self.base(), packages);
        (status, out.replace(self.base(), "@"), err.replace(self.base(), "@"))
    }

    fn args(&self, args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| arg.replace('@', self.base())).collect()
    }

    fn write(&self, path: &str, text: &str) {
        let path = format!("{}/{path}", self.base());
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(format!("{}/{path}", self.base())).unwrap_or_default()
    }

    /// Everything that changed in the system, with owner and mode: contents only of `texts`.
    fn changes(&self, texts: &[&str]) -> BTreeMap<String, String> {
        let mut changes = BTreeMap::new();
        walk(&format!("{}/upper", self.base()), "", texts, &mut changes);
        // Says only that there was a temporary file.
        changes.remove("/tmp");
        changes
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let base = self.base();
        sh(&format!("umount --recursive --lazy {base}"));
    }
}

fn walk(upper: &str, below: &str, texts: &[&str], changes: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(format!("{upper}{below}")).unwrap() {
        let name = format!("{below}/{}", entry.unwrap().file_name().to_str().unwrap());
        let meta = fs::symlink_metadata(format!("{upper}{name}")).unwrap();
        let mut what = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
        if texts.contains(&name.as_str()) {
            what.push_str(&format!(" {}", fs::read_to_string(format!("{upper}{name}")).unwrap()));
        }
        changes.insert(name.clone(), what);
        if meta.is_dir() {
            walk(upper, &name, texts, changes);
        }
    }
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success(), "{script}");
}

/// Does `work` to two systems with FAI's and with our programs; what changes must be equal.
fn both(
    prepare: impl Fn(&Debian),
    program: (&str, &str),
    calls: &[&[&str]],
    texts: &[&str],
) -> Debian {
    need_fai();
    let (theirs, ours) = (Debian::new(), Debian::new());
    prepare(&theirs);
    prepare(&ours);
    for args in calls {
        let (their_status, their_out, _) = theirs.theirs(program.0, args);
        let (status, out, err) = ours.ours(program.1, args, &super::bench::NoPackages);
        assert_eq!(out, their_out, "{args:?}: {err}");
        // The status of FAI's is at times that of a last test which was not meant to be one.
        assert_eq!(status, 0, "{args:?}: {err}, FAI {their_status}");
        assert_eq!(ours.changes(texts), theirs.changes(texts), "{args:?}");
    }
    let data = |debian: &Debian| -> Vec<String> {
        let text = debian.read("log/debconf.data");
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(data(&ours), data(&theirs));
    ours
}

#[test]
fn root_names_of_owners_come_from_the_target() {
    let prepare = |debian: &Debian| debian.write("space/files/etc/hostwright-test/A", "a\n");
    let debian = both(
        prepare,
        ("/usr/sbin/fcopy", "fcopy"),
        &[&["-m", "www-data,adm,0640", "/etc/hostwright-test"]],
        &["/etc/hostwright-test"],
    );
    let changes = debian.changes(&[]);
    assert_eq!(changes["/etc/hostwright-test"], "100640 33:4");
}

#[test]
fn root_overrides_are_made_once() {
    let debian = both(
        |_| {},
        ("/usr/sbin/fai-statoverride", "fai-statoverride"),
        &[
            &["root", "adm", "2750", "/usr/bin/head", "/usr/bin/tail"],
            &["root", "adm", "0700", "/usr/bin/head"],
        ],
        &["/var/lib/dpkg/statoverride"],
    );
    assert_eq!(debian.changes(&[])["/usr/bin/head"], "102750 0:4");
}

#[test]
fn root_diversions_come_and_go() {
    let texts = ["/var/lib/dpkg/diversions"];
    let calls: [&[&str]; 3] =
        [&["-a", "/usr/bin/head", "/usr/sbin/hostwright-test"], &["-r", "/usr/bin/head"], &["-R"]];
    let debian = both(|_| {}, ("/usr/lib/fai/fai-divert", "fai-divert"), &calls, &texts);
    let status = Command::new("chroot")
        .args([&format!("{}/target", debian.base()), "/usr/bin/head", "/dev/null"])
        .status();
    assert!(status.is_ok_and(|status| status.code() != Some(127)), "head is back");
    assert!(!Path::new(&format!("{}/target/usr/sbin/hostwright-test", debian.base())).exists());
}

#[test]
fn root_debconf_is_preseeded_by_class() {
    let prepare = |debian: &Debian| {
        let line = |value| {
            format!(
                "# comment\nhostwright-test hostwright/x string {value}\ndash dash/sh boolean true\n"
            )
        };
        debian.write("space/debconf/A", &line("a"));
        debian.write("space/debconf/B/10", &line("b"));
        debian.write("space/debconf/B/bad name", &line("bad"));
        debian.write("space/debconf/C", &line("c"));
    };
    let debian = both(
        prepare,
        ("/usr/bin/fai-debconf", "fai-debconf"),
        &[&["@/space/debconf"], &["-sf", "@/space/debconf"]],
        &[],
    );
    let data = debian.read("target/var/cache/debconf/config.dat");
    let entry = data.split("\n\n").find(|entry| entry.starts_with("Name: hostwright/x"));
    assert!(entry.is_some_and(|entry| entry.contains("Value: b")), "{entry:?}");
}

/// Two groups, as the planner would give them.
struct TwoGroups;

impl PackageLists for TwoGroups {
    fn select(&self, request: PackageRequest<'_>) -> PackageSelection {
        assert_eq!(request.files.len(), 1, "only class A has a file");
        let package = |name: &&str| Package { name: (*name).to_owned(), why: Why::default() };
        let group = |action, names: &[&str]| PackageGroup {
            action,
            release: None,
            packages: names.iter().map(package).collect(),
        };
        let groups = vec![
            group(PackageAction::Install, &["a", "b", "c"]),
            group(PackageAction::InstallNorec, &["d", "e-"]),
            group(PackageAction::Remove, &["f"]),
        ];
        PackageSelection { groups, ..PackageSelection::default() }
    }
}

const PACKAGES: &str =
    "PACKAGES install\na b c\n\nPACKAGES install-norec\nd e-\nPACKAGES remove\nf\n";
/// Stands in for apt-get and dpkg: notes how it was called, and does not like package d.
const FAKE: &str = "#!/bin/sh\necho \"$0 $*\" >> /calls\ncase \"$*\" in *' d '*) exit 100;; esac\n";

fn fake_package_tools(debian: &Debian) {
    for program in ["apt-get", "dpkg"] {
        let path = format!("target/usr/bin/{program}");
        fs::remove_file(format!("{}/{path}", debian.base())).unwrap();
        debian.write(&path, FAKE);
        let path = format!("{}/{path}", debian.base());
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn root_the_base_is_updated_by_the_same_commands() {
    need_fai();
    let (theirs, ours) = (Debian::new(), Debian::new());
    for debian in [&theirs, &ours] {
        fake_package_tools(debian);
    }
    // Without FAI_ACTION, as in a softupdate: FAI's has no look whether things are mounted already.
    theirs.theirs("/usr/lib/fai/updatebase", &[]);
    let (status, out, err) = ours.ours("updatebase", &[], &super::bench::NoPackages);
    assert_eq!((status, out.as_str()), (0, "Updating base\n"), "{err}");
    assert_eq!(ours.read("target/calls"), theirs.read("target/calls"));
}

#[test]
fn root_an_installation_gets_kernel_files_and_no_services() {
    let debian = Debian::new();
    fake_package_tools(&debian);
    let mut env = debian.env();
    env.push(("FAI_ACTION".to_owned(), "dirinstall".to_owned()));
    let packages = super::bench::NoPackages;
    let (status, _, err) = call("updatebase", &[], env, debian.base(), &packages);
    assert_eq!(status, 0, "{err}");
    let target = format!("{}/target", debian.base());
    for there in ["proc/cpuinfo", "sys/kernel", "dev/null", "dev/pts/ptmx"] {
        assert!(Path::new(&format!("{target}/{there}")).exists(), "{there}");
    }
    let start =
        Command::new("chroot").args([&target, "/usr/sbin/policy-rc.d", "x", "start"]).status();
    assert_eq!(start.unwrap().code(), Some(101));
}

#[test]
fn root_packages_are_installed_by_the_same_commands() {
    need_fai();
    let systems = [Debian::new(), Debian::new()];
    for debian in &systems {
        debian.write("space/package_config/A", PACKAGES);
        fake_package_tools(debian);
        let _ = fs::remove_file(format!("{}/target/var/cache/apt/pkgcache.bin", debian.base()));
    }
    let [theirs, ours] = &systems;
    for args in [&["-N", "-m", "2"][..], &["-N"]] {
        let (their_status, ..) = theirs.theirs("/usr/sbin/install_packages", args);
        let (status, ..) = ours.ours("install_packages", args, &TwoGroups);
        assert_eq!((status, their_status), (3, 3));
        assert_eq!(ours.read("target/calls"), theirs.read("target/calls"));
    }
    let names = |debian: &Debian| -> Vec<String> {
        let list = debian.read("target/var/log/install_packages.list");
        list.lines().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(names(ours), names(theirs));
    assert_eq!(names(ours), ["d", "e-"]);
}

#[test]
fn root_a_dry_run_shows_the_same_commands() {
    need_fai();
    let debian = Debian::new();
    debian.write("space/package_config/A", PACKAGES);
    let commands = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.contains("executing"))
            .map(|line| line.trim().to_owned())
            .collect()
    };
    let (_, _, theirs) = debian.theirs("/usr/sbin/install_packages", &["-nN"]);
    let (status, _, ours) = debian.ours("install_packages", &["-nN"], &TwoGroups);
    assert_eq!((status, commands(&ours)), (0, commands(&theirs)));
}

#[test]
fn root_the_list_has_all_names_on_one_line() {
    let debian = Debian::new();
    debian.write("space/package_config/A", PACKAGES);
    let (status, out, _) = debian.ours("install_packages", &["-lN"], &TwoGroups);
    // FAI 6.0.3 prints the names of the last group only; later versions a line for each.
    assert_eq!((status, out.as_str()), (0, "a b c d e- \n"));
    let (status, out, _) = debian.ours("install_packages", &["-H"], &TwoGroups);
    assert!(status == 0 && out.contains("install-norec    apt-get -y "), "{out}");
    let (status, _, err) = debian.ours("install_packages", &["-x"], &TwoGroups);
    assert!(status == 2 && err.contains("unknown option -x"), "{err}");
}
