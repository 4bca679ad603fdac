//! package_config carried out by the real package managers, each with a small repository of its own,
//! in a throw-away copy of the running system.

use crate::bench::{SpacePlanner, inputs, output, settings};
use hostwright_engine::{NoImages, Report, Session, run};
use hostwright_host::real::RealHost;
use hostwright_model::event::EventBody;
use hostwright_model::fault::Fault;
use hostwright_model::plan::{Rules, TargetProfile};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Makes the running system's copy at `target` with a repository for each package manager: rpms
/// alpha (which needs beta), beta and gamma; delta for pacman; debs one (which needs two), two and
/// third, which is the only one that provides `virtual`.
const PREPARE: &str = r##"
set -e
mount -t tmpfs tmpfs "$PWD"; cd "$PWD"
mkdir upper work target space
mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" target
mount --bind --make-private /dev target/dev
mount -t proc proc target/proc
repo=target/small
mkdir -p $repo/rpm $repo/pacman $repo/deb build

for name in alpha beta gamma; do
    cat > build/$name.spec <<-SPEC
	Name: $name
	Version: 1
	Release: 1
	Summary: $name
	License: MIT
	BuildArch: noarch
	$([ $name = alpha ] && echo 'Requires: beta')
	%description
	$name
	%install
	mkdir -p %{buildroot}/opt/small
	echo $name > %{buildroot}/opt/small/$name
	%files
	/opt/small/$name
	SPEC
    rpmbuild -bb --quiet --define "_topdir $PWD/build" --define "_rpmdir $PWD/$repo/rpm" \
        build/$name.spec
done
cat > build/comps.xml <<-COMPS
	<comps><group><id>greek</id><name>Greek</name><description/><default>false</default>
	<uservisible>true</uservisible><packagelist>
	<packagereq type="mandatory">alpha</packagereq></packagelist></group></comps>
	COMPS
createrepo_c --quiet --groupfile=$PWD/build/comps.xml $repo/rpm
for dir in yum.repos.d zypp/repos.d; do
    mkdir -p target/etc/$dir
    printf '[small]\nname=small\nbaseurl=file:///small/rpm\ngpgcheck=0\nenabled=1\n' \
        > target/etc/$dir/small.repo
done

mkdir -p build/delta/opt/small build/db/delta-1-1
echo delta > build/delta/opt/small/delta
printf 'pkgname = delta\npkgver = 1-1\narch = any\nbuilddate = 1\nsize = 6\n' > build/delta/.PKGINFO
file=delta-1-1-any.pkg.tar.gz
tar -C build/delta -czf $repo/pacman/$file .PKGINFO opt
printf '%%FILENAME%%\n%s\n\n%%NAME%%\ndelta\n\n%%VERSION%%\n1-1\n\n%%CSIZE%%\n%s\n\n%%ISIZE%%\n6\n' \
    $file $(stat -c %s $repo/pacman/$file) > build/db/delta-1-1/desc
printf '\n%%SHA256SUM%%\n%s\n\n%%ARCH%%\nany\n' \
    $(sha256sum $repo/pacman/$file | cut -d' ' -f1) >> build/db/delta-1-1/desc
tar -C build/db -czf $repo/pacman/small.db delta-1-1
printf '[options]\nArchitecture = auto\nSigLevel = Never\n[small]\nServer = file:///small/pacman\n' \
    > target/etc/pacman.conf

for name in one two third; do
    mkdir -p build/$name/DEBIAN build/$name/opt/small
    echo $name > build/$name/opt/small/$name
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\n' $name \
        > build/$name/DEBIAN/control
    [ $name != one ] || echo 'Depends: two' >> build/$name/DEBIAN/control
    [ $name != third ] || echo 'Provides: virtual' >> build/$name/DEBIAN/control
    echo "Description: $name" >> build/$name/DEBIAN/control
    dpkg-deb --build build/$name $repo/deb/${name}_1_all.deb >/dev/null
done
(cd $repo/deb && dpkg-scanpackages . > Packages 2>/dev/null)
rm -rf target/etc/apt/sources.list target/etc/apt/sources.list.d target/var/lib/apt/lists
mkdir -p target/var/lib/apt/lists
echo 'deb [trusted=yes] file:/small/deb ./' > target/etc/apt/sources.list
chroot target apt-get update >/dev/null
"##;

