//! What depmod(8) knows about kernel modules: where they are, what they need, whom they serve.
//!
//! Pure text in, names out. The three files, one entry a line, below `/lib/modules/RELEASE`:
//!
//! ```text
//! modules.dep      kernel/net/core/failover.ko:
//!                  kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
//! modules.alias    alias virtio:d00000001v* virtio_net
//! modules.softdep  softdep ext4 pre: crc32c post: other
//! ```

use super::glob;
use std::collections::{BTreeMap, BTreeSet};

/// A module file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// Path below `/lib/modules/RELEASE`.
    pub path: String,
    /// Names of the modules that must be there first, the deepest last, as depmod(8) writes them.
    pub needs: Vec<String>,
}

/// Modules that are wanted round another one but not needed by its symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SoftDependencies {
    /// Loaded before it.
    pre: Vec<String>,
    /// Loaded after it.
    post: Vec<String>,
}

/// All modules of one kernel.
#[derive(Clone, Debug, Default)]
pub struct ModuleIndex {
    files: BTreeMap<String, ModuleFile>,
    aliases: Vec<(String, String)>,
    soft: BTreeMap<String, SoftDependencies>,
}

/// The name under which the kernel knows the module in `path`: no directory, no suffix, and `_`
/// for every `-`.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

impl ModuleIndex {
    /// Reads the texts of the three files. Lines that make no sense are passed over, as kmod does.
    pub fn parse(dep: &str, alias: &str, softdep: &str) -> Self {
        let mut index = Self::default();
        for (path, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            let needs = needs.split_whitespace().map(module_name).collect();
            let file = ModuleFile { path: path.to_owned(), needs };
            index.files.insert(module_name(path), file);
        }
        for line in alias.lines() {
            if let ["alias", pattern, name] = words(line)[..] {
                index.aliases.push((pattern.to_owned(), module_name(name)));
            }
        }
        for line in softdep.lines() {
            if let ["softdep", name, rest @ ..] = &words(line)[..] {
                index.soft.insert(module_name(name), soft_dependencies(rest));
            }
        }
        index
    }

    /// True if there is no module at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// All modules by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &ModuleFile)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Names of the modules that `wanted`, a name or what a device says it is, stands for; empty
    /// if it is built in or nobody knows it.
    pub fn resolve(&self, wanted: &str) -> Vec<&str> {
        if let Some((name, _)) = self.files.get_key_value(&module_name(wanted)) {
            return vec![name];
        }
        let serving = self.aliases.iter().filter(|(pattern, _)| glob::matches(pattern, wanted));
        serving.map(|(_, name)| name.as_str()).collect()
    }

    /// The files to load for the module `name`, in order, each once.
    pub fn load_order(&self, name: &str) -> Vec<&ModuleFile> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        self.visit(name, &mut seen, &mut order);
        order.into_iter().filter_map(|name| self.files.get(name)).collect()
    }

    /// Names of `roots` and of everything they need or want, transitively.
    pub fn closure<'a>(&'a self, roots: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        roots.into_iter().for_each(|root| self.visit(root, &mut seen, &mut order));
        seen
    }

    /// Depth first: soft ones before, needed ones, the module itself, soft ones after.
    fn visit<'a>(&'a self, name: &str, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a str>) {
        let Some((name, file)) = self.files.get_key_value(name) else { return };
        if !seen.insert(name) {
            return;
        }
        let soft = self.soft.get(name);
        for wanted in soft.iter().flat_map(|soft| &soft.pre) {
            self.resolve(wanted).into_iter().for_each(|found| self.visit(found, seen, order));
        }
        file.needs.iter().rev().for_each(|needed| self.visit(needed, seen, order));
        order.push(name);
        for wanted in soft.iter().flat_map(|soft| &soft.post) {
            self.resolve(wanted).into_iter().for_each(|found| self.visit(found, seen, order));
        }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn soft_dependencies(words: &[&str]) -> SoftDependencies {
    let mut soft = SoftDependencies::default();
    let mut after = false;
    for word in words {
        match *word {
            "pre:" => after = false,
            "post:" => after = true,
            name if after => soft.post.push(name.to_owned()),
            name => soft.pre.push(name.to_owned()),
        }
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/net/core/failover.ko:\n\
        kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko\n\
        kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko\n\
        kernel/crypto/crc32c_generic.ko:\n\
        kernel/arch/x86/crypto/crc32c-intel.ko:\n\
        kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\n\
        kernel/fs/jbd2/jbd2.ko:\n";
    const ALIAS: &str = "# Aliases extracted from modules themselves.\n\
        alias virtio:d00000001v* virtio_net\n\
        alias crypto-crc32c crc32c_generic\n\
        alias crypto-crc32c crc32c_intel\n\
        alias fs-ext4 ext4\n";
    const SOFTDEP: &str = "softdep ext4 pre: crypto-crc32c post: failover\n";

    fn paths(files: Vec<&ModuleFile>) -> Vec<&str> {
        files.into_iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn a_device_finds_its_module_and_everything_before_it() {
        let index = ModuleIndex::parse(DEP, ALIAS, SOFTDEP);
        assert_eq!(index.resolve("virtio:d00000001v00001AF4"), ["virtio_net"]);
        let order = paths(index.load_order("virtio_net"));
        let expected = [
            "kernel/net/core/failover.ko",
            "kernel/drivers/net/net_failover.ko",
            "kernel/drivers/net/virtio_net.ko.xz",
        ];
        assert_eq!(order, expected);
        assert!(index.resolve("virtio:d00000009v00001AF4").is_empty());
    }

    #[test]
    fn soft_dependencies_go_before_and_after() {
        let index = ModuleIndex::parse(DEP, ALIAS, SOFTDEP);
        let order: Vec<String> =
            index.load_order("ext4").iter().map(|file| module_name(&file.path)).collect();
        assert_eq!(order, ["crc32c_generic", "crc32c_intel", "jbd2", "ext4", "failover"]);
        assert_eq!(index.resolve("fs-ext4"), ["ext4"]);
        assert_eq!(index.resolve("crc32c-intel"), ["crc32c_intel"]);
    }

    #[test]
    fn modules_that_want_each_other_end() {
        let dep = "a.ko: b.ko\nb.ko:\n";
        let index = ModuleIndex::parse(dep, "", "softdep b pre: a\n");
        assert_eq!(index.closure(["a"]).into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(paths(index.load_order("a")), ["b.ko", "a.ko"]);
    }
}
