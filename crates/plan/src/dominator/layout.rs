//! From a `storage-layout.json` to the layout language: what it says becomes a disk_config whose every
//! part keeps its place in the JSON, so that the same solver, the same rules about what is on the
//! disks and the same drawing serve both.
//!
//! Where Dominator's installer fails, this does not: disks of BIOS machines get a GPT with a partition
//! for GRUB in place of a PC table with its four entries and 2 TiB; the EFI system partition is mounted
//! by its own device whatever is encrypted; `/boot` stays what the file says.

use super::storage_layout::{LayoutFile, PartitionEntry, longest_label};
use crate::storage::ast::{
    DiskConfig, DiskName, DiskStanza, EncryptedLine, EncryptionStanza, KeyKind, LineKind,
    MountPoint, PartitionLine, VolumeSpec,
};
use crate::storage::{Amount, KeepOptions, SizeRange, Span, Spanned};
use hostwright_model::boot_loader::BootLoader;
use hostwright_model::facts::Firmware;
use hostwright_model::size::MIB;
use hostwright_model::storage::{FstabKey, PartitionKind, TableKind};

/// What the layout depends on besides its file.
pub(crate) struct Site<'a> {
    /// How the machine boots.
    pub firmware: Firmware,
    /// Device nodes of the disks that may be used; the first one boots.
    pub disks: &'a [String],
    /// What the image occupies.
    pub image_bytes: u64,
    /// True to encrypt all but what boots.
    pub encrypts: bool,
    /// True to encrypt the root, too.
    pub encrypts_root: bool,
    /// The boot loader.
    pub loader: &'a BootLoader,
}

/// Size of an EFI system partition that holds a boot loader only: Dominator's.
const ESP_BYTES: u64 = 128 * MIB;
/// Size of one that holds kernels, too: room for three.
const ESP_WITH_KERNELS_BYTES: u64 = 1024 * MIB;
/// Size of the /boot that is added where the root is encrypted.
const BOOT_BYTES: u64 = 1024 * MIB;
/// One inode for so many bytes, where no size was asked for: Dominator's.
const REMAINDER_BYTES_PER_INODE: u64 = 65_536;
/// The same on disks for data.
const DATA_BYTES_PER_INODE: u64 = 1_048_576;

/// A partition, before it is a line.
struct Wanted<'a> {
    mount_point: Spanned<String>,
    file_system: Spanned<String>,
    at: Span,
    /// `None` for all that is left.
    size_bytes: Option<Spanned<u64>>,
    label: Option<String>,
    bytes_per_inode: Option<u64>,
    entry: Option<&'a PartitionEntry>,
    encrypt: bool,
}

/// The disk_config.
pub(crate) fn disk_config(layout: &LayoutFile, site: &Site<'_>) -> DiskConfig {
    let mut config = DiskConfig::new(layout.source.clone(), None);
    let boot = site.disks.first().map_or("", String::as_str);
    let lines = partitions(layout, site).iter().map(line).collect();
    config.disks.push(DiskStanza {
        disk: Spanned::new(DiskName::Device(boot.to_owned()), layout.at),
        table: match site.firmware {
            Firmware::Bios => TableKind::GptBios,
            Firmware::Uefi => TableKind::Gpt,
        },
        bootable: None,
        fstab_key: FstabKey::Uuid,
        align_mib: Some(Spanned::new(1.0, layout.at)),
        keep: KeepOptions::default(),
        is_virtual: false,
        is_physical_volume: false,
        partitions: lines,
    });
    for (number, device) in site.disks.iter().enumerate().skip(1) {
        data_disk(layout, site, number, device, &mut config);
    }
    config
}

/// Partitions of the boot disk in their order.
fn partitions<'a>(layout: &'a LayoutFile, site: &Site<'_>) -> Vec<Wanted<'a>> {
    let mut wanted = Vec::new();
    wanted.extend(esp(layout, site));
    let boot = layout.entry("/boot").is_none() && site.encrypts_root;
    if boot {
        let label = Some("bootfs".to_owned());
        wanted.push(Wanted { label, ..made("/boot", "ext4", Some(BOOT_BYTES), layout.at) });
    }
    let last = layout.partitions.len().saturating_sub(1);
    for (i, entry) in layout.partitions.iter().enumerate() {
        wanted.push(from_entry(layout, site, entry, i == last));
    }
    if let Some(extra) = layout.extra(0).filter(|extra| layout.entry(extra).is_none()) {
        let at = layout.extra_basename.as_ref().map_or(layout.at, |base| base.at);
        wanted.push(Wanted {
            label: default_label(&extra, "ext4"),
            bytes_per_inode: Some(REMAINDER_BYTES_PER_INODE),
            encrypt: site.encrypts,
            ..made(&extra, "ext4", None, at)
        });
    }
    wanted
}

