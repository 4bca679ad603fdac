//! Containers of disk images: what FAI's fai-diskimage makes, by the file's suffix.

use crate::error::{MediaError, io_error};
use hostwright_host::{Command, Host, Tool};
use std::path::Path;

/// The format of a disk image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskImageFormat {
    /// The disk, byte for byte; unused blocks take no room.
    Raw,
    /// The same, compressed by xz(1).
    RawXz,
    /// The same, compressed by zstd(1).
    RawZstd,
    /// QEMU's, compressed.
    Qcow2,
    /// VirtualBox's.
    Vdi,
    /// Hyper-V's.
    Vhdx,
    /// VMware's.
    Vmdk,
    /// Android's sparse image.
    Simg,
}

/// Formats by suffix, the longer of two that fit first.
const SUFFIXES: [(&str, DiskImageFormat); 8] = [
    (".raw.xz", DiskImageFormat::RawXz),
    (".raw.zst", DiskImageFormat::RawZstd),
    (".raw", DiskImageFormat::Raw),
    (".qcow2", DiskImageFormat::Qcow2),
    (".vdi", DiskImageFormat::Vdi),
    (".vhdx", DiskImageFormat::Vhdx),
    (".vmdk", DiskImageFormat::Vmdk),
    (".simg", DiskImageFormat::Simg),
];

impl DiskImageFormat {
    /// The format that the name of a file asks for.
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let fits = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
        SUFFIXES.iter().find(|(suffix, _)| fits(suffix)).map(|(_, format)| *format)
    }

    /// All suffixes, for messages.
    pub fn suffixes() -> String {
        SUFFIXES.map(|(suffix, _)| suffix).join(" ")
    }

    /// The program that makes it; none for a raw image.
    pub fn tool(self) -> Option<Tool> {
        Some(match self {
            Self::Raw => return None,
            Self::RawXz => Tool::Xz,
            Self::RawZstd => Tool::Zstd,
            Self::Qcow2 | Self::Vdi | Self::Vhdx | Self::Vmdk => Tool::QemuImg,
            Self::Simg => Tool::Img2simg,
        })
    }

    /// The call that writes the raw image `from` to the file `to`, which is there and empty.
    /// Compression is as strong as fai-diskimage's.
    fn conversion(self, from: &str, to: &str) -> Option<Command> {
        let tool = self.tool()?;
        let qemu = |options: &[&str]| {
            Command::new(tool).args(["convert", "-f", "raw"]).args(options.iter().copied())
        };
        Some(match self {
            Self::Raw => return None,
            Self::RawXz => Command::new(tool).args(["-1", "-T0", "-c"]).filter(from, to),
            Self::RawZstd => Command::new(tool).args(["-9", "-T0", "-q", "-c"]).filter(from, to),
            Self::Qcow2 => {
                let zstd = ["-O", "qcow2", "-c", "-o", "compression_type=zstd"];
                qemu(&zstd).args([from, to])
            }
            Self::Vdi => qemu(&["-O", "vdi"]).args([from, to]),
            Self::Vhdx => qemu(&["-O", "vhdx"]).args([from, to]),
            Self::Vmdk => qemu(&["-O", "vmdk"]).args([from, to]),
            Self::Simg => Command::new(tool).args([from, to]),
        })
    }
}

/// Fails if the program that makes `format` is not installed: better before the build than after.
pub fn demand_tool(host: &mut dyn Host, format: DiskImageFormat) -> Result<(), MediaError> {
    if let Some(tool) = format.tool() {
        // img2simg knows no such option, but says so only if it is there.
        host.run(&Command::new(tool).arg("--version"), &mut |_, _| {})?;
    }
    Ok(())
}

/// Writes the raw image `from` in `format` to the file `to`, which is there and empty.
pub fn convert(
    host: &mut dyn Host,
    format: DiskImageFormat,
    from: &str,
    to: &str,
) -> Result<(), MediaError> {
    if let Some(command) = format.conversion(from, to) {
        host.run(&command, &mut |_, _| {})?.success()?;
        let written = std::fs::metadata(to).map_err(io_error("read", Path::new(to)))?.len();
        debug_assert!(written > 0, "invariant: no format writes an empty file");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_host::real::RealHost;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn the_suffix_says_the_format() {
        let of = |name: &str| DiskImageFormat::of_path(Path::new(name));
        assert_eq!(of("/srv/a.b/x.raw"), Some(DiskImageFormat::Raw));
        assert_eq!(of("x.raw.xz"), Some(DiskImageFormat::RawXz));
        assert_eq!(of("x.raw.zst"), Some(DiskImageFormat::RawZstd));
        assert_eq!(of("x.qcow2"), Some(DiskImageFormat::Qcow2));
        for name in ["x", "raw", ".raw", "x.img", "x.xz", "x.raw/"] {
            let expected = (name == "x.raw/").then_some(DiskImageFormat::Raw);
            assert_eq!(of(name), expected, "{name}");
        }
    }

    /// Goal: every format holds the disk. Method: convert a small disk, convert it back.
    #[test]
    fn every_format_gives_the_disk_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let disk = File::create(path("x.raw")).unwrap();
        disk.set_len(8 << 20).unwrap();
        disk.write_all_at(b"in the middle", 4 << 20).unwrap();
        let raw = std::fs::read(path("x.raw")).unwrap();
        let mut host = RealHost::default();
        for (suffix, format) in SUFFIXES.iter().filter(|(_, f)| *f != DiskImageFormat::Raw) {
            let (made, back) = (path(&format!("y{suffix}")), path("back"));
            File::create(&made).unwrap();
            demand_tool(&mut host, *format).unwrap();
            convert(&mut host, *format, &path("x.raw"), &made).unwrap();
            let undo = match format {
                DiskImageFormat::RawXz => Command::new(Tool::Xz).args(["-dc"]).filter(made, &back),
                DiskImageFormat::RawZstd => {
                    Command::new(Tool::Zstd).args(["-dcq"]).filter(made, &back)
                }
                // Nothing in Debian's package can read it but simg2img, which is no tool of ours.
                DiskImageFormat::Simg => {
                    let magic = std::fs::read(&made).unwrap();
                    assert_eq!(magic[..4], 0xed26_ff3a_u32.to_le_bytes());
                    continue;
                }
                _ => Command::new(Tool::QemuImg).args(["convert", "-O", "raw", &made, &back]),
            };
            host.run(&undo, &mut |_, _| {}).unwrap().success().unwrap();
            assert!(std::fs::read(&back).unwrap() == raw, "{suffix}");
        }
    }
}
