//! Builds the static agent and holds the result against its limits.
//!
//! A static glibc program crashes where NSS would load shared objects: the agent's `nss_guard.rs`
//! keeps NSS out, and this looks whether it did.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Stripped; the agent is part of what firmware must load.
const SIZE_BYTES_MAX: u64 = 9_000_000;
/// `getrandom` would otherwise look its system call up with dlsym(3), which a static program lacks,
/// and fall back to /dev/urandom, which is not there before /dev is mounted.
const RUSTFLAGS: &str = "-Ctarget-feature=+crt-static --cfg getrandom_backend=\"linux_raw\"";
/// A panic ends the program, so nothing unwinds; relative relocations take 1 bit each instead of 24
/// bytes (DT_RELR, glibc 2.36); equal functions are one. Together a tenth of the size.
const SIZE_FLAGS: &str = "-Cforce-unwind-tables=no -Clink-arg=-Wl,--pack-dyn-relocs=relr \
     -Clink-arg=-Wl,--icf=all";

/// Builds `target/static/…/hostwright-agent` and returns its path. Has a target directory of its
/// own, so that its flags do not make everything else be built again.
pub fn build(root: &Path) -> Result<PathBuf> {
    let target_dir = root.join("target/static");
    let flags = format!("{RUSTFLAGS} {SIZE_FLAGS} {}", remapped(root));
    // Flags for the target only: with --target, cargo keeps them from build scripts and macros.
    let status = Command::new("cargo")
        .args(["build", "--locked", "--profile=agent", "--package=hostwright-agent"])
        .args(["--bin=hostwright-agent", "--target", TARGET])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags)
        .env_remove("RUSTFLAGS")
        .current_dir(root)
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the agent does not build");
    }
    let binary = target_dir.join(TARGET).join("agent/hostwright-agent");
    let bytes = std::fs::read(&binary).with_context(|| binary.display().to_string())?;
    check(&bytes, root)?;
    Ok(binary)
}

/// Keeps out of the binary where it was built: the initramfs shall be the same from any checkout.
fn remapped(root: &Path) -> String {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    let places = [(Some(root.to_owned()), "/hostwright"), (cargo_home, "/cargo")];
    let flag = |(from, to): (Option<PathBuf>, &str)| {
        Some(format!("--remap-path-prefix={}={to}", from?.display()))
    };
    places.into_iter().filter_map(flag).collect::<Vec<_>>().join(" ")
}

/// Every limit that the binary breaks.
fn check(binary: &[u8], root: &Path) -> Result<()> {
    let mut broken = Vec::new();
    if binary.len() as u64 > SIZE_BYTES_MAX {
        broken.push(format!("it has {} bytes, {SIZE_BYTES_MAX} are allowed", binary.len()));
    }
    match program_headers(binary) {
        Some(kinds) if kinds.contains(&INTERPRETER) => {
            broken.push("it asks for a dynamic loader".to_owned());
        }
        Some(kinds) if !kinds.contains(&DYNAMIC) => {
            broken.push("it is not position independent (static-pie)".to_owned());
        }
        Some(_) => {}
        None => broken.push("it is not an ELF program for x86-64".to_owned()),
    }
    for text in ["libnss_", "nsswitch.conf"] {
        if contains(binary, text.as_bytes()) {
            broken
                .push(format!("it contains '{text}': something of the C library's NSS is linked"));
        }
    }
    if contains(binary, root.as_os_str().as_encoded_bytes()) {
        broken.push(format!("it names the directory that it was built in, {}", root.display()));
    }
    if broken.is_empty() {
        return Ok(());
    }
    bail!("the agent breaks its limits: {}", broken.join("; "))
}

/// Segment types of the ELF specification, figure 2-2.
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

/// Types of the segments of a 64-bit little-endian ELF file.
fn program_headers(elf: &[u8]) -> Option<Vec<u32>> {
    const MAGIC: &[u8] = b"\x7fELF\x02\x01";
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let offset = u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?);
    let (offset, size, count) = (usize::try_from(offset).ok()?, u16_at(54)?, u16_at(56)?);
    let kinds = (0..usize::from(count)).map(|i| u32_at(offset + i * usize::from(size)));
    elf.starts_with(MAGIC).then(|| kinds.collect()).flatten()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_was_built_is_left_out() {
        let flags = remapped(Path::new("/home/me/checkout"));
        assert!(flags.starts_with("--remap-path-prefix=/home/me/checkout=/hostwright"), "{flags}");
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        let binary = std::fs::read("/proc/self/exe").expect("Linux");
        let error = check(&binary, Path::new("/nowhere")).expect_err("dynamic");
        assert!(error.to_string().contains("dynamic loader"), "{error}");
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let script = b"#!/bin/sh\ncat /etc/nsswitch.conf; cd /home/me/checkout\n";
        let error = check(script, Path::new("/home/me/checkout")).expect_err("a script");
        assert!(error.to_string().contains("/home/me/checkout"), "{error}");
        assert!(error.to_string().contains("not an ELF"), "{error}");
        assert!(error.to_string().contains("'nsswitch.conf'"), "{error}");
    }
}