/// A partition that no entry asks for.
fn made(
    mount_point: &str,
    file_system: &str,
    size_bytes: Option<u64>,
    at: Span,
) -> Wanted<'static> {
    Wanted {
        mount_point: Spanned::new(mount_point.to_owned(), at),
        file_system: Spanned::new(file_system.to_owned(), at),
        at,
        size_bytes: size_bytes.map(|size| Spanned::new(size, at)),
        label: None,
        bytes_per_inode: None,
        entry: None,
        encrypt: false,
    }
}

/// The EFI system partition, unless an entry is one.
fn esp(layout: &LayoutFile, site: &Site<'_>) -> Option<Wanted<'static>> {
    let is_needed = site.firmware == Firmware::Uefi && !layout.partitions.iter().any(is_esp);
    let label = Some("EFI".to_owned());
    is_needed.then(|| Wanted {
        label,
        ..made("/boot/efi", "vfat", Some(esp_bytes(site.loader)), layout.at)
    })
}

fn esp_bytes(loader: &BootLoader) -> u64 {
    match loader {
        BootLoader::SystemdBoot | BootLoader::Uki => ESP_WITH_KERNELS_BYTES,
        BootLoader::GrubBios { .. } | BootLoader::GrubUefi => ESP_BYTES,
    }
}

/// True for an entry that firmware can read and that is where loaders are looked for.
fn is_esp(entry: &PartitionEntry) -> bool {
    let is_fat = matches!(entry.file_system.value.as_str(), "vfat" | "fat" | "msdos");
    is_fat && matches!(entry.mount_point.value.as_str(), "/boot" | "/boot/efi")
}

fn from_entry<'a>(
    layout: &'a LayoutFile,
    site: &Site<'_>,
    entry: &'a PartitionEntry,
    is_last: bool,
) -> Wanted<'a> {
    let point = entry.mount_point.value.as_str();
    let takes_rest = is_last && entry.is_unsized() && layout.extra(0).is_none_or(|e| e == point);
    let size_bytes = match (takes_rest, point) {
        (true, _) => None,
        (_, "/") => Some(root_bytes(entry, site.image_bytes)),
        _ => Some(least_bytes(entry)),
    };
    let size_bytes = match size_bytes {
        Some(size) if site.firmware == Firmware::Uefi && is_esp(entry) => {
            Some(Spanned::new(size.value.max(esp_bytes(site.loader)), size.at))
        }
        other => other,
    };
    let is_plain = matches!(point, "/boot" | "/boot/efi") || is_esp(entry);
    let label = entry.label.as_ref().map(|label| label.value.clone());
    let per_inode = takes_rest.then_some(REMAINDER_BYTES_PER_INODE).filter(|_| point != "/");
    Wanted {
        mount_point: entry.mount_point.clone(),
        file_system: entry.file_system.clone(),
        at: entry.at,
        size_bytes,
        label: label.or_else(|| default_label(point, &entry.file_system.value)),
        bytes_per_inode: entry.bytes_per_inode.as_ref().map(|bytes| bytes.value).or(per_inode),
        entry: Some(entry),
        encrypt: match point {
            "/" => site.encrypts_root,
            _ => site.encrypts && !is_plain,
        },
    }
}

/// Size of the root: the image once more, or as much as is to stay free, besides the image.
fn root_bytes(entry: &PartitionEntry, image_bytes: u64) -> Spanned<u64> {
    let free = entry.minimum_free_bytes.as_ref();
    let wanted = free.map_or(0, |free| free.value).max(image_bytes).saturating_add(image_bytes);
    let at = free.map_or(entry.at, |free| free.at);
    match &entry.minimum_bytes {
        Some(least) if least.value > wanted => least.clone(),
        _ => Spanned::new(wanted, at),
    }
}

/// Size of any other partition.
fn least_bytes(entry: &PartitionEntry) -> Spanned<u64> {
    let sizes = [&entry.minimum_free_bytes, &entry.minimum_bytes].into_iter().flatten();
    let largest = sizes.max_by_key(|size| size.value);
    largest.cloned().unwrap_or_else(|| Spanned::new(0, entry.at))
}

