//! What packages a machine gets: the package_config of all its classes, merged as FAI merges it.

use crate::finding::{self, Finding};
use crate::space::{BlockAction, ConfigSpace, PackageBlock, PackageFile, PackageWord, variable};
use hostwright_model::class::ClassList;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::package::{Package, PackageAction, PackageGroup, PackageSystem};
use hostwright_model::plan::Why;
use hostwright_model::vars::Vars;
use std::collections::BTreeMap;

/// How many packages FAI gives to one call of the package manager unless `MAXPACKAGES` says more.
const CHUNK_DEFAULT: usize = 99;

/// A file to fetch before packages are installed, with the line that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadFile {
    /// `file:/PATH` for a file of the target, else what curl(1) takes.
    pub url: String,
    /// The directory of the target that it goes into.
    pub directory: String,
    /// True if it is removed again when everything is installed.
    pub is_temporary: bool,
    /// The line.
    pub why: Why,
}

/// The packages of these classes, in the order in which FAI calls the package managers: by action,
/// and within an action without a release first.
///
/// Within a group the last mention of a name decides: `nginx` of a low class and `nginx-` of a
/// higher one come to `nginx-`. Unlike FAI a `name-` does not reach into later groups; see
/// [`groups_with_leaks`].
pub fn groups(
    space: &ConfigSpace,
    classes: &ClassList,
    vars: &Vars,
) -> Result<Vec<PackageGroup>, Vec<Diagnostic>> {
    Ok(merge(space, classes, vars)?.into_iter().map(|(group, _)| group).collect())
}

/// The same as FAI does it: a word `name-` is in every later group of the same kind, too. With a
/// warning for each word that leaks.
pub fn groups_with_leaks(
    space: &ConfigSpace,
    classes: &ClassList,
    vars: &Vars,
) -> Result<(Vec<PackageGroup>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (mut groups, mut warnings) = (Vec::new(), Vec::new());
    let mut leaks: Vec<Package> = Vec::new();
    for (mut group, removals) in merge(space, classes, vars)? {
        // Words leak among those that FAI checks against the package index.
        if !group.action.takes_chunks() {
            groups.push(group);
            continue;
        }
        for leak in leaks.iter().filter(|leak| group.names().all(|name| name != leak.name)) {
            warnings.push(leak_warning(space, leak, group.action));
        }
        let own = std::mem::take(&mut group.packages);
        let is_new = |leak: &&Package| own.iter().all(|package| package.name != leak.name);
        group.packages = leaks.iter().filter(is_new).cloned().chain(own.iter().cloned()).collect();
        for removal in removals {
            if leaks.iter().all(|leak| leak.name != removal.name) {
                leaks.push(removal);
            }
        }
        groups.push(group);
    }
    finding::sort(&mut warnings);
    Ok((groups, warnings))
}

fn leak_warning(space: &ConfigSpace, leak: &Package, into: PackageAction) -> Diagnostic {
    let message = format!("'{}' reaches into 'PACKAGES {into}', as FAI does it", leak.name);
    let cure = "drop --fai-bugs, or name the package in the later group, too";
    let finding = Finding::warning("sticky-removal", message, cure);
    let file = space.packages.values().find(|file| file.path == leak.why.file);
    match file {
        Some(file) => file.at(finding, leak.why.line, 1, 0),
        None => finding.at_file(&leak.why.file),
    }
}

/// Files to fetch before anything is installed, in the order of classes and lines.
pub fn preloads(space: &ConfigSpace, classes: &ClassList) -> Vec<PreloadFile> {
    let of_class = |class| space.packages.get_key_value(class);
    let files = classes.iter().filter_map(of_class);
    let preloads = files.flat_map(|(class, file)| {
        file.preloads.iter().map(move |preload| PreloadFile {
            url: preload.url.clone(),
            directory: preload.directory.clone(),
            is_temporary: preload.is_temporary,
            why: Why::line(file.path.clone(), preload.line, Some(class.as_str())),
        })
    });
    preloads.collect()
}

