//! From the manifest of an image to what decides how it is installed.

use hostwright_model::boot_loader::KernelFiles;
use hostwright_model::image::{Entry, EntryKind, ImageSummary};
use hostwright_model::network::Renderer;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks of file systems: what a file takes is a multiple of it.
const BLOCK_BYTES: u64 = 4096;
/// What a symbolic link takes, in its inode.
const SYMLINK_BYTES: u64 = 64;
/// Directories smaller than this are not worth a line of the summary.
const SMALL_BYTES: u64 = 1 << 20;
/// Depth to which directories are told.
const DEPTH: usize = 3;

/// Programs that an installation or the installed system may need.
const PROGRAMS: [&str; 14] = [
    "bootctl",
    "cryptsetup",
    "dracut",
    "efibootmgr",
    "grub-install",
    "grub2-install",
    "ifup",
    "mkinitcpio",
    "mkinitramfs",
    "netplan",
    "NetworkManager",
    "resolvconf",
    "systemd-cryptsetup",
    "update-initramfs",
];
const PROGRAM_DIRS: [&str; 6] =
    ["bin", "sbin", "usr/bin", "usr/sbin", "usr/lib/systemd", "lib/systemd"];
/// Where ifupdown has its hooks.
const HOOK_DIR: &str = "etc/network/if-pre-up.d";

/// Directories and files that are a part of a boot loader.
const LOADER_PARTS: [(&str, &str); 7] = [
    ("usr/lib/grub/i386-pc/modinfo.sh", "grub/i386-pc"),
    ("usr/lib/grub/x86_64-efi/modinfo.sh", "grub/x86_64-efi"),
    ("usr/lib/grub/arm64-efi/modinfo.sh", "grub/arm64-efi"),
    ("usr/lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot/x64"),
    ("usr/lib/systemd/boot/efi/systemd-bootaa64.efi", "systemd-boot/aa64"),
    ("usr/lib/systemd/boot/efi/linuxx64.efi.stub", "uki-stub/x64"),
    ("usr/lib/systemd/boot/efi/linuxaa64.efi.stub", "uki-stub/aa64"),
];

/// Links that start systemd-networkd.
const NETWORKD_ENABLED: [&str; 2] = [
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
    "etc/systemd/system/dbus-org.freedesktop.network1.service",
];
/// Files that are about one network, whatever they are called.
const NETWORK_FILES: [&str; 2] =
    ["etc/network/interfaces", "etc/udev/rules.d/70-persistent-net.rules"];
/// Directories of such files, with how their names end.
const NETWORK_DIRS: [(&str, &[&str]); 4] = [
    ("etc/netplan", &[".yaml"]),
    ("etc/network/interfaces.d", &[""]),
    ("etc/NetworkManager/system-connections", &[""]),
    ("etc/systemd/network", &[".network", ".netdev"]),
];

/// What of an image decides how it is installed.
pub fn summarize(entries: &[Entry]) -> ImageSummary {
    let paths: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let mut summary = ImageSummary { inodes: entries.len() as u64, ..ImageSummary::default() };
    let mut directories: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in entries {
        let bytes = occupied(entry);
        summary.occupied_bytes += bytes;
        for directory in ancestors(entry) {
            *directories.entry(directory).or_default() += bytes;
        }
        programs(entry, &mut summary.programs);
        if is_network_file(&entry.path) && !matches!(entry.kind, EntryKind::Directory) {
            summary.network_files.push(format!("/{}", entry.path));
        }
    }
    let large = directories.into_iter().filter(|(_, bytes)| *bytes >= SMALL_BYTES);
    summary.directory_bytes = large.map(|(path, bytes)| (format!("/{path}"), bytes)).collect();
    summary.kernels = kernels(entries, &paths);
    let parts = LOADER_PARTS.iter().filter(|(path, _)| paths.contains(path));
    summary.loader_parts = parts.map(|(_, part)| (*part).to_owned()).collect();
    summary.renderers = renderers(&summary.programs, &paths);
    summary.resolved = entries.iter().any(|entry| {
        let to = |target: &str| target.contains("run/systemd/resolve/");
        entry.path == "etc/resolv.conf"
            && matches!(&entry.kind, EntryKind::Symlink { target } if to(target))
    });
    summary.network_files.sort();
    summary
}

fn occupied(entry: &Entry) -> u64 {
    match &entry.kind {
        EntryKind::Directory => BLOCK_BYTES,
        EntryKind::File { size, .. } => size.div_ceil(BLOCK_BYTES) * BLOCK_BYTES,
        EntryKind::Symlink { .. } => SYMLINK_BYTES,
        _ => 0,
    }
}

/// The directories that an entry is in or is, but for the root.
fn ancestors(entry: &Entry) -> impl Iterator<Item = &str> {
    let path = entry.path.as_str();
    let own = matches!(entry.kind, EntryKind::Directory).then_some(path);
    let above = path.match_indices('/').map(move |(at, _)| &path[..at]);
    above.chain(own).filter(|path| !path.is_empty()).take(DEPTH)
}

