//! Raw disk images: their file systems are mounted read-only, the root file system is found by its
//! os-release, and the others go where its fstab says.

use super::ImportError;
use hostwright_host::loop_disk::LoopDisk;
use hostwright_host::probe::{device_ids, table_of_image};
use hostwright_host::{DeviceIds, Host, MountRequest};
use hostwright_model::existing::ExistingTable;
use hostwright_model::image::ImageRef;
use hostwright_model::storage::PartitionKind;
use hostwright_store::{AddOptions, OnBytes, Store};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Marks of file systems that may fill a disk: offset and bytes.
const FILE_SYSTEMS: [(u64, &[u8]); 6] = [
    (1080, b"\x53\xef"),
    (0, b"XFSB"),
    (65600, b"_BHRfS_M"),
    (0, b"hsqs"),
    (1024, b"\xe2\xe1\xf5\xe0"),
    (32769, b"CD001"),
];
const TABLE_MARK: (u64, &[u8]) = (510, b"\x55\xaa");
/// Containers of disks that have to be unpacked first.
const CONTAINERS: [(&[u8], &str); 4] =
    [(b"QFI\xfb", "qcow2"), (b"KDMV", "vmdk"), (b"vhdxfile", "vhdx"), (b"conectix", "vpc")];
/// What fstab may name that no disk holds.
const NOT_ON_DISK: [&str; 12] = [
    "swap", "proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "cgroup2", "debugfs", "tracefs", "nfs",
    "nfs4", "cifs",
];

/// True if a file looks like a disk or a file system. A container of one is an error with its cure.
pub(super) fn is_disk(path: &Path) -> Result<bool, ImportError> {
    let file = File::open(path).map_err(ImportError::io("open", path))?;
    let has = |(offset, mark): (u64, &[u8])| {
        let mut found = vec![0; mark.len()];
        file.read_exact_at(&mut found, offset).is_ok() && found == mark
    };
    if let Some((_, format)) = CONTAINERS.iter().find(|(mark, _)| has((0, mark))) {
        let reason = format!(
            "it is a {format} file; make it raw: qemu-img convert -f {format} -O raw {} disk.raw",
            path.display()
        );
        return Err(ImportError::content(path, reason));
    }
    Ok(has(TABLE_MARK) || FILE_SYSTEMS.into_iter().any(has))
}

/// Adds the system that a disk image holds to the store.
pub(super) fn add(
    store: &Store,
    host: &mut dyn Host,
    path: &Path,
    name: &str,
    options: &AddOptions,
    on_bytes: OnBytes<'_>,
) -> Result<ImageRef, ImportError> {
    let dir = tempfile::tempdir().map_err(ImportError::io("make a directory for", path))?;
    let added = Disk::open(host, path).and_then(|disk| {
        let root = disk.mount_all(host, dir.path())?;
        Ok(store.add_tree(&root, name, options, on_bytes)?)
    });
    // Whatever happened, nothing stays mounted.
    let unmounted = unmount_below(host, dir.path());
    let image = added?;
    unmounted.map(|()| image)
}

/// A disk image whose parts are attached.
struct Disk {
    path: PathBuf,
    parts: Vec<Part>,
}

/// A partition, or the whole of a disk without any.
struct Part {
    device: LoopDisk,
    ids: DeviceIds,
}

impl Part {
    fn node(&self) -> String {
        format!("/dev/{}", self.device.name())
    }

    /// True if fstab's first field means this one.
    fn is_meant_by(&self, spec: &str) -> bool {
        let is = |id: &Option<String>, value: &str| {
            id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(value.trim_matches('"')))
        };
        match spec.split_once('=') {
            Some(("UUID", value)) => is(&self.ids.uuid, value),
            Some(("LABEL", value)) => is(&self.ids.label, value),
            Some(("PARTUUID", value)) => is(&self.ids.partuuid, value),
            Some(("PARTLABEL", value)) => is(&self.ids.partlabel, value),
            _ => match spec.strip_prefix("/dev/disk/by-").and_then(|rest| rest.split_once('/')) {
                Some(("uuid", value)) => is(&self.ids.uuid, value),
                Some(("label", value)) => is(&self.ids.label, value),
                Some(("partuuid", value)) => is(&self.ids.partuuid, value),
                _ => false,
            },
        }
    }
}

