//! GRUB: in the boot sectors of disks for BIOS, or as a program for UEFI; its modules and its menu.
//!
//! grub-install(8) is not run where the target's GRUB is laid out as this file knows: it looks at
//! every device of the machine and takes seconds to write what is a few files and two images. What
//! it would have written is written; the target's own grub-install works on it later.

use super::boot_sector::{self, SECTOR_BYTES, Unfit};
use super::efi::{self, EfiNames};
use super::kernels;
use super::menu;
use super::nvram;
use super::{Place, boot_place};
use crate::actions::apt::as_in_target;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::boot_loader::{BootSetup, EspPlace, KernelFiles};
use hostwright_model::fault::FaultKind;
use hostwright_model::storage::{DiskLayout, PartitionContent, TableKind};

/// What GRUB needs to reach its own directory, whatever that is on.
const CORE_MODULES: [&str; 15] = [
    "part_gpt",
    "part_msdos",
    "ext2",
    "xfs",
    "btrfs",
    "fat",
    "lvm",
    "diskfilter",
    "mdraid09",
    "mdraid1x",
    "raid5rec",
    "raid6rec",
    "search",
    "search_fs_uuid",
    "search_label",
];
/// GRUB's name of a PC with a BIOS.
const BIOS: &str = "i386-pc";
/// Room for core.img behind a PC table, where nothing says how much there is.
const USUAL_GAP_BYTES: u64 = 1 << 20;

/// The names that a distribution gives GRUB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flavour {
    /// Its directory below `/boot`, and the beginning of its tools' names.
    pub(super) name: &'static str,
    mkimage: Tool,
    pub(super) mkconfig: Tool,
    install: Tool,
}

const FLAVOURS: [Flavour; 2] = [
    Flavour {
        name: "grub",
        mkimage: Tool::GrubMkimage,
        mkconfig: Tool::GrubMkconfig,
        install: Tool::GrubInstall,
    },
    Flavour {
        name: "grub2",
        mkimage: Tool::Grub2Mkimage,
        mkconfig: Tool::Grub2Mkconfig,
        install: Tool::Grub2Install,
    },
];

/// The GRUB that the target has.
pub(super) fn flavour(work: &mut Work<'_>) -> Result<Flavour, ActionError> {
    for flavour in FLAVOURS {
        if has_program(work, flavour.mkimage)? || has_program(work, flavour.install)? {
            return Ok(flavour);
        }
    }
    Ok(FLAVOURS[0])
}

/// True if the target has a program.
pub(super) fn has_program(work: &mut Work<'_>, tool: Tool) -> Result<bool, ActionError> {
    for dir in ["usr/bin", "usr/sbin"] {
        if work.exists(&work.target(&format!("{dir}/{}", tool.program())))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Installs it on every disk that the BIOS may start from.
pub(super) fn install_bios(
    work: &mut Work<'_>,
    setup: &BootSetup,
    disks: &[String],
    kernels: &[KernelFiles],
) -> Result<(), ActionError> {
    let (flavour, place) = (flavour(work)?, boot_place(work, setup)?);
    let modules = work.target(&format!("usr/lib/grub/{BIOS}"));
    let Some(boot) = work.host.read(&format!("{modules}/boot.img"))? else {
        return Err(efi::no_loader("GRUB for BIOS (/usr/lib/grub/i386-pc)", "grub-pc-bin"));
    };
    copy_modules(work, flavour, BIOS)?;
    let core = match has_program(work, flavour.mkimage)? {
        true => Some(make_core(work, flavour, BIOS, &place, &["biosdisk"])?),
        false => None,
    };
    for disk in disks {
        let (start_bytes, room_bytes) = core_place(work, disk)?;
        let fitted =
            core.as_ref().map(|core| boot_sector::fit(&boot, core, start_bytes, room_bytes));
        match fitted {
            Some(Ok(sectors)) => {
                // The code that starts it comes last: until then the disk starts as before.
                work.host.write_at(disk, sectors.core_offset_bytes, &sectors.core)?;
                work.host.write_at(disk, 0, &sectors.code)?;
            }
            Some(Err(Unfit::Room { needed_bytes })) => {
                return Err(no_room(disk, needed_bytes, room_bytes));
            }
            Some(Err(Unfit::Layout)) | None => run_install(work, flavour, disk)?,
        }
    }
    menu::write(work, setup, flavour, &place, kernels)
}

/// Where the core image goes on a disk, and how much room there is.
fn core_place(work: &Work<'_>, disk: &str) -> Result<(u64, u64), ActionError> {
    let layout = work.plan.layout.as_ref();
    let found = layout.and_then(|layout| layout.disks.iter().find(|found| found.device == disk));
    let Some(found) = found else {
        return Err(no_bios_place(disk, "the plan has no partition table for it"));
    };
    if u64::from(found.sector_bytes) != SECTOR_BYTES {
        return Err(no_bios_place(disk, "no BIOS starts from sectors of 4096 bytes"));
    }
    place_on(found).ok_or_else(|| no_bios_place(disk, "its GPT has no BIOS boot partition"))
}

fn place_on(disk: &DiskLayout) -> Option<(u64, u64)> {
    if disk.table == TableKind::Msdos {
        let first = disk.partitions.iter().map(|partition| partition.start_bytes).min();
        let end_bytes = first.unwrap_or(USUAL_GAP_BYTES);
        return Some((SECTOR_BYTES, end_bytes.saturating_sub(SECTOR_BYTES)));
    }
    let mut partitions = disk.partitions.iter();
    let found = partitions.find(|partition| partition.content == PartitionContent::BiosBoot)?;
    Some((found.start_bytes, found.size_bytes()))
}

fn no_bios_place(disk: &str, reason: &str) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        "no-bios-place",
        format!("GRUB cannot be installed on {disk} for a BIOS: {reason}"),
        "choose disklabel:gpt-bios or disklabel:msdos for the disk, or start the machine by UEFI",
    )
}

