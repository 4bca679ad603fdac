//! What a step does, in words for people.

use crate::boot_loader::{BootLoader, BootSetup};
use crate::facts::Disk;
use crate::package::{PackageAction, PackageGroup};
use crate::plan::{Action, FileTopic, TargetFile};
use crate::size::ByteSize;
use crate::storage::{
    DiskLayout, EncryptedDevice, OldLayer, RaidArray, RaidMember, TableKind, Volume,
};

impl Action {
    /// One line without a full stop: `make ext4 on /dev/vda1 for /`.
    #[expect(clippy::too_many_lines, reason = "a list of all actions, one arm each")]
    pub fn title(&self) -> String {
        match self {
            Self::Hook { path, sourced: true } => format!("source {path}"),
            Self::Hook { path, sourced: false } => format!("run {path}"),
            Self::OwnAction { path } => format!("run {path}, an action of the space's own"),
            Self::ShowHardware { inventory: true } => "list the hardware".to_owned(),
            Self::ShowHardware { inventory: false } => "show the hardware".to_owned(),
            Self::Function { name, argument: None } => format!("call the space's {name}"),
            Self::Function { name, argument: Some(task) } => {
                format!("call the space's {name} for {task}")
            }
            Self::MountFstab => "mount what fstab in the log directory names".to_owned(),
            Self::Subroutines { path } => format!("source {path}"),
            Self::ClassScript { path, sourced: true } => format!("source {path} for classes"),
            Self::ClassScript { path, sourced: false } => format!("run {path} for classes"),
            Self::SourceVars { path } => format!("read variables from {path}"),
            Self::FetchImage { image } => {
                let size = ByteSize(image.content_bytes).rounded();
                format!("fetch and verify image {} ({size})", image.name)
            }
            Self::ConfirmDisks { disks } => confirm_disks(disks),
            Self::SaveMetadata { devices } => {
                format!("save tables and headers of {}", devices.join(", "))
            }
            Self::TakeDown { layer } => take_down(layer),
            Self::ResizeFileSystem { device, file_system, size_bytes } => {
                resize(device, file_system, *size_bytes)
            }
            Self::RaidArray { array } => raid_array(array),
            Self::Encrypt { encrypted } => encrypt(encrypted),
            Self::PartitionTable { disk } => partition_table(disk),
            Self::VolumeGroup { group } => {
                let devices = group.physical_volumes.join(", ");
                format!("make volume group {} on {devices}", group.name)
            }
            Self::LogicalVolume { volume, .. } => {
                let size = ByteSize(volume.size_bytes).rounded();
                format!("make logical volume {} of {size}", volume.device)
            }
            Self::Format { volume, ready_made: None } => format_volume(volume),
            Self::Format { volume, ready_made: Some(made) } => {
                let (kind, name) = (&made.file_system, &made.blocks.name);
                format!("lay {kind} {name} down on {} as blocks, and grow it", volume.device)
            }
            Self::StorageFiles { .. } => "write fstab and disk_var.sh".to_owned(),
            Self::Mount { volume } => {
                let point = volume.mount_point.as_deref().unwrap_or("-");
                format!("mount {} as {point} of the target", volume.device)
            }
            Self::SwapOn { device } => format!("use swap area {device}"),
            Self::LayImage { image } => format!("lay image {} down", image.name),
            Self::BaseFile { path } => format!("unpack base system {path}"),
            Self::Debootstrap { suite, mirror, .. } => {
                format!("make base system {suite} from {mirror}")
            }
            Self::FetchBaseFile { url, .. } => format!("look for a base system at {url}"),
            Self::RamDisk { path } => format!("keep {path} of the target in memory"),
            Self::FlushRamDisk { path } => format!("write {path} of the target to its disk"),
            Self::InstallFstab => "put fstab into the target".to_owned(),
            Self::Debconf { path } => format!("preseed debconf from {path}"),
            Self::Repository { .. } => {
                "write resolv.conf, hosts, package sources and keys".to_owned()
            }
            Self::UpdateBase => "bring the base system up to date".to_owned(),
            Self::MountPseudo => "mount proc, sys and dev below the target".to_owned(),
            Self::MountMirror { source, path, .. } => {
                format!("mount mirror {source} as {path} of the target")
            }
            Self::CheckPackages { lenient: false } => {
                "check that every package is to be had".to_owned()
            }
            Self::CheckPackages { lenient: true } => {
                "look for packages that are not to be had, to leave them out".to_owned()
            }
            Self::Preload { url, directory } => format!("put {url} into {directory} of the target"),
            Self::RemovePreloaded { url, directory } => {
                let name = url.rsplit('/').next().unwrap_or(url);
                format!("remove {name} from {directory} of the target")
            }
            Self::Packages { group } => packages(group),
            Self::PackageFiles { paths } => match paths.as_slice() {
                [one] => format!("install {one}"),
                several => format!("install {} package files of the space", several.len()),
            },
            Self::SettlePackages => "configure pending packages, drop downloads".to_owned(),
            Self::Script { path } | Self::Test { path } => format!("run {path}"),
            Self::Personalise { hostname, nic: Some(nic) } => {
                format!("personalise as {hostname} with DHCP on {nic}")
            }
            Self::Personalise { hostname, nic: None } => format!("personalise as {hostname}"),
            Self::WriteFiles { topic, files, .. } => write_files(*topic, files),
            Self::KeepOldEtc { device, .. } => format!("keep /etc of the old system on {device}"),
            Self::BootLoader { setup } => boot_loader(setup),
            Self::LoadKernel { .. } => "load the installed kernel for a restart".to_owned(),
            Self::FirstBoot => "let copies of the disk become machines of their own".to_owned(),
            Self::Finish => "take back what was only for the installation".to_owned(),
            Self::SaveLogs => "save the logs into the target".to_owned(),
            Self::UnmountTarget => "unmount everything below the target".to_owned(),
        }
    }
}

