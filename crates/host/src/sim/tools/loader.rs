//! What makes a system start: GRUB's tools, efibootmgr(8), kexec(8), update-initramfs(8), and the
//! copying of files that goes with it.

use super::{Call, Reply};
use crate::HostError;
use crate::sim::state::State;
use crate::sim::tree::{Node, NodeKind};

/// Where every core.img of GRUB says to which segment it belongs, and what it says.
const SEGMENT_AT: usize = 0x1fe;
const SEGMENT: [u8; 2] = [0x20, 0x08];
/// A core.img of two sectors.
const CORE_BYTES: usize = 1024;

/// Makes a core image that depends on everything it is made of.
pub(super) fn grub_mkimage(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &["-O", "-p", "-c", "-o"])?;
    let (Some(output), Some(config)) = (options.value("-o"), options.value("-c")) else {
        return Err(call.unknown("it takes -c and -o"));
    };
    let Some(early) = state.read_in(call.root, config).map(<[u8]>::to_vec) else {
        return Ok(Reply::fail(1, format!("grub-mkimage: cannot open `{config}'")));
    };
    let mut core = call.command.args.join(" ").into_bytes();
    core.extend(early);
    core.resize(CORE_BYTES, 0);
    core[SEGMENT_AT..SEGMENT_AT + 2].copy_from_slice(&SEGMENT);
    if !call.torn {
        state.put_in(call.root, output, Node::file(core, 0o644))?;
    }
    Ok(Reply::ok())
}

/// Makes a menu with the kernels of the root.
pub(super) fn grub_mkconfig(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&[], &["-o"])?;
    let Some(output) = options.value("-o") else { return Err(call.unknown("it takes -o")) };
    let menu = kernels(state, call)
        .into_iter()
        .map(|release| format!("linux /boot/vmlinuz-{release} root=UUID=simulated\n"));
    let menu: String = menu.collect();
    if !call.torn {
        state.put_in(call.root, output, Node::file(menu, 0o600))?;
    }
    Ok(Reply::ok())
}

fn kernels(state: &State, call: &Call<'_>) -> Vec<String> {
    let names = state.names(&format!("{}/boot", call.root));
    names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).map(str::to_owned).collect()
}

/// Makes the initramfs of each kernel anew, with what crypttab says.
pub(super) fn update_initramfs(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-u"], &["-k"])?;
    if !options.has("-u") || options.value("-k") != Some("all") {
        return Err(call.unknown("only -u -k all is simulated"));
    }
    let crypttab = state.read_in(call.root, "/etc/crypttab").unwrap_or_default();
    let crypttab = String::from_utf8_lossy(crypttab).into_owned();
    let releases = kernels(state, call);
    let count = if call.torn { releases.len() / 2 } else { releases.len() };
    for release in &releases[..count] {
        let path = format!("/boot/initrd.img-{release}");
        let content = format!("initramfs of {release}\n{crypttab}");
        state.put_in(call.root, &path, Node::file(content, 0o600))?;
    }
    Ok(Reply::ok())
}

/// Copies files into a directory.
pub(super) fn cp(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["--preserve=mode,timestamps"], &["--target-directory"])?;
    let Some(to) = options.value("--target-directory") else {
        return Err(call.unknown("only --target-directory is simulated"));
    };
    let count = if call.torn { options.words.len() / 2 } else { options.words.len() };
    for from in &options.words[..count] {
        let found = state.resolve(call.root, from, true)?;
        let Some(node) = state.node(&found).filter(|n| matches!(n.kind, NodeKind::File(_))) else {
            return Ok(Reply::fail(1, format!("cp: cannot stat '{from}'")));
        };
        let (node, name) = (node.clone(), from.rsplit('/').next().unwrap_or(from));
        state.put_in(call.root, &format!("{to}/{name}"), node)?;
    }
    Ok(Reply::ok())
}

/// The firmware's list.
pub(super) fn efibootmgr(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let flags = ["-q --quiet", "-c --create", "-B --delete-bootnum"];
    let valued = ["-d --disk", "-p --part", "-L --label", "-l --loader", "-b --bootnum"];
    let options = call.options(&flags, &valued)?;
    let entries = &mut state.firmware_entries;
    if options.has("-c") {
        let place = format!(
            "{}\t{} {} {}",
            options.value("-L").unwrap_or("Linux"),
            options.value("-d").unwrap_or("/dev/sda"),
            options.value("-p").unwrap_or("1"),
            options.value("-l").unwrap_or_default()
        );
        let number = (0_u16..).find(|number| !entries.contains_key(number)).unwrap_or_default();
        if !call.torn {
            entries.insert(number, place);
        }
        return Ok(Reply::ok());
    }
    if options.has("-B") {
        let number = options.value("-b").and_then(|text| u16::from_str_radix(text, 16).ok());
        let found = number.and_then(|number| entries.remove(&number));
        return Ok(match found {
            Some(_) => Reply::ok(),
            None => Reply::fail(15, "Could not delete variable"),
        });
    }
    let lines = entries.iter().map(|(number, place)| format!("Boot{number:04X}* {place}"));
    Ok(Reply { out: lines.collect(), ..Reply::default() })
}

/// Loads a kernel, which is gone with the next start.
pub(super) fn kexec(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let options = call.options(&["-l --load"], &["--initrd", "--command-line"])?;
    let files = options.words.iter().copied().chain(options.value("--initrd"));
    for file in files {
        if state.read_in(call.root, file).is_none() {
            return Ok(Reply::fail(1, format!("Cannot open `{file}': No such file or directory")));
        }
    }
    Ok(Reply::ok())
}

/// Only the packing of an old `/etc`.
pub(super) fn bash(state: &mut State, call: &Call<'_>) -> Result<Reply, HostError> {
    let [_, _, name, from, to] = &call.command.args[..] else {
        return Err(call.unknown("this script is not simulated"));
    };
    if name != "keep-etc" {
        return Err(call.unknown("this script is not simulated"));
    }
    let names = state.names(&format!("{from}/etc"));
    if names.is_empty() {
        return Ok(Reply::fail(1, "there is no etc"));
    }
    if !call.torn {
        state.put_in("", to, Node::file(names.join("\n"), 0o600))?;
    }
    Ok(Reply::ok())
}