fn no_room(disk: &str, needed_bytes: u64, room_bytes: u64) -> ActionError {
    ActionError::new(
        FaultKind::Config,
        "no-bios-place",
        format!("GRUB's core image has {needed_bytes} bytes, and {disk} has room for {room_bytes}"),
        "let the first partition begin at 1 MiB, or choose disklabel:gpt-bios",
    )
}

/// Makes the image that finds GRUB's directory.
fn make_core(
    work: &mut Work<'_>,
    flavour: Flavour,
    target: &str,
    place: &Place,
    first: &[&str],
) -> Result<Vec<u8>, ActionError> {
    let dir = format!("/boot/{}/{target}", flavour.name);
    let (early, core) = (format!("{dir}/load.cfg"), format!("{dir}/core.img"));
    work.host.write(&work.target(&early), place.early(flavour.name).as_bytes(), 0o644)?;
    let prefix = format!("/boot/{}", flavour.name);
    let command = Command::new(flavour.mkimage)
        .args(["-O", target, "-p", &prefix, "-c", &early, "-o", &core])
        .args(first.iter().chain(&CORE_MODULES).copied());
    work.tool(as_in_target(work, command))?;
    work.host.read(&work.target(&core))?.ok_or_else(|| {
        kernels::no_kernel(&format!("{} has made no {core}", flavour.mkimage.program()))
    })
}

/// GRUB reads its modules from beside its menu.
fn copy_modules(work: &mut Work<'_>, flavour: Flavour, target: &str) -> Result<(), ActionError> {
    let to = work.target(&format!("boot/{}/{target}", flavour.name));
    let from = work.target(&format!("usr/lib/grub/{target}"));
    work.host.make_dir(&to, 0o755)?;
    // Only what GRUB loads: the directory also has programs to be signed, and larger than all else.
    let names = work.host.list(&from)?;
    let wanted = names.iter().filter(|name| name.ends_with(".mod") || name.ends_with(".lst"));
    let files: Vec<String> = wanted.map(|name| format!("{from}/{name}")).collect();
    let copy =
        Command::new(Tool::Cp).args(["--preserve=mode,timestamps", "--target-directory", &to]);
    work.tool(copy.args(files))?;
    Ok(())
}

/// For a GRUB that is laid out in a way of its own.
fn run_install(work: &mut Work<'_>, flavour: Flavour, disk: &str) -> Result<(), ActionError> {
    if !has_program(work, flavour.install)? {
        return Err(efi::no_loader("grub-mkimage and no grub-install", "grub2-common"));
    }
    let command = Command::new(flavour.install).args(["--target=i386-pc", disk]);
    work.tool(as_in_target(work, command))?;
    Ok(())
}

/// Installs it in the EFI system partition.
pub(super) fn install_uefi(
    work: &mut Work<'_>,
    setup: &BootSetup,
    kernels: &[KernelFiles],
) -> Result<(), ActionError> {
    let (names, esp) = (EfiNames::of_target(work)?, efi::esp(setup)?.clone());
    let (flavour, place) = (flavour(work)?, boot_place(work, setup)?);
    let vendor = vendor(work)?;
    let program = uefi_program(work, flavour, names, &place)?;
    let shim = shim(work, names)?;
    let dir = format!("EFI/{vendor}");
    let menu = format!("{}configfile $prefix/grub.cfg\n", place.early(flavour.name));
    efi::put(work, &esp, &format!("{dir}/grub.cfg"), menu.as_bytes())?;
    let started = match &shim {
        Some(shim) => {
            let name = format!("shim{}.efi", names.suffix);
            efi::put(work, &esp, &format!("{dir}/{name}"), shim)?;
            name
        }
        None => format!("grub{}.efi", names.suffix),
    };
    efi::put(work, &esp, &format!("{dir}/grub{}.efi", names.suffix), &program)?;
    if setup.removable_path {
        put_fallback(work, &esp, names, shim.as_deref(), &program)?;
    }
    if setup.nvram_entry {
        nvram::add(work, setup, &esp, &format!("{dir}/{started}"))?;
    }
    menu::write(work, setup, flavour, &place, kernels)
}

