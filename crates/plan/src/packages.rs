//! What packages a machine gets: the package_config of all its classes, merged as FAI merges it.

use crate::finding::{self, Finding};
use crate::space::{BlockAction, ConfigSpace, PackageBlock, PackageFile, PackageWord, variable};
use hostwright_model::class::ClassList;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::package::{PackageAction, PackageGroup};
use hostwright_model::plan::Why;
use hostwright_model::vars::Vars;
use std::collections::BTreeMap;

/// How many packages FAI gives to one call of the package manager unless `MAXPACKAGES` says more.
const CHUNK_DEFAULT: usize = 99;

/// Everything that one action and one release is asked for, over all classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What to do.
    pub action: PackageAction,
    /// `release=`.
    pub release: Option<String>,
    /// With what, in the order of classes and lines.
    pub packages: Vec<Package>,
}

/// A package with the place that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// As apt takes it, `$variables` expanded.
    pub name: String,
    /// The line.
    pub why: Why,
}

/// The packages of these classes, in the order in which FAI calls the package manager: `install`,
/// `install-norec`, `remove`, each without a release first.
///
/// Within a group the last mention of a name decides: `nginx` of a low class and `nginx-` of a
/// higher one come to `nginx-`. Unlike FAI a `name-` does not reach into later groups.
pub fn groups(
    space: &ConfigSpace,
    classes: &ClassList,
    vars: &Vars,
) -> Result<Vec<Group>, Vec<Diagnostic>> {
    let mut merge = Merge { vars, groups: BTreeMap::new(), found: Vec::new() };
    for class in classes.iter() {
        let Some(file) = space.packages.get(class) else { continue };
        for block in file.blocks.iter().filter(|block| block.condition.holds(classes)) {
            merge.block(file, block, class.as_str());
        }
        merge.preloads(file);
    }
    if !merge.found.is_empty() {
        finding::sort(&mut merge.found);
        return Err(merge.found);
    }
    let groups = merge.groups.into_iter().filter(|(_, packages)| !packages.is_empty());
    Ok(groups.map(|((action, release), packages)| Group { action, release, packages }).collect())
}

/// The most packages for one call, from `MAXPACKAGES`.
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

impl Group {
    /// The group in calls of at most `size` packages, each with the reason of its first package.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = (PackageGroup, Why)> {
        self.packages.chunks(size).map(|packages| {
            let names = packages.iter().map(|package| package.name.clone()).collect();
            let why = packages.first().map(|package| package.why.clone()).unwrap_or_default();
            (PackageGroup { action: self.action, release: self.release.clone(), names }, why)
        })
    }
}

struct Merge<'a> {
    vars: &'a Vars,
    groups: BTreeMap<(PackageAction, Option<String>), Vec<Package>>,
    found: Vec<Diagnostic>,
}

impl Merge<'_> {
    fn block(&mut self, file: &PackageFile, block: &PackageBlock, class: &str) {
        let action = match &block.action {
            BlockAction::Known(action) => *action,
            BlockAction::Foreign(word) => {
                let message = format!("this version does not execute 'PACKAGES {word}'");
                let cure = "use install, install-norec or remove, or drop the class";
                let finding = Finding::error("foreign-package-action", message, cure);
                self.found.push(file.at(finding, block.line, 1, 0));
                return;
            }
        };
        for word in &block.words {
            let why = Why::line(file.path.clone(), word.line, Some(class));
            match self.expand(word) {
                Ok(text) => {
                    for name in text.split_whitespace() {
                        self.add(action, block.release.clone(), name, &why);
                    }
                }
                Err(finding) => {
                    let length = word.text.len() as u32;
                    self.found.push(file.at(finding, word.line, word.column, length));
                }
            }
        }
    }

    fn preloads(&mut self, file: &PackageFile) {
        for line in &file.preload_lines {
            let message = "this version does not execute PRELOAD";
            let cure = "fetch the file in a hook of instsoft instead";
            let finding = Finding::error("foreign-package-action", message, cure);
            self.found.push(file.at(finding, *line, 1, 0));
        }
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

    fn add(&mut self, action: PackageAction, release: Option<String>, name: &str, why: &Why) {
        let packages = self.groups.entry((action, release)).or_default();
        let package = Package { name: name.to_owned(), why: why.clone() };
        match packages.iter_mut().find(|known| bare(&known.name) == bare(name)) {
            Some(known) if known.name == name => {}
            Some(known) => *known = package,
            None => packages.push(package),
        }
    }
}

/// The name without the mark that installs (`+`) or removes (`-`) it. No name of a package ends in
/// `-`; some end in `+` (`g++`), and then twice.
fn bare(name: &str) -> &str {
    name.strip_suffix('-').unwrap_or(name)
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
        let join = |group: &Group| {
            let names: Vec<&str> = group.packages.iter().map(|p| p.name.as_str()).collect();
            (group.action, names.join(" "))
        };
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
    fn what_cannot_be_done_is_an_error_only_for_active_classes() {
        let space = space(&[
            ("A", "PACKAGES install\n$unset b\nPACKAGES dnfi X\ny\nPACKAGES taskinst\nz\n"),
            ("B", "PACKAGES aptitude\nx\n"),
        ]);
        let classes = "A".parse().expect("classes");
        let found = groups(&space, &classes, &Vars::default()).expect_err("errors");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        package_config/A:2:1: error[unset-variable]: no .var file of these classes sets 'unset'; set it in class/CLASS.var: unset=…
        package_config/A:5:1: error[foreign-package-action]: this version does not execute 'PACKAGES taskinst'; use install, install-norec or remove, or drop the class
        ");
    }

    #[test]
    fn chunks_keep_order_and_reasons() {
        let space = space(&[("A", "PACKAGES install\na\nb c\n")]);
        let classes = "A".parse().expect("classes");
        let groups = groups(&space, &classes, &Vars::default()).expect("groups");
        let chunks: Vec<_> = groups[0].chunks(2).collect();
        assert_eq!(chunks[0].0.names, ["a", "b"]);
        assert_eq!(chunks[1].0.names, ["c"]);
        assert_eq!(chunks[1].1, Why::line("package_config/A", 3, Some("A")));
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