fn programs(entry: &Entry, found: &mut BTreeSet<String>) {
    let Some((dir, name)) = entry.path.rsplit_once('/') else { return };
    if matches!(entry.kind, EntryKind::Directory) {
        return;
    }
    if PROGRAM_DIRS.contains(&dir) && PROGRAMS.contains(&name) {
        found.insert(name.to_owned());
    }
    if dir == HOOK_DIR {
        found.insert(format!("if-pre-up.d/{name}"));
    }
}

fn is_network_file(path: &str) -> bool {
    let Some((dir, name)) = path.rsplit_once('/') else { return false };
    let fits = |endings: &[&str]| name != "lo" && endings.iter().any(|end| name.ends_with(end));
    NETWORK_FILES.contains(&path)
        || NETWORK_DIRS.iter().any(|(own, endings)| *own == dir && fits(endings))
}

/// Kernels in the order of their versions.
fn kernels(entries: &[Entry], paths: &BTreeSet<&str>) -> Vec<KernelFiles> {
    let release = |entry: &Entry| {
        let release = entry.path.strip_prefix("boot/vmlinuz-")?;
        let is_file = matches!(entry.kind, EntryKind::File { .. } | EntryKind::Hardlink { .. });
        let plain = !release.contains('/') && !release.contains("rescue");
        (is_file && plain).then(|| release.to_owned())
    };
    let mut releases: Vec<String> = entries.iter().filter_map(release).collect();
    releases.sort_by_key(|release| natural(release));
    let files = |release: String| {
        let names = [
            format!("boot/initrd.img-{release}"),
            format!("boot/initramfs-{release}.img"),
            format!("boot/initramfs-{release}"),
            format!("boot/initrd-{release}"),
        ];
        let initrd = names.into_iter().find(|name| paths.contains(name.as_str()));
        KernelFiles {
            kernel: format!("/boot/vmlinuz-{release}"),
            initrd: initrd.map(|name| format!("/{name}")),
            release,
        }
    };
    releases.into_iter().map(files).collect()
}

/// A key that sorts 6.10 behind 6.9.
pub(super) fn natural(text: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (word, next) = behind.split_at(letters);
        parts.push((number.parse().unwrap_or(u64::MAX), word.to_owned()));
        rest = next;
    }
    parts
}

fn renderers(programs: &BTreeSet<String>, paths: &BTreeSet<&str>) -> Vec<Renderer> {
    let is_there = |renderer: &Renderer| match renderer {
        Renderer::Ifupdown => programs.contains("ifup"),
        Renderer::Netplan => programs.contains("netplan"),
        Renderer::NetworkManager => programs.contains("NetworkManager"),
        Renderer::Networkd => NETWORKD_ENABLED.iter().any(|path| paths.contains(path)),
    };
    Renderer::ALL.into_iter().filter(is_there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::ids::Digest;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: path.to_owned(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: BTreeMap::new(),
            kind,
        }
    }

    fn file(path: &str, size: u64) -> Entry {
        entry(path, EntryKind::File { size, digest: Digest([0; 32]) })
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, EntryKind::Symlink { target: target.to_owned() })
    }

    #[test]
    fn a_manifest_tells_what_installing_needs() {
        let entries = [
            entry("", EntryKind::Directory),
            entry("boot", EntryKind::Directory),
            file("boot/vmlinuz-6.10.1-amd64", 8_000_000),
            file("boot/vmlinuz-6.9.2-amd64", 8_000_000),
            file("boot/initrd.img-6.10.1-amd64", 30_000_000),
            link("boot/vmlinuz-latest", "vmlinuz-6.10.1-amd64"),
            file("usr/sbin/grub-install", 1),
            file("usr/sbin/unrelated", 1),
            file("usr/lib/grub/x86_64-efi/modinfo.sh", 1),
            file("sbin/ifup", 1),
            file("etc/network/if-pre-up.d/bridge", 1),
            file("etc/network/interfaces", 1),
            file("etc/network/interfaces.d/enp1s0", 1),
            file("etc/network/interfaces.d/lo", 1),
            link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
            link(NETWORKD_ENABLED[0], "/lib/systemd/system/systemd-networkd.service"),
        ];
        let summary = summarize(&entries);
        let releases: Vec<_> = summary.kernels.iter().map(|k| (&*k.release, &k.initrd)).collect();
        let initrd = Some("/boot/initrd.img-6.10.1-amd64".to_owned());
        assert_eq!(releases, [("6.9.2-amd64", &None), ("6.10.1-amd64", &initrd)]);
        assert!(summary.programs.iter().eq(["grub-install", "if-pre-up.d/bridge", "ifup"]));
        assert!(summary.loader_parts.iter().eq(["grub/x86_64-efi"]));
        assert_eq!(summary.renderers, [Renderer::Ifupdown, Renderer::Networkd]);
        let own = ["/etc/network/interfaces", "/etc/network/interfaces.d/enp1s0"];
        assert_eq!(summary.network_files, own);
        assert!(summary.resolved);
        // Two directories, three large files, seven small ones, three links.
        let large = [8_000_000_u64, 8_000_000, 30_000_000].map(|n| n.div_ceil(4096) * 4096);
        let boot = large.iter().sum::<u64>() + 4096 + 64;
        assert_eq!(summary.directory_bytes, BTreeMap::from([("/boot".to_owned(), boot)]));
        assert_eq!(summary.occupied_bytes, boot + 4096 + 8 * 4096 + 2 * 64);
    }
}