/// The firmware's own path. Shim starts the program beside it.
fn put_fallback(
    work: &mut Work<'_>,
    esp: &EspPlace,
    names: EfiNames,
    shim: Option<&[u8]>,
    program: &[u8],
) -> Result<(), ActionError> {
    let fallback = format!("EFI/BOOT/{}", names.fallback());
    match shim {
        Some(shim) => {
            efi::put(work, esp, &format!("EFI/BOOT/grub{}.efi", names.suffix), program)?;
            efi::put(work, esp, &fallback, shim)?;
        }
        None => efi::put(work, esp, &fallback, program)?,
    }
    Ok(())
}

/// GRUB as its distribution made it: signed, or whole; else an image that is made here.
fn uefi_program(
    work: &mut Work<'_>,
    flavour: Flavour,
    names: EfiNames,
    place: &Place,
) -> Result<Vec<u8>, ActionError> {
    let (suffix, target) = (names.suffix, names.grub_target);
    let whole = [
        format!("usr/lib/grub/{target}-signed/grub{suffix}.efi.signed"),
        format!("usr/lib/grub/{target}/monolithic/grub{suffix}.efi"),
    ];
    let has_modules = work.exists(&work.target(&format!("usr/lib/grub/{target}/ext2.mod")))?;
    if has_modules {
        copy_modules(work, flavour, target)?;
    }
    if let Some(program) = efi::first_of(work, &whole)? {
        return Ok(program);
    }
    if !has_modules || !has_program(work, flavour.mkimage)? {
        let what = format!("GRUB for UEFI (/usr/lib/grub/{target})");
        return Err(efi::no_loader(&what, "grub-efi-amd64-bin"));
    }
    make_core(work, flavour, target, place, &["normal", "linux", "configfile", "efi_gop"])
}

/// The first program of a machine with Secure Boot, which only counts beside a signed GRUB.
fn shim(work: &mut Work<'_>, names: EfiNames) -> Result<Option<Vec<u8>>, ActionError> {
    let (suffix, target) = (names.suffix, names.grub_target);
    let signed = work.target(&format!("usr/lib/grub/{target}-signed/grub{suffix}.efi.signed"));
    if !work.exists(&signed)? {
        return Ok(None);
    }
    Ok(efi::first_of(work, &[format!("usr/lib/shim/shim{suffix}.efi.signed")])?)
}

/// The directory in the EFI system partition in which the target's GRUB looks for its menu.
fn vendor(work: &mut Work<'_>) -> Result<String, ActionError> {
    let release = work.read_text(&work.target("etc/os-release"))?;
    let release = match release {
        Some(text) => Some(text),
        None => work.read_text(&work.target("usr/lib/os-release"))?,
    };
    Ok(id_of(&release.unwrap_or_default()).unwrap_or_else(|| "debian".to_owned()))
}

/// `ID` of os-release(5).
fn id_of(release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix("ID="))?;
    let id = value.trim().trim_matches(['"', '\'']);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!id.is_empty() && id.chars().all(is_plain)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::plan::Why;
    use hostwright_model::storage::{Fate, Partition, PartitionKind, TableFate};

    fn disk(table: TableKind, contents: &[(PartitionContent, u64)]) -> DiskLayout {
        let partition = |(number, (content, start_mib)): (usize, &(PartitionContent, u64))| {
            let number = number as u32 + 1;
            Partition {
                number,
                device: format!("/dev/vda{number}"),
                kind: PartitionKind::Primary,
                start_bytes: start_mib << 20,
                end_bytes: ((start_mib + 1) << 20) - 1,
                name: None,
                content: *content,
                bootable: false,
                fate: Fate::Create,
                existing: None,
                why: Why::default(),
            }
        };
        DiskLayout {
            device: "/dev/vda".to_owned(),
            size_bytes: 1 << 30,
            sector_bytes: 512,
            model: None,
            serial: None,
            before: Vec::new(),
            table,
            table_fate: TableFate::Write,
            partitions: contents.iter().enumerate().map(partition).collect(),
            why: Why::default(),
        }
    }

    #[test]
    fn the_core_image_goes_where_nothing_else_is() {
        use PartitionContent::{BiosBoot, Linux};
        let gpt = disk(TableKind::GptBios, &[(BiosBoot, 1), (Linux, 2)]);
        assert_eq!(place_on(&gpt), Some((1 << 20, 1 << 20)));
        assert_eq!(place_on(&disk(TableKind::Gpt, &[(Linux, 1)])), None);
        let pc = disk(TableKind::Msdos, &[(Linux, 4), (Linux, 1)]);
        assert_eq!(place_on(&pc), Some((512, (1 << 20) - 512)));
        assert_eq!(place_on(&disk(TableKind::Msdos, &[])), Some((512, (1 << 20) - 512)));
    }

    #[test]
    fn the_vendor_is_the_distribution() {
        assert_eq!(id_of("NAME=x\nID=debian\n").as_deref(), Some("debian"));
        assert_eq!(id_of("ID=\"rocky\"\n").as_deref(), Some("rocky"));
        assert_eq!(id_of("ID=../x\n"), None);
    }
}