/// The most packages for one call of apt, from `MAXPACKAGES`.
pub fn chunk_size(space: &ConfigSpace, vars: &Vars) -> Result<usize, Vec<Diagnostic>> {
    let Some(var) = vars.0.get("MAXPACKAGES").filter(|var| !var.value.is_empty()) else {
        return Ok(CHUNK_DEFAULT);
    };
    var.value.parse().ok().filter(|size| *size > 0).ok_or_else(|| {
        let message = format!("MAXPACKAGES is '{}', not a number from 1 on", var.value);
        let cure = "set it to the most packages for one call of apt-get, such as 800";
        let finding = Finding::error("bad-value", message, cure);
        vec![space.at_variable(finding, "MAXPACKAGES", var)]
    })
}

/// A group with every word `name-` that was asked for in it, whether it prevailed or not.
type Merged = (PackageGroup, Vec<Package>);

fn merge(
    space: &ConfigSpace,
    classes: &ClassList,
    vars: &Vars,
) -> Result<Vec<Merged>, Vec<Diagnostic>> {
    let mut merge = Merge { vars, groups: BTreeMap::new(), found: Vec::new() };
    for class in classes.iter() {
        let Some(file) = space.packages.get(class) else { continue };
        for block in file.blocks.iter().filter(|block| block.condition.holds(classes)) {
            merge.block(file, block, class.as_str());
        }
    }
    if !merge.found.is_empty() {
        finding::sort(&mut merge.found);
        return Err(merge.found);
    }
    let groups = merge.groups.into_iter().filter(|(_, words)| !words.packages.is_empty());
    let groups = groups.map(|((action, release), Words { packages, removals })| {
        (PackageGroup { action, release, packages }, removals)
    });
    Ok(groups.collect())
}

#[derive(Default)]
struct Words {
    packages: Vec<Package>,
    removals: Vec<Package>,
}

struct Merge<'a> {
    vars: &'a Vars,
    groups: BTreeMap<(PackageAction, Option<String>), Words>,
    found: Vec<Diagnostic>,
}

impl Merge<'_> {
    fn block(&mut self, file: &PackageFile, block: &PackageBlock, class: &str) {
        let action = match &block.action {
            BlockAction::Known(action) => *action,
            BlockAction::Foreign(word) if !block.words.is_empty() => {
                let message = format!(
                    "'PACKAGES {word}' is for a package manager that is not \
                                       supported"
                );
                let cure =
                    "use the package manager that the distribution has now, or drop the class";
                let finding = Finding::error("foreign-package-action", message, cure);
                self.found.push(file.at(finding, block.line, 1, 0));
                return;
            }
            BlockAction::Foreign(_) => return,
        };
        let mut names = Vec::new();
        for word in &block.words {
            let why = Why::line(file.path.clone(), word.line, Some(class));
            match self.expand(word) {
                Ok(text) => names.extend(
                    text.split_whitespace()
                        .map(|name| Package { name: name.to_owned(), why: why.clone() }),
                ),
                Err(finding) => {
                    let length = word.text.len() as u32;
                    self.found.push(file.at(finding, word.line, word.column, length));
                }
            }
        }
        if action == PackageAction::DselectUpgrade {
            names = names.chunks_exact(2).map(selection).collect();
        }
        let words = self.groups.entry((action, block.release.clone())).or_default();
        names.into_iter().for_each(|package| words.add(action, package));
    }

    /// The word with its variable replaced; without text where the variable is empty, as FAI's
    /// shell does it.
    fn expand(&self, word: &PackageWord) -> Result<String, Finding> {
        let Ok(Some((reference, name))) = variable(&word.text) else {
            return Ok(word.text.clone());
        };
        match self.vars.get(name) {
            Some("") if word.text.trim_end_matches(['-', '+']) == reference => Ok(String::new()),
            Some(value) => Ok(word.text.replacen(reference, value, 1)),
            None => {
                let message = format!("no .var file of these classes sets '{name}'");
                let cure = format!("set it in class/CLASS.var: {name}=…");
                Err(Finding::error("unset-variable", message, cure))
            }
        }
    }
}

/// A package and what dpkg shall select for it.
fn selection(pair: &[Package]) -> Package {
    Package { name: format!("{} {}", pair[0].name, pair[1].name), why: pair[0].why.clone() }
}