fn confirm_disks(disks: &[Disk]) -> String {
    let names: Vec<String> = disks.iter().map(Disk::path).collect();
    match names.as_slice() {
        [one] => format!("confirm that {one} is the disk that was planned for"),
        several => {
            format!("confirm that {} are the disks that were planned for", several.join(", "))
        }
    }
}

fn take_down(layer: &OldLayer) -> String {
    match layer {
        OldLayer::Swap { device } => format!("stop using swap area {device}"),
        OldLayer::Mapping { name } => format!("close /dev/mapper/{name}"),
        OldLayer::LogicalVolume { group, name } => format!("remove logical volume {group}/{name}"),
        OldLayer::VolumeGroup { name, physical_volumes, .. } => {
            format!("take volume group {name} on {} apart", physical_volumes.join(", "))
        }
        OldLayer::Array { device, members, uuid } => {
            let name = device.as_deref().unwrap_or(uuid);
            format!("take RAID array {name} of {} apart", members.join(", "))
        }
        OldLayer::Signatures { device } => format!("wipe signatures of {device}"),
    }
}

fn resize(device: &str, file_system: &str, size_bytes: Option<u64>) -> String {
    match size_bytes {
        Some(size) => {
            format!("resize {file_system} on {device} to {}", ByteSize(size).rounded())
        }
        None => format!("grow {file_system} to all of {device}"),
    }
}

fn raid_array(array: &RaidArray) -> String {
    let verb = if array.fate.needs_existing() { "assemble" } else { "make" };
    let device = |member: &RaidMember| match &member.device {
        Some(device) if member.spare => format!("{device} (spare)"),
        Some(device) => device.clone(),
        None => "missing".to_owned(),
    };
    let members: Vec<String> = array.members.iter().map(device).collect();
    format!("{verb} {} {} of {}", array.level.name(), array.device, members.join(", "))
}

fn encrypt(encrypted: &EncryptedDevice) -> String {
    let verb = if encrypted.fate.needs_existing() { "open" } else { "encrypt" };
    format!("{verb} {} as {}", encrypted.device, encrypted.mapped_device)
}

fn partition_table(disk: &DiskLayout) -> String {
    let kind = match disk.table {
        TableKind::Msdos => "msdos",
        TableKind::Gpt => "gpt",
        TableKind::GptBios => "gpt-bios",
    };
    let (count, device) = (disk.partitions.len(), &disk.device);
    let plural = if count == 1 { "" } else { "s" };
    format!("write {kind} partition table with {count} partition{plural} to {device}")
}

fn format_volume(volume: &Volume) -> String {
    let kind = volume.file_system.as_deref().unwrap_or("nothing");
    let kind = match &volume.btrfs {
        Some(btrfs) if btrfs.shares => format!("subvolume {}", btrfs.subvolume),
        _ => kind.to_owned(),
    };
    match &volume.mount_point {
        Some(point) => format!("make {kind} on {} for {point}", volume.device),
        None => format!("make {kind} on {}", volume.device),
    }
}

fn write_files(topic: FileTopic, files: &[TargetFile]) -> String {
    match topic {
        FileTopic::Network { renderer } => {
            let plural = if files.len() == 1 { "" } else { "s" };
            format!("write the network for {}: {} file{plural}", renderer.name(), files.len())
        }
        FileTopic::Record => "record what is installed".to_owned(),
    }
}

fn boot_loader(setup: &BootSetup) -> String {
    let name = setup.loader.name();
    match (&setup.loader, &setup.esp) {
        (BootLoader::GrubBios { disks }, _) => format!("install {name} on {}", disks.join(", ")),
        (_, Some(esp)) => format!("install {name} in {}", esp.mount_point),
        (_, None) => format!("install {name}"),
    }
}

fn packages(group: &PackageGroup) -> String {
    let (verb, noun, note) = match group.action {
        PackageAction::Zypper
        | PackageAction::Yumi
        | PackageAction::Dnfi
        | PackageAction::Install
        | PackageAction::PacmanS
        | PackageAction::ApkAdd => ("install", "package", ""),
        PackageAction::InstallNorec => ("install", "package", " without recommended ones"),
        PackageAction::Aptitude => ("install", "package", " by aptitude, without recommended ones"),
        PackageAction::AptitudeR => ("install", "package", " by aptitude"),
        PackageAction::Apt => ("install", "package", " by apt"),
        PackageAction::Unpack => ("unpack", "package", ""),
        PackageAction::ZypperPattern => ("install", "pattern", ""),
        PackageAction::ZypperProduct => ("install", "product", ""),
        PackageAction::Yumgroup | PackageAction::Dnfgroup => ("install", "package group", ""),
        PackageAction::Taskinst => ("install", "task", ""),
        PackageAction::Taskrm => ("remove", "task", ""),
        PackageAction::Hold => ("hold", "package", ""),
        PackageAction::DselectUpgrade => ("upgrade with selections for", "package", ""),
        PackageAction::Remove
        | PackageAction::ZypperRm
        | PackageAction::Rpmr
        | PackageAction::Yumr
        | PackageAction::Dnfr
        | PackageAction::PacmanRns
        | PackageAction::ApkDel => ("remove", "package", ""),
    };
    let release = group.release.as_ref().map(|name| format!(" from {name}")).unwrap_or_default();
    match group.packages.as_slice() {
        [one] => format!("{verb} {noun} {}{release}{note}", one.name),
        several => format!("{verb} {} {noun}s{release}{note}", several.len()),
    }
}