impl Disk {
    fn open(host: &mut dyn Host, path: &Path) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(ImportError::io("open", path))?;
        let table = table_of_image(&file, "disk").map_err(ImportError::io("read", path))?;
        let mut parts = Vec::new();
        for (start, length, partuuid, partlabel) in ranges(table.as_ref()) {
            let device = LoopDisk::attach_part_read_only(&file, start, length)?;
            let node = format!("/dev/{}", device.name());
            let mut ids = device_ids(&node, &mut |command| host.run(command, &mut |_, _| {}))?;
            (ids.partuuid, ids.partlabel) = (partuuid, partlabel);
            parts.push(Part { device, ids });
        }
        Ok(Self { path: path.to_owned(), parts })
    }

    fn bad(&self, reason: impl Into<String>) -> ImportError {
        ImportError::content(&self.path, reason)
    }

    /// Mounts the system below `dir` as it would be when it runs; its root.
    fn mount_all(&self, host: &mut dyn Host, dir: &Path) -> Result<PathBuf, ImportError> {
        let root = dir.join("root");
        let mut found = Vec::new();
        for part in &self.parts {
            if self.mount(host, part, &root).is_err() {
                // Swap, encrypted, for firmware: no root file system.
                continue;
            }
            if has_system(&root) {
                found.push(part);
            }
            host.unmount(&root.display().to_string())?;
        }
        match found[..] {
            [one] => self.mount(host, one, &root)?,
            [] => {
                return Err(
                    self.bad(format!("no file system of it has etc/os-release: {}", self.shown()))
                );
            }
            [..] => return Err(self.bad("more than one file system of it has etc/os-release")),
        }
        let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap_or_default();
        let mut mounts: Vec<Line> = fstab.lines().filter_map(Line::parse).collect();
        // What is mounted on a mounted file system comes behind it.
        mounts.sort_by(|a, b| a.target.cmp(b.target));
        for line in mounts {
            let Some(part) = self.parts.iter().find(|part| part.is_meant_by(line.spec)) else {
                if line.may_fail {
                    continue;
                }
                let (spec, target) = (line.spec, line.target);
                return Err(self.bad(format!(
                    "its fstab mounts {spec} on {target}, which is not in it: {}",
                    self.shown()
                )));
            };
            self.mount(host, part, &root.join(line.target.trim_start_matches('/')))?;
        }
        Ok(root)
    }

    fn mount(&self, host: &mut dyn Host, part: &Part, target: &Path) -> Result<(), ImportError> {
        let kind = part.ids.kind.clone();
        let kind = kind.ok_or_else(|| self.bad("a partition of it has no file system"))?;
        // The journal of a system that was not shut down cannot be replayed on what is read-only.
        let options = match kind.as_str() {
            "ext3" | "ext4" => "ro,noload",
            "xfs" => "ro,norecovery,nouuid",
            "btrfs" => "ro,rescue=nologreplay",
            _ => "ro",
        };
        let request = MountRequest {
            source: part.node(),
            target: target.display().to_string(),
            file_system: Some(kind),
            options: options.to_owned(),
        };
        Ok(host.mount(&request)?)
    }

    /// What the parts are, for messages.
    fn shown(&self) -> String {
        let part = |part: &Part| {
            let kind = part.ids.kind.as_deref().unwrap_or("nothing known");
            match &part.ids.uuid {
                Some(uuid) => format!("{kind} {uuid}"),
                None => kind.to_owned(),
            }
        };
        let all: Vec<String> = self.parts.iter().map(part).collect();
        if all.is_empty() { "it has no partitions".to_owned() } else { all.join(", ") }
    }
}

/// Start, length, identifier and name of each partition; of the whole disk if it has no table.
fn ranges(table: Option<&ExistingTable>) -> Vec<(u64, u64, Option<String>, Option<String>)> {
    let Some(table) = table else { return vec![(0, 0, None, None)] };
    let partitions = table.partitions.iter();
    let ranges = partitions.filter(|part| part.kind != PartitionKind::Extended).map(|part| {
        // The identifier of a PC table's partition is made of the table's own.
        let of_table = table.id.as_ref().and_then(|id| id.strip_prefix("0x"));
        let uuid = part.uuid.clone();
        let uuid = uuid.or_else(|| of_table.map(|id| format!("{id}-{:02x}", part.number)));
        (part.start_bytes, part.size_bytes, uuid, part.name.clone())
    });
    ranges.collect()
}

fn has_system(root: &Path) -> bool {
    // Links in an image are about the image: etc/os-release usually leads to usr/lib.
    ["etc/os-release", "usr/lib/os-release"].iter().any(|path| root.join(path).is_file())
}

/// A line of fstab(5) about something on a disk, other than the root.
struct Line<'a> {
    spec: &'a str,
    target: &'a str,
    may_fail: bool,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [spec, target, kind] = *fields.first_chunk()?;
        let options: Vec<&str> = fields.get(3).unwrap_or(&"").split(',').collect();
        let is_elsewhere = NOT_ON_DISK.contains(&kind) || options.contains(&"bind");
        if spec.starts_with('#') || target == "/" || !target.starts_with('/') || is_elsewhere {
            return None;
        }
        let may_fail = options.iter().any(|option| matches!(*option, "nofail" | "noauto"));
        Some(Self { spec, target, may_fail })
    }
}

fn unmount_below(host: &mut dyn Host, dir: &Path) -> Result<(), ImportError> {
    let mut mounts = host.mounts_below(&dir.display().to_string())?;
    mounts.sort_unstable_by_key(|mount| std::cmp::Reverse(mount.len()));
    for mount in mounts {
        host.unmount(&mount)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_lines_about_disks_are_found() {
        let table = [
            ("UUID=ab /boot ext4 defaults 0 2", Some(("UUID=ab", "/boot", false))),
            (
                "LABEL=efi /boot/efi vfat umask=0077,nofail 0 1",
                Some(("LABEL=efi", "/boot/efi", true)),
            ),
            ("# UUID=ab /boot ext4", None),
            ("UUID=ab / ext4 errors=remount-ro 0 1", None),
            ("UUID=cd none swap sw 0 0", None),
            ("tmpfs /tmp tmpfs defaults 0 0", None),
            ("/srv/a /srv/b none bind 0 0", None),
            (
                "/dev/sr0 /media/cdrom udf,iso9660 user,noauto 0 0",
                Some(("/dev/sr0", "/media/cdrom", true)),
            ),
            ("", None),
        ];
        for (line, expected) in table {
            let found = Line::parse(line).map(|line| (line.spec, line.target, line.may_fail));
            assert_eq!(found, expected, "{line}");
        }
    }
}