impl Words {
    /// Adds a package. The last word about a name decides, at the place of the first one.
    fn add(&mut self, action: PackageAction, package: Package) {
        let (subject, is_removal) = rule(action, &package.name);
        let contradicts = |known: &Package| {
            let (other, was_removal) = rule(action, &known.name);
            other == subject && is_removal != was_removal
        };
        if is_removal {
            self.removals.push(package.clone());
        }
        let place = self.packages.iter().position(contradicts);
        self.packages.retain(|known| !contradicts(known));
        if self.packages.iter().all(|known| known.name != package.name) {
            let end = self.packages.len();
            self.packages.insert(place.unwrap_or(end), package);
        }
    }
}

/// What a word is about, and whether it takes that away. Two words about one thing that differ in
/// the latter cannot both hold.
fn rule(action: PackageAction, word: &str) -> (&str, bool) {
    match action {
        // The selection is no part of the name, and no mark either.
        PackageAction::DselectUpgrade => (word, false),
        _ if action.system() != PackageSystem::Apt => (word, false),
        _ => {
            let kept = word.strip_suffix('-');
            (plain_name(kept.unwrap_or(word)), kept.is_some())
        }
    }
}

/// A word of apt's without the mark `+`, which installs, and without version and release. Some
/// names end in `+` themselves (`g++`); one of an odd number is the mark.
fn plain_name(word: &str) -> &str {
    let pluses = word.len() - word.trim_end_matches('+').len();
    let word = if pluses % 2 == 1 { &word[..word.len() - 1] } else { word };
    word.split(['=', '/']).next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::parse;
    use crate::tree::{ConfigTree, TreeFile};

    fn space(files: &[(&str, &str)]) -> ConfigSpace {
        let files = files
            .iter()
            .map(|(class, text)| (format!("package_config/{class}"), TreeFile::file(*text, false)));
        parse(&ConfigTree { files: files.collect() }).0
    }

    fn names(space: &ConfigSpace, classes: &str, vars: &Vars) -> Vec<(PackageAction, String)> {
        let classes = classes.parse().expect("classes");
        let groups = groups(space, &classes, vars).expect("groups");
        let join =
            |group: &PackageGroup| (group.action, group.names().collect::<Vec<_>>().join(" "));
        groups.iter().map(join).collect()
    }

    #[test]
    fn the_last_mention_decides_and_actions_have_an_order() {
        let space = space(&[
            ("LOW", "PACKAGES remove\nz\nPACKAGES install-norec\na b c g++\na\n"),
            ("HIGH", "PACKAGES install-norec\nb- d\nPACKAGES install\n${k}- $k\n$none x$none\n"),
        ]);
        let mut vars = Vars::default();
        vars.set("k", "linux more", "test");
        vars.set("none", "", "test");
        let expected = [
            (PackageAction::Install, "linux more x".to_owned()),
            (PackageAction::InstallNorec, "a b- c g++ d".to_owned()),
            (PackageAction::Remove, "z".to_owned()),
        ];
        assert_eq!(names(&space, "LOW HIGH", &vars), expected);
        let low = [
            (PackageAction::InstallNorec, "a b c g++".to_owned()),
            (PackageAction::Remove, "z".to_owned()),
        ];
        assert_eq!(names(&space, "LOW", &vars), low);
    }

    #[test]
    fn versions_releases_and_marks_are_about_one_package() {
        let cases = [
            ("nginx=1.2 nginx-", "nginx-"),
            ("nginx- nginx/sid", "nginx/sid"),
            ("nginx nginx=1.2 curl nginx-", "nginx- curl"),
            ("nginx- nginx+", "nginx+"),
            ("g++ g++-", "g++-"),
            ("memtest86+ memtest86+-", "memtest86+-"),
            ("memtest86 memtest86+", "memtest86 memtest86+"),
            ("libc6:i386 libc6-", "libc6:i386 libc6-"),
        ];
        for (words, expected) in cases {
            let space = space(&[("A", &format!("PACKAGES install\n{words}\n"))]);
            let names = names(&space, "A", &Vars::default());
            assert_eq!(names, [(PackageAction::Install, expected.to_owned())], "{words}");
        }
    }

    #[test]
    fn every_action_has_its_place_and_other_systems_their_own_words() {
        let text = "PACKAGES apk-add\nbusybox\nPACKAGES pacman-S\nlinux\n\
                    PACKAGES dselect-upgrade\nvim install bash\ninstall\nPACKAGES hold\nlibc6\n\
                    PACKAGES taskinst\nweb-server\nPACKAGES dnfi\nNetworkManager a- a\n\
                    PACKAGES dnfgroup\ncore\nPACKAGES install release=sid\nx\n\
                    PACKAGES install\ny\nPACKAGES zypper\nz\nPACKAGES cupt\n";
        let names = names(&space(&[("A", text)]), "A", &Vars::default());
        let names: Vec<String> = names.iter().map(|(a, words)| format!("{a}: {words}")).collect();
        let expected = [
            "zypper: z",
            "dnfgroup: core",
            "dnfi: NetworkManager a- a",
            "hold: libc6",
            "taskinst: web-server",
            "install: y",
            "install: x",
            "dselect-upgrade: vim install bash install",
            "pacman-S: linux",
            "apk-add: busybox",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn removals_leak_only_where_fai_is_followed_into_its_bugs() {
        let low = "PACKAGES install\na- b-\nPACKAGES dnfi\nq\nPACKAGES install-norec\nc b-\n";
        let space = space(&[("LOW", low), ("HIGH", "PACKAGES install\na\nPACKAGES apt\nd\n")]);
        let classes = "LOW HIGH".parse().expect("classes");
        let (groups, warnings) =
            groups_with_leaks(&space, &classes, &Vars::default()).expect("groups");
        let names: Vec<_> =
            groups.iter().map(|group| group.names().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(names, ["q", "a b-", "a- c b-", "a- b- d"]);
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 3, "{warnings:#?}");
        assert!(warnings[0].starts_with("package_config/LOW:2:1: warning[sticky-removal]: 'a-'"));
    }

    #[test]
    fn what_cannot_be_done_is_an_error_only_for_active_classes() {
        let space = space(&[
            ("A", "PACKAGES install\n$unset b\nPACKAGES dnfi X\ny\nPACKAGES urpmi\nz\n"),
            ("B", "PACKAGES y2i\nx\n"),
        ]);
        let classes = "A".parse().expect("classes");
        let found = groups(&space, &classes, &Vars::default()).expect_err("errors");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        package_config/A:2:1: error[unset-variable]: no .var file of these classes sets 'unset'; set it in class/CLASS.var: unset=…
        package_config/A:5:1: error[foreign-package-action]: 'PACKAGES urpmi' is for a package manager that is not supported; use the package manager that the distribution has now, or drop the class
        ");
    }

    #[test]
    fn preloads_come_in_the_order_of_classes() {
        let space = space(&[
            ("B", "PRELOADRM http://deb.example.org/x.tgz /tmp\n"),
            ("A", "PRELOAD file:/media/y /opt # why\n"),
        ]);
        let found = preloads(&space, &"A B".parse().expect("classes"));
        assert_eq!(found[0].url, "file:/media/y");
        assert_eq!(found[1].directory, "/tmp");
        assert_eq!(found.iter().map(|file| file.is_temporary).collect::<Vec<_>>(), [false, true]);
        assert_eq!(found[1].why, Why::line("package_config/B", 1, Some("B")));
    }

    #[test]
    fn a_bad_chunk_size_is_an_error() {
        let (space, mut vars) = (space(&[]), Vars::default());
        assert_eq!(chunk_size(&space, &vars), Ok(99));
        vars.set("MAXPACKAGES", "800", "class/A.var");
        assert_eq!(chunk_size(&space, &vars), Ok(800));
        for bad in ["0", "many", "-1"] {
            vars.set("MAXPACKAGES", bad, "class/A.var");
            assert_eq!(chunk_size(&space, &vars).expect_err(bad)[0].code, "bad-value");
        }
    }
}
