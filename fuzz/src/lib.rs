//! Fuzz targets: one for every parser of what others wrote, and of what comes from the network.
//!
//! A target takes any bytes and must neither panic nor run away. `cargo xtask fuzz` drives them with
//! libFuzzer (`fuzz/driver`); `fuzz/tests` replays `fuzz/seeds`, examples and inputs that once broke
//! something, with all other tests. Read [`TARGETS`] first.

mod disk;
mod records;
mod space;
mod tools;
mod wire;

use hostwright_model::facts::Facts;
use std::sync::LazyLock;

/// One parser under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its directory of seeds.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("agent_cmdline", wire::agent_cmdline),
    target("ainsl_pattern", tools::ainsl_pattern),
    target("base_file_list", tools::base_file_list),
    target("class_dependencies", space::class_dependencies),
    target("class_deps", tools::class_deps),
    target("class_files", space::class_files),
    target("class_output", tools::class_output),
    target("condition", space::condition),
    target("debconf_answers", tools::debconf_answers),
    target("dhcp", wire::dhcp),
    target("disk_bytes", disk::disk_bytes),
    target("disk_config", space::disk_config),
    target("disk_sizes", space::disk_sizes),
    target("fcopy_call", tools::fcopy_call),
    target("fcopy_modes", tools::fcopy_modes),
    target("fcopy_substitute", tools::fcopy_substitute),
    target("fstab", tools::fstab),
    target("ifclass", tools::ifclass),
    target("journal", records::journal),
    target("machine_file", space::machine_file),
    target("manifest", records::manifest),
    target("monitor_line", wire::monitor_line),
    target("nouns_json", records::nouns_json),
    target("package_config", space::package_config),
    target("package_index", space::package_index),
    target("package_words", space::package_words),
    target("reused_disks", space::reused_disks),
    target("serve_config", records::serve_config),
    target("space", space::whole),
    target("space_source", space::space_source),
    target("table_dump", records::table_dump),
    target("tftp", wire::tftp),
    target("tool_options", tools::tool_options),
    target("var_file", space::var_file),
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Bytes as text, the way files of a space are read.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A machine with one disk.
fn machine() -> Facts {
    static MACHINE: LazyLock<Facts> = LazyLock::new(|| {
        let json = include_str!("../../fixtures/machines/bios-virtio-20g.json");
        serde_json::from_str(json).expect("invariant: a recorded machine")
    });
    MACHINE.clone()
}
