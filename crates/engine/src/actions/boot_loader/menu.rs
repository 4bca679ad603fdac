//! GRUB's menu: by the target's own grub-mkconfig(8), else written here.

use super::grub::{Flavour, has_program};
use super::{Place, kernels};
use crate::actions::apt::as_in_target;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::Command;
use hostwright_model::boot_loader::{BootSetup, KernelFiles, SerialConsole};
use std::fmt::Write as _;

/// What Hostwright tells grub-mkconfig in Debian's way, beside what the image brought.
const DEFAULTS: &str = "etc/default/grub.d/90-hostwright.cfg";
/// Where there is no such directory: the file that everybody has.
const ONE_FILE: &str = "etc/default/grub";
/// The lines in it that are ours.
const BEGIN: &str = "# Made by Hostwright: begin";
const END: &str = "# Made by Hostwright: end";

/// Writes the menu.
pub(super) fn write(
    work: &mut Work<'_>,
    setup: &BootSetup,
    flavour: Flavour,
    place: &Place,
    kernels: &[KernelFiles],
) -> Result<(), ActionError> {
    write_defaults(work, setup)?;
    let path = format!("/boot/{}/grub.cfg", flavour.name);
    if has_program(work, flavour.mkconfig)? && work.exists(&work.target("etc/grub.d"))? {
        let command = Command::new(flavour.mkconfig).args(["-o", &path]);
        let made = work.try_tool(as_in_target(work, command))?;
        let text = work.read_text(&work.target(&path))?.unwrap_or_default();
        if made.status == 0 && starts_all(&text, kernels) {
            return Ok(());
        }
        let program = flavour.mkconfig.program();
        work.warn(&format!("{program} made no menu that starts the kernel; Hostwright writes one"));
    }
    let arguments = arguments(work, setup)?;
    let text = menu(setup, place, kernels, &arguments);
    work.host.write(&work.target(&path), text.as_bytes(), 0o600)?;
    Ok(())
}

/// True if a menu has a line for the kernel that is to start.
fn starts_all(menu: &str, kernels: &[KernelFiles]) -> bool {
    let newest = kernels.first().map(|kernel| kernel.release.as_str()).unwrap_or_default();
    menu.lines().any(|line| {
        let mut words = line.split_whitespace();
        let is_linux = words.next().is_some_and(|word| word.starts_with("linux"));
        let kernel = words.next().unwrap_or_default();
        is_linux && kernel.ends_with(newest) && words.any(|word| word.starts_with("root="))
    })
}

/// Everything that the kernel is told.
pub(super) fn arguments(work: &mut Work<'_>, setup: &BootSetup) -> Result<String, ActionError> {
    let mut words = kernels::root_arguments(work, &setup.root_device)?;
    if !setup.kernel_args.iter().any(|word| word == "ro" || word == "rw") {
        words.push("ro".to_owned());
    }
    words.extend(setup.kernel_args.iter().cloned());
    Ok(words.join(" "))
}

/// So that the menu stays as it is when the installed system makes it anew.
fn write_defaults(work: &mut Work<'_>, setup: &BootSetup) -> Result<(), ActionError> {
    let mut arguments = setup.kernel_args.clone();
    // grub-mkconfig knows `root=`, but not what dracut has to open before it.
    let of_root = kernels::root_arguments(work, &setup.root_device)?;
    arguments.extend(of_root.into_iter().filter(|word| word.starts_with("rd.")));
    let lines = defaults(setup, &arguments);
    let in_dir = work.exists(&work.target("etc/default/grub.d"))?
        || work.exists(&work.target("var/lib/dpkg"))?;
    if in_dir {
        let text = format!("# Made by Hostwright.\n{lines}");
        work.host.write(&work.target(DEFAULTS), text.as_bytes(), 0o644)?;
        return Ok(());
    }
    let path = work.target(ONE_FILE);
    let old = work.read_text(&path)?.unwrap_or_default();
    work.host.write(&path, with_block(&old, &lines).as_bytes(), 0o644)?;
    Ok(())
}

/// The assignments.
fn defaults(setup: &BootSetup, arguments: &[String]) -> String {
    let quoted = hostwright_host::command::quote(&arguments.join(" "));
    let mut text = format!("GRUB_CMDLINE_LINUX={quoted}\nGRUB_TIMEOUT={}\n", setup.timeout_seconds);
    if let Some(SerialConsole { unit, baud }) = setup.serial {
        let line = format!("serial --unit={unit} --speed={baud}");
        write!(text, "GRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"{line}\"\n")
            .expect("invariant: a String takes everything");
    }
    text
}

