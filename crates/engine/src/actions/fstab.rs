//! The texts of `fstab` and `disk_var.sh`, as FAI's setup-storage writes them.
//!
//! `fstab` has three comment lines; then for each volume an empty line, a comment with the device's
//! name where the key is another, and six fields separated by tabs, ordered by mount point.
//! `disk_var.sh` has a line `NAME=${NAME:-value}` a variable, so that a value set before wins.

use hostwright_host::DeviceIds;
use hostwright_model::storage::{BootDevices, FstabKey, StorageLayout, Volume};
use std::fmt::Write as _;

/// A device without the identifier that fstab is to name it by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoIdentifier {
    pub device: String,
    pub identifier: &'static str,
}

/// The first field of a volume's line.
pub(super) fn key(volume: &Volume, ids: &DeviceIds) -> Result<String, NoIdentifier> {
    let device = &volume.device;
    let must = |identifier, value: &Option<String>| match value {
        Some(value) => Ok(format!("{identifier}={value}")),
        None => Err(NoIdentifier { device: device.clone(), identifier }),
    };
    // Labels are a wish, as with FAI: a volume without one is named by its device.
    let may = |identifier, value: &Option<String>| match value {
        Some(value) => Ok(format!("{identifier}={value}")),
        None => Ok(device.clone()),
    };
    match volume.fstab_key {
        FstabKey::Device => Ok(device.clone()),
        FstabKey::Uuid => must("UUID", &ids.uuid),
        FstabKey::Partuuid => must("PARTUUID", &ids.partuuid),
        FstabKey::Label => may("LABEL", &ids.label),
        FstabKey::Partlabel => may("PARTLABEL", &ids.partlabel),
    }
}

/// True for volumes that fstab lists.
pub(super) fn is_listed(volume: &Volume) -> bool {
    volume.mount_point.is_some() || is_swap(volume)
}

fn is_swap(volume: &Volume) -> bool {
    volume.file_system.as_deref() == Some("swap")
}

/// The whole file, from volumes with their keys.
pub(super) fn fstab(volumes: &[(&Volume, String)]) -> String {
    let mut lines: Vec<(&str, String)> = volumes
        .iter()
        .map(|(volume, key)| {
            let point = volume.mount_point.as_deref().unwrap_or("none");
            (point, entry(volume, point, key))
        })
        .collect();
    lines.sort_by_key(|(point, _)| *point);
    let header = "# /etc/fstab: static file system information.\n#\n\
                  # <file sys>\t<mount point>\t<type>\t<options>\t<dump>\t<pass>\n";
    std::iter::once(header).chain(lines.iter().map(|(_, text)| text.as_str())).collect()
}

fn entry(volume: &Volume, point: &str, key: &str) -> String {
    let kind = volume.file_system.as_deref().unwrap_or("auto");
    let pass = match (point, kind) {
        ("/", _) => 1,
        (_, "swap" | "tmpfs") => 0,
        _ => 2,
    };
    let mut text = "\n".to_owned();
    if *key != volume.device {
        writeln!(text, "# device during installation: {}", volume.device)
            .expect("invariant: a String takes everything");
    }
    writeln!(text, "{key}\t{point}\t{kind}\t{}\t0\t{pass}", volume.mount_options)
        .expect("invariant: a String takes everything");
    text
}

/// The variables for boot loader scripts.
pub(super) fn disk_var(layout: &StorageLayout, volumes: &[(&Volume, String)]) -> String {
    let BootDevices { boot_device, boot_partition, esp_device, physical_boot_devices } =
        &layout.boot;
    let swaps: Vec<&str> = volumes
        .iter()
        .filter(|(volume, _)| is_swap(volume))
        .map(|(volume, _)| volume.device.as_str())
        .collect();
    let root = volumes.iter().find(|(volume, _)| volume.mount_point.as_deref() == Some("/"));
    let quoted = |text: &str| Some(format!("\"{text}\""));
    let lines = [
        ("SWAPLIST", quoted(&swaps.join(" "))),
        ("BOOT_DEVICE", quoted(boot_device.as_deref().unwrap_or_default())),
        ("ROOT_PARTITION", root.map(|(_, key)| key.clone())),
        ("BOOT_PARTITION", boot_partition.clone()),
        ("ESP_DEVICE", esp_device.clone()),
    ];
    let set = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut text: String =
        set.map(|(name, value)| format!("{name}=${{{name}:-{value}}}\n")).collect();
    writeln!(text, "PHYSICAL_BOOT_DEVICES=\"{}\"", physical_boot_devices.join(" "))
        .expect("invariant: a String takes everything");
    text
}