/// Dominator's label, where the file system has room for it.
fn default_label(mount_point: &str, file_system: &str) -> Option<String> {
    let label = match mount_point {
        "/" => "rootfs",
        "/boot" => "bootfs",
        "/boot/efi" => "EFI",
        point => point,
    };
    (label.len() <= longest_label(file_system)).then(|| label.to_owned())
}

fn line(wanted: &Wanted<'_>) -> PartitionLine {
    let mib = |bytes: u64| Amount::Mib(bytes.div_ceil(MIB) as f64);
    let (size, size_at) = match &wanted.size_bytes {
        Some(size) => (SizeRange { min: mib(size.value), max: mib(size.value) }, size.at),
        None => (SizeRange { min: mib(16 * MIB), max: Amount::Percent(100.0) }, wanted.at),
    };
    PartitionLine {
        at: wanted.at,
        kind: LineKind::Partition(PartitionKind::Primary),
        name: None,
        size: Spanned::new(size, size_at),
        flag: None,
        volume: spec(wanted),
    }
}

fn spec(wanted: &Wanted<'_>) -> VolumeSpec {
    let point = wanted.mount_point.value.as_str();
    let options = match (point, wanted.file_system.value.as_str()) {
        (_, "vfat" | "fat" | "msdos") => "umask=0077".to_owned(),
        ("/", "btrfs") => "defaults,subvol=@".to_owned(),
        (point, "btrfs") => format!("defaults,subvol=@{}", point[1..].replace('/', "-")),
        _ => "defaults".to_owned(),
    };
    VolumeSpec {
        mount_point: Spanned::new(MountPoint::Path(point.to_owned()), wanted.mount_point.at),
        encrypt: wanted.encrypt.then(|| Spanned::new(false, wanted.at)),
        file_system: Spanned::new(Some(wanted.file_system.value.clone()), wanted.file_system.at),
        mount_options: Spanned::new(options, wanted.at),
        create_options: create_options(wanted),
        tune_options: Spanned::new(Vec::new(), wanted.at),
    }
}

/// Words for mkfs.
fn create_options(wanted: &Wanted<'_>) -> Vec<String> {
    let kind = wanted.file_system.value.as_str();
    let mut words: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    if let Some(label) = &wanted.label {
        let option = if matches!(kind, "vfat" | "fat" | "msdos") { "-n" } else { "-L" };
        add(option, label.clone());
    }
    if !kind.starts_with("ext") {
        return words;
    }
    if let Some(bytes) = wanted.bytes_per_inode {
        add("-i", bytes.to_string());
    }
    let Some(entry) = wanted.entry else { return words };
    if let Some(percent) = &entry.reserved_percent {
        add("-m", percent.value.to_string());
    }
    let id = |id: &Option<Spanned<u64>>| id.as_ref().map_or(0, |id| id.value);
    let (user, group) = (id(&entry.root_user), id(&entry.root_group));
    if (user, group) != (0, 0) {
        add("-E", format!("root_owner={user}:{group}"));
    }
    words
}

/// A disk that is one file system, without a partition table.
fn data_disk(
    layout: &LayoutFile,
    site: &Site<'_>,
    number: usize,
    device: &str,
    config: &mut DiskConfig,
) {
    let Some(base) = &layout.extra_basename else { return };
    let point = format!("{}{number}", base.value);
    let wanted = Wanted {
        label: default_label(&point, "ext4"),
        bytes_per_inode: Some(DATA_BYTES_PER_INODE),
        ..made(&point, "ext4", None, base.at)
    };
    if site.encrypts {
        let line = EncryptedLine {
            at: base.at,
            key: KeyKind::File,
            device: Spanned::new(
                crate::storage::ast::DeviceName::Device(device.to_owned()),
                base.at,
            ),
            volume: spec(&wanted),
            create_options: Vec::new(),
        };
        let stanza = EncryptionStanza { at: base.at, random_fill: false, devices: vec![line] };
        config.encryption.push(stanza);
        return;
    }
    config.disks.push(DiskStanza {
        disk: Spanned::new(DiskName::Device(device.to_owned()), base.at),
        table: TableKind::Gpt,
        bootable: None,
        fstab_key: FstabKey::Uuid,
        align_mib: None,
        keep: KeepOptions::default(),
        is_virtual: false,
        is_physical_volume: false,
        partitions: vec![PartitionLine { kind: LineKind::RawDisk, ..line(&wanted) }],
    });
}