/// The file with our lines at its end instead of those of an earlier run.
fn with_block(old: &str, lines: &str) -> String {
    let kept = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{}", &old[..begin], old[end + END.len()..].trim_start_matches('\n'))
        }
        _ => old.to_owned(),
    };
    let gap = if kept.is_empty() || kept.ends_with('\n') { "" } else { "\n" };
    format!("{kept}{gap}{BEGIN}\n{lines}{END}\n")
}

/// A menu with an entry a kernel.
fn menu(setup: &BootSetup, place: &Place, kernels: &[KernelFiles], arguments: &str) -> String {
    let mut text = format!(
        "# Made by Hostwright; grub-mkconfig replaces it.\nset default=0\nset timeout={}\n",
        setup.timeout_seconds
    );
    if let Some(SerialConsole { unit, baud }) = setup.serial {
        write!(
            text,
            "serial --unit={unit} --speed={baud}\nterminal_input console serial\n\
             terminal_output console serial\n"
        )
        .expect("invariant: a String takes everything");
    }
    for kernel in kernels {
        let (label, linux) = (&setup.label, place.of_file(&kernel.kernel));
        let title = format!("{label}, with Linux {}", kernel.release).replace('\'', "");
        write!(
            text,
            "menuentry '{title}' {{\n    search --no-floppy --fs-uuid --set=root {}\n    \
                      linux {linux} {arguments}\n",
            place.uuid
        )
        .expect("invariant: a String takes everything");
        if let Some(initrd) = &kernel.initrd {
            writeln!(text, "    initrd {}", place.of_file(initrd))
                .expect("invariant: a String takes everything");
        }
        text.push_str("}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::boot_loader::BootLoader;

    fn setup() -> BootSetup {
        BootSetup {
            loader: BootLoader::GrubUefi,
            esp: None,
            boot_mount: None,
            root_device: "/dev/vda1".to_owned(),
            kernel: None,
            kernel_args: vec!["console=ttyS0,115200".to_owned(), "a=it's".to_owned()],
            rebuild_initrd: false,
            nvram_entry: false,
            removable_path: true,
            label: "Debian".to_owned(),
            timeout_seconds: 2,
            serial: Some(SerialConsole { unit: 0, baud: 115_200 }),
        }
    }

    fn kernel() -> KernelFiles {
        KernelFiles {
            release: "6.1.0-18-amd64".to_owned(),
            kernel: "/boot/vmlinuz-6.1.0-18-amd64".to_owned(),
            initrd: Some("/boot/initrd.img-6.1.0-18-amd64".to_owned()),
        }
    }

    #[test]
    fn a_menu_names_kernel_initramfs_and_arguments() {
        let place = Place { uuid: "1-2".to_owned(), dir: "/@/boot".to_owned() };
        insta::assert_snapshot!(menu(&setup(), &place, &[kernel()], "root=UUID=3 ro"), @r"
        # Made by Hostwright; grub-mkconfig replaces it.
        set default=0
        set timeout=2
        serial --unit=0 --speed=115200
        terminal_input console serial
        terminal_output console serial
        menuentry 'Debian, with Linux 6.1.0-18-amd64' {
            search --no-floppy --fs-uuid --set=root 1-2
            linux /@/boot/vmlinuz-6.1.0-18-amd64 root=UUID=3 ro
            initrd /@/boot/initrd.img-6.1.0-18-amd64
        }
        ");
        assert!(starts_all(&menu(&setup(), &place, &[kernel()], "root=UUID=3"), &[kernel()]));
        assert!(!starts_all("linux /vmlinuz-6.1.0-9-amd64 root=UUID=3\n", &[kernel()]));
    }

    #[test]
    fn settings_survive_a_shell_and_a_second_run() {
        let lines = defaults(&setup(), &setup().kernel_args);
        assert!(lines.contains(r"GRUB_CMDLINE_LINUX='console=ttyS0,115200 a=it'\''s'"), "{lines}");
        let once = with_block("GRUB_TIMEOUT=5", &lines);
        assert_eq!(once, format!("GRUB_TIMEOUT=5\n{BEGIN}\n{lines}{END}\n"));
        assert_eq!(with_block(&once, &lines), once);
    }
}