/// `own` with those lines of `other` whose mount points it does not have.
pub(super) fn merge(own: &str, other: &str) -> String {
    let point = |line: &str| {
        let mut fields = line.split_whitespace();
        let first = fields.next().filter(|first| !first.starts_with('#'))?;
        Some((first.to_owned(), fields.next()?.to_owned()))
    };
    let taken: Vec<(String, String)> = own.lines().filter_map(point).collect();
    let is_new = |line: &&str| {
        point(line).is_some_and(|(device, point)| {
            // Swap areas have no mount point to tell them apart by.
            let same = |(d, p): &(String, String)| *p == point && (point != "none" || *d == device);
            !taken.iter().any(same)
        })
    };
    let mut text = own.to_owned();
    for line in other.lines().filter(is_new) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::plan::Why;

    fn volume(device: &str, point: Option<&str>, kind: &str, options: &str) -> Volume {
        Volume {
            btrfs: None,
            fate: hostwright_model::storage::Fate::Create,
            device: device.to_owned(),
            size_bytes: 1 << 30,
            file_system: Some(kind.to_owned()),
            mount_point: point.map(str::to_owned),
            mount_options: options.to_owned(),
            create_options: vec![],
            tune_options: vec![],
            fstab_key: FstabKey::Uuid,
            partition_name: None,
            why: Why::default(),
        }
    }

    fn demo() -> (StorageLayout, Vec<Volume>) {
        let boot = BootDevices {
            boot_device: Some("/dev/vda".to_owned()),
            boot_partition: Some("/dev/vda1".to_owned()),
            esp_device: None,
            physical_boot_devices: vec!["/dev/vda".to_owned()],
        };
        let volumes = vec![
            volume("/dev/vda1", Some("/"), "ext4", "rw,noatime,errors=remount-ro"),
            volume("/dev/vda5", None, "swap", "sw"),
            volume("/dev/vda6", Some("/home"), "ext4", "rw,noatime,nosuid,nodev"),
        ];
        (StorageLayout { boot, ..StorageLayout::default() }, volumes)
    }

    fn keyed(volumes: &[Volume]) -> Vec<(&Volume, String)> {
        volumes
            .iter()
            .map(|volume| {
                let uuid = Some(format!("0000-{}", &volume.device[8..]));
                let key = key(volume, &DeviceIds { uuid, ..DeviceIds::default() });
                (volume, key.unwrap())
            })
            .collect()
    }

    #[test]
    fn the_demo_s_fstab_is_what_fai_writes() {
        let (_, volumes) = demo();
        insta::assert_snapshot!(fstab(&keyed(&volumes)), @r"
        # /etc/fstab: static file system information.
        #
        # <file sys>	<mount point>	<type>	<options>	<dump>	<pass>

        # device during installation: /dev/vda1
        UUID=0000-1	/	ext4	rw,noatime,errors=remount-ro	0	1

        # device during installation: /dev/vda6
        UUID=0000-6	/home	ext4	rw,noatime,nosuid,nodev	0	2

        # device during installation: /dev/vda5
        UUID=0000-5	none	swap	sw	0	0
        ");
    }

    #[test]
    fn the_demo_s_disk_variables_are_what_fai_writes() {
        let (layout, volumes) = demo();
        insta::assert_snapshot!(disk_var(&layout, &keyed(&volumes)), @r#"
        SWAPLIST=${SWAPLIST:-"/dev/vda5"}
        BOOT_DEVICE=${BOOT_DEVICE:-"/dev/vda"}
        ROOT_PARTITION=${ROOT_PARTITION:-UUID=0000-1}
        BOOT_PARTITION=${BOOT_PARTITION:-/dev/vda1}
        PHYSICAL_BOOT_DEVICES="/dev/vda"
        "#);
    }

    #[test]
    fn keys_fall_back_only_where_fai_lets_them() {
        let none = DeviceIds::default();
        let with = |key| Volume { fstab_key: key, ..volume("/dev/vda1", Some("/"), "ext4", "rw") };
        assert_eq!(key(&with(FstabKey::Label), &none), Ok("/dev/vda1".to_owned()));
        assert_eq!(key(&with(FstabKey::Partlabel), &none), Ok("/dev/vda1".to_owned()));
        for (fstab_key, identifier) in [(FstabKey::Uuid, "UUID"), (FstabKey::Partuuid, "PARTUUID")]
        {
            let device = "/dev/vda1".to_owned();
            assert_eq!(key(&with(fstab_key), &none), Err(NoIdentifier { device, identifier }));
        }
    }

    #[test]
    fn an_image_s_own_lines_are_kept_unless_the_disk_has_their_place() {
        let own = "UUID=1\t/\text4\trw\t0\t1\nUUID=2\tnone\tswap\tsw\t0\t0\n";
        let image = "# UNCONFIGURED\ntmpfs /tmp tmpfs nodev 0 0\n/dev/sda1 / ext4 rw 0 1\n\
                     UUID=2 none swap sw 0 0\n";
        let merged = merge(own, image);
        assert_eq!(merged, format!("{own}tmpfs /tmp tmpfs nodev 0 0\n"));
        assert_eq!(merge(own, &merged), merged);
    }
}
