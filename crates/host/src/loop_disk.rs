//! A file as a block device: loop(4), gone with whoever uses it.

use crate::HostError;
use rustix::ioctl::{self, Opcode};
use std::ffi::c_void;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::Duration;

/// Request numbers and flags of linux/loop.h.
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_PARTSCAN: u32 = 8;

/// How often another process may take the free device in between.
const ATTEMPTS_MAX: usize = 64;
/// How long the kernel gets to let go of a device that nobody uses any more.
const DETACH_ATTEMPTS: usize = 100;
const DETACH_PAUSE: Duration = Duration::from_millis(50);

/// An attached loop device. The kernel detaches it, with its partitions, when the last user of the
/// device is gone: at the latest when this process ends, however it ends.
#[derive(Debug)]
pub struct LoopDisk {
    node: File,
    name: String,
}

impl LoopDisk {
    /// Attaches `file`, which must be open for reading and writing, to a free loop device, with its
    /// partitions. Sectors have 512 bytes.
    pub fn attach(file: &File) -> Result<Self, HostError> {
        Self::attach_with(file, LO_FLAGS_PARTSCAN, 0, 0)
    }

    /// Attaches `file`, of which nothing is ever written. A mount of the device is a user of it: it
    /// stays when this value is dropped.
    pub fn attach_read_only(file: &File) -> Result<Self, HostError> {
        Self::attach_with(file, LO_FLAGS_READ_ONLY, 0, 0)
    }

    /// The same of a part of `file`, such as a partition: `size_bytes` from `start_bytes` on.
    pub fn attach_part_read_only(
        file: &File,
        start_bytes: u64,
        size_bytes: u64,
    ) -> Result<Self, HostError> {
        Self::attach_with(file, LO_FLAGS_READ_ONLY, start_bytes, size_bytes)
    }

    /// A length of 0 is all there is.
    fn attach_with(file: &File, flags: u32, start: u64, length: u64) -> Result<Self, HostError> {
        const CONTROL: &str = "/dev/loop-control";
        let is_writable = flags & LO_FLAGS_READ_ONLY == 0;
        let open = |path: &str| OpenOptions::new().read(true).write(is_writable).open(path);
        let control = File::open(CONTROL).map_err(failed("open", CONTROL))?;
        for _ in 0..ATTEMPTS_MAX {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument and answers with a number.
            #[expect(unsafe_code, reason = "rustix knows no loop device ioctls")]
            let number = unsafe { ioctl::ioctl(&control, GetFree) }
                .map_err(|errno| failed("find a free loop device at", CONTROL)(errno.into()))?;
            let name = format!("loop{number}");
            let path = format!("/dev/{name}");
            let node = open(&path).map_err(failed("open", &path))?;
            let config = LoopConfig::of(file, flags | LO_FLAGS_AUTOCLEAR, start, length);
            // SAFETY: LOOP_CONFIGURE reads a struct loop_config, which `Configure` points to; the
            // descriptor in it is that of `file`, which is open.
            #[expect(unsafe_code, reason = "rustix knows no loop device ioctls")]
            match unsafe { ioctl::ioctl(&node, Configure(config)) } {
                Ok(()) => return Ok(Self { node, name }),
                // Somebody else took it in between.
                Err(rustix::io::Errno::BUSY) => {}
                Err(errno) => return Err(failed("attach", &path)(errno.into())),
            }
        }
        Err(failed("find a free loop device at", CONTROL)(rustix::io::Errno::BUSY.into()))
    }

    /// Its kernel name, `loop3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes everything to the file and waits until the kernel has let go of the device.
    pub fn detach(self) -> Result<(), HostError> {
        let Self { node, name } = self;
        let path = format!("/dev/{name}");
        node.sync_all().map_err(failed("write", &path))?;
        // Somebody else may attach a file of theirs as soon as ours is gone.
        let attached = || fs::read(format!("/sys/block/{name}/loop/backing_file")).ok();
        let ours = attached();
        drop(node);
        for _ in 0..DETACH_ATTEMPTS {
            let now = attached();
            if now.is_none() || now != ours {
                return Ok(());
            }
            sleep(DETACH_PAUSE);
        }
        Err(failed("detach", &path)(io::Error::from(io::ErrorKind::ResourceBusy)))
    }
}

fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io { operation, path, source }
}

/// `struct loop_config` of linux/loop.h, in which `info` is a `struct loop_info64` of 232 bytes:
/// only its offset and length, at bytes 24 and 32, and its flags, at byte 52, are of interest here.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_bytes: u32,
    info_before_offset: [u32; 6],
    /// Halves of 64 bits: the struct is aligned like its parts, and this is not.
    offset: [u32; 2],
    size_limit: [u32; 2],
    info_before_flags: [u32; 3],
    flags: u32,
    info_after_flags: [u32; 44],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 8 + 232 + 64);

impl LoopConfig {
    fn of(file: &File, flags: u32, start: u64, length: u64) -> Self {
        let halves = |number: u64| [number as u32, (number >> 32) as u32];
        Self {
            fd: u32::try_from(file.as_raw_fd()).expect("invariant: an open file has a descriptor"),
            block_bytes: 512,
            info_before_offset: [0; 6],
            offset: halves(start),
            size_limit: halves(length),
            info_before_flags: [0; 3],
            flags,
            info_after_flags: [0; 44],
            reserved: [0; 8],
        }
    }
}

struct GetFree;

// SAFETY: the opcode has no argument; the kernel returns the number and writes nothing.
#[expect(unsafe_code, reason = "describes the ioctl to rustix")]
unsafe impl ioctl::Ioctl for GetFree {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(number: i32, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(number)
    }
}

struct Configure(LoopConfig);

// SAFETY: the argument is a pointer to a whole loop_config, which the kernel only reads.
#[expect(unsafe_code, reason = "describes the ioctl to rustix")]
unsafe impl ioctl::Ioctl for Configure {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CONFIGURE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: i32, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn root_what_is_written_to_the_disk_is_in_the_file_when_it_is_detached() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let disk = LoopDisk::attach(&file).unwrap();
        let name = disk.name().to_owned();
        let size = fs::read_to_string(format!("/sys/block/{name}/size")).unwrap();
        assert_eq!(size.trim(), "2048");
        disk.node.write_all_at(b"hello", 4096).unwrap();
        disk.detach().unwrap();
        let mut read = [0; 5];
        file.read_exact_at(&mut read, 4096).unwrap();
        assert_eq!(&read, b"hello");
    }

    #[test]
    fn root_a_file_that_is_attached_read_only_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(&path, [7; 4096]).unwrap();
        let disk = LoopDisk::attach_read_only(&File::open(&path).unwrap()).unwrap();
        let mut read = [0; 4096];
        disk.node.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, [7; 4096]);
        let ro = fs::read_to_string(format!("/sys/block/{}/ro", disk.name())).unwrap();
        assert_eq!(ro.trim(), "1");
        disk.detach().unwrap();
    }

    #[test]
    fn root_a_part_of_a_file_is_a_disk_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let blocks: Vec<u8> = (0..16).flat_map(|block| [block; 4096]).collect();
        fs::write(&path, blocks).unwrap();
        let file = File::open(&path).unwrap();
        let disk = LoopDisk::attach_part_read_only(&file, 3 * 4096, 2 * 4096).unwrap();
        let mut read = [0; 4096];
        disk.node.read_exact_at(&mut read, 4096).unwrap();
        assert_eq!(read, [4; 4096]);
        let size = fs::read_to_string(format!("/sys/block/{}/size", disk.name())).unwrap();
        assert_eq!(size.trim(), "16");
        disk.detach().unwrap();
    }

    #[test]
    fn root_two_files_get_two_disks() {
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let disks = files.map(|file| {
            file.set_len(1 << 20).unwrap();
            LoopDisk::attach(&file).unwrap()
        });
        assert_ne!(disks[0].name(), disks[1].name());
    }
}