/// Goes from the base system, which is there, to the packages.
const SKIP: &str = "#!/bin/bash\nskiptask extrbase debconf repository updatebase\n";

struct Bench {
    dir: TempDir,
    events: Vec<EventBody>,
}

impl Bench {
    fn new(packages: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("packages").tempdir().unwrap();
        let bench = Self { dir, events: Vec::new() };
        let prepared =
            Command::new("bash").args(["-c", PREPARE]).current_dir(bench.dir.path()).output();
        let prepared = prepared.unwrap();
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
        bench.write("class/10-base", "#!/bin/sh\necho SMALL\n");
        bench.write("hooks/setup.DEFAULT", SKIP);
        let sync = "#!/bin/sh\n$ROOTCMD pacman -Sy\n";
        bench.write("hooks/instsoft.SMALL", sync);
        bench.write("package_config/SMALL", packages);
        bench
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join("space").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn run(&mut self, lenient: bool) -> Result<Report, Box<Fault>> {
        let base = self.dir.path().to_str().unwrap().to_owned();
        let mut planner = SpacePlanner::read(&self.dir.path().join("space"));
        let (mut host, mut images) = (RealHost::default(), NoImages);
        let mut inputs = inputs("demohost", TargetProfile::Directory);
        inputs.rules = Rules { lenient, ..Rules::default() };
        let settings = settings(&base, &format!("{base}/space"));
        let mut session = Session::open(&mut host, &mut images, settings, inputs).unwrap();
        let events = &mut self.events;
        run(&mut session, &mut planner, &mut |event| events.push(event))
    }

    /// Names of what the small packages brought.
    fn installed(&self) -> Vec<String> {
        let dir = self.dir.path().join("target/opt/small");
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Where each text first stands in the log of packages.
    fn order(&self, texts: &[&str]) -> Vec<usize> {
        let log = fs::read_to_string(self.dir.path().join("log/software.log")).unwrap();
        let find = |text: &&str| log.find(*text).unwrap_or_else(|| panic!("no {text} in\n{log}"));
        texts.iter().map(find).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let dir: &Path = self.dir.path();
        let unmount = "umount -R target; cd /; umount -l \"$OLDPWD\"";
        let _ = Command::new("bash").args(["-c", unmount]).current_dir(dir).output();
    }
}

#[test]
fn root_each_package_manager_installs_in_fai_s_order() {
    let packages = "PACKAGES pacman-S\ndelta\nPACKAGES dnfgroup\ngreek\nPACKAGES zypper\ngamma\n\
                    PACKAGES install-norec\none\n\
                    PACKAGES install\nvirtual nosuch-\nPACKAGES remove\nneverthere\n";
    let mut bench = Bench::new(packages);
    bench.run(false).unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    let expected = ["alpha", "beta", "delta", "gamma", "one", "third", "two"];
    assert_eq!(bench.installed(), expected, "{}", output(&bench.events));
    let calls = [
        "zypper -n install -l gamma",
        "dnf -y group install greek",
        "--allow-change-held-packages install virtual",
        "install --no-install-recommends one",
        "pacman --noconfirm -S delta",
    ];
    assert!(bench.order(&calls).is_sorted(), "{:?}", bench.order(&calls));
}

#[test]
fn root_one_unknown_package_of_any_manager_stops_before_the_first_download() {
    let packages = "PACKAGES dnfi\nalpha nodnf\nPACKAGES zypper\nnozypper\nPACKAGES pacman-S\n\
                    delta nopacman\nPACKAGES install\none\n\nnoapt two=9\nPACKAGES taskinst\nnotask\n\
                    PACKAGES dnfgroup\nnogroup\n";
    let mut bench = Bench::new(packages);
    let fault = bench.run(false).unwrap_err();
    assert_eq!(fault.code, "unknown-package", "{fault}\n{}", output(&bench.events));
    let expected = [
        "package_config/SMALL:4 (class SMALL): nozypper",
        "package_config/SMALL:14 (class SMALL): nogroup",
        "package_config/SMALL:2 (class SMALL): nodnf",
        "package_config/SMALL:12 (class SMALL): notask",
        "package_config/SMALL:10 (class SMALL): noapt",
        "package_config/SMALL:10 (class SMALL): two=9",
        "package_config/SMALL:6 (class SMALL): nopacman",
    ];
    assert_eq!(fault.output, expected);
    assert_eq!(bench.installed(), Vec::<String>::new());
}

#[test]
fn root_an_unknown_package_stops_before_the_base_system_is_upgraded() {
    let mut bench = Bench::new("PACKAGES install\none noapt\n");
    bench.write("hooks/setup.DEFAULT", "#!/bin/bash\nskiptask extrbase debconf repository\n");
    // A hook of instsoft may add package sources: until it has run nothing is certain.
    let fault = bench.run(false).unwrap_err();
    assert_eq!(fault.code, "unknown-package", "{fault}\n{}", output(&bench.events));
    let said = output(&bench.events);
    assert!(said.contains("'noapt' by now; hooks of instsoft may add one"), "{said}");
    let log = fs::read_to_string(bench.dir.path().join("log/software.log")).unwrap();
    assert!(log.contains("dist-upgrade"), "{log}");

    let mut bench = Bench::new("PACKAGES install\none noapt\n");
    bench.write("hooks/setup.DEFAULT", "#!/bin/bash\nskiptask extrbase debconf repository\n");
    fs::remove_file(bench.dir.path().join("space/hooks/instsoft.SMALL")).unwrap();
    let fault = bench.run(false).unwrap_err();
    assert_eq!(fault.code, "unknown-package", "{fault}\n{}", output(&bench.events));
    assert!(fault.message.contains("step updatebase"), "{fault}");
    let log = fs::read_to_string(bench.dir.path().join("log/software.log")).unwrap();
    assert!(!log.contains("dist-upgrade"), "{log}");
}

#[test]
fn root_lenient_leaves_out_what_nobody_knows() {
    let packages = "PACKAGES dnfi\nalpha nodnf\nPACKAGES install\none noapt\n\
                    PACKAGES zypper\nnozypper\n";
    let mut bench = Bench::new(packages);
    bench.run(true).unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    assert_eq!(bench.installed(), ["alpha", "beta", "one", "two"]);
    let said = "WARNING: package_config/SMALL:4 (class SMALL): no package source has 'noapt'";
    assert!(output(&bench.events).contains(said), "{}", output(&bench.events));
}

#[test]
fn root_held_unpacked_and_selected_packages_are_what_they_are_called() {
    let packages = "PACKAGES hold\none\nPACKAGES unpack\nthird\n\
                    PACKAGES dselect-upgrade\ntwo install\n";
    let mut bench = Bench::new(packages);
    bench.run(false).unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    let target = bench.dir.path().join("target");
    let query = ["dpkg-query", "--show", "--showformat=${Package} ${Status}\\n"];
    let names = ["one", "third", "two"];
    let states = Command::new("chroot").arg(&target).args(query).args(names).output().unwrap();
    let states = String::from_utf8_lossy(&states.stdout).into_owned();
    let expected = "one hold ok not-installed\nthird install ok installed\n\
                    two install ok installed\n";
    assert_eq!(states, expected, "what was unpacked is settled at the end");
}

#[test]
fn root_package_files_and_preloads_come_with_what_they_need() {
    let packages = "PRELOADRM file:/small/deb/Packages /opt/preloaded\nPACKAGES install\ntwo\n";
    let mut bench = Bench::new(packages);
    let small = bench.dir.path().join("target/small");
    let pkgs = bench.dir.path().join("space/pkgs/SMALL");
    fs::create_dir_all(&pkgs).unwrap();
    fs::copy(small.join("deb/one_1_all.deb"), pkgs.join("one_1_all.deb")).unwrap();
    fs::copy(small.join("rpm/noarch/alpha-1-1.noarch.rpm"), pkgs.join("alpha.rpm")).unwrap();
    bench.run(false).unwrap_or_else(|fault| panic!("{fault}\n{}", output(&bench.events)));
    assert_eq!(bench.installed(), ["alpha", "beta", "one", "two"]);
    let preloaded = bench.dir.path().join("target/opt/preloaded");
    assert!(preloaded.is_dir() && !preloaded.join("Packages").exists(), "removed again");
}
